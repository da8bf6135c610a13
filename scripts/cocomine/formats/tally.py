"""Counting what went into an export, what came out, and what was lost on the way and why."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from cocomine.formats.losses import LOSSES


@dataclass
class Tally:
    """The counts of one split.

    `drop` and `note` count losses by code: the first of objects that are absent from the export, the second of
    things that are there without some part of what was known. in = out + dropped holds for the objects.
    """

    images: int = 0
    images_without_objects: int = 0
    objects_in: int = 0
    objects_out: int = 0
    losses: Counter[str] = field(default_factory=Counter)

    def drop(self, code: str) -> None:
        """Count an object that the format cannot carry."""
        assert _is_dropped_object(code)
        self.losses[code] += 1

    def note(self, code: str, amount: int = 1) -> None:
        """Count `amount` things that lost a part of what was known of them."""
        assert not _is_dropped_object(code)
        self.losses[code] += amount

    def summary(self) -> dict[str, Any]:
        """Return the counts as they stand in the manifest, having checked that none is missing."""
        dropped = sum(n for code, n in self.losses.items() if _is_dropped_object(code))
        assert self.objects_in == self.objects_out + dropped, "an object was lost without a reason"
        return {
            "images": self.images,
            "images_without_objects": self.images_without_objects,
            "objects_in": self.objects_in,
            "objects_out": self.objects_out,
            "not_carried": {code: self.losses[code] for code in LOSSES if self.losses[code]},
        }


def _is_dropped_object(code: str) -> bool:
    return LOSSES[code].drops and LOSSES[code].unit == "objects"
