"""One record, two ways: the fast types that a well-formed record has, and the reading of any other, field by field.

`msgspec` decodes a record straight into the types below, and refuses it when it has a value of another kind. Such a
record is read by `read_image`, `read_object`, … instead: with Python's own JSON reader, value by value, noting every
oddity as a fact; what is the matter with one field hides nothing of another. Both give the same types, so that all
later steps see one form.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, cast

import msgspec

from cocomine.annotations.lenient import (
    LARGEST_ID,
    LARGEST_SIDE,
    NAN,
    Facts,
    as_id,
    as_integer,
    as_number,
    as_numbers,
    as_polygons,
    flag_of,
    parse_leniently,
)
from cocomine.annotations.reasons import Reason, mask_of

NO_BOX: Final = (NAN, NAN, NAN, NAN)

Id = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_ID)]
Flag = Annotated[int, msgspec.Meta(ge=0, le=1)]
Side = Annotated[int, msgspec.Meta(ge=1, le=LARGEST_SIDE)]
Small = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_SIDE)]


class Rle(msgspec.Struct, gc=False):
    """Run lengths: [height, width] and the column-major runs, as numbers or as COCO's compressed text."""

    size: tuple[int, int]
    counts: list[int] | str


class ImageRecord(msgspec.Struct, gc=False):
    """What the index needs of an image. A negative number or None stands for absent."""

    id: Id
    width: Side
    height: Side
    file_name: str | None = None
    license: Small = -1
    coco_url: str | None = None
    flickr_url: str | None = None
    date_captured: str | None = None


class ObjectRecord(msgspec.Struct, gc=False, kw_only=True):
    """What the index needs of an object; in COCO's order, in which it is decoded fastest. -1, NaN or None: absent.

    Polygons are the JSON text of each; lenient reading puts them parsed in their place, and BAD_SEGMENTATION for what
    is no segmentation. Keypoints are three numbers each (x, y, visibility).
    """

    segmentation: list[msgspec.Raw] | Rle | None = None
    num_keypoints: Small = -1
    area: float = NAN
    iscrowd: Flag = -1
    keypoints: list[float] | None = None
    image_id: Id
    bbox: tuple[float, float, float, float] = NO_BOX
    category_id: Id
    id: Id


class CaptionRecord(msgspec.Struct, gc=False):
    """What the index needs of a caption."""

    id: Id
    image_id: Id
    caption: str


class SegmentRecord(msgspec.Struct, gc=False):
    """What the index needs of one segment of a panoptic record."""

    id: Id
    category_id: Id
    iscrowd: Flag = -1
    area: float = NAN
    bbox: tuple[float, float, float, float] = NO_BOX


class PanopticRecord(msgspec.Struct, gc=False):
    """What the index needs of a panoptic record: the segments of one image."""

    image_id: Id
    file_name: str
    segments_info: list[SegmentRecord]


BAD_SEGMENTATION: Final = Rle((-1, -1), "")
"""Stands for a segmentation of no known form; told apart by identity."""


def _read_id(record: dict[str, Any], key: str, facts: Facts) -> int:
    number, plain = as_id(record.get(key))
    if number < 0:
        facts.add(Reason.BAD_ID)
    elif not plain:
        facts.add(Reason.TEXT_ID)
    return number


def _read_own_id(record: dict[str, Any], facts: Facts) -> int:
    number = _read_id(record, "id", facts)
    value = record.get("id")
    if "id" in record and (number < 0 or isinstance(value, bool) or not isinstance(value, int)):
        facts.id_text = json.dumps(value)[:200]
    return number


def _read_id_if_any(record: dict[str, Any], facts: Facts) -> int:
    """Read the id of a record that can be numbered where it has none."""
    if record.get("id") is None:
        facts.add(Reason.NO_ID)
        return -1
    return _read_own_id(record, facts)


def _read_text(record: dict[str, Any], key: str) -> str | None:
    value = record.get(key)
    return value if isinstance(value, str) else None


def _read_flag(record: dict[str, Any], facts: Facts) -> int:
    value = record.get("iscrowd")
    if value is None:
        facts.add(Reason.NO_ISCROWD)
        return -1
    number = flag_of(value)
    if isinstance(value, bool) or not isinstance(value, int) or number < 0:
        facts.add(Reason.BAD_FIELD)
    return number


def _read_area(record: dict[str, Any], facts: Facts) -> float:
    value = record.get("area")
    if value is None:
        facts.add(Reason.NO_AREA)
        return NAN
    number, plain = as_number(value)
    if math.isnan(number) and not isinstance(value, float):
        facts.add(Reason.BAD_AREA)
    elif not math.isfinite(number):
        facts.add(Reason.NOT_FINITE)
    elif not plain:
        facts.add(Reason.BAD_FIELD)
    return number


def _read_box(record: dict[str, Any], facts: Facts) -> tuple[float, float, float, float]:
    value = record.get("bbox")
    if value is None:
        facts.add(Reason.NO_BOX)
        return NO_BOX
    numbers = as_numbers(value)
    if numbers is None or len(numbers) != 4:
        facts.add(Reason.BAD_BOX)
        return NO_BOX
    if not all(map(math.isfinite, numbers)):
        facts.add(Reason.NOT_FINITE)
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _read_segmentation(record: dict[str, Any], facts: Facts) -> list[list[float]] | Rle | None:
    value = record.get("segmentation")
    if value is None or value == []:
        return None
    if isinstance(value, list):
        rings = as_polygons(value)
        if rings is None:
            return BAD_SEGMENTATION
        if rings is not value:
            facts.add(Reason.POLYGON_NESTING)
        result = [[as_number(number)[0] for number in ring] for ring in rings]
        if not all(math.isfinite(number) for polygon in result for number in polygon):
            facts.add(Reason.NOT_FINITE)
        return result
    if isinstance(value, dict):
        try:
            return msgspec.convert(value, Rle)
        except msgspec.ValidationError:
            return BAD_SEGMENTATION
    return BAD_SEGMENTATION


def _as_object(text: bytes, facts: Facts) -> dict[str, Any]:
    value = parse_leniently(text, facts)
    if not isinstance(value, dict):
        if not facts.mask & mask_of(Reason.BAD_FIELD):
            facts.add(Reason.NOT_AN_OBJECT)
        return {}
    facts.keys = value.keys()
    return value


def read_image(text: bytes) -> tuple[ImageRecord, Facts]:
    """Read any JSON value as an image."""
    facts = Facts()
    record = _as_object(text, facts)
    number = _read_own_id(record, facts) if _readable(facts) else -1
    sides = []
    for key in ("width", "height"):
        value, plain = as_integer(record.get(key), LARGEST_SIDE)
        sides.append(value if value > 0 else -1)
        if _readable(facts):
            if value <= 0:
                facts.add(Reason.BAD_SIZE)
            elif not plain:
                facts.add(Reason.BAD_FIELD)
    licence, plain = as_integer(record.get("license"), LARGEST_SIDE)
    if record.get("license") is not None and not plain:
        facts.add(Reason.BAD_FIELD)
    name = record.get("file_name")
    if name is not None and not isinstance(name, str):
        facts.add(Reason.BAD_FIELD)
    return (
        ImageRecord(
            id=number,
            width=sides[0],
            height=sides[1],
            file_name=_read_text(record, "file_name"),
            license=licence,
            coco_url=_read_text(record, "coco_url"),
            flickr_url=_read_text(record, "flickr_url"),
            date_captured=_read_text(record, "date_captured"),
        ),
        facts,
    )


def _readable(facts: Facts) -> bool:
    """Return whether the record is an object, so that an absent field is a fact of its own."""
    return not facts.mask & mask_of(Reason.NOT_AN_OBJECT)


def read_object(text: bytes) -> tuple[ObjectRecord, Facts]:
    """Read any JSON value as an object's annotation."""
    facts = Facts()
    record = _as_object(text, facts)
    if not _readable(facts):
        return ObjectRecord(id=-1, image_id=-1, category_id=-1), facts
    segmentation = _read_segmentation(record, facts)
    if segmentation is BAD_SEGMENTATION:
        facts.add(Reason.BAD_SEGMENTATION)
    keypoints = record.get("keypoints")
    numbers = as_numbers(keypoints)
    if keypoints is not None and (numbers is None or not all(map(math.isfinite, numbers))):
        facts.add(Reason.BAD_KEYPOINTS)
        numbers = None
    count = record.get("num_keypoints")
    number, plain = as_integer(count, LARGEST_SIDE)
    if count is not None and not plain:
        facts.add(Reason.BAD_FIELD)
    return (
        ObjectRecord(
            id=_read_id_if_any(record, facts),
            image_id=_read_id(record, "image_id", facts),
            category_id=_read_id(record, "category_id", facts),
            iscrowd=_read_flag(record, facts),
            area=_read_area(record, facts),
            bbox=_read_box(record, facts),
            segmentation=cast(Any, segmentation),
            num_keypoints=number,
            keypoints=numbers,
        ),
        facts,
    )


def read_caption(text: bytes) -> tuple[CaptionRecord, Facts]:
    """Read any JSON value as a caption."""
    facts = Facts()
    record = _as_object(text, facts)
    if not _readable(facts):
        return CaptionRecord(-1, -1, ""), facts
    caption = record.get("caption")
    if caption is not None and not isinstance(caption, str):
        facts.add(Reason.BAD_FIELD)
    elif not (caption or "").strip():
        facts.add(Reason.NO_CAPTION)
    return (
        CaptionRecord(
            id=_read_id_if_any(record, facts),
            image_id=_read_id(record, "image_id", facts),
            caption=caption if isinstance(caption, str) else "",
        ),
        facts,
    )


def read_panoptic(text: bytes) -> tuple[PanopticRecord, Facts]:
    """Read any JSON value as a panoptic record."""
    facts = Facts()
    record = _as_object(text, facts)
    if not _readable(facts):
        return PanopticRecord(-1, "", []), facts
    segments = []
    infos = record.get("segments_info")
    if infos is not None and not isinstance(infos, list):
        facts.add(Reason.BAD_FIELD)
    for place, info in enumerate(infos if isinstance(infos, list) else []):
        own = Facts()
        if not isinstance(info, dict):
            own.add(Reason.NOT_AN_OBJECT)
            segments.append(SegmentRecord(-1, -1))
        else:
            segments.append(
                SegmentRecord(
                    id=_read_own_id(info, own),
                    category_id=_read_id(info, "category_id", own),
                    iscrowd=_read_flag(info, own),
                    area=_read_area(info, own),
                    bbox=_read_box(info, own),
                )
            )
        if own.mask:
            facts.segments[place] = own
    name = record.get("file_name")
    if not isinstance(name, str):
        facts.add(Reason.NO_FILE_NAME)
    return (
        PanopticRecord(
            image_id=_read_id(record, "image_id", facts),
            file_name=name if isinstance(name, str) else "",
            segments_info=segments,
        ),
        facts,
    )


@dataclass(frozen=True)
class CategoryFacts:
    """A category as read: its id (-1 when unusable), its name (None when absent) and the facts about it."""

    id: int
    name: str | None
    value: Any
    facts: Facts


def read_category(text: bytes) -> CategoryFacts:
    """Read any JSON value as a category."""
    facts = Facts()
    record = _as_object(text, facts)
    if not _readable(facts):
        return CategoryFacts(-1, None, None, facts)
    name = _read_text(record, "name")
    if name is None or not name.strip():
        facts.add(Reason.NO_NAME)
    return CategoryFacts(_read_own_id(record, facts), name, record, facts)


@dataclass(frozen=True)
class Kind:
    """How one kind of record is decoded.

    `decoder` decodes a record to the fast type, `read` reads one leniently; `known` are the keys that the fast type
    takes in.
    """

    name: str
    decoder: Any
    read: Callable[[bytes], tuple[Any, Facts]]
    known: frozenset[str]


def _kind(name: str, record: Any, read: Callable[[bytes], tuple[Any, Facts]]) -> Kind:
    known = frozenset(field.encode_name for field in msgspec.structs.fields(record))
    return Kind(name, msgspec.json.Decoder(record), read, known)


KINDS: Final = {
    "image": _kind("image", ImageRecord, read_image),
    "object": _kind("object", ObjectRecord, read_object),
    "caption": _kind("caption", CaptionRecord, read_caption),
    "panoptic": _kind("panoptic", PanopticRecord, read_panoptic),
}
