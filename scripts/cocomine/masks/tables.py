"""What is counted of the masks: by object, by image and label, and in all."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from cocomine.masks.boundaries import Integers
from cocomine.masks.compose import CROWD
from cocomine.masks.inputs import VOID, ImageRow, Labels

LABEL_COLUMNS = ("image_id", "file_name", "label", "name", "pixels", "instances", "hidden", "vanished", "empty")
INSTANCE_COLUMNS = (
    "image_id", "number", "annotation_id", "category_id", "label", "iscrowd", "area", "pixels", "training_pixels",
    "state",
)  # fmt: skip
REFUSED_COLUMNS = ("image_id", "file_name", "reason", "detail")

FIELDS = (
    "number", "segment", "annotation_id", "category_id", "label", "layer", "area", "uncovered", "pixels", "training",
    "segment_pixels", "x", "y", "width", "height",
)  # fmt: skip
"""Columns of `ImageCounts.objects`."""

STATES = ("visible", "hidden", "vanished", "empty", "crowd")
SIZES = ("small", "medium", "large")
SIZE_LIMITS = (32 * 32, 96 * 96)
"""COCO's size classes, by the pixels of an object's own mask: small below 32², large from 96² on."""


@dataclasses.dataclass(frozen=True)
class ImageCounts:
    """What one image's masks hold.

    `by_label` maps each value of the semantic mask to its pixels. `objects` has a row for each object that has a label
    and the columns FIELDS: `area` counts the pixels of its own mask, `uncovered` those that no other object took,
    `pixels` those that show it in the instance mask, `training` those of `pixels` that are left at the training size,
    `segment_pixels` and the box those that show it in the panoptic mask. `files` maps an output to its SHA-256.
    """

    by_label: dict[int, int]
    objects: Integers
    files: dict[str, str] = dataclasses.field(default_factory=dict)

    def field(self, name: str) -> Integers:
        """Return one column of `objects`."""
        return self.objects[:, FIELDS.index(name)]

    @functools.cached_property
    def states(self) -> list[str]:
        """Return what became of each object.

        crowd: it is a region of many. empty: it covers no pixel even alone. hidden: others cover all of it. vanished:
        it has pixels, but none of them is left at the training size. visible: all others.
        """
        state = np.select(
            [self.field("layer") == CROWD, self.field("area") == 0, self.field("uncovered") == 0,
             self.field("training") == 0],
            [4, 3, 1, 2],
            0,
        )  # fmt: skip
        return [STATES[number] for number in state.tolist()]


def label_lines(row: ImageRow, counts: ImageCounts, labels: Labels) -> Iterator[tuple[object, ...]]:
    """Yield the image's lines of masks.tsv: one for each class that the image has an object or a crowd of."""
    numbers = Counter(zip(counts.field("label").tolist(), counts.states, strict=True))
    for label in sorted({label for label, _ in numbers}):
        yield (
            row.image_id, row.file_name, label, labels.names[label], counts.by_label.get(label, 0),
            sum(numbers[label, state] for state in STATES if state != "crowd"),
            numbers[label, "hidden"], numbers[label, "vanished"], numbers[label, "empty"],
        )  # fmt: skip


def instance_lines(row: ImageRow, counts: ImageCounts) -> Iterator[tuple[object, ...]]:
    """Yield the image's lines of instances.tsv: one for each object."""
    names = ("number", "annotation_id", "category_id", "label", "layer", "area", "pixels", "training")
    values = counts.objects[:, [FIELDS.index(name) for name in names]]
    values[:, 4] = values[:, 4] == CROWD
    for numbers, state in zip(values.tolist(), counts.states, strict=True):
        yield (row.image_id, *numbers, state)


class Totals:
    """Counts over all images, for the manifest."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._states = np.zeros((len(labels.names), len(SIZES), len(STATES)), np.int64)
        self._pixels = np.zeros(256, np.int64)
        self._images = np.zeros(256, np.int64)

    def add(self, counts: ImageCounts) -> None:
        """Count one image."""
        for label, pixels in counts.by_label.items():
            self._pixels[label] += pixels
        self._images[np.unique(counts.field("label"))] += 1
        size = np.searchsorted(SIZE_LIMITS, counts.field("area"), side="right")
        state = np.array([STATES.index(name) for name in counts.states], np.int64)
        np.add.at(self._states, (counts.field("label"), size, state), 1)

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
            "pixels": {"background": int(self._pixels[0]), "void": int(self._pixels[VOID]),
                       "classes": int(self._pixels[1:VOID].sum())},
            "all": self._objects(self._states.sum(axis=(0, 1))),
            "classes": classes,
        }  # fmt: skip

    @staticmethod
    def _objects(states: Integers) -> dict[str, int]:
        numbers = dict(zip(STATES, states.tolist(), strict=True))
        crowds = numbers.pop("crowd")
        return {"instances": sum(numbers.values()), **numbers, "crowds": crowds}


def panoptic_annotation(row: ImageRow, counts: ImageCounts) -> dict[str, Any]:
    """Return the image's record of COCO's panoptic JSON: its segments that have pixels, in the annotations' order."""
    names = ("segment", "category_id", "layer", "segment_pixels", "x", "y", "width", "height")
    shown = counts.objects[counts.field("segment_pixels") > 0][:, [FIELDS.index(name) for name in names]]
    segments = [
        {"id": segment, "category_id": category, "iscrowd": int(layer == CROWD), "bbox": box, "area": area}
        for segment, category, layer, area, *box in shown.tolist()
    ]
    return {"image_id": row.image_id, "file_name": f"{row.stem}.png", "segments_info": segments}
