"""Repairs of one record: from its JSON text to the text of a repaired copy. Pure: nothing is read or written.

A repair is defined for few reasons and changes nothing but what its row in `cocomine.annotations.reasons` says. A
record that cannot be repaired exactly is not repaired: the outcome names the reason, and the record is quarantined.
"""

import copy
import json
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

from pycocotools import mask as coco_mask

from cocomine.annotations.drawing import as_rle, drawn_area, ring_is_outside
from cocomine.annotations.lenient import (
    LARGEST_SIDE,
    NAN,
    Facts,
    MalformedRecordError,
    as_id,
    as_integer,
    as_number,
    as_numbers,
    as_polygons,
    flag_of,
    parse_leniently,
)
from cocomine.annotations.reasons import PIXEL_TOLERANCE, Reason


@dataclass(frozen=True)
class Outcome:
    """What became of a record.

    `raw` is the repaired record's JSON text, None when it cannot be repaired; then `failed` says which reason stood in
    the way and `detail` why. `before` and `after` hold the changed keys' values, for repairs.tsv; `done` the reasons
    that were repaired.
    """

    raw: bytes | None
    done: tuple[Reason, ...] = ()
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    failed: Reason | None = None
    detail: str = ""


class _CannotRepairError(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def repair(
    kind: str,
    raw: bytes,
    reasons: Collection[Reason],
    size: tuple[int, int] | None = None,
    number: int | None = None,
    name: str | None = None,
) -> Outcome:
    """Repair one record for `reasons` (those whose policy is `repair`).

    `kind` is image, annotation, caption, category, segment (one item of `segments_info`) or panoptic (the whole
    record), `raw` the record's JSON text, `size` the image's (width, height) in pixels, which boxes and areas need,
    `number` the id that the index gives to a record without one, and `name` the file name that it gives to an image
    (that of a foreign one depends on all of its file). Never raises for what a record may hold.
    """
    facts = Facts()
    try:
        record = parse_leniently(raw, facts)
    except MalformedRecordError as error:
        return Outcome(None, failed=Reason.NOT_AN_OBJECT, detail=f"no JSON: {error}")
    if not isinstance(record, dict):
        return Outcome(None, failed=Reason.NOT_AN_OBJECT, detail=f"a {type(record).__name__}")
    original = copy.deepcopy(record)
    try:
        done = _apply(_Work(kind, record, size, reasons, number, name))
        text = _serialise(record)
    except _CannotRepairError as error:
        return Outcome(None, failed=error.reason, detail=str(error))
    changed = [key for key in {**original, **record} if repr(original.get(key, ...)) != repr(record.get(key, ...))]
    return Outcome(
        text,
        tuple(done),
        {key: original[key] for key in changed if key in original},
        {key: record[key] for key in changed if key in record},
    )


def made_category(identity: int, name: str) -> Outcome:
    """Return the record of a category that is made from an id that annotations use."""
    record = {"id": identity, "name": name}
    return Outcome(_serialise(record), (Reason.NO_CATEGORIES,), {}, record)


def _apply(work: "_Work") -> list[Reason]:
    """Repair the record in place and return the reasons repaired."""
    if work.kind == "panoptic":
        return _apply_to_segments(work)
    done: list[Reason] = []
    for reason, change in _STEPS:
        if reason in work.reasons:
            change(work)
            done.append(reason)
    for reason in work.reasons:
        if reason not in done:
            raise _CannotRepairError(reason, "no repair is defined")
    return done


def _apply_to_segments(work: "_Work") -> list[Reason]:
    """Repair a panoptic record: its own id, and every segment; repairs leave a valid segment as it is."""
    _ids(work)
    segments = work.record.get("segments_info")
    done = [reason for reason, _ in _STEPS if reason in work.reasons]
    for segment in segments if isinstance(segments, list) else []:
        if not isinstance(segment, dict):
            raise _CannotRepairError(Reason.NOT_AN_OBJECT, "a segment is no object")
        _apply(_Work("segment", segment, work.size, work.reasons))
    return done


def _serialise(record: dict[str, Any]) -> bytes:
    """Write a record as COCO's own files do: keys in their order, a space behind commas and colons."""
    try:
        return json.dumps(record, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:  # NaN that no repair took away, or half a surrogate pair
        reason = Reason.BAD_TEXT if isinstance(error, UnicodeEncodeError) else Reason.NOT_FINITE
        raise _CannotRepairError(reason, "a value that JSON cannot hold is left") from error
    except RecursionError as error:
        raise _CannotRepairError(Reason.BAD_FIELD, "nested too deeply") from error


Size = tuple[int, int] | None


@dataclass(frozen=True)
class _Work:
    """A record under repair, changed in place.

    With its kind, its image's (width, height) in px, the reasons to repair, and the number for a record without an id.
    """

    kind: str
    record: dict[str, Any]
    size: Size
    reasons: Collection[Reason]
    number: int | None = None
    name: str | None = None


_Change = Callable[[_Work], None]


_ID_KEYS: Final = {"image": ("id",), "category": ("id",), "caption": ("id", "image_id")}
"""Which keys of a record are ids; in other kinds of record all three are."""


def _ids(work: _Work) -> None:
    for key in _ID_KEYS.get(work.kind, ("id", "image_id", "category_id")):
        if key in work.record:
            number, _plain = as_id(work.record[key])
            if number < 0:
                raise _CannotRepairError(Reason.BAD_ID, f"`{key}` stands for no integer")
            work.record[key] = number


def _fields(work: _Work) -> None:
    """Write numbers that stand as text, float or boolean as numbers.

    What has a reason of its own (a size, an area that is no number, a name) is left to that reason's repair; whatever
    else is of another type stays broken.
    """
    record = work.record
    readers: dict[str, Callable[[Any], Any]] = {}
    if work.kind == "image":
        readers = {"width": _side, "height": _side, "license": _small}
        if Reason.NO_FILE_NAME not in work.reasons:
            readers["file_name"] = _text
    elif work.kind in ("annotation", "segment"):
        readers = {"iscrowd": _flag, "area": _number, "num_keypoints": lambda value: _count(record, value)}
    elif work.kind == "caption":
        readers = {"caption": _text}
    for key, read in readers.items():
        value = record.get(key)
        if value is None:
            continue
        repaired = read(value)
        if repaired is not None or key == "license":
            record[key] = repaired  # a licence that is a word says nothing of the image: it is not stated
        elif key not in ("width", "height", "area"):
            raise _CannotRepairError(Reason.BAD_FIELD, f"`{key}` is {json.dumps(value)[:60]}")


def _side(value: Any) -> int | None:
    number = as_integer(value, LARGEST_SIDE)[0]
    return number if number > 0 else None


def _small(value: Any) -> int | None:
    number = as_integer(value, LARGEST_SIDE)[0]
    return number if number >= 0 else None


def _count(record: dict[str, Any], value: Any) -> int | None:
    """Return the number of visible keypoints as stated or, where that is unreadable, counted."""
    number, points = _small(value), as_numbers(record.get("keypoints"))
    if number is None and points is not None and len(points) % 3 == 0:
        number = sum(visibility > 0 for visibility in points[2::3])
    return number


def _flag(value: Any) -> int | None:
    number = flag_of(value)
    return number if number >= 0 else None


def _number(value: Any) -> Any:
    number, plain = as_number(value)
    return value if plain else None if math.isnan(number) else number


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _sides(work: _Work) -> None:
    width, height = _known(work.size, Reason.BAD_SIZE)
    work.record.update(width=width, height=height)


def _file_name(work: _Work) -> None:
    url = work.record.get("coco_url")
    name = name_from_url(url if isinstance(url, str) else None) if work.kind == "image" else None
    if name is None:
        raise _CannotRepairError(Reason.NO_FILE_NAME, "there is no `coco_url` to take it from")
    work.record["file_name"] = name


def _foreign_name(work: _Work) -> None:
    if not work.name:
        raise _CannotRepairError(Reason.FOREIGN_FILE_NAME, "the index has no name for it")
    work.record["file_name"] = work.name


def name_from_url(url: str | None) -> str | None:
    """Return "folder/name" from the end of a URL such as http://images.cocodataset.org/train2017/000000391895.jpg."""
    if url is None:
        return None
    pieces = PurePosixPath(url.split("?")[0].partition("://")[2]).parts
    return "/".join(pieces[-2:]) if len(pieces) >= 3 else None


def _iscrowd(work: _Work) -> None:
    if work.record.get("iscrowd") is None:
        work.record["iscrowd"] = 0


def _number_it(work: _Work) -> None:
    if work.number is None:
        raise _CannotRepairError(Reason.NO_ID, "its place in the file is not known")
    work.record["id"] = work.number


def _object(work: _Work) -> None:
    work.record["iscrowd"] = 0


def _nesting(work: _Work) -> None:
    outline = work.record.get("segmentation")
    rings = as_polygons(outline) if isinstance(outline, list) else None
    if rings is None:
        raise _CannotRepairError(Reason.POLYGON_NESTING, "the segmentation is no outline")
    work.record["segmentation"] = rings


def _short_polygons(work: _Work) -> None:
    _keep_polygons(work.record, Reason.POLYGON_TOO_SHORT, lambda ring: len(ring) >= 6)


def _polygons_outside(work: _Work) -> None:
    width, height = _known(work.size, Reason.POLYGON_OUTSIDE)
    _keep_polygons(work.record, Reason.POLYGON_OUTSIDE, lambda ring: not ring_is_outside(ring, width, height))


def _keep_polygons(record: dict[str, Any], reason: Reason, keep: Callable[[list[float]], bool]) -> None:
    rings = record.get("segmentation")
    kept = [ring for ring in rings if keep(ring)] if isinstance(rings, list) else []
    if not kept:
        raise _CannotRepairError(reason, "no polygon would remain")
    record["segmentation"] = kept


_BOX_REASONS: Final = (Reason.NO_BOX, Reason.BAD_BOX, Reason.BOX_ZERO_SIDE, Reason.BOX_OUTSIDE)


def _box(reason: Reason) -> _Change:
    def change(work: _Work) -> None:
        record = work.record
        if work.kind == "segment" and _box_is_sound(record.get("bbox"), work.size):
            return
        if reason != next(r for r in _BOX_REASONS if r in work.reasons):  # once is enough
            return
        read = _box_in_text(record.get("bbox")) if reason == Reason.BAD_BOX else None
        sound = read if _box_is_sound(read, work.size) else None
        record["bbox"] = sound or _box_of(record.get("segmentation"), work.size, reason)

    return change


def _box_in_text(value: Any) -> list[float] | None:
    """Return the numbers of a box of which some are written as text; None where one is no number."""
    numbers = [as_number(item)[0] for item in value] if isinstance(value, list) else [NAN]
    return numbers if all(map(math.isfinite, numbers)) else None


def _box_is_sound(value: Any, size: Size) -> bool:
    box = as_numbers(value)
    if box is None or len(box) != 4 or not all(map(math.isfinite, box)) or min(box[2:]) <= 0:
        return False
    return size is None or (box[0] < size[0] and box[1] < size[1] and box[0] + box[2] > 0 and box[1] + box[3] > 0)


def _box_of(segmentation: Any, size: Size, reason: Reason) -> list[float]:
    """Return [x, y, width, height] of a segmentation, cut at the image's border."""
    width, height = _known(size, reason)
    if isinstance(segmentation, list):
        numbers = [as_numbers(ring) for ring in segmentation]
        rings = [ring for ring in numbers if ring is not None and len(ring) >= 6 and len(ring) % 2 == 0]
        if not rings or len(rings) < len(segmentation) or not all(math.isfinite(n) for ring in rings for n in ring):
            raise _CannotRepairError(reason, "the segmentation has no sound polygon to make a box from")
        xs = [min(max(x, 0.0), float(width)) for ring in rings for x in ring[0::2]]
        ys = [min(max(y, 0.0), float(height)) for ring in rings for y in ring[1::2]]
        box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    else:
        rle = as_rle(segmentation, width, height)
        if rle is None:
            raise _CannotRepairError(reason, "the segmentation has no sound run lengths to make a box from")
        box = [float(side) for side in coco_mask.toBbox(rle)]
    if box[2] <= 0 or box[3] <= 0:
        raise _CannotRepairError(reason, "the segmentation has no extent within the image")
    return box


def _cut_box(work: _Work) -> None:
    width, height = _known(work.size, Reason.BOX_PARTLY_OUTSIDE)
    box = as_numbers(work.record.get("bbox"))
    if box is None or len(box) != 4:
        raise _CannotRepairError(Reason.BOX_PARTLY_OUTSIDE, "the box is not four numbers")
    left, top = max(box[0], 0.0), max(box[1], 0.0)
    right, bottom = min(box[0] + box[2], float(width)), min(box[1] + box[3], float(height))
    reach = max(-box[0], -box[1], box[0] + box[2] - width, box[1] + box[3] - height)
    if reach <= PIXEL_TOLERANCE:
        return
    if right <= left or bottom <= top:
        raise _CannotRepairError(Reason.BOX_PARTLY_OUTSIDE, "nothing of the box is in the image")
    work.record["bbox"] = [left, top, right - left, bottom - top]


_AREA_REASONS: Final = (Reason.NO_AREA, Reason.BAD_AREA, Reason.AREA_MISMATCH)


def _area(reason: Reason) -> _Change:
    def change(work: _Work) -> None:
        if work.kind == "segment" and as_number(work.record.get("area"))[0] >= 0:
            return
        work.record["area"] = _area_of(work.record, work.size, reason)

    return change


def _area_of(record: dict[str, Any], size: Size, reason: Reason) -> int:
    """Return the pixels of the drawn mask, or of the box where there is no segmentation."""
    width, height = _known(size, reason)
    segmentation = record.get("segmentation")
    if not segmentation and _box_is_sound(record.get("bbox"), size):
        # The box has been cut at the border before. Of the object itself nothing more is known.
        width, height = record["bbox"][2:]
        pixels: int = round(width * height)
        return pixels
    area = drawn_area(segmentation, width, height)
    if area is None:
        raise _CannotRepairError(reason, "the segmentation cannot be drawn")
    return area


def _finite(work: _Work) -> None:
    if work.kind != "annotation":
        return
    box = as_numbers(work.record.get("bbox"))
    if box is not None and not all(map(math.isfinite, box)):
        work.record["bbox"] = _box_of(work.record.get("segmentation"), work.size, Reason.NOT_FINITE)
    area = work.record.get("area")
    if isinstance(area, int | float) and not math.isfinite(as_number(area)[0]):
        work.record["area"] = _area_of(work.record, work.size, Reason.NOT_FINITE)


def _keypoints(work: _Work) -> None:
    points = as_numbers(work.record.get("keypoints"))
    if points is None or len(points) % 3:
        raise _CannotRepairError(Reason.KEYPOINTS_COUNT_DIFFERS, "`keypoints` is no list of points")
    work.record["num_keypoints"] = sum(visibility > 0 for visibility in points[2::3])


def _nothing(work: _Work) -> None:
    """Parsing and writing the record again is the repair."""


_STEPS: Final[tuple[tuple[Reason, _Change], ...]] = (
    (Reason.DUPLICATE_KEY, _nothing),
    (Reason.NO_ID, _number_it),
    (Reason.BAD_SIZE, _sides),
    (Reason.TEXT_ID, _ids),
    (Reason.BAD_FIELD, _fields),
    (Reason.NO_FILE_NAME, _file_name),
    (Reason.FOREIGN_FILE_NAME, _foreign_name),
    (Reason.NO_ISCROWD, _iscrowd),
    (Reason.MOSTLY_CROWDS, _object),
    (Reason.POLYGON_NESTING, _nesting),
    (Reason.POLYGON_TOO_SHORT, _short_polygons),
    (Reason.POLYGON_OUTSIDE, _polygons_outside),
    *((reason, _box(reason)) for reason in _BOX_REASONS),
    (Reason.NOT_FINITE, _finite),
    (Reason.BOX_PARTLY_OUTSIDE, _cut_box),
    *((reason, _area(reason)) for reason in _AREA_REASONS),
    (Reason.KEYPOINTS_COUNT_DIFFERS, _keypoints),
)


def _known(size: Size, reason: Reason) -> tuple[int, int]:
    if size is None or min(size) <= 0:
        raise _CannotRepairError(reason, "the image's width and height are not known")
    return size
