"""Counting what went into an export, what came out, and what was lost on the way and why."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from cocomine.coco.reader import Annotation
from cocomine.formats.losses import LOSSES
from cocomine.formats.subset import Item

DROPPING = frozenset(code for code, loss in LOSSES.items() if loss.drops and loss.unit == "objects")
"""The codes that say that an object is not in the export."""


@dataclass
class Tally:
    """The counts of one split.

    Each object is taken, and then either carried or dropped: in = out + dropped. `note` counts things that are in the
    export without some part of what was known of them. `traced` holds, by annotation id, the IoU of each object whose
    run lengths became an outline, `joined` that of each whose parts became one. `lost` counts the objects that each
    category lost, of `taken`.
    """

    images: int = 0
    images_without_objects: int = 0
    objects_in: int = 0
    objects_out: int = 0
    losses: Counter[str] = field(default_factory=Counter)
    taken: Counter[int] = field(default_factory=Counter)
    lost: Counter[int] = field(default_factory=Counter)
    traced: dict[int, float] = field(default_factory=dict)
    joined: list[float] = field(default_factory=list)
    _category: int = -1

    def image(self, item: Item, empty: bool) -> None:
        """Count an image that is in the export; `empty` when none of its objects is."""
        self.images += 1
        self.images_without_objects += empty
        self.note("exif-rotated", int(item.exif_rotated))
        self.note("near-duplicate", int(item.grouped))

    def take(self, annotation: Annotation) -> None:
        """Count an object that goes in; `drop` or `carry` says what became of it."""
        self.objects_in += 1
        self._category = annotation.category_id
        self.taken[self._category] += 1

    def carry(self) -> None:
        """Count the object that was taken last as being in the export."""
        self.objects_out += 1

    def drop(self, code: str) -> None:
        """Count the object that was taken last as one that the format cannot carry."""
        assert code in DROPPING
        self.losses[code] += 1
        self.lost[self._category] += 1

    def note(self, code: str, amount: int = 1) -> None:
        """Count `amount` things that lost a part of what was known of them."""
        assert code not in DROPPING
        self.losses[code] += amount

    def summary(self) -> dict[str, Any]:
        """Return the counts as they stand in the manifest, having checked that none is missing."""
        dropped = sum(n for code, n in self.losses.items() if code in DROPPING)
        assert self.objects_in == self.objects_out + dropped, "an object was lost without a reason"
        drawn = {"traced": list(self.traced.values()), "joined": self.joined}
        ious = {name: iou_summary(values) for name, values in drawn.items() if values}
        if self.traced:
            ious["traced"]["iou_of"] = {str(number): round(iou, 6) for number, iou in sorted(self.traced.items())}
        return {
            "images": self.images,
            "images_without_objects": self.images_without_objects,
            "objects_in": self.objects_in,
            "objects_out": self.objects_out,
            "not_carried": {code: self.losses[code] for code in LOSSES if self.losses[code]},
            **ious,
        }


def iou_summary(values: list[float]) -> dict[str, Any]:
    """Return how many objects were drawn anew, and the least and the mean IoU of what they were and became."""
    return {
        "objects": len(values),
        "iou_least": round(min(values), 6),
        "iou_mean": round(sum(values) / len(values), 6),
    }
