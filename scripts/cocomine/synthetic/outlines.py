"""Masks and outlines of the demo source: polygons to pixels by COCO's own rule, and pixels back to polygons exactly.

Coordinates are COCO's: x to the right, y down, in pixels, and pixel (i, j) covers [i, i + 1) x [j, j + 1).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from scipy import ndimage

Points = NDArray[np.float64]
Mask = NDArray[np.bool_]


def rasterize(polygons: Sequence[Points], height: int, width: int) -> Mask:
    """Return the union of `polygons` (each n x 2) as pycocotools draws it, bool (height, width)."""
    flat = [polygon.ravel().tolist() for polygon in polygons if len(polygon) >= 3]
    if not flat:
        return np.zeros((height, width), dtype=bool)
    return np.asarray(coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(flat, height, width))), dtype=bool)


def trace(mask: Mask) -> list[NDArray[np.int64]]:
    """Return polygons along pixel borders whose union, drawn by pycocotools, is `mask` exactly.

    One polygon (n x 2 of x, y) per 4-connected part, by ascending first pixel in row order. COCO's polygons know no
    holes, so a part with a hole is cut in two through the hole, as COCO's annotators do.
    """
    labels, _ = ndimage.label(mask)
    polygons: list[NDArray[np.int64]] = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        offset = np.array([box[1].start, box[0].start], dtype=np.int64)
        polygons += [polygon + offset for polygon in _trace_part(labels[box] == number)]
    return polygons


def _trace_part(part: Mask) -> list[NDArray[np.int64]]:
    loops = _loops(part)
    if len(loops) == 1:
        return loops
    # The outer border is the loop of the largest extent; any other one is a hole.
    outer = max(range(len(loops)), key=lambda k: int(np.ptp(loops[k][:, 0])))
    hole = loops[1 if outer == 0 else 0]
    cut = int(hole[:, 0].min() + hole[:, 0].max()) // 2
    cut = max(cut, int(hole[:, 0].min()) + 1) if hole[:, 0].max() - hole[:, 0].min() > 1 else int(hole[:, 0].max())
    left, right = trace(part[:, :cut]), trace(part[:, cut:])
    return left + [polygon + np.array([cut, 0]) for polygon in right]


def _loops(part: Mask) -> list[NDArray[np.int64]]:
    """Return the closed borders of a part as corner lists.

    Corners are where a 2 x 2 neighbourhood holds one or three pixels of the part; where it holds two on a diagonal,
    two borders touch and the corner stands twice. Along every row and every column of corners, each odd one is joined
    with its successor, which is all there is to a rectilinear border.
    """
    padded = np.pad(part, 1).astype(np.int8)
    nw, ne, sw, se = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    total = nw + ne + sw + se
    single = (total == 1) | (total == 3)
    falling = (total == 2) & (nw == 1) & (se == 1)
    rising = (total == 2) & (ne == 1) & (sw == 1)
    times = single.astype(np.int64) + 2 * (falling | rising)
    ys, xs = np.nonzero(times)
    repeat = times[ys, xs]
    ys, xs = np.repeat(ys, repeat), np.repeat(xs, repeat)
    count = len(ys)
    # Row order is the order of np.nonzero; of a double corner the first copy ends the border from the left.
    along_row = np.arange(count) ^ 1
    # Column order: of a double corner, the copy that comes first ends the border from above. With pixels NE and SW the
    # border from the left goes on downwards, so the copies swap; with NW and SE it goes on upwards, so they do not.
    second = np.zeros(count, dtype=np.int64)
    double = repeat.repeat(repeat) == 2
    second[np.flatnonzero(double)[1::2]] = 1
    swap = rising[ys, xs]
    order = np.lexsort((np.where(swap, 1 - second, second), ys, xs))
    along_column = np.empty(count, dtype=np.int64)
    along_column[order[0::2]] = order[1::2]
    along_column[order[1::2]] = order[0::2]
    row_next, column_next = along_row.tolist(), along_column.tolist()
    seen = [False] * count
    loops = []
    for start in range(count):
        if seen[start]:
            continue
        loop, at = [], start
        while not seen[at]:
            there = row_next[at]
            seen[at] = seen[there] = True
            loop += [at, there]
            at = column_next[there]
        loops.append(np.stack([xs[loop], ys[loop]], axis=1).astype(np.int64))
    return loops


def box_of(mask: Mask) -> list[int]:
    """Return the smallest box [x, y, width, height] in pixels around the set pixels of a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [
        int(columns[0]),
        int(rows[0]),
        int(columns[-1] - columns[0] + 1),
        int(rows[-1] - rows[0] + 1),
    ]


def uncompressed_rle(mask: Mask) -> dict[str, Any]:
    """Return COCO's uncompressed run-length form: counts down the columns, beginning with unset pixels."""
    height, width = mask.shape
    flat = mask.ravel(order="F")
    borders = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0], borders, [flat.size]])).tolist()
    return {"counts": [0, *runs] if flat[0] else runs, "size": [height, width]}


def compressed_rle(mask: Mask) -> dict[str, Any]:
    """Return COCO's compressed run-length form, its counts as text."""
    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"counts": encoded["counts"].decode("ascii"), "size": [int(side) for side in encoded["size"]]}


def outline(mask: Mask) -> list[Points]:
    """Return polygons of few corners whose union, drawn by pycocotools, is `mask` exactly.

    The pixel borders of `trace` are replaced by the line through the middles of their unit steps, which passes every
    pixel's centre on its own side, and thinned to the corners that matter. Corners are put back wherever the drawn
    pixels then differ from the mask; where that does not suffice the pixel borders are kept.
    """
    height, width = mask.shape
    return [_thin(polygon, height, width) for polygon in trace(mask)]


def _thin(polygon: NDArray[np.int64], height: int, width: int, tolerance: float = 0.45) -> Points:
    borders = polygon.astype(np.float64)
    if len(polygon) <= 4:
        return borders
    left, top = polygon.min(axis=0)
    right, bottom = polygon.max(axis=0)
    window = (slice(int(top), int(bottom)), slice(int(left), int(right)))
    wanted = rasterize([borders], height, width)[window]
    middles = _step_middles(polygon)
    keep = _corners_that_matter(middles, tolerance)
    for _ in range(6):
        wrong = rasterize([middles[keep]], height, width)
        wrong[window] ^= wanted
        if not wrong.any():
            return middles[keep]
        rows, columns = np.nonzero(wrong)
        across = np.abs(middles[:, 0][:, None] - columns - 0.5)
        away = np.maximum(across, np.abs(middles[:, 1][:, None] - rows - 0.5)).min(axis=1)
        more = keep | (away < 1)
        keep = more if (more != keep).any() else keep | (away < 4)
    return borders


def _step_middles(polygon: NDArray[np.int64]) -> Points:
    """Return the middles of the unit steps of a closed border whose corners are `polygon`."""
    step = np.roll(polygon, -1, axis=0) - polygon
    length = np.abs(step).sum(axis=1)
    start = np.repeat(polygon, length, axis=0)
    unit = np.repeat(np.sign(step), length, axis=0)
    place = np.arange(len(start)) - np.repeat(np.cumsum(length) - length, length)
    return np.asarray(start + unit * (place[:, None] + 0.5), dtype=np.float64)


def _corners_that_matter(points: Points, tolerance: float) -> Mask:
    """Return which corners the Ramer-Douglas-Peucker rule keeps of a closed line."""
    count = len(points)
    far = int(np.argmax(((points - points[0]) ** 2).sum(axis=1)))
    closed = np.concatenate([points, points[:1]])
    keep = np.zeros(count + 1, dtype=bool)
    keep[[0, far, count]] = True
    spans = [(0, far), (far, count)]
    while spans:
        start, end = spans.pop()
        if end - start < 2:
            continue
        step = closed[end] - closed[start]
        inner = closed[start + 1 : end] - closed[start]
        distance = np.abs(step[0] * inner[:, 1] - step[1] * inner[:, 0]) / max(float(np.hypot(*step)), 1e-9)
        middle = int(np.argmax(distance))
        if distance[middle] > tolerance:
            keep[start + 1 + middle] = True
            spans += [(start, start + 1 + middle), (start + 1 + middle, end)]
    return keep[:count]
