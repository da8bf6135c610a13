"""What is counted of segmentations all at once is what a plain look at each finds."""

import numpy as np
from cocomine.annotations.outlines import segmentation_columns
from cocomine.annotations.reasons import reasons_of
from cocomine.annotations.records import as_polygons
from cocomine.annotations.repairs import polygon_facts
from hypothesis import given, settings
from hypothesis import strategies as st

coordinates = st.one_of(
    st.integers(-3, 1200).map(float),
    st.floats(-3, 1200),
    st.sampled_from([0.0, 100.0, 99.99, 100.01, 101.0, 101.5, 1e-7, 1e22, 80.0, 81.0, 81.01, -0.0]),
    st.sampled_from([float("nan"), float("inf"), -float("inf")]),
)
rings = st.lists(coordinates, min_size=0, max_size=9)
values = st.one_of(
    st.lists(rings, max_size=3),
    st.lists(st.lists(coordinates, min_size=3, max_size=3).map(lambda half: half * 2), min_size=1, max_size=3),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(values, st.none()), min_size=1, max_size=4))
def test_nothing_that_reaches_out_is_missed_and_counts_are_those_of_the_polygons(contents):
    reasons = np.zeros(len(contents), np.uint64)
    columns = segmentation_columns(contents, np.zeros(len(contents), np.int8), reasons)
    contents = [as_polygons(content or []) for content in contents]
    assert columns["polygons"].tolist() == [len(content) for content in contents]
    assert columns["vertices"].tolist() == [sum(len(ring) // 2 for ring in content) for content in contents]
    for place, content in enumerate(contents):
        found = {str(reason) for reason in reasons_of(int(reasons[place]))}
        assert ("polygon-odd" in found) == any(len(ring) % 2 for ring in content)
        assert ("polygon-too-short" in found) == any(len(ring) < 6 for ring in content)
        assert ("no-segmentation" in found) == (not content)
        even = [ring[: len(ring) // 2 * 2] for ring in content]
        if polygon_facts([ring for ring in even if ring], 100, 80):
            assert columns["lowest"][place] < 0 or columns["largest_x"][place] > 100 or columns["largest_y"][place] > 80


@given(st.lists(st.floats(0, 2**20), min_size=6, max_size=6))
def test_extents_are_rounded_outwards(ring):
    columns = segmentation_columns([[ring]], np.zeros(1, np.int8), np.zeros(1, np.uint64))
    assert columns["lowest"][0] <= min(ring) < columns["lowest"][0] + 1
    for axis, name in enumerate(("largest_x", "largest_y")):
        assert columns[name][0] - 1 < max(ring[axis::2]) <= columns[name][0]
