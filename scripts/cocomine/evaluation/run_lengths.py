"""The masks of annotations as pycocotools packs them."""

from typing import Any

from pycocotools import mask as coco_mask

Rle = dict[str, Any]
"""A mask as pycocotools packs it: its size, height and width, and its run lengths as text."""

LEAST_POINTS = 6  # numbers of an outline with an area


def has_mask(shape: Any) -> bool:
    """Whether a segmentation has run lengths, or an outline with an area."""
    return any(len(part) >= LEAST_POINTS for part in shape) if isinstance(shape, list) else bool(shape)


def rle_of(shape: Any, height: int, width: int) -> Rle:
    """Return an annotation's segmentation (outlines, or run lengths as text or list) as pycocotools' run lengths.

    Outlines of less than three points are left out, since they have no area; one of the others must be there.
    """
    if isinstance(shape, list):
        parts = [part for part in shape if len(part) >= LEAST_POINTS]
        merged: Rle = coco_mask.merge(coco_mask.frPyObjects(parts, height, width))
        return merged
    if isinstance(shape["counts"], list):
        packed: Rle = coco_mask.frPyObjects(shape, height, width)
        return packed
    return dict(shape)
