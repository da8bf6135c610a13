"""The annotations that results are held against, as arrays, and the overlap of each result with them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from pycocotools import mask as coco_mask

from cocomine.base.arrays import Floats, Ints
from cocomine.base.errors import CocomineError
from cocomine.base.progress import Progress
from cocomine.evaluation.federated import Federated, federated
from cocomine.evaluation.ground import Ground
from cocomine.evaluation.matching import Edges, Found, Objects, ordered, pairs
from cocomine.evaluation.run_lengths import Rle, has_mask, rle_of

SIGMAS = np.array(
    [0.26, 0.25, 0.25, 0.35, 0.35, 0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89]
) / 10.0  # fmt: skip
"""How far people place each of COCO's 17 keypoints apart, as a share of the object's size (cocodataset.org)."""


class _Image(msgspec.Struct, gc=False):
    id: int
    width: int
    height: int
    neg_category_ids: list[int] | None = None
    not_exhaustive_category_ids: list[int] | None = None


class _Part(msgspec.Struct, gc=False):
    id: int


class _Category(msgspec.Struct, gc=False):
    id: int
    name: str
    frequency: str = ""
    source_categories: list[_Part] = []

    @property
    def parts(self) -> set[int]:
        """The source's categories that it is made of."""
        return {part.id for part in self.source_categories} or {self.id}


class Record(msgspec.Struct, gc=False):
    """What evaluation needs of an annotation."""

    image_id: int
    category_id: int
    area: float
    bbox: list[float] = []
    iscrowd: int | bool | None = 0
    segmentation: Any = None
    keypoints: list[float] = []
    num_keypoints: int = 0
    ignore: int | bool = 0


class _Document(msgspec.Struct):
    images: list[_Image]
    annotations: list[Record]
    categories: list[_Category]


@dataclass(frozen=True)
class Truth:
    """Annotations of the images that are judged, in the file's order, and their arrays.

    `images` are ids in ascending order, `categories` too, with their `names`; positions in `objects` are in their
    terms. `without_mask` counts the annotations whose outlines have no area, which no mask can find. `federated` are
    the rules of an annotation file whose images say which classes were looked for, as LVIS' do.
    """

    images: tuple[int, ...]
    sizes: dict[int, list[int]]
    categories: tuple[int, ...]
    names: tuple[str, ...]
    records: list[Record]
    objects: Objects
    without_mask: int
    federated: Federated | None = None


def read_truth(ground: Ground) -> Truth:
    """Read the annotations of the ground's images. Raises CocomineError where the file is none of COCO's."""
    try:
        document = msgspec.json.decode(ground.annotations.read_bytes(), type=_Document)
    except (OSError, msgspec.DecodeError, RecursionError) as error:
        raise CocomineError(
            f"{ground.annotations}: not an annotation file of COCO: {error}", "write it again"
        ) from error
    wanted = set(ground.split.image_ids)
    pictures = sorted((image for image in document.images if image.id in wanted), key=lambda image: image.id)
    categories = sorted(document.categories, key=lambda category: category.id)
    image_at = {image.id: number for number, image in enumerate(pictures)}
    category_at = {category.id: number for number, category in enumerate(categories)}
    own = [r for r in document.annotations if r.image_id in image_at and r.category_id in category_at]
    rules = federated(
        [(one.neg_category_ids, one.not_exhaustive_category_ids) for one in pictures if ground.task != "keypoints"],
        {(image_at[r.image_id], category_at[r.category_id]) for r in own if r.area > 0},
        [one.parts for one in categories],
        [one.frequency for one in categories],
    )
    sound = own if rules is None else [r for r in own if r.area > 0]
    records = [r for r in sound if has_mask(r.segmentation)] if ground.task == "masks" else sound
    image = np.array([image_at[r.image_id] for r in records], dtype=np.int64)
    category = np.array([category_at[r.category_id] for r in records], dtype=np.int64)
    crowd = np.array([bool(r.iscrowd) and rules is None for r in records], dtype=bool)
    poses = ground.task == "keypoints"
    ignored = crowd | np.array([_ignored(r, poses, rules is not None) for r in records], dtype=bool)
    area = np.array([r.area for r in records], dtype=np.float64)
    return Truth(
        tuple(image_at),
        {image.id: [image.height, image.width] for image in document.images},
        tuple(category_at),
        tuple(category.name for category in categories),
        records,
        Objects(image, category, area, crowd, ignored),
        len(sound) - len(records),
        rules,
    )


def _ignored(record: Record, poses: bool, federated: bool) -> bool:
    """Whether an annotation that is no crowd does not count: pycocotools overwrites `ignore`, and lvis-api heeds it."""
    return (poses and record.num_keypoints == 0) or (federated and bool(record.ignore))


def found_of(entries: Sequence[dict[str, Any]], truth: Truth, task: str) -> Found:
    """Return results as arrays; the area is that of the box, of the mask, or of the box around the keypoints."""
    image_at = {image: number for number, image in enumerate(truth.images)}
    category_at = {category: number for number, category in enumerate(truth.categories)}
    if task == "boxes":
        boxes = boxes_of(entries)
        area = boxes[:, 2] * boxes[:, 3]
    elif task == "masks":
        area = np.array([coco_mask.area(entry["segmentation"]) for entry in entries], dtype=np.float64)
    else:
        area = np.array([np.ptp(e["keypoints"][0::3]) * np.ptp(e["keypoints"][1::3]) for e in entries], np.float64)
    return Found(
        np.array([image_at[entry["image_id"]] for entry in entries], dtype=np.int64),
        np.array([category_at[entry["category_id"]] for entry in entries], dtype=np.int64),
        np.array([entry["score"] for entry in entries], dtype=np.float64),
        area,
    )


def boxes_of(entries: Sequence[dict[str, Any]]) -> Floats:
    """Return the boxes of results as (n, 4): x, y, width, height."""
    return np.array([entry["bbox"] for entry in entries], dtype=np.float64).reshape(-1, 4)


def overlaps(
    entries: Sequence[dict[str, Any]], found: Found, truth: Truth, task: str, most: int
) -> tuple[Ints, Ints, Edges]:
    """Return the results that take part, their ranks, and their overlap with the objects of their image and category.

    Raises CocomineError for keypoints of another number than COCO's 17, for which no spread is published.
    """
    order, rank = ordered(found, most)
    return order, rank, edges_of(entries, truth, task, order, pairs(found, truth.objects, order))


def edges_of(
    entries: Sequence[dict[str, Any]], truth: Truth, task: str, order: Ints, beside: tuple[Ints, Ints]
) -> Edges:
    """Return the overlap of the pairs `beside`, places in `order` and positions of objects, as `pairs` makes them."""
    place, target = beside
    if task == "boxes":
        true = np.array([r.bbox for r in truth.records], dtype=np.float64).reshape(-1, 4)
        return Edges(place, target, box_iou(boxes_of(entries)[order][place], true[target], truth.objects.crowd[target]))
    if task == "masks":
        return Edges(place, target, _mask_iou(entries, truth, order, place, target))
    return Edges(place, target, _similarity(entries, truth, order, place, target))


def box_iou(found: Floats, true: Floats, crowd: Any) -> Floats:
    """Return the IoU of boxes (n, 4) side by side; a crowd's is the share of the found box that lies in it."""
    corner, size = np.maximum(found[:, :2], true[:, :2]), found[:, 2:] + found[:, :2]
    sides = np.minimum(size, true[:, 2:] + true[:, :2]) - corner
    inter = np.where((sides > 0).all(1), sides[:, 0] * sides[:, 1], 0.0)
    own, other = found[:, 2] * found[:, 3], true[:, 2] * true[:, 3]
    union = np.where(crowd, own, own + other - inter)
    return np.divide(inter, union, out=np.zeros(len(inter)), where=inter > 0)


def _mask_iou(entries: Sequence[dict[str, Any]], truth: Truth, order: Ints, place: Ints, target: Ints) -> Floats:
    result = np.zeros(len(place))
    # Lists, since a block holds few pairs: of arrays, each slice would take longer than its masks.
    numbers, columns, crowd = order[place].tolist(), target.tolist(), truth.objects.crowd[target].tolist()
    with Progress("overlap of masks", len(np.unique(place)), "result") as progress:
        for begin, end, width in _blocks(place, target):
            # Every result of the block beside every object, these in one order.
            given = [entries[number]["segmentation"] for number in numbers[begin:end:width]]
            shapes = [mask_of(truth, number) for number in columns[begin : begin + width]]
            result[begin:end] = coco_mask.iou(given, shapes, crowd[begin : begin + width]).ravel()
            progress.advance(len(given))
    return result


def _blocks(place: Ints, target: Ints) -> Iterator[tuple[int, int, int]]:
    """Yield where the pairs of each image and category begin and end, all of its results with all of its objects.

    The third number is how many objects these are.
    """
    if not len(place):
        return
    starts = np.flatnonzero(np.r_[True, place[1:] != place[:-1]])
    heads = target[starts]
    new = np.flatnonzero(np.r_[True, heads[1:] != heads[:-1]])
    begins = starts[new]
    widths = np.diff(np.r_[starts, len(place)])[new]
    yield from zip(begins.tolist(), [*begins[1:].tolist(), len(place)], widths.tolist(), strict=True)


def mask_of(truth: Truth, number: int) -> Rle:
    """Return the mask of an object by its position."""
    record = truth.records[number]
    return rle_of(record.segmentation, *truth.sizes[record.image_id])


def _similarity(entries: Sequence[dict[str, Any]], truth: Truth, order: Ints, place: Ints, target: Ints) -> Floats:
    """Return the object keypoint similarity (OKS): the mean of exp(−d² / 2s²κ²) over the keypoints with a label.

    Of an object without any, d is how far a keypoint lies outside of its box, doubled about its middle.
    """
    count = 3 * len(SIGMAS)
    odd = {len(r.keypoints) for r in truth.records} | {len(e["keypoints"]) for e in entries}
    if odd - {count}:
        raise CocomineError(
            f"keypoints of {min(odd - {count}) // 3} points: COCO's similarity is defined for its {len(SIGMAS)}",
            "judge poses of COCO's persons",
        )
    points = np.array([r.keypoints for r in truth.records], dtype=np.float64).reshape(-1, count)[target]
    boxes = np.array([r.bbox for r in truth.records], dtype=np.float64).reshape(-1, 4)[target]
    given = np.array([e["keypoints"] for e in entries], dtype=np.float64).reshape(-1, count)[order][place]
    seen = points[:, 2::3] > 0
    labelled = seen.sum(1)
    squares = np.zeros((len(place), len(SIGMAS)))
    for axis in (0, 1):
        own = given[:, axis::3]
        low, high = boxes[:, axis] - boxes[:, 2 + axis], boxes[:, axis] + boxes[:, 2 + axis] * 2
        outside = np.maximum(0, low[:, None] - own) + np.maximum(0, own - high[:, None])
        squares += np.where(labelled[:, None] > 0, own - points[:, axis::3], outside) ** 2
    error = squares / (SIGMAS * 2) ** 2 / (truth.objects.area[target] + np.spacing(1))[:, None] / 2
    seen = seen | (labelled == 0)[:, None]
    result = np.zeros(len(place))
    # Rows of one length at a time: a sum's last digit depends on how many are added, so no zeros may fill a row.
    for length in np.unique(seen.sum(1)).tolist():
        rows = seen.sum(1) == length
        result[rows] = np.exp(-error[rows][seen[rows]].reshape(-1, length)).sum(1) / length
    return result
