"""The funnel: what each clause removed of images and annotations, in all and by class, all of it accounted for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cocomine.base.arrays import Array
from cocomine.mining.arrays import Mask, Rows
from cocomine.mining.clauses import Pairs, pairs_of


@dataclass(frozen=True)
class Step:
    """One clause's effect.

    `images` and `annotations` hold before, removed, added and after, with before - removed + added = after. `by_class`
    maps a category's name to the images that held it and were removed, the annotations removed, and likewise those
    added; a category that lost and won nothing is absent.
    """

    clause: str
    words: str
    images: dict[str, int]
    annotations: dict[str, int]
    by_class: dict[str, dict[str, int]]


class Funnel:
    """The images and annotations still alive, and the steps that brought them there.

    An annotation is alive while its image is alive and no clause has set it aside.
    """

    def __init__(self, image_row: Rows, class_of: Array, images: int, class_names: Sequence[str]) -> None:
        self.image_row = image_row
        self.class_of = class_of
        self.class_names = tuple(class_names)
        self.image_alive: Mask = np.ones(images, dtype=bool)
        self.annotation_usable: Mask = np.ones(len(image_row), dtype=bool)
        self.annotation_alive: Mask = np.ones(len(image_row), dtype=bool)
        self.steps: list[Step] = []
        self._pairs: Pairs | None = None

    @property
    def pairs(self) -> Pairs:
        """Images and classes of the annotations that no clause has set aside (their images may be gone)."""
        if self._pairs is None:
            usable = self.annotation_usable
            everything = bool(usable.all())
            self._pairs = pairs_of(
                self.image_row if everything else self.image_row[usable],
                self.class_of if everything else self.class_of[usable],
                len(self.image_alive),
                len(self.class_names),
            )
        return self._pairs

    def apply(
        self,
        clause: str,
        words: str,
        images: Mask | None = None,
        annotations: Mask | None = None,
        add: Mask | None = None,
    ) -> Step:
        """Apply a clause: only `images` and `annotations` that pass stay; images in `add` come back.

        An image that comes back brings the annotations that no clause has set aside. Asserts the conservation sums.
        """
        pairs_before = self.pairs
        image_before, annotation_before = self.image_alive, self.annotation_alive
        image_after = image_before if images is None else image_before & images
        if add is not None:
            image_after = image_after | add
        if annotations is not None:
            self.annotation_usable = self.annotation_usable & annotations
        annotation_after = self._alive(image_after, image_before, annotations is not None or add is not None)
        self.image_alive, self.annotation_alive = image_after, annotation_after
        if annotations is not None and not np.array_equal(annotation_before & annotations, annotation_before):
            self._pairs = None
        step = Step(
            clause=clause,
            words=words,
            images=_change(image_before, image_after),
            annotations=_change(annotation_before, annotation_after),
            by_class=self._by_class(pairs_before, image_before, image_after, annotation_before, annotation_after),
        )
        for change in (step.images, step.annotations):
            assert change["before"] - change["removed"] + change["added"] == change["after"], step
        if self.steps:
            assert self.steps[-1].images["after"] == step.images["before"], step
            assert self.steps[-1].annotations["after"] == step.annotations["before"], step
        self.steps.append(step)
        return step

    def _alive(self, image_after: Mask, image_before: Mask, from_scratch: bool) -> Mask:
        if image_after is image_before and not from_scratch:
            return self.annotation_alive
        if not len(image_after):
            return np.zeros(len(self.image_row), dtype=bool)
        # An annotation of no image (-1) reads the last image's cell: `image_row >= 0` takes it out again.
        alive = self.annotation_usable & image_after[self.image_row] & (self.image_row >= 0)
        if not self.steps:
            return alive
        return alive

    def _by_class(
        self, pairs: Pairs, image_before: Mask, image_after: Mask, before: Mask, after: Mask
    ) -> dict[str, dict[str, int]]:
        size = len(self.class_names)
        gone, come = image_before & ~image_after, image_after & ~image_before
        numbers = {
            "images_removed": _images_by_class(pairs, gone, size),
            "annotations_removed": _annotations_by_class(self.class_of, before & ~after, size),
            "images_added": _images_by_class(pairs, come, size),
            "annotations_added": _annotations_by_class(self.class_of, after & ~before, size),
        }
        touched = np.flatnonzero(sum(numbers.values(), np.zeros(size, dtype=np.int64)))
        return {
            self.class_names[cls]: {name: int(counts[cls]) for name, counts in numbers.items() if counts[cls]}
            for cls in touched.tolist()
        }

    def kept_by_class(self) -> dict[str, dict[str, int]]:
        """Images and annotations still alive, by category."""
        size = len(self.class_names)
        alive = self.annotation_alive
        pairs = pairs_of(self.image_row[alive], self.class_of[alive], len(self.image_alive), size)
        images = np.bincount(pairs.cls, minlength=size)
        annotations = _annotations_by_class(self.class_of, alive, size)
        return {
            self.class_names[cls]: {"images": int(images[cls]), "annotations": int(annotations[cls])}
            for cls in np.flatnonzero(annotations).tolist()
        }

    def by_split(self, images: Rows, annotations: Rows, names: Sequence[str]) -> dict[str, dict[str, dict[str, int]]]:
        """Return how many images and annotations came in, and are alive, of each split; given is where each begins."""
        kinds = (("images", self.image_alive, images), ("annotations", self.annotation_alive, annotations))
        return {
            name: {
                kind: {
                    "in": int(starts[at + 1] - starts[at]),
                    "kept": int(np.count_nonzero(alive[starts[at] : starts[at + 1]])),
                }
                for kind, alive, starts in kinds
            }
            for at, name in enumerate(names)
        }

    def as_dict(self) -> dict[str, Any]:
        """Return steps and totals as plain values for JSON, conservation asserted over all of it."""
        totals = {}
        for kind, alive in (("images", self.image_alive), ("annotations", self.annotation_alive)):
            changes = [getattr(step, kind) for step in self.steps]
            removed, added = sum(c["removed"] for c in changes), sum(c["added"] for c in changes)
            kept = int(np.count_nonzero(alive))
            assert len(alive) - removed + added == kept, (kind, len(alive), removed, added, kept)
            totals[kind] = {"in": len(alive), "removed": removed, "added": added, "kept": kept}
        return {"steps": [asdict(step) for step in self.steps], **totals, "kept_by_class": self.kept_by_class()}


def _change(before: Mask, after: Mask) -> dict[str, int]:
    count_before = int(np.count_nonzero(before))
    if after is before:
        return {"before": count_before, "removed": 0, "added": 0, "after": count_before}
    return {
        "before": count_before,
        "removed": int(np.count_nonzero(before & ~after)),
        "added": int(np.count_nonzero(after & ~before)),
        "after": int(np.count_nonzero(after)),
    }


def _images_by_class(pairs: Pairs, images: Mask, classes: int) -> Array:
    if not images.any():
        return np.zeros(classes, dtype=np.int64)
    return np.bincount(pairs.cls[images[pairs.image]], minlength=classes)


def _annotations_by_class(class_of: Array, chosen: Mask, classes: int) -> Array:
    found = class_of[chosen]
    return np.bincount(found[found >= 0], minlength=classes)
