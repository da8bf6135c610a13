"""Reading what stands in a record as leniently as can be: any JSON that Python reads, and values of odd forms."""

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from cocomine.annotations.reasons import Reason, mask_of

NAN: Final = float("nan")
LARGEST_ID: Final = 2**63 - 1
LARGEST_SIDE: Final = 2**31 - 1


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
        return mapped(value, lambda one: one.encode("utf-8", "replace").decode() if isinstance(one, str) else one)
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


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return a parsed JSON value with `change` of each key, and of each value that is no list and no object."""
    if isinstance(value, list):
        return [mapped(item, change) for item in value]
    if isinstance(value, dict):
        return {change(key): mapped(item, change) for key, item in value.items()}
    return change(value)


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


FIRST_WORD_ID: Final = 2**52
"""Ids that are words are given numbers from here to 2^53 - 1, which every reader of JSON holds exactly."""


_NO_WORD: Final = re.compile(r"[+-]?(?:[0-9.]*|nan|inf(?:inity)?|null|none)", re.IGNORECASE)


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


def flag_of(value: Any) -> int:
    """Return 0 or 1 where `value` stands for it as a number, a boolean or text; else -1."""
    number = int(value) if isinstance(value, bool) else as_integer(value)[0]
    return number if number in (0, 1) else -1


def replace_non_finite(value: Any, stand_in: Callable[[float], Any]) -> Any:
    """Return a parsed JSON value with each NaN and infinity replaced, so that it can be written as JSON."""
    return mapped(value, lambda one: stand_in(one) if isinstance(one, float) and not math.isfinite(one) else one)


def as_numbers(value: Any) -> list[float] | None:
    """Return a list of numbers as floats; None for anything else."""
    if not _are_numbers(value):
        return None
    try:
        return list(map(float, value))
    except OverflowError:
        return [as_number(item)[0] for item in value]


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and {int, float}.issuperset(map(type, value))


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
