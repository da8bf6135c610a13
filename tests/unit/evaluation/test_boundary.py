"""Boundary IoU against a plain loop over pixels, and what void does to it."""

import numpy as np
import pytest
from cocomine.evaluation import boundary
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays


def eroded_once(mask):
    """One erosion by 3 × 3, pixel by pixel; outside of the image nothing is set."""
    height, width = mask.shape
    inside = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            around = [(y + j, x + i) for j in (-1, 0, 1) for i in (-1, 0, 1)]
            inside[y, x] = all(0 <= j < height and 0 <= i < width and mask[j, i] for j, i in around)
    return inside


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))), st.integers(1, 4))
def test_a_region_is_the_mask_without_what_repeated_erosion_leaves(mask, width):
    inner = mask
    for _ in range(width):
        inner = eroded_once(inner)
    assert (boundary.region(mask, width) == (mask & ~inner)).all()


def test_the_width_is_a_share_of_the_diagonal_and_never_nothing():
    assert boundary.width_of((480, 640)) == 16
    assert boundary.width_of((3, 4)) == 1
    assert boundary.width_of((480, 640), 0.01) == 8


def test_a_square_that_is_moved_by_a_pixel_loses_of_its_boundary_and_little_of_its_area():
    truth, found = np.zeros((100, 100), np.uint8), np.zeros((100, 100), np.uint8)
    truth[20:80, 20:80], found[20:80, 21:81] = 1, 1
    both, own, true = boundary.boundary_counts(found, truth, 2)
    ring = 60 * 60 - 54 * 54  # d = 3
    assert own[1] == true[1] == ring
    # The rings share 59 × 60 minus what lies inside one of them: the holes are 54 wide and a pixel apart.
    assert both[1] == 59 * 60 - 55 * 54


@pytest.mark.parametrize("found_under_void", [0, 1])
def test_the_edge_of_void_is_no_boundary_and_void_counts_nowhere(found_under_void):
    truth = np.full((60, 60), 1, np.uint8)
    truth[:, 30:] = 255
    found = np.where(truth == 255, found_under_void, truth).astype(np.uint8)
    both, own, true = boundary.boundary_counts(found, truth, 2)
    width = boundary.width_of((60, 60))
    outer = 60 * 30 - (60 - 2 * width) * (30 - width)  # the image's own three edges
    assert both[1] == own[1] == true[1] == outer
