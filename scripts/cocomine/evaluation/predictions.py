"""Scoring somebody else's predictions on a subset's split: a folder of mask PNGs, or a COCO results file.

A model that was trained elsewhere is so judged on the same images, with the same void, by the same slices.
"""

import contextlib
import copy
import io
import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_table, write_json, write_table
from cocomine.base.progress import Progress
from cocomine.coco.labels import Labels
from cocomine.evaluation import baselines, pictures, slices
from cocomine.evaluation.attributes import read_attributes
from cocomine.evaluation.evaluation import full_mask
from cocomine.learning import metrics
from cocomine.learning.data import Bytes
from cocomine.learning.settings import EvaluationSettings

log = logging.getLogger("cocomine")

MISSING_NAMED = 5
PLACES = 128  # the grid's side on which the usual places of classes are counted
GREY = 200  # stands for an image that is not at hand
TASKS = {"bbox": "bbox", "segm": "segmentation", "keypoints": "keypoints"}
# What COCOeval.summarize puts into `stats`, by its own order.
STATS = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large",
         "AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large")  # fmt: skip
KEYPOINT_STATS = ("AP", "AP50", "AP75", "AP_medium", "AP_large", "AR", "AR50", "AR75", "AR_medium", "AR_large")


@dataclass(frozen=True)
class Split:
    """The images of a subset's split, in ascending image id."""

    image_ids: tuple[int, ...]
    file_names: tuple[str, ...]


def read_split(subset_dir: Path, split: str) -> Split:
    """Read which images belong to `split` ("all" for every one). Raises CocomineError when there are none."""
    path = subset_dir / "split.tsv"
    try:
        rows = [row for row in read_table(path) if split in ("all", row["split"])]
    except FileNotFoundError as error:
        raise CocomineError(f"{path}: no such file", _subsets_beside(subset_dir)) from error
    if not rows:
        raise CocomineError(f"{path}: no image in split {split!r}", "use train, val or all")
    rows.sort(key=lambda row: int(row["image_id"]))
    return Split(tuple(int(row["image_id"]) for row in rows), tuple(row["file_name"] for row in rows))


def _subsets_beside(folder: Path) -> str:
    """Return the remedy for a folder that is no split subset: those that lie beside it."""
    found = sorted(path.parent.name for path in folder.absolute().parent.glob("*/split.tsv"))
    if not found:
        return "build the subset first, up to its split"
    return f"give the folder of a subset that has been split; beside it there are: {', '.join(found)}"


def annotation_file(subset_dir: Path, split: str, task: str) -> Path:
    """Return the COCO file of a split for a task of COCOeval. Raises CocomineError when the subset has none."""
    whole = split == "all"
    if task == "keypoints":
        path = subset_dir / ("tasks/person_keypoints.json" if whole else f"split_tasks/{split}_person_keypoints.json")
    else:
        path = subset_dir / ("subset.json" if whole else f"{split}.json")
    if not path.exists():
        raise CocomineError(f"{path}: no such file", f"name the split's {task} annotations with --annotations")
    return path


def score_masks(
    folder: Path,
    values: str,
    split: Split,
    labels: Labels,
    subset_dir: Path,
    masks_dir: Path,
    settings: EvaluationSettings,
    out_dir: Path,
    store_dir: Path | None = None,
) -> dict[str, Any]:
    """Score `folder/{stem}.png` against the subset's full-size masks; write and return metrics.json.

    The trivial baselines stand beside, and the worst and the best images are drawn (over grey without a store).

    `values` says what the PNGs' pixels are: "labels" of labels.json, or COCO "categories" (any id that is not one of
    the subset's is background). Raises CocomineError for a missing image, another size, a value that is no label, or
    when no value but 0 is a category of the subset.
    """
    _check_folder(folder, split)
    table = np.arange(256, dtype=np.uint8)
    if values == "categories":
        table[:] = 0
        for label, category in enumerate(labels.category_ids):
            if category is not None and category < 256:
                table[category] = label
    constant = _trivial(subset_dir, masks_dir, labels)
    parts: list[metrics.Sums] = []
    trivial: dict[str, list[metrics.Sums]] = {name: [] for name in constant}
    values_seen: npt.NDArray[np.bool_] = np.zeros(256, dtype=bool)
    with Progress("score masks", len(split.file_names), "images") as progress:
        for name in split.file_names:
            truth = full_mask(masks_dir, name, len(labels))
            drawn = _read_prediction(folder / _mask_name(name), truth.shape)
            values_seen[drawn] = True
            found = table[drawn]
            if int(found.max()) >= len(labels):
                raise CocomineError(
                    f"{folder / _mask_name(name)} holds the value {int(found.max())}, "
                    f"and there are {len(labels)} labels",
                    "pixels are the labels of labels.json; give --values categories if they are COCO category ids",
                )
            parts.append(metrics.measure_labels(found, truth, len(labels)))
            for kind, mask in constant.items():
                large = baselines.enlarged(mask, *truth.shape)
                trivial[kind].append(metrics.measure_labels(large, truth, len(labels)))
            progress.advance()
            progress.count("scored")
    if values == "categories":
        _check_categories(folder, np.flatnonzero(values_seen).tolist(), labels)
    sums = metrics.joined(parts)
    errors = 1.0 - metrics.image_scores(sums)
    attributes = read_attributes(subset_dir, list(split.image_ids))
    bootstrap, confidence = settings.bootstrap, settings.confidence
    result: dict[str, Any] = {
        "kind": "masks",
        "subset": subset_dir.name,
        "images": len(split.image_ids),
        "labels": labels.rows(),
        "full_resolution": metrics.summary(sums, labels.names)
        | {"intervals": metrics.bootstrap(sums, labels.names, bootstrap, confidence, 0)},
        "baselines": {
            kind: {"full_resolution": metrics.summary(metrics.joined(some), labels.names)}
            for kind, some in trivial.items()
        },
        "slices": slices.analyse(attributes, sums, errors, settings.slice_images, bootstrap, confidence, 0),
    }
    result["baselines"]["ratio"] = _ratio_to_baseline(result)
    write_json(out_dir / "metrics.json", result)
    write_table(
        out_dir / "per_image.tsv",
        ("image_id", "file_name", "iou_mean_foreground", *(f"iou {name}" for name in labels.names)),
        (
            (image, name, *(metrics.number(value) for value in scores))
            for image, name, *scores in zip(
                split.image_ids,
                split.file_names,
                1.0 - errors,
                *metrics.iou(sums.inter, sums.predicted, sums.truth).T,
                strict=True,
            )
        ),
    )
    for stem, i in pictures.extremes(errors, sums.truth[:, 1:].sum(1) > 0, settings.pictures):
        truth = full_mask(masks_dir, split.file_names[i], len(labels))
        image = pictures.original(subset_dir, store_dir, split.image_ids[i])
        fits = image is not None and image.shape[:2] == truth.shape
        pictures.write_panel(
            out_dir / "pictures" / f"{stem}.png",
            image if image is not None and fits else np.full((*truth.shape, 3), GREY, np.uint8),
            truth,
            table[_read_prediction(folder / _mask_name(split.file_names[i]), truth.shape)],
            labels,
            f"{split.file_names[i]}: image, truth, prediction; mean IoU {1 - errors[i]:.2f}",
        )
    return result


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


def _trivial(subset_dir: Path, masks_dir: Path, labels: Labels) -> dict[str, Bytes]:
    """Return the two predictions that look at no image, on a grid of PLACES × PLACES, from the training masks."""
    result = {"all_background": np.zeros((PLACES, PLACES), np.uint8)}
    names = [row["file_name"] for row in read_table(subset_dir / "split.tsv") if row["split"] == "train"]
    if names:
        with Progress("read training masks", len(names), "images") as progress:

            def masks() -> Iterator[Bytes]:
                for name in names:
                    yield baselines.enlarged(full_mask(masks_dir, name, len(labels)), PLACES, PLACES)
                    progress.advance()

            counts = baselines.label_frequency(masks(), (PLACES, PLACES), len(labels))
        result["most_frequent_place"] = baselines.most_frequent_place(counts)
    return result


def _mask_name(file_name: str) -> str:
    return f"{Path(file_name).stem}.png"


def _check_folder(folder: Path, split: Split) -> None:
    """Raise CocomineError when the folder is not there or lacks the mask of an image of the split."""
    if not folder.is_dir():
        raise CocomineError(f"{folder}: no such folder", "give the folder of the predicted masks with --masks")
    missing = [name for name in map(_mask_name, split.file_names) if not (folder / name).exists()]
    if missing:
        more = ", …" if len(missing) > MISSING_NAMED else ""
        raise CocomineError(
            f"{folder}: no prediction for {len(missing)} of {len(split.file_names)} images: "
            f"{', '.join(missing[:MISSING_NAMED])}{more}",
            "a mask is named as its image, with .png; predict every image of the split, which split.tsv lists",
        )


def _check_categories(folder: Path, values: Sequence[int], labels: Labels) -> None:
    """Raise CocomineError when pixels other than 0 were predicted and none of them is a category of the subset."""
    known = {category for category in labels.category_ids if category is not None}
    others = [value for value in values if value != 0]
    if others and not known & set(others):
        raise CocomineError(
            f"{folder}: none of the pixel values ({', '.join(map(str, others[:8]))}{', …' * (len(others) > 8)}) is a "
            "category id of the subset",
            f"its ids are {', '.join(map(str, sorted(known)))}; leave --values out if pixels are labels of labels.json",
        )


def _read_prediction(path: Path, shape: tuple[int, ...]) -> Bytes:
    try:
        with Image.open(path) as picture:
            if picture.mode not in ("L", "P", "1"):
                raise CocomineError(f"{path} has mode {picture.mode}", "save predictions as 8-bit PNGs of labels")
            found = np.array(picture.convert("L") if picture.mode == "1" else picture)
    except (OSError, SyntaxError, ValueError) as error:
        raise CocomineError(f"{path}: not a readable PNG: {error}", "write it again") from error
    if found.shape != shape:
        raise CocomineError(
            f"{path} is {found.shape[1]} × {found.shape[0]}, the mask {shape[1]} × {shape[0]}",
            "predictions are compared at the image's own size: enlarge them by the nearest pixel first",
        )
    return found


def score_results(
    results: Path,
    task: str,
    annotations: Path,
    split: Split,
    subset_dir: Path,
    settings: EvaluationSettings,
    out_dir: Path,
) -> dict[str, Any]:
    """Score a COCO results file with pycocotools on the split and on its slices; write and return metrics.json.

    `annotations` is the split's own COCO file. Results of other images or categories are left out and counted. Raises
    CocomineError when the file is no list of results of `task`. For segm, annotations whose every outline has fewer
    than three points have no mask to be found; they are left out and counted too.
    """
    truth = _quiet(lambda: COCO(str(annotations)))
    without_mask = _drop_without_mask(truth) if task == "segm" else 0
    known = set(truth.getImgIds()) & set(split.image_ids)
    sizes = {image: [truth.imgs[image]["height"], truth.imgs[image]["width"]] for image in known}
    entries, left_out = _usable(results, task, sizes, set(truth.getCatIds()))
    if without_mask:
        left_out["annotations_without_mask"] = without_mask
    if not entries:
        raise CocomineError(
            f"{results}: none of its {left_out['other_image'] + left_out['other_category']} results "
            "belongs to this split",
            "image_id and category_id are COCO's own ids; see dictionary.json of the subset",
        )
    found = _quiet(lambda: truth.loadRes(entries))
    evaluation = COCOeval(truth, found, task)
    evaluation.params.imgIds = sorted(known)
    _quiet(evaluation.evaluate)
    everything = evaluation.evalImgs
    order = list(evaluation.params.imgIds)
    attributes = read_attributes(subset_dir, order)
    tables = []
    with Progress("score slices", len(attributes), "attributes") as progress:
        for attribute in attributes:
            tables.append(_sliced(evaluation, everything, order, attribute, settings.slice_images))
            progress.advance()
    result = {
        "kind": task,
        "subset": subset_dir.name,
        "images": len(order),
        "results": {"scored": len(entries), **left_out},
        "all": _stats(evaluation, everything, order, np.ones(len(order), dtype=bool)),
        "per_category": _per_category(evaluation, everything, order, truth),
        "slices": tables,
    }
    write_json(out_dir / "metrics.json", result)
    return result


def _drop_without_mask(truth: COCO) -> int:
    """Leave out of `truth` the outlines of fewer than three points, which pycocotools stumbles over."""
    kept = []
    for record in truth.dataset["annotations"]:
        shape = record.get("segmentation")
        if isinstance(shape, list):
            shape = [part for part in shape if len(part) >= 6]
        if shape:
            kept.append({**record, "segmentation": shape})
    dropped = len(truth.dataset["annotations"]) - len(kept)
    truth.dataset["annotations"] = kept
    _quiet(truth.createIndex)
    return dropped


def _fault(task: str, value: Any, size: list[int]) -> str | None:
    """Return what is wrong with a result's box, mask or keypoints, for an image of `size` (height, width)."""
    if task != "segm":
        right = isinstance(value, list) and all(isinstance(number, int | float) for number in value)
        if task == "bbox":
            return None if right and len(value) == 4 else "its bbox is not four numbers: x, y, width, height"
        return None if right and value and len(value) % 3 == 0 else "its keypoints are no list of x, y, visibility"
    if not isinstance(value, dict) or not isinstance(value.get("counts"), str):
        return "its segmentation is no compressed RLE (pycocotools.mask.encode makes one)"
    return None if value.get("size") == size else f"its mask has size {value.get('size')}, its image {size}"


def _usable(
    path: Path, task: str, images: Mapping[int, list[int]], categories: set[int]
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    try:
        entries = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CocomineError(f"{path}: no COCO results file: {error}", "it is a JSON list of results") from error
    wanted = {"image_id", "category_id", "score", TASKS[task]}
    if not isinstance(entries, list):
        raise CocomineError(f"{path}: a {type(entries).__name__}, not a list", "give results, not an annotation file")
    kept, left_out = [], {"other_image": 0, "other_category": 0}
    kinds = {"image_id": int, "category_id": int, "score": int | float}
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not wanted <= entry.keys():
            missing = sorted(wanted - entry.keys()) if isinstance(entry, dict) else sorted(wanted)
            raise CocomineError(
                f"{path}: result {number} has no {', '.join(missing)}",
                f"a {task} result has {', '.join(sorted(wanted))}",
            )
        wrong = [key for key, kind in kinds.items() if not isinstance(entry[key], kind) or isinstance(entry[key], bool)]
        if wrong or not math.isfinite(entry["score"]):
            key = wrong[0] if wrong else "score"
            raise CocomineError(
                f"{path}: result {number}: its {key} is {entry[key]!r}", "image_id, category_id and score are numbers"
            )
        if entry["image_id"] not in images:
            left_out["other_image"] += 1
        elif entry["category_id"] not in categories:
            left_out["other_category"] += 1
        else:
            fault = _fault(task, entry[TASKS[task]], images[entry["image_id"]])
            if fault:
                raise CocomineError(
                    f"{path}: result {number}: {fault}", "write results as https://cocodataset.org/#format-results says"
                )
            kept.append(entry)
    return kept, left_out


def _stats(
    evaluation: COCOeval, everything: Sequence[Any], order: Sequence[int], member: npt.NDArray[np.bool_]
) -> dict[str, float | None]:
    """Return COCO's figures over the member images, from matches made once for all images."""
    chosen = [image for image, inside in zip(order, member, strict=True) if inside]
    count = len(order)
    part = copy.copy(evaluation)
    part.params = copy.deepcopy(evaluation.params)
    part.params.imgIds = chosen
    part._paramsEval = copy.deepcopy(part.params)
    # evalImgs runs over categories, then area ranges, then images.
    part.evalImgs = [entry for i, entry in enumerate(everything) if member[i % count]]
    _quiet(part.accumulate)
    _quiet(part.summarize)
    names = KEYPOINT_STATS if part.params.iouType == "keypoints" else STATS
    return {name: None if value < 0 else float(value) for name, value in zip(names, part.stats, strict=True)}


def _per_category(
    evaluation: COCOeval, everything: Sequence[Any], order: Sequence[int], truth: COCO
) -> dict[str, float | None]:
    part = copy.copy(evaluation)
    part.evalImgs = list(everything)
    part._paramsEval = copy.deepcopy(part.params)
    part.params.imgIds = list(order)
    _quiet(part.accumulate)
    precision = part.eval["precision"][:, :, :, 0, -1]
    result = {}
    for number, category in enumerate(part.params.catIds):
        values = precision[:, :, number]
        known = values[values > -1]
        result[truth.cats[category]["name"]] = float(known.mean()) if known.size else None
    return result


def _sliced(
    evaluation: COCOeval, everything: Sequence[Any], order: Sequence[int], attribute: slices.Attribute, least: int
) -> dict[str, Any]:
    cells = []
    for code, name in enumerate(attribute.cells):
        member = attribute.codes == code
        if not member.any():
            continue
        figures = _stats(evaluation, everything, order, member)
        cells.append({"cell": name, "images": int(member.sum()), "judged": int(member.sum()) >= least, **figures})
    return {"attribute": attribute.name, "unknown": int((attribute.codes < 0).sum()), "cells": cells}


def _quiet(call: Any) -> Any:
    """Run a pycocotools function, which prints, without letting it."""
    with contextlib.redirect_stdout(io.StringIO()):
        return call()
