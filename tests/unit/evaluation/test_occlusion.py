"""Occlusion: the share of a box that other objects' masks cover, equal to counting pixels."""

import math

import numpy as np
import pytest
from cocomine.coco.reader import Annotation
from cocomine.evaluation.occlusion import covered, image_occlusion
from helpers.small_subset import rle_of, square
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

SIDE = 32


def box(x, y, width, height, **rest):
    outline = [x, y, x + width, y, x + width, y + height, x, y + height]
    return Annotation(image_id=1, bbox=[x, y, width, height], segmentation=[outline], **rest)


def test_half_of_a_box_that_another_mask_covers_is_one_half():
    assert covered([box(0, 0, 10, 10), box(5, 0, 10, 10)], SIDE, SIDE) == [0.5, 0.5]
    assert image_occlusion([box(0, 0, 10, 10), box(5, 0, 20, 10)], SIDE, SIDE) == (0.5 + 0.25) / 2


def test_two_masks_over_one_place_cover_it_once():
    assert covered([box(0, 0, 10, 10), box(5, 0, 5, 10), box(5, 0, 5, 10)], SIDE, SIDE)[0] == 0.5


def test_a_crowd_covers_and_is_not_covered():
    crowd = Annotation(image_id=1, iscrowd=1, bbox=[0, 0, 10, 5], segmentation=rle_of(SIDE, SIDE, (0, 5), (0, 10)))
    assert covered([box(0, 0, 10, 10), crowd], SIDE, SIDE) == [0.5, None]


def test_without_the_masks_of_others_nothing_is_known():
    bare = Annotation(image_id=1, bbox=[0, 0, 10, 10], segmentation=None)
    other_size = Annotation(image_id=1, bbox=[0, 0, 9, 9], segmentation=rle_of(9, 9, (0, 9), (0, 9)))
    for other in (bare, other_size):
        assert covered([box(0, 0, 10, 10), other], SIDE, SIDE) == [None, None]
    assert covered([bare], SIDE, SIDE) == [0.0]  # there is no other
    assert math.isnan(image_occlusion([], SIDE, SIDE))
    assert covered([box(0, 0, 0, 10), box(5, 5, 3, 3)], SIDE, SIDE)[0] is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 20)] * 2, *[st.integers(1, 12)] * 2), min_size=1, max_size=6))
def test_shares_are_those_of_pixels_counted_one_by_one(boxes):
    found = covered([box(*one) for one in boxes], SIDE, SIDE)
    painted = []
    for x, y, width, height in boxes:
        (drawn,) = coco_mask.frPyObjects([[x, y, x + width, y, x + width, y + height, x, y + height]], SIDE, SIDE)
        painted.append(coco_mask.decode(drawn).astype(bool))
    for number, (x, y, width, height) in enumerate(boxes):
        inside = np.zeros((SIDE, SIDE), bool)
        inside[y : y + height, x : x + width] = True
        others = np.any([one for other, one in enumerate(painted) if other != number] or [inside & False], axis=0)
        assert found[number] == pytest.approx((inside & others).sum() / inside.sum())


def test_outlines_as_polygons_of_the_small_subset_do_not_stumble():
    one = Annotation(image_id=1, bbox=[1, 1, 8, 0], segmentation=[[1, 1, 9, 9]])  # no area
    assert covered([one, Annotation(image_id=1, bbox=[2, 2, 4, 4], segmentation=[square(2, 2, 4)])], SIDE, SIDE) == [
        None,
        None,
    ]
