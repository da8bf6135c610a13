"""Reading whole pixels off the text finds what parsing finds."""

import json

import msgspec
import numpy as np
import pytest
from cocomine.annotations.drawing import polygon_facts
from cocomine.annotations.lenient import as_polygons
from cocomine.annotations.outlines import FAR, screen, segmentation_columns
from hypothesis import given, settings
from hypothesis import strategies as st

coordinates = st.one_of(
    st.integers(-3, 1200),
    st.floats(-3, 1200),
    st.sampled_from([0, 100, 100.0, 99.99, 100.01, 101, 101.5, 1e-7, 1e22, 80, 81.0, 81.01, -0.0]),
    st.floats(0, 100).map(lambda value: round(value, 2)),
)
rings = st.lists(coordinates, min_size=0, max_size=9)
values = st.one_of(
    st.lists(rings, max_size=3),
    st.lists(st.lists(coordinates, min_size=3, max_size=3).map(lambda half: half * 2), min_size=1, max_size=3),
)
odd = st.sampled_from(
    [None, [], "x", 1, -2, [1, [2]], [[1]], [[1, 2], 3], [None], [True, 1], ["1"], ["1, 2"], [{}], {}, {"a": [1, 2]}]
)
layouts = st.sampled_from([(", ", ": "), (",", ":"), (" ,", ": "), (",\n ", ": ")])


def raws(contents, layout):
    return [msgspec.Raw(json.dumps(content, separators=layout).encode()) for content in contents]


def segmentations(contents, layout):
    return [raws(content, layout) for content in contents]


def looked_at(columns, place, width=100, height=80):
    return (
        columns["reach_x"][place] > width
        or columns["reach_y"][place] > height
        or columns["near_x"][place] >= width
        or columns["near_y"][place] >= height
    )


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(st.lists(values, min_size=1, max_size=4), layouts)
def test_nothing_that_reaches_out_is_missed_and_counts_agree(contents, layout):
    n = len(contents)
    reasons = np.zeros(n, np.uint64)
    columns = segmentation_columns(segmentations(contents, layout), np.zeros(n, np.int8), reasons)
    parsed_reasons = np.zeros(n, np.uint64)
    parsed = segmentation_columns(contents, np.zeros(n, np.int8), parsed_reasons)
    contents = [as_polygons(content) for content in contents]
    assert columns["polygons"].tolist() == [len(content) for content in contents]
    assert columns["vertices"].tolist() == [sum(len(ring) // 2 for ring in content) for content in contents]
    assert reasons.tolist() == parsed_reasons.tolist()
    for place, content in enumerate(contents):
        even = [ring[: len(ring) // 2 * 2] for ring in content]
        if polygon_facts([ring for ring in even if ring], 100, 80):
            assert looked_at(columns, place)
            assert looked_at(parsed, place)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(rings, odd), min_size=1, max_size=6), layouts)
def test_the_text_is_taken_as_polygons_only_where_parsing_does(contents, layout):
    texts = raws(contents, layout)
    found = screen(texts)
    if found is None:
        return
    parsed = [msgspec.json.decode(text, type=list[float]) for text in texts]
    assert found.numbers.tolist() == list(map(len, parsed))
    for place, ring in enumerate(parsed):
        if not np.signbit(ring).any() and max(ring) < 1000:
            assert found.high[place].tolist() == [int(max(ring[axis::2])) for axis in (0, 1)]
            assert found.low[place].tolist() == [int(min(ring[axis::2])) for axis in (0, 1)]
        else:
            assert FAR in found.high[place]


def test_polygons_in_the_layout_of_coco_are_screened_not_parsed():
    contents = [[1.5, 2, 30.25, 4.0, 5, 600.75], [0, 0, 1, 1, 2, 2], [7.5, 17.5, 8, 8, 9, 9]]
    for layout in [(", ", ": "), (",", ":")]:
        found = screen(raws(contents, layout))
        assert found is not None
        assert found.low.tolist() == [[1, 2], [0, 0], [7, 8]]
        assert found.high.tolist() == [[30, 600], [2, 2], [9, 17]]


def test_an_outline_reaches_as_far_as_its_farthest_polygon_and_begins_at_its_last():
    contents = [[[0, 0, 1, 1, 2, 2], [7.5, 17.5, 8, 8, 9, 9]], None, [[1, 2, 3, 4, 5, 6]]]
    texts = [None if content is None else raws(content, (", ", ": ")) for content in contents]
    columns = segmentation_columns(texts, np.zeros(3, np.int8), np.zeros(3, np.uint64))
    assert columns["reach_x"].tolist() == [9, -1, 5]
    assert columns["reach_y"].tolist() == [17, -1, 6]
    assert columns["near_x"].tolist() == [7, -1, 1]
    assert columns["near_y"].tolist() == [8, -1, 2]
