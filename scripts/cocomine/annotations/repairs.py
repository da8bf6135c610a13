"""Facts about one polygon list, and repairs of one record: pure functions from a parsed record to a repaired copy."""

from typing import Any

from cocomine.annotations.reasons import PIXEL_TOLERANCE, Reason


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
