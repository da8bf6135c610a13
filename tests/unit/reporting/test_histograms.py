"""Bins: every image is in one, and the filter of a bin lets through its images and no others."""

from urllib.parse import parse_qsl

import numpy as np
import pytest
from cocomine.reporting.histograms import CELLS, measured, objects_per_image, positions
from hypothesis import given
from hypothesis import strategies as st


def through(values, chosen):
    """How many values pass a filter as the explorer applies it: both ends are let through."""
    ends = dict(parse_qsl(chosen))
    low, high = float(ends.get("min", "-inf")), float(ends.get("max", "inf"))
    return sum(low <= value <= high for value in values)


@given(st.lists(st.integers(0, 120)))
def test_every_image_is_in_one_bin_of_objects_per_image(counts):
    bins = objects_per_image(counts)
    assert sum(one["images"] for one in bins) == len(counts)
    assert [through(counts, one["filter"]) for one in bins] == [one["images"] for one in bins]


@pytest.mark.parametrize(("name", "most"), [("aspect", 9), ("brightness", 1)])
@given(data=st.data())
def test_every_measured_image_is_in_one_bin_and_its_filter_finds_it(name, most, data):
    values = data.draw(st.lists(st.floats(0, most)))
    bins = measured(name, [*values, None])
    shown = [round(value, 4) for value in values]
    assert sum(one["images"] for one in bins) == len(values)
    assert [through(shown, one["filter"]) for one in bins] == [one["images"] for one in bins]
    assert all(dict(parse_qsl(one["filter"]))["of"] == name for one in bins)


def test_positions_are_counted_from_the_top_and_what_has_none_is_left_out():
    x, y = np.array([0.0, 0.999, 0.5, np.nan, 1.2]), np.array([0.0, 0.0, 1.0, 0.5, 0.5])
    cells = np.array(positions(x, y))
    assert cells.shape == (CELLS, CELLS)
    assert (cells[0, 0], cells[0, CELLS - 1], cells[CELLS - 1, CELLS // 2], cells.sum()) == (1, 1, 1, 3)
    assert positions(np.array([np.nan]), np.array([0.5])) == []
