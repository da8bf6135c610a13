"""Why a clause of the query left one image or annotation out, in words, with the figures that decided.

What is decided is read off the funnel; nothing here decides again. The figures come from the same functions and columns
as the clauses themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from cocomine.base.arrays import Array
from cocomine.mining import clauses
from cocomine.mining.arrays import Mask, Rows
from cocomine.mining.funnel import Funnel, Step
from cocomine.mining.index import Source
from cocomine.mining.licences import licences_of
from cocomine.mining.objects import (
    area_mask,
    crowd_mask,
    image_sides,
    labelled_objects,
    lost_objects,
    relative_area_mask,
    wanted_annotations,
)
from cocomine.mining.select import Selection
from cocomine.mining.settings import Range, SubsetSettings, category_words

NAMED = 3
"""How many annotations of an image are named before the rest is only counted."""


class TracedFunnel(Funnel):
    """A funnel that remembers which rows every step removed and added, image rows and annotation rows."""

    def __init__(self, image_row: Rows, class_of: Array, images: int, class_names: Sequence[str]) -> None:
        super().__init__(image_row, class_of, images, class_names)
        self.images_removed: list[Rows] = []
        self.images_added: list[Rows] = []
        self.annotations_removed: list[Rows] = []
        self.annotations_added: list[Rows] = []

    def apply(
        self,
        clause: str,
        words: str,
        images: Mask | None = None,
        annotations: Mask | None = None,
        add: Mask | None = None,
    ) -> Step:
        """Apply a clause as `Funnel` does, and note what moved."""
        image_before, annotation_before = self.image_alive, self.annotation_alive
        step = super().apply(clause, words, images, annotations, add)
        for before, after, removed, added in (
            (image_before, self.image_alive, self.images_removed, self.images_added),
            (annotation_before, self.annotation_alive, self.annotations_removed, self.annotations_added),
        ):
            removed.append(np.flatnonzero(before & ~after))
            added.append(np.flatnonzero(after & ~before))
        return step

    def last_removed(self, kind: str) -> Array:
        """The number of the step that removed each row for good, -1 for rows that stayed. Shape (rows,), int16."""
        alive, removed = (
            (self.image_alive, self.images_removed)
            if kind == "image"
            else (self.annotation_alive, self.annotations_removed)
        )
        result = np.full(len(alive), -1, dtype=np.int16)
        for number, rows in enumerate(removed):
            result[rows] = number
        result[alive] = -1
        return result

    def images_before(self, number: int) -> Mask:
        """The images alive before a step."""
        alive = np.ones(len(self.image_alive), dtype=bool)
        for removed, added in list(zip(self.images_removed, self.images_added, strict=True))[:number]:
            alive[removed] = False
            alive[added] = True
        return alive


class Explainer:
    """Words for what a selection did to single rows."""

    def __init__(self, source: Source, selection: Selection, captions: Callable[[int], int]) -> None:
        """`captions` says how many captions the image at a global row has."""
        self.source, self.selection, self.captions = source, selection, captions
        self.query: SubsetSettings = selection.query
        assert isinstance(selection.funnel, TracedFunnel)
        self.funnel: TracedFunnel = selection.funnel
        self.wanted_annotation = wanted_annotations(source, selection.wanted)
        self._ranges = {
            "area": (self.query.area, area_mask(source, self.query.area)),
            "relative_area": (self.query.relative_area, relative_area_mask(source, self.query.relative_area)),
        }
        self._places: dict[int, dict[int, int]] = {}
        self._of_image: tuple[int, Rows] = (-1, np.zeros(0, dtype=np.int64))

    def why_image(self, number: int, row: int, subject: str = "it") -> str:
        """Why step `number` removed the image at global `row`; `subject` is how the sentence calls it."""
        query = self.query
        explain: dict[str, Callable[[], str]] = {
            "lost_objects": lambda: self._lost(row),
            "images_from": lambda: f"is not among the images of {query.images_from}",
            "include_images": lambda: "is not in the list of include_images",
            "exclude_images": lambda: "is in the list of exclude_images",
            "licenses": lambda: self._licenses(row),
            "image_width": lambda: self._image_width(row),
            "image_height": lambda: self._image_height(row),
            "image_aspect": lambda: self._image_aspect(row),
            "crowds": lambda: self._crowds(row),
            "area": lambda: self._excluded_by(row, "area"),
            "relative_area": lambda: self._excluded_by(row, "relative_area"),
            "categories": lambda: self._categories(row),
            "only": lambda: self._only(row),
            "exclude_categories": lambda: self._none(row),
            "instances": lambda: self._instances(row),
            "instances_per_class": lambda: self._instances_per_class(row),
            "caption": lambda: self._caption(row),
            "fraction": lambda: self._drawn(row, number, f"fraction {query.fraction:g}"),
            "max_per_class": lambda: self._max_per_class(row),
            "max_images": lambda: self._drawn(row, number, f"max_images {query.max_images}"),
        }
        return f"{subject} {explain[self.funnel.steps[number].clause]()}"

    def why_annotation(self, number: int, row: int) -> str:
        """Why step `number` removed the annotation at global `row`: on account of its image, or its own."""
        owner = int(self.source.image_row[row])
        at = np.searchsorted(self.funnel.images_removed[number], owner)
        if at < len(self.funnel.images_removed[number]) and self.funnel.images_removed[number][at] == owner:
            return self.why_image(number, owner, f"its image {int(self.source.images['id'][owner])}")
        clause = self.funnel.steps[number].clause
        if clause == "crowds":
            return "iscrowd is 1, and `crowds` is drop"
        if clause == "other_annotations":
            key = "classes" if self.query.classes else "categories"
            return f"its category {self.name(row)} is none of those in `{key}`, and keep_other_annotations is false"
        return self._object_outside(clause, row)

    # -- what is in an image --------------------------------------------------------------------------------------

    def name(self, row: int) -> str:
        """The name of an annotation's category, or its id where the source has no such category."""
        cls = int(self.source.class_of[row])
        if cls >= 0:
            return self.source.categories[cls].name
        return f"category {int(self.source.annotations['category_id'][row])}"

    def annotations_of(self, row: int) -> Rows:
        """The annotations of the image at a global row, usable or not."""
        if self._of_image[0] != row:
            self._of_image = (row, np.flatnonzero(self.source.image_row == row))
        return self._of_image[1]

    def _listed(self, rows: Iterable[int]) -> str:
        """Categories with the ids of their annotations: "person (annotations 4, 9 and 2 more), dog (annotation 5)"."""
        by_name: dict[str, list[int]] = {}
        for row in rows:
            by_name.setdefault(self.name(row), []).append(int(self.source.annotations["id"][row]))
        parts = []
        for name, ids in sorted(by_name.items()):
            more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
            word = "annotation" if len(ids) == 1 else "annotations"
            parts.append(f"{name} ({word} {', '.join(map(str, ids[:NAMED]))}{more})")
        return ", ".join(parts)

    def _among(self, rows: Rows, classes: Sequence[int]) -> list[int]:
        return [row for row in rows.tolist() if int(self.source.class_of[row]) in set(classes)]

    def _uncounted(self, row: int) -> str:
        """Why an object does not speak for its image."""
        if self.selection.objects.quarantined[row]:
            return "it is quarantined"
        if self.query.crowds == "drop" and crowd_mask(self.source, self.query)[row]:
            return "it is a crowd, and `crowds` is drop"
        return self._object_outside("area", row) or self._object_outside("relative_area", row) or "it does not count"

    # -- clauses, in the order of the query -----------------------------------------------------------------------

    def _lost(self, row: int) -> str:
        identity, quarantined = self.source.identity, self.selection.objects.quarantined
        labelled = labelled_objects(self.source, self.query, self.selection.wanted)
        lost = np.flatnonzero(lost_objects(self.source, labelled, quarantined))
        found = lost[identity.original[self.source.image_row[lost]] == row]
        return f"holds {self._listed(found.tolist())}, quarantined, and lost_objects is exclude"

    def _licenses(self, row: int) -> str:
        licence = int(self.source.images["license"][row])
        known = licences_of(self.source).get(licence)
        name = f" ({known.name})" if known is not None and known.name else ""
        stated = f"has licence {licence}{name}" if licence >= 0 else "has no licence"
        return f"{stated}, which is not {' or '.join(map(str, self.query.licenses))}"

    def _image_width(self, row: int) -> str:
        return _outside("has width", self._sides(row)[0], "image_width", self.query.image_width)

    def _image_height(self, row: int) -> str:
        return _outside("has height", self._sides(row)[1], "image_height", self.query.image_height)

    def _image_aspect(self, row: int) -> str:
        width, height = self._sides(row)
        return _outside("has aspect", width / height, "image_aspect", self.query.image_aspect)

    def _sides(self, row: int) -> tuple[float, float]:
        width, height = (float(sides[row]) for sides in image_sides(self.source))
        return width, height

    def _crowds(self, row: int) -> str:
        rows = self.annotations_of(row)
        crowd = rows[crowd_mask(self.source, self.query)[rows] & self.wanted_annotation[rows]]
        return f"holds a crowd of a wanted category, {self._listed(crowd.tolist())}, and `crowds` is exclude"

    def _excluded_by(self, row: int, clause: str) -> str:
        rows = self.annotations_of(row)
        rows = rows[self.wanted_annotation[rows] & ~self.selection.objects.quarantined[rows]]
        found = [(other, words) for other in rows.tolist() if (words := self._object_outside(clause, other))]
        other, words = found[0]
        more = f" (and {len(found) - 1} more such)" if len(found) > 1 else ""
        return f"holds {self._listed([other])}, whose {words}{more}, and outside_area is exclude"

    def _object_outside(self, clause: str, row: int) -> str:
        """The words for an object outside the range of `area` or `relative_area`, or "" when it is inside."""
        bounds, mask = self._ranges[clause]
        if not bounds.bounded or mask[row]:
            return ""
        sizes = (self.source.annotations[name][row : row + 1] for name in ("area", "bbox_w", "bbox_h"))
        value = float(clauses.object_area(*sizes)[0])
        if clause == "relative_area":
            owner = int(self.source.image_row[row])
            width, height = self._sides(owner)
            value = value / (width * height)
        return _outside(clause.replace("_", " "), value, clause, bounds, " is")

    def _categories(self, row: int) -> str:
        wanted, counted = self.selection.wanted, self.selection.objects.counted
        rows = self.annotations_of(row)
        usable = rows[counted[rows]]
        if self.query.match == "all":
            lacking = [
                (category_words(ref) if ref is not None else self.source.categories[group[0]].name, group)
                for ref, group in zip(self.query.wanted or (None,) * len(wanted.groups), wanted.groups, strict=True)
                if not self._among(usable, group)
            ]
            classes = [cls for _, group in lacking for cls in group]
            missing = " and ".join(f"no {name}" for name, _ in lacking)
        else:
            classes = list(wanted.classes)
            missing = "no object of " + (", ".join(map(category_words, self.query.wanted)) or "any category")
        useless = [f"its {self._listed([other])}: {self._uncounted(other)}" for other in self._among(rows, classes)]
        tail = f" that counts ({'; '.join(useless[:NAMED])})" if useless else ""
        return f"holds {missing}{tail}"

    def _only(self, row: int) -> str:
        rows = self.annotations_of(row)
        others = rows[~self.wanted_annotation[rows]]
        return f"also holds {self._listed(others.tolist())}, which `match: only` forbids"

    def _none(self, row: int) -> str:
        found = self._among(self.annotations_of(row), self.selection.wanted.none)
        return f"holds {self._listed(found)}, which `exclude_categories` forbids"

    def _instances(self, row: int) -> str:
        count = self._count(row, self.selection.wanted.classes)
        objects = " wanted object" + "s" * (count != 1) + ","
        return _outside("holds", count, "instances", self.query.instances, objects)

    def _instances_per_class(self, row: int) -> str:
        parts = []
        for group, bounds, name in self.selection.wanted.ranges:
            count = self._count(row, group)
            if not bool(clauses.within(np.array([count]), bounds)[0]):
                key = f"instances_per_class.{name}"
                parts.append(_outside("holds", count, key, bounds, f" of {name},"))
        return " and ".join(parts)

    def _count(self, row: int, classes: Sequence[int]) -> float:
        rows = self.annotations_of(row)
        return float(len(self._among(rows[self.selection.objects.counted[rows]], classes)))

    def _caption(self, row: int) -> str:
        return f"has {self.captions(row)} captions, of which none matches “{self.query.caption}”"

    def _max_per_class(self, row: int) -> str:
        caps, rows = self.selection.caps, self.annotations_of(row)
        held = sorted(
            {int(self.source.class_of[other]) for other in rows[self.selection.objects.counted[rows]].tolist()}
        )
        words = ", ".join(f"{self.source.categories[cls].name} (at most {caps[cls]})" for cls in held if cls in caps)
        return f"came in the order of drawing after a category that it holds had its images: {words}"

    def _drawn(self, row: int, number: int, key: str) -> str:
        step = self.funnel.steps[number].images
        takes = f"of {step['before']} in the order of drawing, and {key} takes the first {step['after']}"
        if self.query.balance and self.funnel.steps[number].clause == "max_images":
            return f"stood too late {takes}"
        return f"stood at place {self._place(number)[row] + 1} {takes}"

    def _place(self, number: int) -> dict[int, int]:
        if number not in self._places:
            rows = np.flatnonzero(self.funnel.images_before(number))
            order = clauses.order_by_hash(rows, self.source.image_ids[rows], self.query.seed)
            self._places[number] = {row: place for place, row in enumerate(order.tolist())}
        return self._places[number]


def _outside(words: str, value: float, key: str, bounds: Range, verb: str = ",") -> str:
    """Words for a value outside its range, such as "area 312 is below area.min 5000"; `verb` stands after the value."""
    if math.isnan(value):
        return f"{words} is not stated, and `{key}` is bounded"
    if bounds.min is not None and value < bounds.min:
        return f"{words} {value:.10g}{verb} below {key}.min {bounds.min:.10g}"
    assert bounds.max is not None, key
    return f"{words} {value:.10g}{verb} above {key}.max {bounds.max:.10g}"
