"""What can be said of a record's box and segmentation in its image: whether they lie in it, and what is drawn."""

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
from pycocotools import mask as coco_mask

from cocomine.annotations.lenient import as_number, as_numbers
from cocomine.annotations.outlines import mark, rle_is_sound
from cocomine.annotations.reasons import AREA_TOLERANCE, AREA_TOLERANCE_PX, PIXEL_TOLERANCE, Reason, reasons_of
from cocomine.annotations.records import BAD_SEGMENTATION, Rle, read_object
from cocomine.base.arrays import Array

LARGEST_REACH: Final = 10
"""A polygon that reaches further than this many image widths or heights is not drawn: pycocotools would take memory
in proportion to its length."""
LARGEST_DRAWN_SIDE: Final = 65_535
"""Images with a longer side are not drawn. It is the longest that a JPEG can have, and keeps the number of pixels below
2^32, where pycocotools' counts end."""
LONGEST_OUTLINE: Final = 2_000_000
"""A polygon whose edges are longer than this, in pixels, is not drawn: pycocotools takes some 40 bytes a pixel."""


def ring_is_outside(ring: list[float], width: float, height: float) -> bool:
    """Return whether the bounding box of a polygon [x0, y0, x1, y1, …] has no point in common with the image."""
    xs, ys = ring[0 : len(ring) // 2 * 2 : 2], ring[1::2]
    return bool(xs) and (max(xs) < 0 or max(ys) < 0 or min(xs) > width or min(ys) > height)


def ring_reaches_out(ring: list[float], width: float, height: float) -> bool:
    """Return whether a vertex of a polygon passes the image's border by more than the tolerance of 1 px."""
    xs, ys = ring[0 : len(ring) // 2 * 2 : 2], ring[1::2]
    if not xs:
        return False
    return max(-min(xs), -min(ys), max(xs) - width, max(ys) - height) > PIXEL_TOLERANCE


def polygon_facts(segmentation: Any, width: float, height: float) -> list[Reason]:
    """Return which of polygon-outside and polygon-partly-outside hold of a list of polygons in an image (px)."""
    rings = segmentation if isinstance(segmentation, list) else []
    outside = [ring_is_outside(ring, width, height) for ring in rings]
    found = [Reason.POLYGON_OUTSIDE] if any(outside) else []
    if any(
        ring_reaches_out(ring, width, height) for ring, is_outside in zip(rings, outside, strict=True) if not is_outside
    ):
        found.append(Reason.POLYGON_PARTLY_OUTSIDE)
    return found


def mark_boxes(columns: Mapping[str, Array], known: Array, width: Array, height: Array) -> None:
    """Mark boxes that leave their image, whose width and height (px) are `known`."""
    x, y, w, h = (columns[f"bbox_{side}"] for side in "xywh")
    finite = known & np.isfinite(x) & np.isfinite(y) & np.isfinite(w) & np.isfinite(h)
    right, bottom = x + w, y + h
    outside = finite & ((x >= width) | (y >= height) | (right <= 0) | (bottom <= 0))
    # A box without a side that lies on the border is told by that; it is in the closed image.
    flat = (w <= 0) | (h <= 0)
    outside &= ~flat | (x > width) | (y > height) | (right < 0) | (bottom < 0)
    mark(columns["reasons"], outside, Reason.BOX_OUTSIDE)
    beyond = np.maximum(np.maximum(-x, -y), np.maximum(right - width, bottom - height)) > PIXEL_TOLERANCE
    mark(columns["reasons"], finite & ~outside & beyond, Reason.BOX_PARTLY_OUTSIDE)


def facts_beside_image(text: bytes, width: int, height: int) -> list[Reason]:
    """Return what the index finds of an annotation's record where it knows the image's width and height, in pixels."""
    record, _ = read_object(text)
    sides = dict(zip(("bbox_x", "bbox_y", "bbox_w", "bbox_h"), np.array([record.bbox]).T, strict=True))
    columns = sides | {"reasons": np.zeros(1, np.uint64)}
    mark_boxes(columns, np.ones(1, bool), np.array([float(width)]), np.array([float(height)]))
    found = reasons_of(int(columns["reasons"][0]))
    shape: Any = record.segmentation
    if isinstance(shape, Rle):
        differs = shape is not BAD_SEGMENTATION and shape.size != (height, width)
        return [*found, Reason.RLE_SIZE_DIFFERS] if differs else found
    return found + polygon_facts(shape, width, height)


def as_rle(segmentation: Any, width: int, height: int) -> dict[str, Any] | None:
    """Return a segmentation as pycocotools' compressed run lengths (its polygons united); None when it is not sound.

    What pycocotools would crash on, or draw for ever, is not handed to it: run lengths that do not add up, polygons
    under 6 numbers, with an odd count, with NaN, ten times larger than the image, or endless; images that no
    JPEG can be.
    """
    if max(width, height) > LARGEST_DRAWN_SIDE or min(width, height) <= 0:
        return None
    if isinstance(segmentation, list):
        rings = [as_numbers(ring) for ring in segmentation]
        sound = [ring for ring in rings if ring is not None and len(ring) >= 6 and len(ring) % 2 == 0]
        limit = float(LARGEST_REACH * max(width, height))
        if not sound or len(sound) < len(rings) or not all(abs(n) <= limit for ring in sound for n in ring):
            return None
        if any(_is_endless(ring) for ring in sound):
            return None
        united: dict[str, Any] = coco_mask.merge(coco_mask.frPyObjects(sound, height, width))
        return united
    try:
        rle = msgspec.convert(segmentation, Rle)
    except msgspec.ValidationError:
        return None
    if rle.size != (height, width) or not rle_is_sound(rle):
        return None
    if isinstance(rle.counts, str):
        return {"size": [height, width], "counts": rle.counts}
    result: dict[str, Any] = coco_mask.frPyObjects({"size": [height, width], "counts": rle.counts}, height, width)
    return result


def _is_endless(ring: list[float]) -> bool:
    if len(ring) * max(map(abs, ring)) <= LONGEST_OUTLINE:  # each of the len / 2 edges is at most twice the reach
        return False
    xs, ys = ring[0::2], ring[1::2]
    edges = zip(xs, xs[1:] + xs[:1], ys, ys[1:] + ys[:1], strict=True)
    return sum(max(abs(right - left), abs(low - high)) for left, right, high, low in edges) > LONGEST_OUTLINE


def drawn_area(segmentation: Any, width: int, height: int) -> int | None:
    """Return how many pixels the drawn segmentation has; None when it is not sound (see `as_rle`)."""
    rle = as_rle(segmentation, width, height)
    return None if rle is None else int(coco_mask.area(rle))


def drawn_fact(
    segmentation: Any, area: Any, width: int, height: int, tolerance: float = AREA_TOLERANCE
) -> tuple[Reason, str] | None:
    """Return which of mask-empty and area-mismatch holds of an annotation, with a detail; None if neither does.

    `area` is the annotation's, None when absent; `tolerance` a share of the drawn area (AREA_TOLERANCE_PX holds in any
    case). This draws the mask, so it is for selected records only.
    """
    drawn = drawn_area(segmentation, width, height)
    if drawn is None:
        return None
    if drawn == 0:
        return Reason.MASK_EMPTY, "no pixel is drawn"
    difference = abs(as_number(area)[0] - drawn)
    if math.isfinite(difference) and difference > max(AREA_TOLERANCE_PX, tolerance * drawn):
        return Reason.AREA_MISMATCH, f"area {area} stated, {drawn} drawn"
    return None
