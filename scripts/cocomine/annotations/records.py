"""One record, two ways: the fast types that a well-formed record has, and the lenient reading of any other.

`msgspec` decodes a record straight into the types below, and refuses it when it has a value of another kind. Such a
record is read by `read_image`, `read_object`, … instead: with Python's own JSON reader, value by value, noting every
oddity as a fact; what is the matter with one field hides nothing of another. Both give the same types, so that all
later steps see one form.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, cast

import msgspec

from cocomine.annotations.reasons import Reason, mask_of

NAN: Final = float("nan")
NO_BOX: Final = (NAN, NAN, NAN, NAN)
LARGEST_ID: Final = 2**63 - 1
LARGEST_SIDE: Final = 2**31 - 1

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


class ObjectRecord(msgspec.Struct, gc=False):
    """What the index needs of an object. -1, NaN or None stands for absent.

    `segmentation` is the value's JSON text, empty where there is none; lenient reading puts the parsed value in its
    place: None, polygons, `Rle`, or BAD_SEGMENTATION for anything else.
    """

    id: Id
    image_id: Id
    category_id: Id
    iscrowd: Flag = -1
    area: float = NAN
    bbox: tuple[float, float, float, float] = NO_BOX
    segmentation: msgspec.Raw = msgspec.Raw()


class KeypointRecord(ObjectRecord, gc=False):
    """An object that may have keypoints: three numbers each (x, y, visibility)."""

    num_keypoints: Small = -1
    keypoints: list[float] | None = None


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


@dataclass
class Facts:
    """What lenient reading found besides the values: a mask of reasons, and an id's JSON text if it is no integer."""

    mask: int = 0
    id_text: str | None = None
    keys: Iterable[str] = ()
    """The record's keys."""
    segments: dict[int, "Facts"] = field(default_factory=dict)
    """Of a panoptic record: what was found of its segments, by their place, where anything was."""

    def add(self, reason: Reason) -> None:
        """Note `reason`."""
        self.mask |= mask_of(reason)


class MalformedRecordError(Exception):
    """A record is no JSON. `position` is the byte in the record's text at which it ceases to be."""

    def __init__(self, position: int, message: str) -> None:
        super().__init__(message)
        self.position = position


def parse_leniently(text: bytes, facts: Facts) -> Any:
    """Parse one JSON value as Python does, NaN included, and note duplicate keys, NaN and bad text in `facts`.

    What is nested too deeply is None, and has a bad field. Raises MalformedRecordError when it is no JSON even so.
    """
    try:
        letters = text.decode("utf-8")
    except UnicodeDecodeError:
        letters = text.decode("utf-8", "replace")
        facts.add(Reason.BAD_TEXT)

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(items)
        if len(result) != len(items):
            facts.add(Reason.DUPLICATE_KEY)
        return result

    def constant(name: str) -> float:
        facts.add(Reason.NOT_FINITE)
        return float(name)

    def integer(digits: str) -> int | float:
        return int(digits) if len(digits) <= 4000 else math.inf

    decoder = json.JSONDecoder(object_pairs_hook=pairs, parse_constant=constant, parse_int=integer, strict=False)
    try:
        value = decoder.decode(letters)
    except json.JSONDecodeError as error:
        position = len(letters[: error.pos].encode("utf-8", "replace"))
        raise MalformedRecordError(position, error.msg) from error
    except RecursionError:
        facts.add(Reason.BAD_FIELD)
        return None
    if text.count(b"[") + text.count(b"{") > DEEPEST and _is_deeper(value, DEEPEST):
        facts.add(Reason.BAD_FIELD)
        return None
    if _has_control_letter(text):
        facts.add(Reason.BAD_TEXT)
    if "\\u" in letters and _has_surrogate(value):
        facts.add(Reason.BAD_TEXT)
        return _without_surrogates(value)
    return value


DEEPEST: Final = 100
"""Values that are nested deeper are not read: what is done with them would reach the interpreter's limit."""


def _is_deeper(value: Any, levels: int) -> bool:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return bool(items) and (levels == 0 or any(_is_deeper(item, levels - 1) for item in items))


_IN_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_CONTROL = re.compile(rb"[\x00-\x1f]")


def _has_control_letter(text: bytes) -> bool:
    return _CONTROL.search(text) is not None and any(_CONTROL.search(m.group()) for m in _IN_STRINGS.finditer(text))


def _has_surrogate(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value


_DIGITS = re.compile(r"[0-9]{1,19}")


def as_integer(value: Any, largest: int = LARGEST_ID) -> tuple[int, bool]:
    """Return `value` as an integer from 0 to `largest` and whether it is written as one; (-1, False) when it is none.

    Text of digits and floats without a fraction stand for integers; booleans do not.
    """
    if isinstance(value, bool):
        return -1, False
    plain = isinstance(value, int)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    elif isinstance(value, str) and _DIGITS.fullmatch(value.strip()):
        value = int(value.strip())
    if isinstance(value, int) and 0 <= value <= largest:
        return value, plain
    return -1, False


_NO_WORD: Final = re.compile(r"[+-]?(?:[0-9.]*|nan|inf(?:inity)?|null|none)", re.IGNORECASE)
FIRST_WORD_ID: Final = 2**52
"""Ids that are words are given numbers from here to 2^53 - 1, which every reader of JSON holds exactly."""


def as_id(value: Any) -> tuple[int, bool]:
    """Return an id as an integer and whether it is written as one; (-1, False) for what can be no id.

    As `as_integer`, and a word, such as a UUID, stands for a number made from its SHA-256: the same in every file, so
    that an `image_id` finds its image. Two words meet by chance once in some 10,000 files of a million ids; the second
    is then a duplicate id, as for any other.
    """
    number, plain = as_integer(value)
    if number < 0 and isinstance(value, str) and not _NO_WORD.fullmatch(value.strip()):
        digest = hashlib.sha256(value.encode("utf-8", "replace")).digest()
        return FIRST_WORD_ID + int.from_bytes(digest[:8], "big") % FIRST_WORD_ID, False
    return number, plain


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


def as_number(value: Any) -> tuple[float, bool]:
    """Return `value` as a float and whether it is written as a number; text stands for its number.

    Anything else is (NaN, False).
    """
    if isinstance(value, bool):
        return NAN, False
    try:
        if isinstance(value, int | float):
            return float(value), True
        if isinstance(value, str):
            number = float(value)
            return (number, False) if math.isfinite(number) else (NAN, False)
    except (ValueError, OverflowError):
        pass
    return (math.inf, True) if isinstance(value, int) else (NAN, False)


def _read_flag(record: dict[str, Any], facts: Facts) -> int:
    value = record.get("iscrowd")
    if value is None:
        facts.add(Reason.NO_ISCROWD)
        return -1
    number = flag_of(value)
    if isinstance(value, bool) or not isinstance(value, int) or number < 0:
        facts.add(Reason.BAD_FIELD)
    return number


def flag_of(value: Any) -> int:
    """Return 0 or 1 where `value` stands for it as a number, a boolean or text; else -1."""
    number = int(value) if isinstance(value, bool) else as_integer(value)[0]
    return number if number in (0, 1) else -1


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


def replace_non_finite(value: Any, stand_in: Callable[[float], Any]) -> Any:
    """Return a parsed JSON value with each NaN and infinity replaced, so that it can be written as JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        return stand_in(value)
    if isinstance(value, list):
        return [replace_non_finite(item, stand_in) for item in value]
    if isinstance(value, dict):
        return {key: replace_non_finite(item, stand_in) for key, item in value.items()}
    return value


def as_numbers(value: Any) -> list[float] | None:
    """Return a list of numbers as floats; None for anything else."""
    return [as_number(item)[0] for item in value] if _are_numbers(value) else None


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, int | float) and not isinstance(item, bool) for item in value
    )


def as_polygons(value: list[Any]) -> list[list[Any]] | None:
    """Return an outline as COCO's list of polygons [x0, y0, x1, y1, …]; None where it is no outline.

    It is `value` itself if that has COCO's form. Tools also write one polygon without a list around it, and points as
    [x, y] or {"x": x, "y": y}; three points are the least that an outline of points has.
    """
    if all(_are_numbers(ring) for ring in value) and not (len(value) >= 3 and all(len(ring) == 2 for ring in value)):
        return value
    if len(value) >= 6 and _are_numbers(value):
        return [value]
    if (ring := _joined_points(value)) is not None:
        return [ring]
    rings: list[list[Any]] = []
    for item in value:
        ring = item if _are_numbers(item) else _joined_points(item)
        if ring is None:
            return None
        rings.append(ring)
    return rings


def _joined_points(value: Any) -> list[Any] | None:
    """Return three points or more as one list of their coordinates; None for anything else."""
    if not isinstance(value, list) or len(value) < 3:
        return None
    points = [[item["x"], item["y"]] if isinstance(item, dict) and {"x", "y"} <= set(item) else item for item in value]
    if not all(_are_numbers(point) and len(point) == 2 for point in points):
        return None
    return [number for point in points for number in point]


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


def read_object(text: bytes) -> tuple[KeypointRecord, Facts]:
    """Read any JSON value as an object's annotation."""
    facts = Facts()
    record = _as_object(text, facts)
    if not _readable(facts):
        return KeypointRecord(-1, -1, -1), facts
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
        KeypointRecord(
            id=_read_id_if_any(record, facts),
            image_id=_read_id(record, "image_id", facts),
            category_id=_read_id(record, "category_id", facts),
            iscrowd=_read_flag(record, facts),
            area=_read_area(record, facts),
            bbox=_read_box(record, facts),
            segmentation=cast(msgspec.Raw, segmentation),
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


IMAGE: Final = _kind("image", ImageRecord, read_image)
OBJECT: Final = _kind("object", KeypointRecord, read_object)
CAPTION: Final = _kind("caption", CaptionRecord, read_caption)
PANOPTIC: Final = _kind("panoptic", PanopticRecord, read_panoptic)
KINDS: Final = {kind.name: kind for kind in (IMAGE, OBJECT, CAPTION, PANOPTIC)}
