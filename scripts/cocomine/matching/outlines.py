"""How far the outlines of two masks of one object lie apart."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from scipy.spatial import KDTree

from cocomine.base.arrays import Bools, Floats
from cocomine.evaluation.boundary import region, width_of
from cocomine.masks.boundaries import decode_counts


@dataclass(frozen=True)
class Apart:
    """Boundary IoU of two masks, and the mean and the greatest distance of their outlines in pixels.

    The outline of a mask is its pixels that touch, across an edge or a corner, one that is not of it. The distance of
    a pixel of one outline is that to the nearest pixel of the other, between centres; the mean is over the pixels of
    both outlines, and the greatest of them is the Hausdorff distance.
    """

    boundary_iou: float
    mean: float
    greatest: float


AGREE = Apart(1.0, 0.0, 0.0)


def apart(first: dict[str, Any], second: dict[str, Any], share: float) -> Apart:
    """Measure two masks of one image, none of them empty, given as COCO's compressed run lengths.

    Boundary regions are `share` of the image's diagonal wide (cocomine.evaluation.boundary).
    """
    if first["counts"] == second["counts"]:
        return AGREE
    width = width_of(tuple(first["size"]), share)
    one, other = _cropped(first, second)
    regions = [region(mask, width) for mask in (one, other)]
    both, either = (regions[0] & regions[1]).sum(), (regions[0] | regions[1]).sum()
    points = [_points(region(mask, 1)) for mask in (one, other)]
    distances = np.concatenate([_nearest(*points), _nearest(*reversed(points))])
    return Apart(float(both / either), float(distances.mean()), float(distances.max()))


def _cropped(first: dict[str, Any], second: dict[str, Any]) -> tuple[Bools, Bools]:
    """Return both masks cut to the box of their union: outside it, as outside the image, neither has a pixel."""
    boxes = coco_mask.toBbox([first, second]).astype(np.int64)
    left, top = boxes[:, :2].min(axis=0).tolist()
    right, bottom = (boxes[:, :2] + boxes[:, 2:]).max(axis=0).tolist()
    height = int(first["size"][0])
    one, other = (_columns(rle["counts"], height, left, right)[:, top:bottom].T for rle in (first, second))
    return one, other


def _columns(counts: bytes | str, height: int, left: int, right: int) -> Bools:
    """Return the columns from `left` to before `right` of a mask as rows, without drawing the others."""
    size = (right - left) * height
    ends = np.clip(np.cumsum(decode_counts(counts)) - left * height, 0, size)
    lengths = np.diff(ends, prepend=0, append=size)
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(right - left, height)


def _points(outline: Bools) -> Floats:
    return np.stack(np.divmod(np.flatnonzero(outline), outline.shape[1]), axis=1).astype(np.float64)


def _nearest(points: Floats, others: Floats) -> Floats:
    # Trees that are asked once: a balanced one takes longer to build than it saves.
    distances, _ = KDTree(others, balanced_tree=False, compact_nodes=False).query(points)
    return np.asarray(distances, np.float64)
