"""Counting and checking the segmentations of a chunk of annotations, all at once.

The question for polygons is which annotations reach out of their image. Turning every coordinate into a number only to
find that nearly none does costs most of an index's time, so whole pixels are read off the text first: the digits before
the decimal point, for all coordinates of the chunk in a few NumPy operations. An annotation whose whole pixels stay
within the image is settled; any other is parsed and looked at exactly. Polygons that are not laid out as COCO's own are
(nothing but numbers, no exponents, the same separator throughout) are parsed instead.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import msgspec
import numpy as np

from cocomine.annotations.lenient import as_polygons
from cocomine.annotations.reasons import Reason, mask_of
from cocomine.annotations.records import BAD_SEGMENTATION, Rle
from cocomine.base.arrays import Array

NONE, POLYGONS, UNCOMPRESSED_RLE, COMPRESSED_RLE, OTHER = range(5)
"""The values of the column `segmentation`."""

FAR: Final = 2**31 - 1
"""Stands for "look at this annotation" among whole pixels: a negative coordinate, or one of four digits and more."""

_ZERO, _MINUS, _COMMA, _SPACE, _OPEN = (ord(letter) for letter in "0-, [")

_RING: Final = msgspec.json.Decoder(list[float])


@dataclass(frozen=True)
class Rings:
    """Polygons: how many `numbers` each has (int32), and its least and largest x and y in whole pixels (int32, n x 2).

    `low` and `high` are -1 for a polygon without vertices; one of them is FAR for one that must be looked at.
    """

    numbers: Array
    low: Array
    high: Array


def segmentation_columns(segmentations: Sequence[Any], iscrowd: Array, reasons: Array) -> dict[str, Array]:
    """Return the segmentation columns of a chunk, and add what is found to `reasons` in place.

    Each segmentation is None, `Rle`, BAD_SEGMENTATION or polygons: each the JSON text of a list (`msgspec.Raw`) or,
    after lenient reading, the list. Besides the index's columns there are `rle_height` and `rle_width` (-1 where there
    are no run lengths), and in whole pixels `reach_x` and `reach_y`, the largest of the polygons' coordinates, and
    `near_x` and `near_y`, the largest of the polygons' least ones: -1 without vertices, FAR for an annotation that
    must be looked at. Raises msgspec.ValidationError when a polygon is no list of numbers.
    """
    outlines = [value if type(value) is list else [] for value in segmentations]
    rings, first = _measure(outlines)
    if (rings.numbers == 2).any():
        _join_points(outlines, _any_of(rings.numbers == 2, first), reasons)
        rings, first = _measure(outlines)
    mark(reasons, _any_of(rings.numbers % 2 == 1, first), Reason.POLYGON_ODD)
    mark(reasons, _any_of(rings.numbers < 6, first), Reason.POLYGON_TOO_SHORT)
    polygons = np.diff(first).astype(np.int32)
    kinds, sizes = _forms(segmentations, polygons, reasons)
    known = reasons & np.uint64(mask_of(Reason.NOT_AN_OBJECT, Reason.BAD_SEGMENTATION)) != 0
    mark(reasons, (kinds == NONE) & ~known, Reason.NO_SEGMENTATION)
    is_rle = (kinds == UNCOMPRESSED_RLE) | (kinds == COMPRESSED_RLE)
    mark(reasons, is_rle & (iscrowd != 1), Reason.RLE_NOT_CROWD)
    mark(reasons, (kinds == POLYGONS) & (iscrowd == 1), Reason.POLYGON_CROWD)
    reach, near = _largest_of(rings.high, first), _largest_of(rings.low, first)
    return {
        "segmentation": kinds,
        "polygons": polygons,
        "vertices": _sum_of(rings.numbers // 2, first).astype(np.int32),
        "rle_height": sizes[:, 0],
        "rle_width": sizes[:, 1],
        "reach_x": reach[:, 0],
        "reach_y": reach[:, 1],
        "near_x": near[:, 0],
        "near_y": near[:, 1],
    }


def _measure(outlines: list[list[Any]]) -> tuple[Rings, Array]:
    """Return all polygons of the outlines, and the number of each outline's first; one more is where the last ends."""
    first = np.concatenate([[0], np.cumsum(np.fromiter(map(len, outlines), np.int64, len(outlines)))])
    rings = [*chain.from_iterable(outlines)]
    return screen(rings) or _measure_parsed(parsed(rings)), first


def parsed(rings: Sequence[Any]) -> list[list[float]]:
    """Return polygons as lists of numbers; raises msgspec.ValidationError when a text is none."""
    return [ring if type(ring) is list else _RING.decode(ring) for ring in rings]


def _join_points(outlines: list[list[Any]], where: Array, reasons: Array) -> None:
    """Join polygons that are written as lists of points in place, and mark them."""
    for place in np.flatnonzero(where).tolist():
        polygons = parsed(outlines[place])
        joined = as_polygons(polygons)
        if joined is not None and joined is not polygons:
            outlines[place] = joined
            reasons[place] |= np.uint64(mask_of(Reason.POLYGON_NESTING))


def _forms(segmentations: Sequence[Any], polygons: Array, reasons: Array) -> tuple[Array, Array]:
    """Return the form of each segmentation and the (height, width) of its run lengths; mark those of a wrong sum."""
    kinds = np.where(polygons > 0, POLYGONS, NONE).astype(np.int8)
    sizes = np.full((len(segmentations), 2), -1, np.int32)
    for place in np.flatnonzero(polygons == 0).tolist():
        rle = segmentations[place]
        if rle is BAD_SEGMENTATION:
            kinds[place] = OTHER
        elif type(rle) is Rle:
            kinds[place] = COMPRESSED_RLE if isinstance(rle.counts, str) else UNCOMPRESSED_RLE
            sizes[place] = [min(max(side, -1), 2**31 - 1) for side in rle.size]
            if not rle_is_sound(rle):
                reasons[place] |= np.uint64(mask_of(Reason.RLE_SUM))
    return kinds, sizes


def mark(reasons: Array, where: Array, reason: Reason) -> None:
    """Add `reason` to the masks at `where`."""
    if where.any():
        reasons[where] |= np.uint64(mask_of(reason))


def _sum_of(values: Array, first: Array) -> Array:
    """Return the sum of each group of `values`: group i is from first[i] to first[i + 1]."""
    result: Array = np.diff(np.concatenate([[0], np.cumsum(values)])[first])
    return result


def _any_of(flags: Array, first: Array) -> Array:
    """Return for each group (see `_sum_of`) whether any of its flags is set."""
    return _sum_of(flags, first) > 0 if flags.any() else np.zeros(len(first) - 1, bool)


def _largest_of(values: Array, first: Array) -> Array:
    """Return the largest of each group (see `_sum_of`) in both columns; -1 of an empty group."""
    result = np.full((len(first) - 1, 2), -1, np.int32)
    is_some = first[1:] > first[:-1]
    result[is_some] = np.maximum.reduceat(values, first[:-1][is_some])
    return result


def screen(rings: Sequence[Any]) -> Rings | None:
    """Measure polygons that are JSON texts by their letters; None where the layout is not COCO's, or a ring no text.

    The layout: "[", numbers, "]"; one separator, "," or ", ", throughout; no exponent; an even count of numbers. Each
    text is valid JSON: if it starts with "[", and a digit or "-" follows that and every comma, it is a list of numbers.
    """
    if not rings or list in map(type, rings):
        return None
    separator = b", " if b", " in bytes(rings[0]) else b","
    gap = len(separator)
    joined = separator.join([*rings, b"      "])  # so that no look ahead leaves the text
    if b"e" in joined or b"E" in joined:
        return None
    letters = np.frombuffer(joined, np.uint8)
    commas = np.flatnonzero(letters == _COMMA)[:-1]  # the last is before the padding
    if gap == 2 and not (letters[1:][commas] == _SPACE).all():
        return None
    tokens = np.empty(len(commas) + 1, np.int64)
    tokens[0] = 0
    np.add(commas, gap, out=tokens[1:])
    first = np.flatnonzero(letters[tokens] == _OPEN)
    lengths = np.fromiter(map(len, rings), np.int64, len(rings)) + gap
    if not np.array_equal(tokens[first], np.cumsum(lengths) - lengths):
        return None
    tokens[first] += 1
    pixels = _whole_pixels(letters, tokens)
    numbers = np.diff(first, append=len(tokens))
    if pixels is None or (numbers & 1).any():
        return None
    low, high = np.empty((len(rings), 2), np.int32), np.empty((len(rings), 2), np.int32)
    for axis in (0, 1):
        values = np.ascontiguousarray(pixels[axis::2])
        low[:, axis] = np.minimum.reduceat(values, first >> 1)
        high[:, axis] = np.maximum.reduceat(values, first >> 1)
    high[high == _MANY] = FAR
    return Rings(numbers.astype(np.int32), low, high)


_MANY: Final = 2**16 - 1


def _whole_pixels(letters: Array, tokens: Array) -> Array | None:
    """Return the digits before the decimal point of the numbers at `tokens`, as uint16; None when one is no number.

    Negative numbers and those of four digits and more are 65535.
    """
    first = letters[tokens]
    digit = first - np.uint8(_ZERO)  # other letters wrap around to more than 9
    is_negative = first == _MINUS
    if ((digit > 9) & ~is_negative).any():
        return None
    pixels = digit.astype(np.uint16)
    more = np.ones(len(tokens), bool)
    for place in (1, 2):
        digit = letters[place:][tokens] - np.uint8(_ZERO)
        more &= digit <= 9
        pixels = np.where(more, pixels * np.uint16(10) + digit, pixels)
    far = more & (letters[3:][tokens] - np.uint8(_ZERO) <= 9)
    far |= is_negative
    pixels[far] = _MANY
    return pixels


def _measure_parsed(rings: Sequence[list[float]]) -> Rings:
    """Measure polygons. An odd one's last number is left out."""
    low, high = np.full((len(rings), 2), -1, np.int32), np.full((len(rings), 2), -1, np.int32)
    for place, ring in enumerate(rings):
        for axis in (0, 1):
            values = ring[axis : len(ring) // 2 * 2 : 2]
            if values:
                low[place, axis] = _whole(min(values))
                high[place, axis] = FAR if min(values) < 0 else _whole(max(values))
    return Rings(np.fromiter(map(len, rings), np.int32, len(rings)), low, high)


def _whole(value: float) -> int:
    """Return the whole pixels of a coordinate; FAR beyond a million, -1 for NaN and below zero."""
    return FAR if value >= 1e6 else int(value) if value >= 0 else -1


def rle_is_sound(rle: Rle) -> bool:
    """Return whether the runs are not negative and add up to height x width."""
    try:
        runs = decode_counts(rle.counts).tolist() if isinstance(rle.counts, str) else rle.counts
        array("Q", runs)  # an overflow if one is negative, in a third of the time of min()
    except (ValueError, OverflowError):
        return False
    height, width = rle.size
    return min(height, width) >= 0 and sum(runs) == height * width


def decode_counts(text: str) -> Array:
    """Return the runs (int64) of COCO's compressed counts.

    The form is that of `rleFrString` in pycocotools' maskApi.c: numbers of base 32, 5 bits a letter from 48 ("0") on,
    the lowest first, bit 5 for "more follows", the last letter's bit 4 for the sign; from the fourth run on each
    number is the difference to the run two before. Raises ValueError when the text is no such thing.
    """
    letters = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - 48
    if not len(letters):
        return letters
    if (letters < 0).any() or (letters > 63).any() or letters[-1] & 32:
        raise ValueError("not compressed counts")
    lasts = np.flatnonzero(letters & 32 == 0)
    firsts = np.concatenate([[0], lasts[:-1] + 1])
    if (lasts - firsts).max() > 11:
        raise ValueError("a run of more than 60 bits")
    digit = np.arange(len(letters)) - np.repeat(firsts, lasts - firsts + 1)
    numbers = np.add.reduceat((letters & 31) << (5 * digit), firsts)
    numbers = np.where(letters[lasts] & 16, numbers - (1 << (5 * (lasts - firsts + 1))), numbers)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers
