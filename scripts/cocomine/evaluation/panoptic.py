"""Panoptic quality, as panopticapi computes it (Kirillov et al., Panoptic Segmentation, CVPR 2019).

A predicted and a true segment of one category match where their IoU, void left out of the union, is above 1/2. Then
SQ(c) = mean IoU of the matches, RQ(c) = TP / (TP + FP/2 + FN/2), PQ(c) = SQ · RQ. A crowd is neither found nor missed,
and a prediction that lies by more than half in void or in a crowd of its category is no false one.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cocomine.base.arrays import Bools, Floats
from cocomine.base.errors import CocomineError
from cocomine.base.files import write_json, write_table
from cocomine.base.progress import Progress
from cocomine.coco.tasks import VOID
from cocomine.evaluation import slices
from cocomine.evaluation.attributes import describe
from cocomine.evaluation.coverage import coverage
from cocomine.evaluation.ground import Ground, check_categories
from cocomine.evaluation.resampling import image_draws, intervals, joined, write_draws
from cocomine.evaluation.settings import JudgingSettings
from cocomine.evaluation.shown import keep_segments, packed_segments
from cocomine.learning.metrics import mean_of_known, number, ratio

OFFSET = 256**3
VOID_ID = 0
MISSING_NAMED = 5

Segments = dict[int, dict[str, Any]]
Ids = npt.NDArray[np.int64]


@dataclass
class Tally:
    """What was counted of one category: the sum of the matches' IoU, matches, false and missed segments."""

    iou: float = 0.0
    true: int = 0
    false: int = 0
    missed: int = 0

    def add(self, other: "Tally") -> None:
        """Add what was counted elsewhere."""
        self.iou += other.iou
        self.true += other.true
        self.false += other.false
        self.missed += other.missed

    def figures(self) -> dict[str, float | int | None]:
        """Return PQ, SQ, RQ (None where the category occurs on neither side) and the counts."""
        whole = self.true + 0.5 * self.false + 0.5 * self.missed
        return {
            "pq": self.iou / whole if whole else None,
            "sq": (self.iou / self.true if self.true else 0.0) if whole else None,
            "rq": self.true / whole if whole else None,
            "matched": self.true,
            "false": self.false,
            "missed": self.missed,
        }


@dataclass(frozen=True)
class Panoptic:
    """A panoptic document and the folder of its PNGs: segments by id for each image, and each image's PNG."""

    folder: Path
    segments: Mapping[int, Segments]
    png_of: Mapping[int, str]
    categories: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    def ids(self, image: int) -> Ids:
        """Return the segment id of each pixel: red + 256 green + 256² blue. Raises CocomineError for no such PNG."""
        path = self.folder / self.png_of[image]
        try:
            with Image.open(path, formats=["PNG"]) as opened:
                if opened.mode not in ("RGB", "RGBA"):
                    raise CocomineError(f"{path}: mode {opened.mode}", "a panoptic PNG holds ids as RGB colours")
                colours = np.asarray(opened.convert("RGB"), dtype=np.int64)
        except (OSError, SyntaxError, ValueError) as error:
            raise CocomineError(f"{path}: not a readable PNG: {error}", "write it again") from error
        return np.asarray(colours @ np.array([1, 256, 256**2]), dtype=np.int64)


def read_panoptic(path: Path, folder: Path) -> Panoptic:
    """Read a panoptic document. Raises CocomineError when it is none, or names a file outside of its folder."""
    try:
        document = json.loads(path.read_bytes())
        found = {
            _image_id(a["image_id"]): (str(a["file_name"]), {int(s["id"]): dict(s) for s in a["segments_info"]})
            for a in document["annotations"]
        }
        categories = {int(c["id"]): c for c in document.get("categories", [])}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CocomineError(
            f"{path}: no panoptic document: {type(error).__name__} {error}",
            "it holds annotations of image_id, file_name and segments_info: https://cocodataset.org/#format-results",
        ) from error
    for name, _ in found.values():
        if not (folder / name).resolve().is_relative_to(folder.resolve()):
            raise CocomineError(f"{path}: the PNG {name!r} lies outside of {folder}", "name files of that folder")
    return Panoptic(
        folder, {i: segments for i, (_, segments) in found.items()}, {i: n for i, (n, _) in found.items()}, categories
    )


def _image_id(value: Any) -> Any:
    """Return an image id, which may be a file's stem, as it is. Raises TypeError for anything else."""
    if not isinstance(value, int | str):
        raise TypeError(f"image_id is {value!r}")
    return value


def score_panoptic(
    truth: Panoptic, predicted: Panoptic, ground: Ground, settings: JudgingSettings, out_dir: Path
) -> dict[str, Any]:
    """Score the panoptic predictions of the ground's images; write metrics.json and draws.tsv, return the former.

    Predictions of other images are counted. Raises CocomineError for images without one, a PNG of another size or with
    a segment that its JSON does not name (or the other way round), and a category that the truth does not have.
    """
    images = ground.split.image_ids
    predicted = _in_source_ids(predicted, ground, settings)
    missing = [image for image in images if image not in predicted.segments]
    if missing:
        more = ", …" if len(missing) > MISSING_NAMED else ""
        raise CocomineError(
            f"no prediction for {len(missing)} of {len(images)} images: {', '.join(map(str, missing[:5]))}{more}",
            "predict every image of the split; one without segments has an empty segments_info",
        )
    unlabelled = [image for image in images if image not in truth.segments]
    if unlabelled:
        raise CocomineError(
            f"{ground.annotations} has no segments of {len(unlabelled)} images, such as {unlabelled[0]}",
            "judge a split whose images are all in it",
        )
    tallies = {category: Tally() for category in truth.categories}
    rows = np.zeros((len(images), len(tallies), 4))
    kept: tuple[list[bytes], list[bytes]] = [], []
    label_of = {category: min(label, VOID - 1) for label, category in enumerate(truth.categories, 1)}
    with Progress("score panoptic", len(images), "image") as progress:
        for number, image in enumerate(images):
            own = {category: Tally() for category in truth.categories}
            pixels = _count(truth, predicted, image, own)
            for packed, ids, side in zip(kept, pixels, (predicted, truth), strict=True):
                labels = {one: label_of[segment["category_id"]] for one, segment in side.segments[image].items()}
                packed.append(packed_segments(ids, labels))
            for place, (category, tally) in enumerate(own.items()):
                tallies[category].add(tally)
                rows[number, place] = tally.iou, tally.true, tally.false, tally.missed
            progress.advance()
    things = {category for category, row in truth.categories.items() if row.get("isthing", 1)}
    draws = joined([_drawn(weights, rows) for weights in image_draws(len(images), settings.bootstrap)])
    result = {
        "kind": "panoptic",
        **ground.facts(),
        "predictions": {"images": len(predicted.segments), "other_images": len(set(predicted.segments) - set(images))},
        **_where(rows, ground, settings, out_dir),
        "all": _mean(tallies.values()),
        "intervals": intervals(draws, settings.confidence),
        "things": _mean(tally for category, tally in tallies.items() if category in things),
        "stuff": _mean(tally for category, tally in tallies.items() if category not in things),
        "per_category": {
            str(truth.categories[category]["name"]): tally.figures() for category, tally in tallies.items()
        },
    }
    keep_segments(out_dir, images, *kept)
    write_draws(out_dir / "draws.tsv", draws)
    write_json(out_dir / "metrics.json", result)
    return result


def _where(rows: Floats, ground: Ground, settings: JudgingSettings, out_dir: Path) -> dict[str, Any]:
    """Return slices of the images by their error 1 − PQ, and coverage gaps; write per_image.tsv.

    An image without a segment on either side has no error. A source's own panoptic file says nothing of objects, so
    that only tags tell its images apart.
    """
    errors = 1 - _figures(rows)["pq"]
    judging = slices.Judging(settings.slice_images, settings.bootstrap, settings.confidence)
    images = ground.split.image_ids
    described = describe(ground.pictured(images), ground.subset_dir, None, ground.tags)

    def figures(member: Bools) -> dict[str, float | None]:
        return {name: number(value[0]) for name, value in _figures(rows[member].sum(0)[None]).items()}

    shown = ("" if np.isnan(error) else error for error in errors.tolist())
    write_table(out_dir / "per_image.tsv", ("image_id", "error"), zip(images, shown, strict=True))
    return {
        "slices": slices.analyse_figures(described.of_judged, errors, figures, "1 - PQ of the image", judging),
        "coverage": coverage(described, settings.slice_images),
    }


def _in_source_ids(predicted: Panoptic, ground: Ground, settings: JudgingSettings) -> Panoptic:
    """Return the predictions with the source's ids of images and categories."""
    ids = ground.ids_of(settings)
    found = {segment["category_id"] for segments in predicted.segments.values() for segment in segments.values()}
    check_categories(found, ground, ids, predicted.folder)
    categories, images = ground.category_of(ids), ground.image_of(settings.image_ids)
    segments = {
        images.get(image, image): {
            number: {**segment, "category_id": categories.get(segment["category_id"], segment["category_id"])}
            for number, segment in of_image.items()
        }
        for image, of_image in predicted.segments.items()
    }
    pngs = {images.get(image, image): png for image, png in predicted.png_of.items()}
    return replace(predicted, segments=segments, png_of=pngs)


def _drawn(weights: Floats, rows: Floats) -> dict[str, Floats]:
    """Return PQ, SQ and RQ of bootstrap draws (d, i) over the tallies (i, k, 4) of the images."""
    return _figures(np.einsum("di,ikc->dkc", weights, rows))


def _figures(tallies: Floats) -> dict[str, Floats]:
    """Return PQ, SQ and RQ, means over the categories that occur, of tallies (d, k, 4); NaN where none does."""
    iou, true, false, missed = np.moveaxis(tallies, -1, 0)
    whole = true + 0.5 * false + 0.5 * missed
    found = np.where(true > 0, true, 1)
    values = {"pq": iou, "sq": np.where(true > 0, iou / found, 0) * whole, "rq": true}
    return {name: mean_of_known(ratio(value, whole)) for name, value in values.items()}


def _mean(tallies: Iterable[Tally]) -> dict[str, float | int | None]:
    """Return the means of PQ, SQ and RQ over the categories that occur, and their number."""
    known = [figures for tally in tallies if (figures := tally.figures())["pq"] is not None]
    means = {key: float(np.mean([f[key] for f in known])) if known else None for key in ("pq", "sq", "rq")}
    return {**means, "categories": len(known)}


def _count(truth: Panoptic, predicted: Panoptic, image: int, tallies: dict[int, Tally]) -> tuple[Ids, Ids]:
    """Count the segments of an image; return the ids of its pixels in the prediction and in the truth."""
    real, ids = truth.ids(image), predicted.ids(image)
    if real.shape != ids.shape:
        raise CocomineError(
            f"image {image}: the prediction is {ids.shape[1]} × {ids.shape[0]}, the truth "
            f"{real.shape[1]} × {real.shape[0]}",
            "predictions are compared at the image's own size",
        )
    wanted, found = truth.segments[image], predicted.segments[image]
    area = _areas(ids, found, image, tallies)
    pairs, counts = np.unique(real * OFFSET + ids, return_counts=True)
    overlap = {divmod(int(pair), OFFSET): int(count) for pair, count in zip(pairs, counts, strict=True)}
    real_area = dict(zip(*(array.tolist() for array in np.unique(real, return_counts=True)), strict=True))
    matched_real, matched = set(), set()
    for (one, other), shared in overlap.items():
        if one not in wanted or other not in found or wanted[one].get("iscrowd"):
            continue
        category = wanted[one]["category_id"]
        if category != found[other]["category_id"]:
            continue
        iou = shared / (area[other] + real_area[one] - shared - overlap.get((VOID_ID, other), 0))
        if iou > 0.5:
            tallies[category].true += 1
            tallies[category].iou += iou
            matched_real.add(one)
            matched.add(other)
    crowds: dict[int, int] = {}  # as panopticapi has it: the last crowd of a category
    for one, segment in wanted.items():
        if segment.get("iscrowd"):
            crowds[segment["category_id"]] = one
        elif one not in matched_real:
            tallies[segment["category_id"]].missed += 1
    for other, segment in found.items():
        if other in matched:
            continue
        crowd = crowds.get(segment["category_id"], VOID_ID)
        forgiven = sum(overlap.get((one, other), 0) for one in {VOID_ID, crowd})
        if forgiven / area[other] <= 0.5:
            tallies[segment["category_id"]].false += 1
    return ids, real


def _areas(ids: Ids, found: Segments, image: int, tallies: Mapping[int, Tally]) -> dict[int, int]:
    """Return each predicted segment's pixels, once its JSON and its PNG agree."""
    areas = dict(zip(*(array.tolist() for array in np.unique(ids, return_counts=True)), strict=True))
    areas.pop(VOID_ID, None)
    if areas.keys() != found.keys():
        odd = sorted(areas.keys() ^ found.keys())[0]
        where = "the PNG and not the JSON" if odd in areas else "the JSON and not the PNG"
        raise CocomineError(f"image {image}: segment {odd} is in {where}", "write both from the same segments")
    unknown = sorted({segment["category_id"] for segment in found.values()} - tallies.keys())
    if unknown:
        raise CocomineError(
            f"image {image}: category {unknown[0]} is none of the truth's", f"its ids are {sorted(tallies)[:20]}"
        )
    return areas
