"""One image judged: its records drawn, paired, and their outlines measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
from pycocotools import mask as coco_mask

from cocomine.annotations.drawing import as_rle
from cocomine.annotations.lenient import Facts, MalformedRecordError, parse_leniently
from cocomine.coco.sizes import LARGE, SMALL
from cocomine.matching.crosswalk import Crosswalk
from cocomine.matching.outlines import Apart, apart
from cocomine.matching.pairing import Found, Kind, Thing, best_pairs, pair_objects
from cocomine.matching.settings import MatchSettings
from cocomine.matching.sides import Record


class Task(NamedTuple):
    """An image of both sources: its size in pixels and its records. With a `reason`, none of it can be compared."""

    image_id: int
    width: int
    height: int
    sides: tuple[Sequence[Record], Sequence[Record]]
    reason: str = ""


class Half(NamedTuple):
    """What one source has of a finding: ids, class, whether a crowd is among them, pixels and vertices in all."""

    ids: tuple[int, ...] = ()
    category: str = ""
    crowd: bool = False
    area: int = 0
    vertices: int = 0


class Row(NamedTuple):
    """A finding: a row of matches.parquet; docs/matching.md says what its columns mean."""

    image_id: int
    kind: Kind
    halves: tuple[Half, Half]
    reason: str = ""
    size: str = ""
    finer: str = ""
    iou: float | None = None
    apart: Apart | None = None
    box: tuple[int, ...] = ()


@dataclass(frozen=True)
class Judged:
    """The rows of one image, and the classes of objects that coincide, whatever the crosswalk says.

    `compared` tells whether the image is in both sources, so that objects could be compared.
    """

    image_id: int
    rows: list[Row]
    overlaps: list[tuple[int, int]]
    compared: bool = True


class _Outline(msgspec.Struct):
    segmentation: Any = None


_OUTLINE = msgspec.json.Decoder(_Outline)


def drawn(text: bytes, width: int, height: int) -> dict[str, Any] | None:
    """Return the mask of a record as COCO's compressed run lengths; None when it has no outline that can be drawn."""
    try:
        segmentation = _OUTLINE.decode(text).segmentation
    except msgspec.DecodeError:
        try:
            record = parse_leniently(text, Facts())
        except MalformedRecordError:
            return None
        segmentation = record.get("segmentation") if isinstance(record, dict) else None
    return as_rle(segmentation, width, height)


@dataclass(frozen=True)
class Judge:
    """Judges images; what a working process is given once. `classes` are the names of both sources' classes."""

    settings: MatchSettings
    walk: Crosswalk
    classes: tuple[tuple[str, ...], tuple[str, ...]]

    def __call__(self, tasks: Sequence[Task]) -> list[Judged]:
        """Return the images judged, in their order."""
        return [self.image(task) for task in tasks]

    def image(self, task: Task) -> Judged:
        """Return one image judged: every record of both sides is in exactly one of its rows."""
        if task.reason:
            rows = [self._left_out(task, side, one, task.reason) for side in (0, 1) for one in task.sides[side]]
            return Judged(task.image_id, rows, [], compared=False)
        rows, things = [], []
        for side in (0, 1):
            found = []
            for record in task.sides[side]:
                thing = self._thing(side, record, task)
                if thing is None:
                    rows.append(self._left_out(task, side, record, "no-mask"))
                else:
                    found.append(thing)
            things.append(found)
        overlaps = [] if self.walk.is_whole else _overlaps(things[0], things[1], self.settings.iou)
        known = []
        for side in (0, 1):
            for thing in things[side]:
                if thing.group < 0:
                    rows.append(self._unknown(task, side, thing))
            known.append([thing for thing in things[side] if thing.group >= 0])
        findings = pair_objects(known[0], known[1], self.settings)
        return Judged(task.image_id, [*(self._row(task, one, known) for one in findings), *rows], overlaps)

    def _thing(self, side: int, record: Record, task: Task) -> Thing | None:
        rle = drawn(record.text, task.width, task.height)
        area = 0 if rle is None else int(coco_mask.area(rle))
        if rle is None or not area:
            return None
        groups = self.walk.second if side else self.walk.first
        group = groups[record.category] if record.category >= 0 else -1
        return Thing(record.row, record.id, group, record.category, record.crowd, rle, area, record.vertices)

    def _name(self, side: int, category: int) -> str:
        return self.classes[side][category] if category >= 0 else ""

    def _left_out(self, task: Task, side: int, record: Record, reason: str) -> Row:
        name = self._name(side, record.category)
        half = Half((record.id,), name, record.crowd, vertices=record.vertices)
        return Row(task.image_id, Kind.NOT_COMPARED, (Half(), half) if side else (half, Half()), reason)

    def _unknown(self, task: Task, side: int, thing: Thing) -> Row:
        """Return the row of an object of a class that the other source has not, or of none."""
        reason = ("class-only-in-second" if side else "class-only-in-first") if thing.category >= 0 else "no-class"
        half = Half((thing.id,), self._name(side, thing.category), thing.crowd, thing.area, thing.vertices)
        halves = (Half(), half) if side else (half, Half())
        return Row(task.image_id, Kind.NOT_COMPARED, halves, reason, _size(thing.area), box=_box([thing]))

    def _row(self, task: Task, found: Found, known: Sequence[Sequence[Thing]]) -> Row:
        first, second = [known[0][place] for place in found.first], [known[1][place] for place in found.second]
        kind, finer, outlines = found.kind, "", None
        if kind in (Kind.SAME, Kind.OUTLINE, Kind.RELABELLED):
            outlines = apart(first[0].rle, second[0].rle, self.settings.boundary_width)
            finer = self._finer(first[0].vertices, second[0].vertices)
            if kind == Kind.SAME and outlines.boundary_iou < self.settings.boundary_iou:
                kind = Kind.OUTLINE
        halves = (self._half(0, first, kind), self._half(1, second, kind))
        size = _size(max(thing.area for thing in first or second))
        return Row(task.image_id, kind, halves, "", size, finer, found.iou, outlines, _box([*first, *second]))

    def _half(self, side: int, things: Sequence[Thing], kind: Kind) -> Half:
        if not things:
            return Half()
        # Relabelled objects are called as their own source calls them, all others as the comparison does.
        one = things[0]
        name = self._name(side, one.category) if kind == Kind.RELABELLED else self.walk.names[one.group]
        ids, crowd = tuple(thing.id for thing in things), any(thing.crowd for thing in things)
        return Half(ids, name, crowd, sum(thing.area for thing in things), sum(thing.vertices for thing in things))

    def _finer(self, first: int, second: int) -> str:
        if first and second >= self.settings.finer * first:
            return "second"
        return "first" if second and first >= self.settings.finer * second else ""


def _overlaps(first: Sequence[Thing], second: Sequence[Thing], least: float) -> list[tuple[int, int]]:
    """Return the classes of objects that coincide, as far as they have one."""
    if not first or not second:
        return []
    iou = np.asarray(coco_mask.iou([one.rle for one in first], [one.rle for one in second], [0] * len(second)))
    pairs = [(first[a].category, second[b].category) for a, b in best_pairs(iou, iou >= least)]
    return [pair for pair in pairs if min(pair) >= 0]


def _size(area: int) -> str:
    return "small" if area < SMALL else "medium" if area < LARGE else "large"


def _box(things: Sequence[Thing]) -> tuple[int, ...]:
    """Return the box of all masks: x, y, width, height in pixels."""
    boxes = coco_mask.toBbox([thing.rle for thing in things]).astype(np.int64)
    low, high = boxes[:, :2].min(axis=0), (boxes[:, :2] + boxes[:, 2:]).max(axis=0)
    return (*low.tolist(), *(high - low).tolist())
