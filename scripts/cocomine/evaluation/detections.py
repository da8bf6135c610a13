"""Scoring a COCO results file of boxes, masks or keypoints by pycocotools, on a split and on its slices."""

import contextlib
import copy
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cocomine.base.errors import CocomineError
from cocomine.base.files import write_json
from cocomine.base.progress import Progress
from cocomine.evaluation import slices
from cocomine.evaluation.attributes import read_attributes
from cocomine.evaluation.predictions import Split
from cocomine.learning.settings import EvaluationSettings

TASKS = {"bbox": "bbox", "segm": "segmentation", "keypoints": "keypoints"}
# What COCOeval.summarize puts into `stats`, by its own order.
STATS = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large",
         "AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large")  # fmt: skip
KEYPOINT_STATS = ("AP", "AP50", "AP75", "AP_medium", "AP_large", "AR", "AR50", "AR75", "AR_medium", "AR_large")


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
    with Progress("score slices", len(attributes), "attribute") as progress:
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
