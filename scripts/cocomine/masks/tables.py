"""What is counted of the masks: by object, by image and label, and in all."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cocomine.base.arrays import Ints
from cocomine.coco.labels import Labels
from cocomine.masks.compose import CROWD, STUFF, UNCERTAIN
from cocomine.masks.inputs import ImageRow

LABEL_COLUMNS = ("image_id", "file_name", "label", "name", "pixels", "instances", "hidden", "vanished", "empty")
IMAGE_COLUMNS = ("image_id", "file_name", "classes", "background", "void")
INSTANCE_COLUMNS = (
    "image_id", "number", "annotation_id", "category_id", "label", "iscrowd", "area", "pixels", "training_pixels",
    "state",
)  # fmt: skip
REFUSED_COLUMNS = ("image_id", "file_name", "reason", "detail")

FIELDS = (
    "number", "segment", "annotation_id", "category_id", "label", "layer", "area", "uncovered", "pixels", "training",
    "segment_pixels", "x", "y", "width", "height", "state",
)  # fmt: skip
"""Columns of `ImageCounts.objects`."""

LABEL_AND_STATE = [FIELDS.index(name) for name in ("label", "state")]
INSTANCE_FIELDS = [
    FIELDS.index(name)
    for name in ("number", "annotation_id", "category_id", "label", "layer", "area", "pixels", "training", "state")
]

STATES = ("visible", "hidden", "vanished", "empty", "crowd", "stuff", "box")
VISIBLE, HIDDEN, VANISHED, EMPTY, CROWDED, REGION, BOXED = range(7)
SIZES = ("small", "medium", "large")
SIZE_LIMITS = (32 * 32, 96 * 96)
"""COCO's size classes, by the pixels of an object's own mask: small below 32², large from 96² on."""


@dataclasses.dataclass(frozen=True)
class ImageCounts:
    """What one image's masks hold.

    `by_label` maps each value of the semantic mask to its pixels. `objects` has a row for each object that has a label
    and the columns FIELDS: `area` counts the pixels of its own mask, `uncovered` those that no other object took,
    `pixels` those that show it in the instance mask, `training` those of `pixels` that are left at the training size,
    `segment_pixels` and the box those that show it in the panoptic mask, `state` is a place in STATES. `files` maps an
    output to its SHA-256.
    """

    by_label: dict[int, int]
    objects: Ints
    files: dict[str, str] = dataclasses.field(default_factory=dict)

    def field(self, name: str) -> Ints:
        """Return one column of `objects`."""
        return self.objects[:, FIELDS.index(name)]


def state_numbers(layer: Ints, area: Ints, uncovered: Ints, training: Ints) -> Ints:
    """Return what became of each object, as places in STATES.

    crowd: it is a region of many. stuff: it is a region of stuff. box: all that is known of it is its box. empty: it
    covers no pixel even alone. hidden: others cover all of it. vanished: it has pixels, but none of them is left at the
    training size. visible: all others.
    """
    state = np.where(training == 0, VANISHED, VISIBLE)
    state[uncovered == 0] = HIDDEN
    state[area == 0] = EMPTY
    state[layer == CROWD] = CROWDED
    state[layer == STUFF] = REGION
    state[layer == UNCERTAIN] = BOXED
    return state


def label_lines(row: ImageRow, counts: ImageCounts, labels: Labels) -> Iterator[tuple[object, ...]]:
    """Yield the image's lines of masks.tsv: one for each class that the image has an object or a crowd of."""
    numbers: dict[int, list[int]] = {}
    for label, state in counts.objects[:, LABEL_AND_STATE].tolist():
        numbers.setdefault(label, [0] * len(STATES))[state] += 1
    for label, states in sorted(numbers.items()):
        yield (
            row.image_id, row.file_name, label, labels.names[label], counts.by_label.get(label, 0),
            sum(states[: EMPTY + 1]), states[HIDDEN], states[VANISHED], states[EMPTY],
        )  # fmt: skip


def image_line(row: ImageRow, counts: ImageCounts, void: int) -> tuple[object, ...]:
    """Return the image's line of images.tsv: how many classes have a pixel in it, and the pixels of none of them."""
    background, left_out = counts.by_label.get(0, 0), counts.by_label.get(void, 0)
    classes = len(counts.by_label) - (background > 0) - (left_out > 0)
    return (row.image_id, row.file_name, classes, background, left_out)


def instance_lines(row: ImageRow, counts: ImageCounts) -> Iterator[tuple[object, ...]]:
    """Yield the image's lines of instances.tsv: one for each object."""
    for *numbers, state in counts.objects[:, INSTANCE_FIELDS].tolist():
        numbers[4] = int(numbers[4] == CROWD)
        yield (row.image_id, *numbers, STATES[state])


class Totals:
    """Counts over all images, for the manifest."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._states = np.zeros((len(labels.names), len(SIZES), len(STATES)), np.int64)
        self._pixels = np.zeros(labels.void + 1, np.int64)
        self._images = np.zeros(len(labels), np.int64)

    def add(self, images: Sequence[ImageCounts]) -> None:
        """Count some images."""
        if not images:
            return
        for counts in images:
            for label, pixels in counts.by_label.items():
                self._pixels[label] += pixels
        objects = np.concatenate([counts.objects for counts in images])
        image = np.repeat(np.arange(len(images)), [len(counts.objects) for counts in images])
        labels, areas, states = (objects[:, FIELDS.index(name)] for name in ("label", "area", "state"))
        sizes = np.searchsorted(SIZE_LIMITS, areas, side="right")
        np.add.at(self._states, (labels, sizes, states), 1)
        classes = len(self._labels)
        self._images += np.bincount(np.unique(image * classes + labels) % classes, minlength=classes)

    def summary(self) -> dict[str, Any]:
        """Return the pixels of background and void, and each class with its images, pixels, and objects by size."""
        classes = []
        for label in range(1, len(self._labels.names)):
            by_size = {size: self._objects(self._states[label, number]) for number, size in enumerate(SIZES)}
            classes.append(
                {
                    "label": label,
                    "name": self._labels.names[label],
                    "images": int(self._images[label]),
                    "pixels": int(self._pixels[label]),
                    **self._objects(self._states[label].sum(axis=0)),
                    "by_size": by_size,
                }
            )
        return {
            "pixels": {"background": int(self._pixels[0]), "void": int(self._pixels[-1]),
                       "classes": int(self._pixels[1:-1].sum())},
            "all": self._objects(self._states.sum(axis=(0, 1))),
            "classes": classes,
        }  # fmt: skip

    @staticmethod
    def _objects(states: Ints) -> dict[str, int]:
        numbers = dict(zip(STATES, states.tolist(), strict=True))
        others = {"crowds": numbers.pop("crowd"), "stuff": numbers.pop("stuff"), "boxes": numbers.pop("box")}
        return {"instances": sum(numbers.values()), **numbers, **others}


def panoptic_annotation(row: ImageRow, counts: ImageCounts) -> dict[str, Any]:
    """Return the image's record of COCO's panoptic JSON: its segments that have pixels, in the annotations' order."""
    names = ("segment", "category_id", "layer", "segment_pixels", "x", "y", "width", "height")
    shown = counts.objects[counts.field("segment_pixels") > 0][:, [FIELDS.index(name) for name in names]]
    segments = [
        {"id": segment, "category_id": category, "iscrowd": int(layer == CROWD), "bbox": box, "area": area}
        for segment, category, layer, area, *box in shown.tolist()
    ]
    return {"image_id": row.image_id, "file_name": row.mask, "segments_info": segments}
