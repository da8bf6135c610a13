"""Counting and checking the segmentations of a chunk of annotations, all at once.

The question for polygons is which annotations reach out of their image. Turning every coordinate into a number only to
find that nearly none does costs most of an index's time, so whole pixels are read off the text first: the digits before
the decimal point, for all coordinates of the chunk in a few NumPy operations. An annotation whose whole pixels stay
within the image is settled; any other is parsed and looked at exactly. Text that is not laid out as COCO's own files
are (no exponents, the same separator throughout, nothing but numbers in the polygons) is parsed as a whole instead.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

import msgspec
import numpy as np

from cocomine.annotations.lenient import as_polygons
from cocomine.annotations.reasons import Reason, mask_of
from cocomine.annotations.records import BAD_SEGMENTATION, Rle
from cocomine.base.arrays import Array

NONE, POLYGONS, UNCOMPRESSED_RLE, COMPRESSED_RLE, OTHER = range(5)  # as in cocomine.annotations.schema, without pyarrow

FAR: Final = 2**31 - 1
"""Stands for "look at this annotation" among whole pixels: a negative coordinate, or one of four digits and more."""

_ZERO, _MINUS, _COMMA, _SPACE, _OPEN, _CLOSE = (ord(letter) for letter in "0-, []")

SEGMENTATION: Final = msgspec.json.Decoder(list[list[float]] | Rle | None)


class Rings:
    """The polygons of a chunk's annotations.

    `polygons` (int32, an annotation each) counts them, `numbers` (int32, a polygon each) how many numbers they have.
    `reach` (int32, annotations x 2) is the largest x and y, in whole pixels; `near` the largest of the polygons'
    smallest x and y. Both are -1 for an annotation without vertices, FAR for one that must be looked at.
    """

    def __init__(self, polygons: Array, numbers: Array, reach: Array, near: Array) -> None:
        self.polygons = polygons
        self.numbers = numbers
        self.reach = reach
        self.near = near


def segmentation_columns(segmentations: Sequence[Any], iscrowd: Array, reasons: Array) -> dict[str, Array]:
    """Return the segmentation columns of a chunk, and add what is found to `reasons` in place.

    Each segmentation is the value's JSON text (`msgspec.Raw`, empty where there is none) or, after lenient reading,
    None, polygons, `Rle` or BAD_SEGMENTATION. Besides the index's columns there are `rle_height` and `rle_width` (-1
    where there are no run lengths), and `reach_x`, `reach_y`, `near_x`, `near_y` of `Rings`. Raises
    msgspec.ValidationError when a text is neither polygons nor run lengths.
    """
    values, rings = _read(segmentations)
    if (rings.numbers == 2).any():
        values, rings = _with_points_joined(values, rings, reasons)
    first = _first_ring(rings)
    odd = rings.numbers % 2 == 1
    if odd.any():
        mark(reasons, _any_of(odd, first), Reason.POLYGON_ODD)
    short = rings.numbers < 6
    if short.any():
        mark(reasons, _any_of(short, first), Reason.POLYGON_TOO_SHORT)
    vertices = np.diff(np.concatenate([[0], np.cumsum(rings.numbers // 2)])[first])

    kinds, sizes = _forms(values, rings, reasons)
    known = reasons & np.uint64(mask_of(Reason.NOT_AN_OBJECT, Reason.BAD_SEGMENTATION)) != 0
    mark(reasons, (kinds == NONE) & ~known, Reason.NO_SEGMENTATION)
    is_rle = (kinds == UNCOMPRESSED_RLE) | (kinds == COMPRESSED_RLE)
    mark(reasons, is_rle & (iscrowd != 1), Reason.RLE_NOT_CROWD)
    mark(reasons, (kinds == POLYGONS) & (iscrowd == 1), Reason.POLYGON_CROWD)
    return {
        "segmentation": kinds,
        "polygons": rings.polygons,
        "vertices": vertices.astype(np.int32),
        "rle_height": sizes[:, 0],
        "rle_width": sizes[:, 1],
        "reach_x": rings.reach[:, 0],
        "reach_y": rings.reach[:, 1],
        "near_x": rings.near[:, 0],
        "near_y": rings.near[:, 1],
    }


def _read(segmentations: Sequence[Any]) -> tuple[list[Any], Rings]:
    """Return the values, those that are no plain polygons decoded, and their rings."""
    values: list[Any] = list(segmentations)
    rings: Rings | None = None
    others: Sequence[int] = range(len(values))
    if all(type(value) is msgspec.Raw for value in values):
        rings, others = _rings_of_texts(values)
    for place in others:
        if type(values[place]) is msgspec.Raw:
            values[place] = SEGMENTATION.decode(values[place]) if len(values[place]) else None
    return values, _rings_of_values(values) if rings is None else rings


def _with_points_joined(values: Sequence[Any], rings: Rings, reasons: Array) -> tuple[list[Any], Rings]:
    """Join polygons that are written as lists of points, and mark them."""
    decoded = [SEGMENTATION.decode(value) if type(value) is msgspec.Raw else value for value in values]
    for place in np.flatnonzero(_any_of(rings.numbers == 2, _first_ring(rings))).tolist():
        joined = as_polygons(decoded[place])
        if joined is not None and joined is not decoded[place]:
            decoded[place] = joined
            reasons[place] |= np.uint64(mask_of(Reason.POLYGON_NESTING))
    return decoded, _rings_of_values(decoded)


def _first_ring(rings: Rings) -> Array:
    """The number of each segmentation's first ring; one more is where the last ends."""
    return np.concatenate([[0], np.cumsum(rings.polygons)])


def _forms(values: Sequence[Any], rings: Rings, reasons: Array) -> tuple[Array, Array]:
    """Return the form of each segmentation and the (height, width) of its run lengths; mark those of a wrong sum."""
    kinds = np.where(rings.polygons > 0, POLYGONS, NONE).astype(np.int8)
    sizes = np.full((len(values), 2), -1, np.int32)
    for place in np.flatnonzero(rings.polygons == 0).tolist():
        rle = values[place]
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


def _any_of(flags: Array, first: Array) -> Array:
    """Return for each group of `flags` (group i is from first[i] to first[i + 1]) whether any is set."""
    result: Array = np.diff(np.concatenate([[0], np.cumsum(flags)])[first]) > 0
    return result


def _rings_of_texts(texts: list[msgspec.Raw]) -> tuple[Rings | None, Sequence[int]]:
    """Screen JSON texts; return the rings and the places of texts that are no polygons, which remain to be parsed.

    The rings are None, and all places remain, when a text is not laid out as COCO's are.
    """
    n = len(texts)
    everything = range(n)
    lengths = np.fromiter(map(len, texts), np.int64, n)
    joined = b" ".join([*texts, b" "])
    begins = np.cumsum(lengths + 1) - lengths - 1
    is_list = (np.frombuffer(joined, np.uint8)[begins] == _OPEN) & (lengths > 2)  # "[]" has no polygon
    places = np.flatnonzero(is_list)
    if not len(places):
        return None, everything
    chosen = texts if len(places) == n else [texts[place] for place in places.tolist()]
    screened = screen(chosen, lengths[places])
    if screened is None:
        return None, everything
    if len(places) == n:
        return screened, ()
    polygons = np.zeros(n, np.int32)
    reach, near = np.full((n, 2), -1, np.int32), np.full((n, 2), -1, np.int32)
    polygons[places], reach[places], near[places] = screened.polygons, screened.reach, screened.near
    return Rings(polygons, screened.numbers, reach, near), np.flatnonzero(~is_list).tolist()


def screen(texts: Sequence[Any], lengths: Array) -> Rings | None:
    """Return the rings of texts that are each valid JSON and start with "["; None where the layout is not COCO's.

    The layout: "[[", numbers, "]" and "[" around further polygons, "]]"; one separator, "," or ", ", throughout; no
    exponent. Then a comma is followed by a number or by "[", a "[" inside a text stands between "]" and a number, and
    whatever else may stand in valid JSON shows as a letter that is out of place.
    """
    separator = b", " if b", " in bytes(texts[0]) else b","
    gap = len(separator)
    joined = separator.join([*texts, b"      "])
    if b"e" in joined or b"E" in joined:
        return None
    letters = np.frombuffer(joined, np.uint8)
    commas = np.flatnonzero(letters == _COMMA)[:-1]  # the last is before the padding
    if gap == 2 and not (letters[commas + 1] == _SPACE).all():
        return None
    tokens = np.empty(len(commas) + 1, np.int64)
    tokens[0] = 0
    np.add(commas, gap, out=tokens[1:])
    first = letters[tokens]
    rings = np.flatnonzero(first == _OPEN)
    starts = tokens[rings]
    is_outer = letters[starts + 1] == _OPEN
    if not np.array_equal(starts[is_outer], np.cumsum(lengths + gap) - lengths - gap):
        return None
    if not (letters[starts[~is_outer] - gap - 1] == _CLOSE).all():
        return None
    closes = np.flatnonzero(letters == _CLOSE)
    after = letters[closes + 1]
    opens_next = (after == _COMMA) & (letters[closes + 1 + gap] == _OPEN)
    opens_next[-1] = True
    if not (opens_next | (after == _CLOSE)).all():
        return None
    tokens[rings] = starts + 1 + is_outer
    first[rings] = letters[tokens[rings]]
    pixels = _whole_pixels(letters, tokens, first)
    numbers = np.diff(rings, append=len(tokens))
    if pixels is None or (numbers & 1).any():
        return None
    outer = np.flatnonzero(is_outer)
    begins = rings >> 1
    reach, near = np.empty((len(texts), 2), np.int32), np.empty((len(texts), 2), np.int32)
    for axis in (0, 1):
        values = np.ascontiguousarray(pixels[axis::2])
        reach[:, axis] = np.maximum.reduceat(values, begins[outer])
        near[:, axis] = np.maximum.reduceat(np.minimum.reduceat(values, begins), outer)
    reach[reach == _MANY] = FAR
    return Rings(np.diff(outer, append=len(rings)).astype(np.int32), numbers.astype(np.int32), reach, near)


_MANY: Final = 2**16 - 1


def _whole_pixels(letters: Array, tokens: Array, first: Array) -> Array | None:
    """Return the digits before the decimal point of the numbers at `tokens`, as uint16; None when one is no number.

    Negative numbers and those of four digits and more are 65535. `first` holds the letters at `tokens`.
    """
    digit = first - np.uint8(_ZERO)  # other letters wrap around to more than 9
    is_negative = first == _MINUS
    if ((digit > 9) & ~is_negative).any():
        return None
    pixels = digit.astype(np.uint16)
    more = np.ones(len(tokens), bool)
    for place in (1, 2):
        digit = letters[tokens + place] - np.uint8(_ZERO)
        more &= digit <= 9
        pixels = np.where(more, pixels * np.uint16(10) + digit, pixels)
    far = more & (letters[tokens + 3] - np.uint8(_ZERO) <= 9)
    far |= is_negative
    pixels[far] = _MANY
    return pixels


def _rings_of_values(values: Sequence[Any]) -> Rings:
    """Measure parsed segmentations; whatever is no list has no polygons. An odd polygon's last number is left out."""
    n = len(values)
    polygons_of = [value if type(value) is list else () for value in values]
    polygons = np.fromiter(map(len, polygons_of), np.int32, n)
    rings: list[list[float]] = list(chain.from_iterable(polygons_of))
    numbers = np.fromiter(map(len, rings), np.int32, len(rings))
    reach, near = np.full((n, 2), -1, np.int32), np.full((n, 2), -1, np.int32)
    owners = np.repeat(np.arange(n), polygons)
    for owner, ring in zip(owners.tolist(), rings, strict=True):
        for axis in (0, 1):
            values_of_axis = ring[axis : len(ring) // 2 * 2 : 2]
            if values_of_axis:
                low, high = min(values_of_axis), max(values_of_axis)
                reach[owner, axis] = max(reach[owner, axis], FAR if low < 0 else _whole(high))
                near[owner, axis] = max(near[owner, axis], _whole(low))
    return Rings(polygons, numbers, reach, near)


def _whole(value: float) -> int:
    """Return the whole pixels of a coordinate; FAR beyond a million, -1 for NaN and below zero."""
    return FAR if value >= 1e6 else int(value) if value >= 0 else -1


def rle_is_sound(rle: Rle) -> bool:
    """Return whether the runs are not negative and add up to height x width."""
    try:
        runs = decode_counts(rle.counts).tolist() if isinstance(rle.counts, str) else rle.counts
    except ValueError:
        return False
    height, width = rle.size
    return min(height, width) >= 0 and min(runs, default=0) >= 0 and sum(runs) == height * width


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
