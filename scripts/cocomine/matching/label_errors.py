"""Labels that a model's masks contradict with confidence: missing, spurious, of the wrong class, poorly outlined.

Each suspicion is a number from 0 to 1 by which the list is ordered (after Tkachenko, Thyagarajan and Mueller,
ObjectLab, 2023, which scores boxes that are overlooked, swapped or badly located):

- *missing*: a prediction that lies on no label: its score, times 1 less its greatest IoU with a label;
- *spurious*: a label that no prediction of any class finds. That it is spurious has by Bayes the probability
  p / (p + (1 - p)(1 - r)), with p = 0.02 and r the share of the class's labels that the model finds with confidence
  (one hit and one miss added): it misses real objects too, and a class that it never finds proves nothing. Times 1 less
  the best score x IoU of any prediction;
- *class*: a label on which the best prediction is of another class: its score x IoU, less that of the best of its own;
- *outline*: a label and the best prediction of its class on it: score, times how far their boundary IoU falls short of
  the class's median, as a share of that.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from pycocotools import mask as coco_mask

from cocomine.base.arrays import Floats
from cocomine.base.files import write_json, write_table
from cocomine.base.progress import Progress
from cocomine.coco.by_image import RecordsByImage
from cocomine.coco.reader import Image
from cocomine.evaluation.boundary import SHARE
from cocomine.evaluation.ground import Ground
from cocomine.matching.judge import drawn
from cocomine.matching.outlines import apart

KINDS: Final = ("missing", "spurious", "class", "outline")
COLUMNS: Final = (
    "rank", "kind", "suspicion", "image_id", "file_name", "annotation_id", "category", "predicted_category", "score",
    "iou", "boundary_iou", "x", "y", "width", "height", "link",
)  # fmt: skip


LEAST_SCORE, LEAST_IOU, FREE = 0.1, 0.5, 0.3
"""Predictions of a lower score are not looked at; one lies on a label from LEAST_IOU on, and below FREE on none."""

SPURIOUS = 0.02
"""The share of labels that is taken to be spurious before the model is asked."""

Found = defaultdict[int, list[bool]]
"""Of each class, of which of its labels the model finds with confidence."""


@dataclass(frozen=True)
class Label:
    """A label or, with a score, a prediction."""

    id: int
    category: int
    crowd: bool
    rle: dict[str, Any]
    score: float = 1.0


@dataclass(frozen=True)
class Suspect:
    """A label that may be wrong; of a missing one there is a prediction only, and `annotation` is -1."""

    kind: str
    suspicion: float
    image: Image
    annotation: int
    category: int
    predicted: int
    score: float
    iou: float
    boundary_iou: float | None
    box: tuple[float, ...]


def find_label_errors(
    ground: Ground,
    entries: Iterable[Mapping[str, Any]],
    out_dir: Path,
    score: float = 0.5,
    most: int = 2000,
    page: str = "",
) -> list[Suspect]:
    """Hold predicted masks against the labels of the ground; write label_errors.tsv and .json, most suspicious first.

    `entries` are results as `read_results` gives them. A prediction needs `score` to be held against a label; `most`
    suspects are listed. `page` is the address of an explorer, to whose images the rows link; "" gives none.
    """
    records = RecordsByImage(ground.annotations)
    names = {one["id"]: str(one.get("name", one["id"])) for one in records.categories if isinstance(one.get("id"), int)}
    judged = frozenset(ground.split.image_ids)
    predictions: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in entries:
        predictions[entry["image_id"]].append(entry)
    suspects: list[Suspect] = []
    found: Found = defaultdict(list)
    with Progress("find_label_errors", len(judged), "image") as progress:
        for image in records.images():
            if image.id in judged:
                labels = list(_labels(records, image))
                suspects += _suspects(image, labels, list(_usable(predictions[image.id], image)), score, found)
                progress.advance()
    records.close()
    ranked = sorted(_weighed(suspects, found), key=lambda one: (-one.suspicion, one.image.id, one.kind, one.annotation))
    ranked = [one for one in ranked if one.suspicion > 0][:most]
    _write(ranked, names, out_dir, page)
    return ranked


def _labels(records: RecordsByImage, image: Image) -> Iterator[Label]:
    for text, record in zip(records.of_image(image.id), records.annotations(image.id), strict=True):
        rle = drawn(text, image.width, image.height)
        if rle is not None and coco_mask.area(rle):
            yield Label(record.id, record.category_id, bool(record.iscrowd), rle)


def _usable(entries: Iterable[Mapping[str, Any]], image: Image) -> Iterator[Label]:
    """Yield predictions of some score, the best first; one on a better one of its class is that one again."""
    kept: dict[int, list[dict[str, Any]]] = {}
    for entry in sorted(entries, key=lambda one: -float(one["score"])):
        text = json.dumps({"segmentation": entry["segmentation"]}).encode()
        rle = drawn(text, image.width, image.height) if float(entry["score"]) >= LEAST_SCORE else None
        if rle is None or not coco_mask.area(rle):
            continue
        better = kept.setdefault(int(entry["category_id"]), [])
        if not better or coco_mask.iou([rle], better, [0] * len(better)).max() < LEAST_IOU:
            better.append(rle)
            yield Label(-1, int(entry["category_id"]), False, rle, float(entry["score"]))


def _suspects(
    image: Image, labels: Sequence[Label], predictions: Sequence[Label], score: float, found: Found
) -> Iterator[Suspect]:
    """Yield what is suspicious in one image; `found` gets of each label whether the model finds it with confidence."""
    # A crowd contains what lies in it.
    covered = _matrix(labels, predictions, crowds=True).max(axis=0, initial=0)
    for one, share in zip(predictions, covered.tolist(), strict=True):
        if one.score >= score and share < FREE:
            box = tuple(coco_mask.toBbox(one.rle).tolist())
            yield Suspect("missing", one.score * (1 - share), image, -1, -1, one.category, one.score, share, None, box)
    for label, iou in zip(labels, _matrix(labels, predictions, crowds=False), strict=True):
        if not label.crowd:
            yield from _of_label(image, label, predictions, iou, score, found[label.category])


def _of_label(
    image: Image, label: Label, predictions: Sequence[Label], iou: Floats, least: float, found: list[bool]
) -> Iterator[Suspect]:
    """Yield what is suspicious about one label, whose IoU with each prediction is given."""
    box = tuple(coco_mask.toBbox(label.rle).tolist())
    reach = np.array([one.score for one in predictions]) * iou
    own = np.array([one.category == label.category for one in predictions], bool)
    best_own = float(reach[own].max(initial=0))
    found.append(best_own >= least * LEAST_IOU)
    if reach.max(initial=0) < LEAST_SCORE:
        best = float(reach.max(initial=0))
        yield Suspect("spurious", 1 - best, image, label.id, label.category, -1, best, 0.0, None, box)
        return
    at = int(reach.argmax())
    most = predictions[at]
    if most.score < least:
        return
    numbers = (image, label.id, label.category, most.category, most.score, float(iou[at]))
    if own[at]:
        outlines = apart(label.rle, most.rle, SHARE)
        yield Suspect("outline", most.score, *numbers, outlines.boundary_iou, box)
    elif iou[at] >= LEAST_IOU:
        yield Suspect("class", float(reach[at]) - best_own, *numbers, None, box)


def _matrix(labels: Sequence[Label], predictions: Sequence[Label], crowds: bool) -> Floats:
    """Return the IoU of each label with each prediction; with `crowds` a crowd's is the share of it that is inside."""
    if not labels or not predictions:
        return np.zeros((len(labels), len(predictions)))
    flags = [int(crowds and one.crowd) for one in labels]
    return np.asarray(coco_mask.iou([one.rle for one in predictions], [one.rle for one in labels], flags)).T


def _weighed(suspects: Sequence[Suspect], found: Mapping[int, Sequence[bool]]) -> Iterator[Suspect]:
    """Yield the suspects with what only the whole file tells: what the model finds of a class, and how exactly."""
    outlines: defaultdict[int, list[float]] = defaultdict(list)
    for one in suspects:
        if one.boundary_iou is not None:
            outlines[one.category].append(one.boundary_iou)
    medians = {category: float(np.median(values)) for category, values in outlines.items()}
    for one in suspects:
        if one.kind == "spurious":
            seen = found[one.category]
            missed = 1 - (sum(seen) + 1) / (len(seen) + 2)
            share = SPURIOUS / (SPURIOUS + (1 - SPURIOUS) * missed) if any(seen) else 0.0
            yield replace(one, suspicion=one.suspicion * share)
        elif one.boundary_iou is not None:
            short = 1 - one.boundary_iou / medians[one.category] if medians[one.category] else 0.0
            yield replace(one, suspicion=one.suspicion * max(0.0, short))
        else:
            yield one


def _write(ranked: Sequence[Suspect], names: Mapping[int, str], out_dir: Path, page: str) -> None:
    rows = []
    for rank, one in enumerate(ranked, 1):
        numbers = [None if value is None else round(value, 4) for value in (one.score, one.iou, one.boundary_iou)]
        rows.append(
            (
                rank,
                one.kind,
                round(one.suspicion, 4),
                one.image.id,
                one.image.file_name,
                one.annotation if one.annotation >= 0 else None,
                names.get(one.category, ""),
                names.get(one.predicted, ""),
                *numbers,
                *(round(number, 1) for number in one.box),
                f"{page}#image={one.image.id}" if page else None,
            )
        )
    out_dir.mkdir(parents=True, exist_ok=True)
    write_table(out_dir / "label_errors.tsv", COLUMNS, rows)
    counts = {kind: sum(one.kind == kind for one in ranked) for kind in KINDS}
    write_json(out_dir / "label_errors.json", {"kinds": counts, "suspects": len(ranked)})
