"""Boundary IoU (Cheng et al., Boundary IoU: Improving Object-Centric Image Segmentation Evaluation, CVPR 2021).

The boundary region of a mask is its pixels within d of its edge: the mask without what d erosions by 3 × 3 leave. The
outside of the image counts as outside of the mask. d is a share of the image's diagonal, at least 1 pixel. Boundary IoU
is the IoU of the boundary regions of prediction and truth.

Void pixels belong to prediction and truth alike while the regions are found, so that the edge of void is no boundary,
and count in neither afterwards.
"""

import math

import numpy as np
import numpy.typing as npt

from cocomine.coco.tasks import VOID

SHARE = 0.02
"""The width of the region as a share of the image's diagonal, the authors' value for COCO."""

Bools = npt.NDArray[np.bool_]
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
