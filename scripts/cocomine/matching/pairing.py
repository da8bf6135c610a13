"""The objects of two sources in one image, each put into exactly one finding.

The order in which objects are taken decides, and it is this one:

1. *pairs*: single objects of one class with one another and crowds with crowds, by the assignment whose IoUs, of those
   that reach `iou`, have the greatest sum (Kuhn 1955, by scipy.optimize.linear_sum_assignment);
2. *split* and *merged*: an object and several smaller ones of its class, each with the share `part` of its pixels
   inside it and under none of the larger ones, when together they have an IoU with it of at least `iou` and no less
   than that of the pair it was in;
3. *crowd*: a crowd and the objects of its class of the other source that have the share `part` inside it;
4. *relabelled*: pairs as in 1 of what is left, whatever their classes;
5. *outline*: pairs as in 1 of what is left that reach `loose_iou` only: the same object, poorly outlined;
6. what is left is in one source only.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cocomine.base.arrays import Bools, Floats
from cocomine.matching.settings import MatchSettings

Rle = dict[str, Any]


class Kind(StrEnum):
    """What became of an object, as it stands in the tables."""

    SAME = "same"
    OUTLINE = "outline"
    ONLY_FIRST = "only-first"
    ONLY_SECOND = "only-second"
    SPLIT = "split"
    MERGED = "merged"
    CROWD = "crowd"
    RELABELLED = "relabelled"
    NOT_COMPARED = "not-compared"


MEANINGS: Final = {
    Kind.SAME: "one object in both sources, of one class, whose outlines agree",
    Kind.OUTLINE: "one object in both sources, of one class, whose outlines differ",
    Kind.ONLY_FIRST: "an object that the second source has not",
    Kind.ONLY_SECOND: "an object that the first source has not",
    Kind.SPLIT: "one object of the first source that is several in the second",
    Kind.MERGED: "several objects of the first source that are one in the second",
    Kind.CROWD: "a crowd in one source, and what the other has inside it",
    Kind.RELABELLED: "one object in both sources, of different classes",
    Kind.NOT_COMPARED: "an object that nothing could be compared with",
}

DIFFERENCES: Final = tuple(kind for kind in Kind if kind not in (Kind.SAME, Kind.NOT_COMPARED))


@dataclass(frozen=True)
class Thing:
    """An object of one source: its place in the source, its class in the common vocabulary, its mask.

    `row` is its row among all records of its source, `group` the number of its class that both sources have,
    `rle` its mask as COCO's compressed run lengths, `area` its pixels, `vertices` those of its polygons (0 for RLE).
    """

    row: int
    id: int
    group: int
    category: int
    crowd: bool
    rle: Rle
    area: int
    vertices: int = 0


@dataclass(frozen=True)
class Found:
    """Objects that belong together, as places in the two lists; `iou` is that of their united masks.

    Pairs that reach `iou` are SAME here; whether their outlines differ is judged later.
    """

    kind: Kind
    first: tuple[int, ...]
    second: tuple[int, ...]
    iou: float | None = None


def pair_objects(first: Sequence[Thing], second: Sequence[Thing], settings: MatchSettings) -> list[Found]:
    """Return the findings of one image. Every object of both lists is in exactly one of them."""
    if not first or not second:
        alone = [Found(Kind.ONLY_FIRST, (place,), ()) for place in range(len(first))]
        return alone + [Found(Kind.ONLY_SECOND, (), (place,)) for place in range(len(second))]
    image = _Image(first, second, settings)
    image.pair(image.same_class & image.same_crowd & (image.iou >= settings.iou), Kind.SAME)
    image.divide()
    image.gather_crowds()
    image.pair(image.same_crowd & (image.iou >= settings.iou), Kind.RELABELLED)
    image.pair(image.same_class & image.same_crowd & (image.iou >= settings.loose_iou), Kind.OUTLINE)
    return image.findings()


def intersections(first: Sequence[Rle], second: Sequence[Rle], areas: Floats) -> Floats:
    """Return how many pixels each mask of `first`, whose areas are given, shares with each of `second`: (n, m)."""
    # With a crowd as truth, pycocotools divides the intersection by the area of the first alone.
    shares = np.asarray(coco_mask.iou(list(first), list(second), [1] * len(second)), dtype=np.float64)
    return np.rint(shares.reshape(len(first), len(second)) * areas[:, None])


def best_pairs(iou: Floats, allowed: Bools) -> Iterator[tuple[int, int]]:
    """Yield the pairs among those that are `allowed` (n, m) whose sum of IoUs is the greatest."""
    rows, columns = np.flatnonzero(allowed.any(axis=1)), np.flatnonzero(allowed.any(axis=0))
    weights = np.where(allowed, iou, 0)[np.ix_(rows, columns)]
    for row, column in zip(*linear_sum_assignment(weights, maximize=True), strict=True):
        if weights[row, column] > 0:
            yield int(rows[row]), int(columns[column])


@dataclass(frozen=True)
class _Whole:
    """An object and those of the other source that it is divided into; `turned` when it is of the second source."""

    turned: bool
    whole: int
    parts: tuple[int, ...]
    iou: float


class _Image:
    """The objects of one image while they are being taken."""

    def __init__(self, first: Sequence[Thing], second: Sequence[Thing], settings: MatchSettings) -> None:
        self.sides = (first, second)
        self.settings = settings
        areas = [np.array([thing.area for thing in side], np.float64) for side in self.sides]
        self.areas = areas
        self.shared = intersections([thing.rle for thing in first], [thing.rle for thing in second], areas[0])
        self.iou = self.shared / (areas[0][:, None] + areas[1] - self.shared)
        groups = [np.array([thing.group for thing in side]) for side in self.sides]
        self.crowds = [np.array([thing.crowd for thing in side], bool) for side in self.sides]
        self.same_class: Bools = groups[0][:, None] == groups[1]
        self.same_crowd: Bools = self.crowds[0][:, None] == self.crowds[1]
        self.free = [np.ones(len(side), bool) for side in self.sides]
        self.pairs: dict[tuple[int, int], Kind] = {}
        self.groups: list[Found] = []

    def pair(self, allowed: Bools, kind: Kind) -> None:
        """Pair free objects where `allowed` (n, m) says that they may be, so that the sum of IoUs is the greatest."""
        allowed = allowed & self.free[0][:, None] & self.free[1]
        for one, other in best_pairs(self.iou, allowed):
            self._take(one, other, kind)

    def _take(self, one: int, other: int, kind: Kind) -> None:
        self.pairs[one, other] = kind
        self.free[0][one] = self.free[1][other] = False

    # Split and merged -------------------------------------------------------------------------------------------------

    def divide(self) -> None:
        """Find objects that are several in the other source, the best explained ones first."""
        while candidates := list(self._divided(turned=False)) + list(self._divided(turned=True)):
            best = min(candidates, key=lambda one: (-one.iou, one.turned, one.whole))
            mine, theirs = (1, 0) if best.turned else (0, 1)
            for place in best.parts:
                self.pairs.pop((place, best.whole) if best.turned else (best.whole, place), None)
                self.free[theirs][place] = False
            self.free[mine][best.whole] = False
            if best.turned:
                self.groups.append(Found(Kind.MERGED, best.parts, (best.whole,), best.iou))
            else:
                self.groups.append(Found(Kind.SPLIT, (best.whole,), best.parts, best.iou))

    def _divided(self, turned: bool) -> Iterator[_Whole]:
        """Yield the objects of one source that free ones of the other are parts of."""
        mine, theirs = (1, 0) if turned else (0, 1)
        shared, iou = ((matrix.T if turned else matrix) for matrix in (self.shared, self.iou))
        same = self.same_class.T if turned else self.same_class
        smaller = self.areas[theirs] <= self.areas[mine][:, None]
        single = ~self.crowds[mine][:, None] & ~self.crowds[theirs]
        inside = same & single & smaller & self.free[theirs] & (shared >= self.settings.part * self.areas[theirs])
        partners = {pair[mine]: pair[theirs] for pair in self.pairs}
        for whole in np.flatnonzero(inside.any(axis=1)).tolist():
            partner = partners.get(whole)
            if partner is None and not self.free[mine][whole]:
                continue
            least = self.settings.iou if partner is None else max(self.settings.iou, float(iou[whole, partner]))
            found = self._parts(turned, whole, partner, np.flatnonzero(inside[whole]), shared[whole])
            if found is not None and found.iou >= least:
                yield found

    def _parts(
        self, turned: bool, whole: int, partner: int | None, inside: npt.NDArray[Any], shared: Floats
    ) -> _Whole | None:
        """Add the parts one by one, the largest first, each if enough of it is inside and under no other part."""
        mine, theirs = (1, 0) if turned else (0, 1)
        target, others = self.sides[mine][whole], self.sides[theirs]
        parts = [] if partner is None else [partner]
        union, covered = (None, 0.0) if partner is None else (others[partner].rle, float(shared[partner]))
        for place in sorted(inside.tolist(), key=lambda place: (-shared[place], place)):
            tried = others[place].rle if union is None else coco_mask.merge([union, others[place].rle])
            within = float(intersections([target.rle], [tried], self.areas[mine][[whole]])[0, 0])
            if within - covered >= self.settings.part * others[place].area:
                parts, union, covered = [*parts, place], tried, within
        if union is None or len(parts) < 2:
            return None
        iou = covered / (target.area + float(coco_mask.area(union)) - covered)
        return _Whole(turned, whole, tuple(sorted(parts)), iou)

    # Crowds -----------------------------------------------------------------------------------------------------------

    def gather_crowds(self) -> None:
        """Join crowds with what the other source has inside them."""
        taken = {place for place, kind in self.pairs.items() if self.crowds[0][place[0]]}
        edges = [*taken, *self._inside(turned=False), *self._inside(turned=True)]
        if not edges:
            return
        count = len(self.sides[0])
        ends = np.array(edges).T + np.array([[0], [count]])
        size = count + len(self.sides[1])
        graph = coo_array((np.ones(len(edges)), (ends[0], ends[1])), shape=(size, size))
        _, label = connected_components(graph, directed=False)
        for component in np.unique(label[ends[0]]).tolist():
            members = np.flatnonzero(label == component)
            first, second = members[members < count].tolist(), (members[members >= count] - count).tolist()
            if len(first) == len(second) == 1 and self.same_crowd[first[0], second[0]]:
                self._take(first[0], second[0], Kind.SAME)
                continue
            for pair in [pair for pair in taken if pair[0] in first]:
                self.pairs.pop(pair, None)
            self.free[0][first] = self.free[1][second] = False
            self.groups.append(Found(Kind.CROWD, tuple(first), tuple(second), self._united_iou(first, second)))

    def _inside(self, turned: bool) -> Iterator[tuple[int, int]]:
        """Yield pairs of a crowd of one source and an object of the other that lies inside it, in that one alone."""
        mine, theirs = (1, 0) if turned else (0, 1)
        shared, iou = ((matrix.T if turned else matrix) for matrix in (self.shared, self.iou))
        same = self.same_class.T if turned else self.same_class
        open_crowd = self.crowds[mine] & (self.free[mine] | self._paired_crowds(mine))
        enough = (shared >= self.settings.part * self.areas[theirs]) | (iou >= self.settings.iou)
        inside = np.where(same & open_crowd[:, None] & self.free[theirs] & enough, shared, 0)
        for place in np.flatnonzero(inside.any(axis=0)).tolist():
            crowd = int(inside[:, place].argmax())
            yield (place, crowd) if turned else (crowd, place)

    def _paired_crowds(self, side: int) -> Bools:
        paired = np.zeros(len(self.sides[side]), bool)
        paired[[pair[side] for pair in self.pairs if self.crowds[side][pair[side]]]] = True
        return paired

    def _united_iou(self, first: Sequence[int], second: Sequence[int]) -> float:
        unions = [
            coco_mask.merge([side[place].rle for place in places])
            for side, places in zip(self.sides, (first, second), strict=True)
        ]
        return float(coco_mask.iou(unions[:1], unions[1:], [0])[0, 0])

    # The rest ---------------------------------------------------------------------------------------------------------

    def findings(self) -> list[Found]:
        """Return all findings: pairs, groups, and what is left."""
        pairs = [Found(kind, (a,), (b,), float(self.iou[a, b])) for (a, b), kind in self.pairs.items()]
        only = [
            *(Found(Kind.ONLY_FIRST, (place,), ()) for place in np.flatnonzero(self.free[0]).tolist()),
            *(Found(Kind.ONLY_SECOND, (), (place,)) for place in np.flatnonzero(self.free[1]).tolist()),
        ]
        order = list(Kind)
        return sorted([*pairs, *self.groups, *only], key=lambda one: (order.index(one.kind), one.first, one.second))
