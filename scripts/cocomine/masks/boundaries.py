"""From annotations to the places where masks begin and end: exact, and without ever filling a pixel.

A mask is held as its *boundaries*: for each column x the rows y at which it turns on or off, in pairs, from 0 to the
height (a boundary at the height closes a run at the foot of the column). It is what COCO's run lengths say, cut at the
columns.

Polygons follow `rleFrPoly` of the COCO API (common/maskApi.c) to the last bit. It scales the outline by 5, walks along
it point by point, and keeps the points where the walk steps from x = 5c + 2 to 5c + 3, that is, where it crosses the
centre of column c. Only those crossings matter, so they are solved for here directly, for all edges of many images at
once, instead of being met on the walk; where rounding could matter the walk's own arithmetic decides.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cocomine.base.arrays import Floats, Ints

SCALE = 5
FARTHEST = 1e7
"""Coordinates beyond this many pixels from the origin are refused: they are faults, and overflow the COCO API."""

NEAR_A_WHOLE_NUMBER = 1e-6

CROSSINGS_AT_ONCE = 1 << 21
"""Crossings of outlines and columns that are solved for together; each takes some 150 bytes."""


class UnusableMaskError(Exception):
    """A segmentation that cannot be drawn: a stable reason code and what is wrong with it."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclasses.dataclass(frozen=True)
class Boundaries:
    """Boundaries of many masks: `part` says whose each is, `x` its column, `y` its row. All of one length."""

    part: Ints
    x: Ints
    y: Ints


def polygon_coordinates(polygons: Sequence[Sequence[float]]) -> tuple[Floats, list[int]]:
    """Return the polygons' coordinates x0, y0, x1, y1, … one after another, and how many each has.

    Raises UnusableMaskError when one of them is no polygon.
    """
    sizes = [len(polygon) for polygon in polygons]
    for number, size in enumerate(sizes):
        if size < 6:
            raise UnusableMaskError("polygon-too-short", f"polygon {number} has {size} numbers, 6 are needed")
        if size % 2:
            raise UnusableMaskError("polygon-odd", f"polygon {number} has an odd count of numbers: {size}")
    flat = np.fromiter(itertools.chain.from_iterable(polygons), np.float64, sum(sizes))
    # NaN compares false.
    if len(flat) and not (flat.min() >= -FARTHEST and flat.max() <= FARTHEST):
        place = int((~(np.abs(flat) <= FARTHEST)).argmax())
        number = int(np.searchsorted(np.cumsum(sizes), place, side="right"))
        raise UnusableMaskError("not-finite", f"polygon {number} has the coordinate {flat[place]}, in no image")
    return flat, sizes


def polygon_boundaries(points: Floats, numbers: Ints, heights: Ints, widths: Ints) -> Boundaries:
    """Return the boundaries of polygons; polygon i lies in an image of `heights[i]` by `widths[i]` pixels.

    `points` holds the coordinates of all of them, of which polygon i takes `numbers[i]`. The boundaries of one polygon
    are in no order. Where it runs over itself, boundaries cancel in pairs (even-odd).
    """
    crossed = _crossings(points, numbers, heights, widths)
    if len(crossed.counts) == 0 or crossed.counts.sum() <= CROSSINGS_AT_ONCE:
        return crossed.boundaries(slice(0, len(crossed.counts)))
    # Crossings that cancel are let go of a piece at a time: what is left is bounded by the image, not by the outline.
    columns, rows = int(widths.max()), int(heights.max()) + 1
    left = np.zeros(0, np.int64)
    piece = np.cumsum(crossed.counts) // CROSSINGS_AT_ONCE
    for begin, end in itertools.pairwise([*np.flatnonzero(np.diff(piece, prepend=-1)).tolist(), len(piece)]):
        found = crossed.boundaries(slice(begin, end))
        place = np.sort(np.concatenate([left, (found.part * columns + found.x) * rows + found.y]))
        left = place[unpaired(place)]
    return Boundaries(left // (columns * rows), left // rows % columns, left % rows)


@dataclasses.dataclass(frozen=True)
class _Crossings:
    """Edges of polygons and the columns whose centres they cross: `counts[i]` of them from `first[i]` on.

    `part` is the polygon; (`x0`, `y0`) is where the walk along the edge begins, `slope` its direction, along x on
    `flat` edges and along y on others.
    """

    part: Ints
    first: Ints
    counts: Ints
    x0: Ints
    y0: Ints
    slope: Floats
    flat: npt.NDArray[np.bool_]
    heights: Ints

    def boundaries(self, edges: slice) -> Boundaries:
        """Return the boundaries at the crossings of some of the edges."""
        counts = self.counts[edges]
        edge = np.repeat(np.arange(len(self.counts))[edges], counts)
        column = np.arange(len(edge)) + np.repeat(self.first[edges] - (np.cumsum(counts) - counts), counts)
        step = SCALE * column + 2
        x0, y0, slope, flat = self.x0[edge], self.y0[edge], self.slope[edge], self.flat[edge]
        # On a flat edge the lower of the points at either side of the crossing: the first one on a rising edge.
        t_flat = step - x0 + (slope < 0)
        v_flat = (y0 + slope * t_flat + 0.5).astype(np.int64)
        # On a steep edge the last point before the walk reaches the other side.
        with np.errstate(divide="ignore", invalid="ignore"):
            exact = np.where(flat, 0.5, (step + 0.5 - x0) / slope)
        before = np.floor(exact).astype(np.int64)
        doubtful = np.flatnonzero(np.abs(exact - np.rint(exact)) < NEAR_A_WHOLE_NUMBER)
        if len(doubtful):
            before[doubtful] = _last_before(before[doubtful], x0[doubtful], slope[doubtful], step[doubtful])
        v = np.where(flat, v_flat, y0 + before)
        whose = self.part[edge]
        return Boundaries(whose, column, np.clip((v + 2) // SCALE, 0, self.heights[whose]))


def _crossings(points: Floats, numbers: Ints, heights: Ints, widths: Ints) -> _Crossings:
    sizes = numbers >> 1
    # (int)(5 * x + .5) of the C code: towards zero, not down.
    scaled = (SCALE * points + 0.5).astype(np.int64)
    xs, ys = scaled[0::2], scaled[1::2]
    ends = np.cumsum(sizes)
    following = np.arange(1, len(xs) + 1)
    following[ends - 1] = ends - sizes
    xe, ye = xs[following], ys[following]
    part = np.repeat(np.arange(len(sizes)), sizes)

    left, right = np.minimum(xs, xe), np.maximum(xs, xe)
    first = np.maximum(-((2 - left) // SCALE), 0)
    last = np.minimum((right - 3) // SCALE, widths[part] - 1)
    crossings = np.maximum(last - first + 1, 0)

    # The C code walks from left to right along flat edges and from top to bottom along steep ones.
    dx, dy = right - left, np.abs(ye - ys)
    flat = dx >= dy
    turned = np.where(flat, xs > xe, ys > ye)
    x0, y0 = np.where(turned, xe, xs), np.where(turned, ye, ys)
    rise = np.where(turned, ys - ye, ye - ys)
    run = np.where(turned, xs - xe, xe - xs)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(flat, rise / dx, run / dy)

    kept = np.flatnonzero(crossings)
    return _Crossings(part[kept], first[kept], crossings[kept], x0[kept], y0[kept], slope[kept], flat[kept], heights)


def columns_crossed(points: Floats, width: int) -> float:
    """Return about how many columns of an image of that width its polygons' edges cross, all points taken for one."""
    return float(np.abs(np.diff(np.clip(points[0::2], 0, width))).sum())


def unpaired(position: Ints) -> npt.NDArray[np.bool_]:
    """Return which of the sorted positions are left when equal ones cancel in pairs."""
    last = last_of_equal(position)
    if last.all():
        return last
    ends = np.flatnonzero(last)
    counts = np.diff(ends, prepend=-1)
    last[ends[counts % 2 == 0]] = False
    return last


def last_of_equal(position: Ints) -> npt.NDArray[np.bool_]:
    """Return which of the sorted positions are the last of their value."""
    last = np.ones(len(position), bool)
    np.not_equal(position[1:], position[:-1], out=last[:-1])
    return last


def _last_before(guess: Ints, x0: Ints, slope: Floats, step: Ints) -> Ints:
    """Return the last t at which (int)(x0 + slope * t + .5) is still on the near side of step | step + 1.

    `guess` is at most one off. The sums are the C code's, in its order.
    """
    rising = slope > 0
    result = guess + 2
    for t in (guess + 1, guess, guess - 1):
        arrived = ((x0 + slope * t + 0.5) >= step + 1) == rising
        result = np.where(arrived, t, result)
    return result - 1


def decode_counts(counts: str | bytes) -> Ints:
    """Return the run lengths of a compressed COCO RLE, as `rleFrString` of the COCO API reads them.

    Each number is written 5 bits a character from the low end, offset 48, with bit 5 set where more follow and bit 4
    of the last as the sign; from the fourth on, what is written is the difference to the number two before.
    """
    try:
        text = np.frombuffer(counts.encode("ascii") if isinstance(counts, str) else counts, np.uint8).astype(np.int64)
    except UnicodeEncodeError as error:
        raise UnusableMaskError("rle-broken", "its run lengths hold characters outside ASCII") from error
    codes = text - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise UnusableMaskError("rle-broken", "its run lengths are not in COCO's compressed form")
    last = np.flatnonzero((codes & 32) == 0)
    begin = np.concatenate([[0], last[:-1] + 1])
    place = np.arange(len(codes)) - np.repeat(begin, last - begin + 1)
    if place.max() > 6:
        raise UnusableMaskError("rle-broken", "a run length in its compressed form is longer than any image")
    numbers = np.add.reduceat((codes & 31) << (5 * place), begin)
    negative = (codes[last] & 16) != 0
    numbers -= np.where(negative, np.int64(1) << (5 * (last - begin + 1)), 0)
    for parity in (1, 2):
        numbers[parity::2] = np.cumsum(numbers[parity::2])
    return numbers


def run_lengths(segmentation: dict[str, Any], height: int, width: int) -> Ints:
    """Return the run lengths of an RLE, compressed or not, checked to fill height × width exactly."""
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if not isinstance(size, list | tuple) or list(size) != [height, width]:
        raise UnusableMaskError(
            "rle-size-differs", f"its RLE is for {size}, the image is [{height}, {width}] high and wide"
        )
    if isinstance(counts, str | bytes):
        lengths = decode_counts(counts)
    else:
        try:
            lengths = np.array(counts, np.int64)
        except (TypeError, ValueError, OverflowError) as error:
            raise UnusableMaskError("rle-broken", f"its run lengths are no list of whole numbers: {error}") from error
        if lengths.ndim != 1 or not isinstance(counts, list) or any(type(count) is not int for count in counts):
            raise UnusableMaskError("rle-broken", "its run lengths are no list of whole numbers")
    if len(lengths) and lengths.min() < 0:
        raise UnusableMaskError("rle-sum", f"one of its run lengths is negative: {lengths.min()}")
    # Floats cannot overflow, where a sum of hostile integers could.
    if lengths.sum(dtype=np.float64) != height * width:
        total = lengths.sum(dtype=np.float64)
        raise UnusableMaskError(
            "rle-sum", f"its run lengths add up to {total:.0f}, the image has {height * width} pixels"
        )
    return lengths


def rle_boundaries(lengths: Sequence[Ints], heights: Ints) -> Boundaries:
    """Return the boundaries of masks given by run lengths, first off, down the columns of `heights[i]` pixels."""
    parts, starts, stops = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for number, counts in enumerate(lengths):
        places = np.cumsum(counts)
        begin, end = places[0:-1:2], places[1::2]
        full = end > begin
        starts.append(begin[full])
        stops.append(end[full])
        parts.append(np.full(len(starts[-1]), number, np.int64))
    part, start, stop = np.concatenate(parts), np.concatenate(starts), np.concatenate(stops)
    height = heights[part] if len(part) else part
    first, last = start // np.maximum(height, 1), (stop - 1) // np.maximum(height, 1)
    columns = last - first + 1
    run = np.repeat(np.arange(len(part)), columns)
    nth = np.arange(len(run)) - np.repeat(np.cumsum(columns) - columns, columns)
    x = first[run] + nth
    top = np.where(nth == 0, start[run] - first[run] * height[run], 0)
    foot = np.where(x == last[run], stop[run] - last[run] * height[run], height[run])
    whose = part[run]
    return Boundaries(np.concatenate([whose, whose]), np.concatenate([x, x]), np.concatenate([top, foot]))
