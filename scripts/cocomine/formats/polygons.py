"""Outlines: clipping at the image's edge, joining the parts of an object, and measuring what joining changed."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

Polygon = NDArray[np.float64]
"""Points of an outline in pixels, shape (n, 2), x before y; the last point is joined to the first."""


def parts_of(segmentation: Sequence[Sequence[float]]) -> list[Polygon]:
    """Return the parts that are outlines: those of three points and more (an odd last number is left out)."""
    return [
        np.asarray(part[: len(part) // 2 * 2], np.float64).reshape(-1, 2) for part in segmentation if len(part) >= 6
    ]


def clip(polygon: Polygon, width: int, height: int) -> Polygon:
    """Return the polygon cut at the image's edge (Sutherland and Hodgman, 1974); shape (m, 2), m = 0 when outside.

    Where a hollow polygon leaves the image and comes back, the pieces stay joined along the edge: the covered area is
    exact, the outline runs twice along the edge.
    """
    low, high = polygon.min(axis=0), polygon.max(axis=0)
    if low[0] >= 0 and low[1] >= 0 and high[0] <= width and high[1] <= height:
        return polygon
    points = [(float(x), float(y)) for x, y in polygon]
    for axis, limit, sign in ((0, 0.0, 1.0), (0, float(width), -1.0), (1, 0.0, 1.0), (1, float(height), -1.0)):
        points = _clip_at(points, axis, limit, sign)
    return np.asarray(points, np.float64).reshape(-1, 2)


def _clip_at(points: list[tuple[float, float]], axis: int, limit: float, sign: float) -> list[tuple[float, float]]:
    """Keep what lies where sign · (coordinate - limit) is not negative."""
    result = []
    for number, end in enumerate(points):
        start = points[number - 1]
        start_depth, end_depth = sign * (start[axis] - limit), sign * (end[axis] - limit)
        if (start_depth < 0) != (end_depth < 0):
            share = start_depth / (start_depth - end_depth)
            crossing = [start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])]
            crossing[axis] = limit
            result.append((crossing[0], crossing[1]))
        if end_depth >= 0:
            result.append(end)
    return result


def area(polygon: Polygon) -> float:
    """Return the area in square pixels that the outline goes round (the shoelace formula, without its sign).

    Added up by numpy, not by BLAS: whether a flat outline has an area must not depend on the processor.
    """
    if len(polygon) < 3:
        return 0.0
    x, y = (polygon - polygon[0]).T
    next_x, next_y = np.append(x[1:], x[0]), np.append(y[1:], y[0])
    return abs(float((x * next_y - y * next_x).sum())) / 2


def pixels(polygon: Polygon, width: int, height: int) -> int:
    """Return how many pixels pycocotools draws of it: a figure of eight has some, though its areas may cancel."""
    return int(coco_mask.area(coco_mask.frPyObjects([polygon.ravel().tolist()], height, width)[0]))


def join(parts: Sequence[Polygon]) -> Polygon:
    """Return one outline that goes round all parts, joined in order by bridges of no width.

    Each part is reached from the nearest point of what was joined before, walked round, and left by the same way, so
    the bridges enclose nothing. Shape (m, 2), m = sum of n + 2 · (parts - 1).
    """
    result = parts[0]
    for part in parts[1:]:
        here, there = nearest(result, part)
        around = np.concatenate([part[there:], part[: there + 1]])
        result = np.concatenate([result[: here + 1], around, result[here:]])
    return result


def nearest(first: Polygon, second: Polygon) -> tuple[int, int]:
    """Return the places of the two points, one of each, that lie nearest; of several pairs the first in both's order.

    Points next to one another in an outline lie close together, so stretches of about √n of them are compared by their
    boxes, and point by point only where these come near enough: memory grows as n + m, not as n · m.
    """
    starts = [_starts(len(points)) for points in (first, second)]
    boxes = [_boxes(points, at) for points, at in zip((first, second), starts, strict=True)]
    gaps = np.square(np.maximum(0, np.maximum(boxes[0][0][:, None] - boxes[1][1], boxes[1][0] - boxes[0][1][:, None])))
    bounds = gaps.sum(axis=2)
    best = (np.inf, 0, 0)
    for pair in np.argsort(bounds, axis=None, kind="stable"):
        rows, columns = np.unravel_index(int(pair), bounds.shape)
        if bounds[rows, columns] > best[0]:
            break
        here, there = int(starts[0][rows]), int(starts[1][columns])
        a = first[here : starts[0][rows + 1]]
        b = second[there : starts[1][columns + 1]]
        distance = np.square(a[:, None, :] - b[None, :, :]).sum(axis=2)
        row, column = np.unravel_index(int(distance.argmin()), distance.shape)
        best = min(best, (float(distance[row, column]), here + int(row), there + int(column)))
    return best[1], best[2]


def _starts(count: int) -> NDArray[np.int64]:
    """Return where stretches of `count` points begin, and after the last of them `count`."""
    length = max(32, int(count**0.5))
    return np.append(np.arange(0, count, length), count)


def _boxes(points: Polygon, starts: NDArray[np.int64]) -> tuple[Polygon, Polygon]:
    """Return the lowest and the highest coordinates of each stretch."""
    return np.minimum.reduceat(points, starts[:-1]), np.maximum.reduceat(points, starts[:-1])


def joining_iou(parts: Sequence[Polygon], joined: Polygon, width: int, height: int) -> float:
    """Return the IoU, in pixels as pycocotools draws them, of the parts' union and the joined outline.

    It is below 1 where parts overlap (an outline that winds twice leaves a hole there) and where a bridge as drawn
    takes a pixel with it. Two shapes without a pixel count as equal.
    """
    union = coco_mask.merge(coco_mask.frPyObjects([part.ravel().tolist() for part in parts], height, width))
    outline = coco_mask.frPyObjects([joined.ravel().tolist()], height, width)[0]
    if not coco_mask.area(union) and not coco_mask.area(outline):
        return 1.0
    return float(coco_mask.iou([union], [outline], [0])[0, 0])
