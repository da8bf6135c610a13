"""Boundary IoU (Cheng et al., Boundary IoU: Improving Object-Centric Image Segmentation Evaluation, CVPR 2021).

The boundary region of a mask is its pixels within d of its edge: the mask without what d erosions by 3 × 3 leave. The
outside of the image counts as outside of the mask. d is a share of the image's diagonal, at least 1 pixel. Boundary IoU
is the IoU of the boundary regions of prediction and truth.

Of instance masks, a result and an object overlap by the lesser of the IoU of their masks and of their boundary regions
(the paper's Boundary AP, section 5); a crowd, which has no outline to find, by the masks alone. Since results find
objects from an IoU of 0.5 on, boundaries are only compared where the masks reach it.

Of semantic masks, void pixels belong to prediction and truth alike while the regions are found, so that the edge of
void is no boundary, and count in neither afterwards.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from cocomine.base.arrays import Bools
from cocomine.base.progress import Progress
from cocomine.coco.tasks import VOID
from cocomine.evaluation.matching import Edges
from cocomine.evaluation.run_lengths import Rle

SHARE = 0.02
"""The width of the region as a share of the image's diagonal, the authors' value for COCO."""

LEAST_IOU = 0.5
"""The least IoU at which a result finds an object."""

Labelled = npt.NDArray[np.uint8]


def width_of(shape: tuple[int, ...], share: float = SHARE) -> int:
    """Return the width of boundary regions in pixels, for an image of `shape` (height, width)."""
    return max(1, round(share * math.hypot(*shape)))


def region(mask: Bools, width: int) -> Bools:
    """Return the pixels of `mask` (h, w) within `width` pixels of its edge or of the image's."""
    if not mask.any():
        return mask.copy()
    # d erosions by 3 × 3 are one by a square of side 2d + 1, which is one along each axis in turn.
    inner = _eroded(_eroded(mask, width).T, width).T
    edge: Bools = mask & ~inner
    return edge


@dataclass(frozen=True)
class _Edge:
    """A boundary region: the corner of its box in rows and columns, the region in the box, its pixels."""

    corner: tuple[int, int]
    inside: Bools
    pixels: int


def edge_of(mask: Rle, width: int) -> _Edge:
    """Return the boundary region of a mask that pycocotools packed."""
    left, top, across, down = (int(value) for value in coco_mask.toBbox(mask).tolist())
    box = coco_mask.decode(mask)[top : top + down, left : left + across].astype(bool)
    # Outside of its box a mask has no pixel, so that the box's edge is the mask's own or the image's.
    inside = region(box, width)
    return _Edge((top, left), inside, int(np.count_nonzero(inside)))


def edge_iou(one: _Edge, other: _Edge) -> float:
    """Return the IoU of two boundary regions of one image."""
    top, left = (max(a, b) for a, b in zip(one.corner, other.corner, strict=True))
    parts = [edge.inside[top - edge.corner[0] :, left - edge.corner[1] :] for edge in (one, other)]
    down, across = (min(a, b) for a, b in zip(parts[0].shape, parts[1].shape, strict=True))
    inter = int(np.count_nonzero(parts[0][:down, :across] & parts[1][:down, :across]))
    union = one.pixels + other.pixels - inter
    return inter / union if union else 0.0


def boundary_edges(
    edges: Edges, found: Sequence[Rle], truth: Callable[[int], Rle], crowd: Bools, share: float
) -> Edges:
    """Return edges whose IoU is the lesser of the masks' and the boundary regions'.

    `found` are the masks of results in terms of `edges`, `truth` gives that of an object; `share` of the diagonal is
    the width of the regions.
    """
    iou = edges.iou.copy()
    near = np.flatnonzero((iou >= LEAST_IOU) & ~crowd[edges.object])
    of_object: dict[int, _Edge] = {}
    last, own = -1, None
    with Progress("overlap of boundaries", len(near), "pair") as progress:
        for place in near[np.argsort(edges.result[near], kind="stable")].tolist():
            result, target = int(edges.result[place]), int(edges.object[place])
            width = width_of(tuple(found[result]["size"]), share)
            if own is None or result != last:
                last, own = result, edge_of(found[result], width)
            if target not in of_object:
                of_object[target] = edge_of(truth(target), width)
            iou[place] = min(iou[place], edge_iou(own, of_object[target]))
            progress.advance()
    return Edges(edges.result, edges.object, iou)


def _eroded(mask: Bools, width: int) -> Bools:
    """Return which pixels have only pixels of `mask` up to `width` rows above and below them."""
    size = 2 * width + 1
    # `run` says of each row whether `length` rows from it on are set; a run is made of two of half its length.
    run, length = np.zeros((len(mask) + 2 * width, mask.shape[1]), bool), 1
    run[width : width + len(mask)] = mask
    while length < size:
        step = min(length, size - length)
        run, length = run[:-step] & run[step:], length + step
    return run


def boundary_counts(
    found: Labelled, truth: Labelled, labels: int, share: float = SHARE
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return for each label the pixels of its boundary regions in both, in the prediction and in the truth.

    `found` and `truth` are label masks (h, w); `truth` holds 255 where it is void.
    """
    void = truth == VOID
    width = width_of(truth.shape, share)
    both, own, true = (np.zeros(labels, dtype=np.int64) for _ in range(3))
    for label in np.union1d(np.unique(found), np.unique(truth)).tolist():
        if label >= labels:
            continue
        one, other = (region((mask == label) | void, width) & ~void for mask in (found, truth))
        both[label], own[label], true[label] = (one & other).sum(), one.sum(), other.sum()
    return both, own, true
