"""Distances of outlines against a plain loop over pixels."""

import math

import numpy as np
import pytest
from cocomine.matching.outlines import AGREE, apart
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

MASKS = arrays(bool, (11, 13), elements=st.booleans()).filter(np.any)


def encoded(mask):
    return coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))


def within(mask, width):
    """The pixels of a mask from which a pixel that is not of it is at most `width` away, by rows and by columns."""
    height, wide = mask.shape

    def is_near_the_edge(y, x):
        around = [(y + j, x + i) for j in range(-width, width + 1) for i in range(-width, width + 1)]
        return any(not (0 <= j < height and 0 <= i < wide and mask[j, i]) for j, i in around)

    return {(y, x) for y, x in np.argwhere(mask).tolist() if is_near_the_edge(y, x)}


@given(MASKS, MASKS, st.sampled_from([0.06, 0.2]))
def test_boundary_iou_and_distances_are_those_of_the_definition(first, second, share):
    measured = apart(encoded(first), encoded(second), share)
    width = round(share * math.hypot(11, 13))
    regions = within(first, width), within(second, width)
    assert measured.boundary_iou == pytest.approx(len(regions[0] & regions[1]) / len(regions[0] | regions[1]))
    outlines = within(first, 1), within(second, 1)
    distances = [
        min(math.dist(point, other) for other in theirs)
        for mine, theirs in (outlines, outlines[::-1])
        for point in mine
    ]
    assert measured.mean == pytest.approx(sum(distances) / len(distances))
    assert measured.greatest == pytest.approx(max(distances))


def test_a_mask_agrees_with_itself():
    mask = np.eye(11, 13, dtype=bool)
    assert apart(encoded(mask), encoded(mask), 0.02) == AGREE
