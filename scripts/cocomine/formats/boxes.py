"""The box of an object: as the source states it or round its outline, cut at the image's edge."""

import math

from cocomine.coco.reader import Annotation
from cocomine.formats.tally import Tally

Corners = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""


def cut_box(annotation: Annotation, width: int, height: int, tally: Tally) -> Corners | None:
    """Return an object's box cut at the image's edge, or None when the tally says why there is none."""
    box = box_of(annotation)
    if box is None:
        tally.drop("no-box")
        return None
    x, y, w, h = box
    left, top, right, bottom = max(x, 0.0), max(y, 0.0), min(x + w, float(width)), min(y + h, float(height))
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        tally.drop("outside" if w > 0 and h > 0 else "zero-area")
        return None
    if right <= left or bottom <= top:
        tally.drop("zero-area")
        return None
    if (left, top, right, bottom) != (x, y, x + w, y + h):
        tally.note("clipped")
    return left, top, right, bottom


def box_of(annotation: Annotation) -> Corners | None:
    """Return the stated box [x, y, width, height] in pixels, else the one round the outlines, else None."""
    box = annotation.bbox
    if box is not None and len(box) == 4 and all(math.isfinite(side) for side in box):
        return (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
    if isinstance(annotation.segmentation, list):
        parts = [part[: len(part) // 2 * 2] for part in annotation.segmentation if len(part) >= 6]
        xs, ys = ([number for part in parts for number in part[axis::2]] for axis in (0, 1))
        if xs:
            return (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
    return None
