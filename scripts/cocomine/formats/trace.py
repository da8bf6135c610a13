"""From a run-length mask to outlines that run along the edges of its pixels, with its holes.

The outlines are exact: they turn only at corners of pixels, and what lies inside them is the mask. The inside lies on
the right of each outline as the image is seen (y points down), so that an outer outline runs clockwise and the outline
of a hole runs against it. Pixels that touch at a corner only belong to outlines of their own.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from cocomine.formats.polygons import Polygon, join

Mask = NDArray[np.bool_]


def mask_of(segmentation: dict[str, Any], width: int, height: int) -> Mask | None:
    """Decode COCO's run lengths, plain or compressed, to an (height, width) mask; None when they are not of this size.

    pycocotools trusts run lengths, so that ones that do not add up to the image are refused here.
    """
    counts = segmentation.get("counts")
    if segmentation.get("size") != [height, width] or not isinstance(counts, list | str):
        return None
    numbers = counts if isinstance(counts, list) else _uncompressed(counts)
    if numbers is None or min(numbers, default=0) < 0 or sum(numbers) != width * height:
        return None
    values = np.arange(len(numbers)) % 2 == 1
    mask: Mask = np.repeat(values, numbers).reshape(width, height).T
    return mask


def _uncompressed(text: str) -> list[int] | None:
    """Return the run lengths of COCO's compressed form (rleFrString of its maskApi.c); None where it is cut short.

    Characters from "0" on hold five bits of a number each, low bits first, and a sixth that says whether more follow;
    from the third number on the difference to the last but one is what is written.
    """
    numbers: list[int] = []
    value = shift = 0
    for letter in text:
        code = ord(letter) - 48
        if not 0 <= code < 64:
            return None
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            value -= (code & 16) << (shift - 4)
            numbers.append(value + numbers[-2] if len(numbers) > 2 else value)
            value = shift = 0
    return numbers if not shift else None


def outlines_of(mask: Mask) -> list[Polygon]:
    """Return the outlines of a mask, those of parts before those of holes, each from its first corner in reading order.

    An outline has a point for each corner, shape (n, 2), x before y, in pixels.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    top, left = int(rows[0]), int(columns[0])
    cut = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    rings = _rings(np.pad(cut, 1).astype(np.int8))
    shift = (left - 1, top - 1)
    parts = [np.array(ring, np.float64) + shift for ring in rings]
    return sorted(parts, key=lambda ring: _turning(ring) < 0)


def joined_outline(mask: Mask) -> Polygon | None:
    """Return one outline of the whole mask, parts and holes reached over bridges of no width; None for an empty mask.

    Filled by the even-odd rule, and by the non-zero rule too, since holes run against their parts, it is the mask.
    """
    outlines = outlines_of(mask)
    return join(outlines) if outlines else None


def drawn_iou(outline: Polygon, mask: Mask) -> float:
    """Return the IoU of a mask and its outline as pycocotools draws it."""
    height, width = mask.shape
    drawn = coco_mask.frPyObjects([outline.ravel().tolist()], height, width)
    return float(coco_mask.iou(drawn, [coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))], [0])[0, 0])


def _turning(ring: Polygon) -> float:
    """Return twice the signed area: above 0 where the ring runs clockwise as the image is seen."""
    x, y = (ring - ring[0]).T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


def _rings(grid: NDArray[np.int8]) -> list[list[tuple[int, int]]]:
    """Return the rings of corners (x, y) round the ones of a grid whose border is zero, in reading order.

    Edges of pixels that lie in one line with the mask on the same side are one run, which goes with the mask on its
    right. A run ends where another begins across it; where two do, at a corner at which two pixels touch, the one that
    turns right goes on round its own pixel. So each run has one that follows and one that it follows.
    """
    starts, ends = [], []
    for lines, flipped in ((np.diff(grid, axis=0), False), (-np.diff(grid, axis=1).T, True)):
        line, low, high, sign = _runs(lines)
        begin = np.stack([np.where(sign > 0, low, high), line + 1], axis=1)
        stop = np.stack([np.where(sign > 0, high, low), line + 1], axis=1)
        starts.append(begin[:, ::-1] if flipped else begin)
        ends.append(stop[:, ::-1] if flipped else stop)
    across = len(starts[0])
    start = [(x, y) for x, y in np.concatenate(starts).tolist()]
    end_of = [(x, y) for x, y in np.concatenate(ends).tolist()]
    leaving: dict[tuple[int, int, bool], list[int]] = {}
    for run, (x, y) in enumerate(start):
        leaving.setdefault((x, y, run < across), []).append(run)

    def following(run: int) -> int:
        (x0, y0), (x, y) = start[run], end_of[run]
        choices = leaving[x, y, run >= across]
        if len(choices) == 1:
            return choices[0]
        to_the_right = (x - (y - y0), y + (x - x0))
        return min(choices, key=lambda one: _turn((x, y), to_the_right, end_of[one]))

    rings, used = [], [False] * across
    for first in sorted(
        range(across), key=lambda run: (min(start[run][1], end_of[run][1]), min(start[run][0], end_of[run][0]))
    ):
        if not used[first]:
            ring: list[tuple[int, int]] = []
            run = first
            while not ring or run != first:
                if run < across:
                    used[run] = True
                ring.append(start[run])
                run = following(run)
            rings.append(ring)
    return rings


def _turn(corner: tuple[int, int], right: tuple[int, int], end: tuple[int, int]) -> int:
    """Return 0 when the way from `corner` to `end` goes the way to `right`, else 1."""
    along = (right[0] - corner[0]) * (end[0] - corner[0]) + (right[1] - corner[1]) * (end[1] - corner[1])
    return 0 if along > 0 else 1


def _runs(lines: NDArray[np.int8]) -> tuple[NDArray[np.int64], ...]:
    """Return line, first place, place behind the last, and value of each stretch of equal values that are not 0."""
    padded = np.pad(lines, ((0, 0), (1, 1)))
    changes = padded[:, 1:] != padded[:, :-1]
    begins = changes & (padded[:, 1:] != 0)
    ends = changes & (padded[:, :-1] != 0)
    line, low = np.nonzero(begins)
    _, high = np.nonzero(ends)
    return line, low, high, padded[:, 1:][begins].astype(np.int64)


def run_lengths(mask: Mask) -> dict[str, Any]:
    """Return a mask as COCO's compressed run lengths: `counts` as text, `size` as [height, width]."""
    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"counts": encoded["counts"].decode("ascii"), "size": list(mask.shape)}
