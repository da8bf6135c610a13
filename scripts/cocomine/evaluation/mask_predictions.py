"""Scoring a folder of predicted label masks on a subset's split: the same images, the same void, the same slices.

A model that was trained elsewhere is so judged like our own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cocomine.base.arrays import Bytes, Floats
from cocomine.base.errors import CocomineError
from cocomine.base.files import read_table, write_json, write_table
from cocomine.base.progress import Progress
from cocomine.coco.labels import Labels
from cocomine.coco.names import mask_name
from cocomine.evaluation import baselines, pictures, slices
from cocomine.evaluation.attributes import describe
from cocomine.evaluation.boundary import boundary_counts
from cocomine.evaluation.coverage import coverage
from cocomine.evaluation.ground import Ground
from cocomine.evaluation.predicting import full_mask
from cocomine.evaluation.predictions import Split
from cocomine.evaluation.resampling import write_draws
from cocomine.evaluation.settings import JudgingSettings
from cocomine.evaluation.shown import keep_masks
from cocomine.images.opening import FORMATS
from cocomine.learning import metrics

MISSING_NAMED = 5
PLACES = 128  # the grid's side on which the usual places of classes are counted
GREY = 200  # stands for an image that is not at hand


@dataclass(frozen=True)
class MaskPredictions:
    """A folder of predictions and what it is judged on.

    `values` says what the PNGs' pixels are: "labels" of labels.json, or category ids of the "source" (any that is not
    one of the subset's is background). `store_dir` holds the images for the pictures; without it they are grey.
    """

    folder: Path
    values: str
    ground: Ground
    labels: Labels
    store_dir: Path | None = None

    @property
    def split(self) -> Split:
        """The images that are judged."""
        return self.ground.split

    @property
    def subset_dir(self) -> Path:
        """The folder of the subset. Raises CocomineError where there is none."""
        if self.ground.subset_dir is None:
            raise CocomineError("semantic masks are judged on a subset", "give --subset-dir")
        return self.ground.subset_dir

    def truth(self, file_name: str) -> Bytes:
        """Return an image's own mask at full size."""
        return full_mask(self.subset_dir / "masks", file_name, len(self.labels))

    def table(self) -> Bytes:
        """Return the label of each pixel value."""
        if self.values == "labels":
            return np.arange(256, dtype=np.uint8)
        table = np.zeros(256, dtype=np.uint8)
        for category, label in self.labels.source_to_label.items():
            if category < 256:
                table[category] = label
        return table


@dataclass
class _Counts:
    """What was counted: a row of sums an image, for the predictions and for each trivial baseline."""

    own: list[metrics.Sums] = field(default_factory=list)
    boundary: list[npt.NDArray[np.int64]] = field(default_factory=list)
    trivial: dict[str, list[metrics.Sums]] = field(default_factory=dict)


def score_masks(predicted: MaskPredictions, settings: JudgingSettings, out_dir: Path) -> dict[str, Any]:
    """Score `folder/{stem}.png` against the subset's full-size masks; write and return metrics.json.

    The trivial baselines stand beside, and the worst and the best images are drawn. Raises CocomineError for a missing
    image, another size, a value that is no label, or when no value but 0 is a category of the subset.
    """
    _check_folder(predicted.folder, predicted.split)
    counts = _count(predicted, settings.boundary)
    split, labels = predicted.split, predicted.labels
    sums = metrics.joined(counts.own)
    errors = 1.0 - metrics.image_scores(sums)
    images = predicted.ground.pictured(split.image_ids)
    described = describe(images, predicted.subset_dir, None, predicted.ground.tags)
    draws, confidence = settings.bootstrap, settings.confidence
    result: dict[str, Any] = {
        "kind": "semantic",
        **predicted.ground.facts(),
        "labels": labels.rows(),
        "full_resolution": metrics.summary(sums, labels.names)
        | {
            "intervals": metrics.bootstrap(sums, labels.names, draws, confidence, 0),
            **(
                {"boundary_iou": _boundary_iou(counts.boundary, labels, settings.boundary)} if settings.boundary else {}
            ),
        },
        "baselines": {
            kind: {"full_resolution": metrics.summary(metrics.joined(some), labels.names)}
            for kind, some in counts.trivial.items()
        },
        "slices": slices.analyse(described.of_judged, sums, errors, settings.slice_images, draws, confidence, 0),
        "coverage": coverage(described, settings.slice_images),
    }
    result["baselines"]["ratio"] = _ratio_to_baseline(result)
    drawn = metrics.draws_of(sums, draws, 0)
    write_draws(out_dir / "draws.tsv", {name: values for name, values in drawn.items() if values.ndim == 1})
    write_json(out_dir / "metrics.json", result)
    _write_images(out_dir / "per_image.tsv", split, labels, sums, errors)
    keep_masks(out_dir, split.image_ids, _found(predicted))
    _draw_extremes(predicted, sums, errors, settings.pictures, out_dir / "pictures")
    return result


def _boundary_iou(counts: Sequence[npt.NDArray[np.int64]], labels: Labels, share: float) -> dict[str, Any]:
    """Return the boundary IoU of each class over all images, and its mean over the foreground."""
    values = metrics.iou(*np.sum(counts, axis=0))
    return {
        "width": f"{share} of the diagonal",
        "mean_foreground": metrics.number(metrics.mean_of_known(values[1:])),
        "per_class": {name: metrics.number(value) for name, value in zip(labels.names, values.tolist(), strict=True)},
    }


def _count(predicted: MaskPredictions, boundary: float) -> _Counts:
    table, labels, folder = predicted.table(), predicted.labels, predicted.folder
    constant = _trivial(predicted)
    counts = _Counts(trivial={name: [] for name in constant})
    seen: npt.NDArray[np.bool_] = np.zeros(256, dtype=bool)
    with Progress("score masks", len(predicted.split.file_names), "image") as progress:
        for name in predicted.split.file_names:
            truth = predicted.truth(name)
            drawn = _read_prediction(folder / mask_name(name), truth.shape)
            seen[drawn] = True
            found = table[drawn]
            if int(found.max()) >= len(labels):
                raise CocomineError(
                    f"{folder / mask_name(name)} holds the value {int(found.max())}, "
                    f"and there are {len(labels)} labels",
                    "pixels are the labels of labels.json; say category_ids: source if they are COCO category ids",
                )
            counts.own.append(metrics.measure_labels(found, truth, len(labels)))
            if boundary:
                counts.boundary.append(np.stack(boundary_counts(found, truth, len(labels), boundary)))
            for kind, mask in constant.items():
                large = baselines.enlarged(mask, *truth.shape)
                counts.trivial[kind].append(metrics.measure_labels(large, truth, len(labels)))
            progress.advance()
            progress.count("scored")
    if predicted.values == "source":
        _check_categories(folder, np.flatnonzero(seen).tolist(), labels)
    return counts


def _write_images(path: Path, split: Split, labels: Labels, sums: metrics.Sums, errors: Floats) -> None:
    ious = metrics.iou(sums.inter, sums.predicted, sums.truth).T
    rows = zip(split.image_ids, split.file_names, 1.0 - errors, *ious, strict=True)
    write_table(
        path,
        ("image_id", "file_name", "iou_mean_foreground", *(f"iou {name}" for name in labels.names)),
        ((image, name, *(metrics.number(value) for value in scores)) for image, name, *scores in rows),
    )


def _draw_extremes(predicted: MaskPredictions, sums: metrics.Sums, errors: Floats, number: int, out: Path) -> None:
    split, table = predicted.split, predicted.table()
    for stem, i in pictures.extremes(errors, sums.truth[:, 1:].sum(1) > 0, number):
        truth = predicted.truth(split.file_names[i])
        image = pictures.original(predicted.subset_dir, predicted.store_dir, split.image_ids[i])
        fits = image is not None and image.shape[:2] == truth.shape
        pictures.write_panel(
            out / f"{stem}.png",
            image if image is not None and fits else np.full((*truth.shape, 3), GREY, np.uint8),
            truth,
            table[_read_prediction(predicted.folder / mask_name(split.file_names[i]), truth.shape)],
            predicted.labels,
            f"{split.file_names[i]}: image, truth, prediction; mean IoU {1 - errors[i]:.2f}",
        )


def _found(predicted: MaskPredictions) -> Iterator[Bytes]:
    """Yield the predicted labels of each image, which were checked before."""
    table = predicted.table()
    for name in predicted.split.file_names:
        path = predicted.folder / mask_name(name)
        yield table[_read_prediction(path, None)]


def better_baseline(result: Mapping[str, Any]) -> float:
    """Return the mean foreground IoU of the better baseline of what `score_masks` returned."""
    return max(
        float(entry["full_resolution"]["iou"]["mean_foreground"] or 0.0)
        for name, entry in result["baselines"].items()
        if name != "ratio"
    )


def _ratio_to_baseline(result: Mapping[str, Any]) -> float | None:
    own, best = result["full_resolution"]["iou"]["mean_foreground"], better_baseline(result)
    return None if own is None or best == 0.0 else float(own / best)


def _trivial(predicted: MaskPredictions) -> dict[str, Bytes]:
    """Return the two predictions that look at no image, on a grid of PLACES × PLACES, from the training masks."""
    result = {"all_background": np.zeros((PLACES, PLACES), np.uint8)}
    names = [row["file_name"] for row in read_table(predicted.subset_dir / "split.tsv") if row["split"] == "train"]
    if names:
        with Progress("read training masks", len(names), "image") as progress:

            def masks() -> Iterator[Bytes]:
                for name in names:
                    yield baselines.enlarged(predicted.truth(name), PLACES, PLACES)
                    progress.advance()

            counts = baselines.label_frequency(masks(), (PLACES, PLACES), len(predicted.labels))
        result["most_frequent_place"] = baselines.most_frequent_place(counts)
    return result


def _check_folder(folder: Path, split: Split) -> None:
    """Raise CocomineError when the folder is not there or lacks the mask of an image of the split."""
    if not folder.is_dir():
        raise CocomineError(f"{folder}: no such folder", "give the folder of the predicted masks with --folder")
    missing = [name for name in map(mask_name, split.file_names) if not (folder / name).exists()]
    if missing:
        more = ", …" if len(missing) > MISSING_NAMED else ""
        raise CocomineError(
            f"{folder}: no prediction for {len(missing)} of {len(split.file_names)} images: "
            f"{', '.join(missing[:MISSING_NAMED])}{more}",
            "a mask is named as its image, with .png; predict every image of the split, which split.tsv lists",
        )


def _check_categories(folder: Path, values: Sequence[int], labels: Labels) -> None:
    """Raise CocomineError when pixels other than 0 were predicted and none of them is a category of the subset."""
    known = set(labels.source_to_label)
    others = [value for value in values if value != 0]
    if others and not known & set(others):
        raise CocomineError(
            f"{folder}: none of the pixel values ({', '.join(map(str, others[:8]))}{', …' * (len(others) > 8)}) is a "
            "category id of the subset's source",
            f"its ids are {', '.join(map(str, sorted(known)))}; leave category_ids out if pixels are labels",
        )


def _read_prediction(path: Path, shape: tuple[int, ...] | None) -> Bytes:
    try:
        with Image.open(path, formats=FORMATS) as picture:
            if picture.mode not in ("L", "P", "1"):
                raise CocomineError(f"{path} has mode {picture.mode}", "save predictions as 8-bit PNGs of labels")
            found = np.array(picture.convert("L") if picture.mode == "1" else picture)
    except (OSError, SyntaxError, ValueError) as error:
        raise CocomineError(f"{path}: not a readable PNG: {error}", "write it again") from error
    if shape is not None and found.shape != shape:
        raise CocomineError(
            f"{path} is {found.shape[1]} × {found.shape[0]}, the mask {shape[1]} × {shape[0]}",
            "predictions are compared at the image's own size: enlarge them by the nearest pixel first",
        )
    return found
