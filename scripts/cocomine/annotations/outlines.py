"""Counting and checking the segmentations of a chunk of annotations, all at once."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from cocomine.annotations.reasons import Reason, mask_of
from cocomine.annotations.records import BAD_SEGMENTATION, Rle, as_polygons

Array = npt.NDArray[Any]

NONE, POLYGONS, UNCOMPRESSED_RLE, COMPRESSED_RLE, OTHER = range(5)  # as in cocomine.annotations.schema, without pyarrow


def segmentation_columns(segmentations: Sequence[Any], iscrowd: Array, reasons: Array) -> dict[str, Array]:
    """Return the segmentation columns of a chunk, and add what is found to `reasons` in place.

    Each segmentation is None, a list of polygons, `Rle` or BAD_SEGMENTATION. Besides the index's columns there are
    `rle_height` and `rle_width` (-1 where there are no run lengths), and `lowest`, `largest_x` and `largest_y`: the
    extent of all vertices in whole pixels (int32), 0 where there are none; `lowest` is -1 for anything below or NaN.
    """
    n = len(segmentations)
    polygons_of = [value if type(value) is list else [] for value in segmentations]
    rings, numbers = _rings(polygons_of)
    if (numbers == 2).any():  # the points of one polygon, perhaps
        for place, value in enumerate(polygons_of):
            joined = as_polygons(value)
            if joined is not None and joined is not value:
                polygons_of[place] = joined
                reasons[place] |= np.uint64(mask_of(Reason.POLYGON_NESTING))
        rings, numbers = _rings(polygons_of)
    polygons = np.fromiter(map(len, polygons_of), np.int32, n)
    owners = np.repeat(np.arange(n), polygons)
    is_odd = numbers % 2 == 1
    _mark_places(reasons, owners[is_odd], Reason.POLYGON_ODD)
    _mark_places(reasons, owners[numbers < 6], Reason.POLYGON_TOO_SHORT)
    vertices = np.bincount(owners, numbers // 2, n).astype(np.int64)
    if is_odd.any():
        rings = [ring[: len(ring) // 2 * 2] for ring in rings]

    kinds = np.where(polygons > 0, POLYGONS, NONE).astype(np.int8)
    sizes = np.full((n, 2), -1, np.int32)
    for place in np.flatnonzero(polygons == 0).tolist():
        rle = segmentations[place]
        if rle is BAD_SEGMENTATION:
            kinds[place] = OTHER
        elif type(rle) is Rle:
            kinds[place] = COMPRESSED_RLE if isinstance(rle.counts, str) else UNCOMPRESSED_RLE
            sizes[place] = [min(max(side, -1), 2**31 - 1) for side in rle.size]
            if not rle_is_sound(rle):
                reasons[place] |= np.uint64(mask_of(Reason.RLE_SUM))
    known = reasons & np.uint64(mask_of(Reason.NOT_AN_OBJECT, Reason.BAD_SEGMENTATION)) != 0
    mark(reasons, (kinds == NONE) & ~known, Reason.NO_SEGMENTATION)
    is_rle = (kinds == UNCOMPRESSED_RLE) | (kinds == COMPRESSED_RLE)
    mark(reasons, is_rle & (iscrowd != 1), Reason.RLE_NOT_CROWD)
    mark(reasons, (kinds == POLYGONS) & (iscrowd == 1), Reason.POLYGON_CROWD)
    return {
        "segmentation": kinds,
        "polygons": polygons,
        "vertices": vertices.astype(np.int32),
        "rle_height": sizes[:, 0],
        "rle_width": sizes[:, 1],
        **_extents(np.fromiter(chain.from_iterable(rings), np.float64, 2 * int(vertices.sum())), vertices),
    }


def _rings(polygons_of: list[list[list[float]]]) -> tuple[list[list[float]], Array]:
    rings = list(chain.from_iterable(polygons_of))
    return rings, np.fromiter(map(len, rings), np.int64, len(rings))


def _extents(numbers: Array, vertices: Array) -> dict[str, Array]:
    """Return the extents of annotations that have so many of the vertices x, y, x, y, … each, rounded outwards."""
    extents = np.zeros((3, len(vertices)), np.int32)
    held = np.flatnonzero(vertices)
    if len(held):
        begins = (np.cumsum(vertices) - vertices)[held]
        x, y = np.ascontiguousarray(numbers[::2]), np.ascontiguousarray(numbers[1::2])
        lowest = np.floor(np.minimum.reduceat(np.minimum(x, y), begins))
        largest = (np.ceil(np.maximum.reduceat(values, begins)) for values in (x, y))
        for row, values in zip(extents, (lowest, *largest), strict=True):
            row[held] = np.where(np.isnan(values), -1, np.clip(values, -1, 2**31 - 1))
    return dict(zip(("lowest", "largest_x", "largest_y"), extents, strict=True))


def mark(reasons: Array, where: Array, reason: Reason) -> None:
    """Add `reason` to the masks at `where`."""
    if where.any():
        reasons[where] |= np.uint64(mask_of(reason))


def _mark_places(reasons: Array, places: Array, reason: Reason) -> None:
    reasons[places] |= np.uint64(mask_of(reason))


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
