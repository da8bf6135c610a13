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
    [None, [], "x", [1, 2], [[1], 2], [[[1]]], [[1, [2]]], [[None]], [[True, False]], [["1"]], [[{}]], {}]
)
layouts = st.sampled_from([(", ", ": "), (",", ":"), (" ,", ": "), (",\n ", ": ")])


def raws(contents, layout):
    return [msgspec.Raw(json.dumps(content, separators=layout).encode()) for content in contents]


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
    columns = segmentation_columns(raws(contents, layout), np.zeros(n, np.int8), reasons)
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
@given(st.lists(st.one_of(values, odd), min_size=1, max_size=4), layouts)
def test_the_text_is_taken_as_polygons_only_where_parsing_does(contents, layout):
    texts = raws(contents, layout)
    lists = [text for text in texts if bytes(text).startswith(b"[") and len(text) > 2]
    if not lists:
        return
    found = screen(lists, np.array([len(text) for text in lists]))
    if found is None:
        return
    parsed = [msgspec.json.decode(text, type=list[list[float]]) for text in lists]
    assert found.polygons.tolist() == list(map(len, parsed))
    assert found.numbers.tolist() == [len(ring) for content in parsed for ring in content]
    for place, content in enumerate(parsed):
        numbers = [number for ring in content for number in ring]
        if not np.signbit(numbers).any() and max(numbers) < 1000:
            assert found.reach[place].tolist() == [int(max(max(r[axis::2]) for r in content)) for axis in (0, 1)]
            assert found.near[place].tolist() == [int(max(min(r[axis::2]) for r in content)) for axis in (0, 1)]
        else:
            assert FAR in found.reach[place]


def test_polygons_in_the_layout_of_coco_are_screened_not_parsed():
    contents = [[[1.5, 2, 30.25, 4.0, 5, 600.75]], [[0, 0, 1, 1, 2, 2], [7.5, 7.5, 8, 8, 9, 9]]]
    for layout in [(", ", ": "), (",", ":")]:
        texts = raws(contents, layout)
        found = screen(texts, np.array([len(text) for text in texts]))
        assert found is not None
        assert found.reach.tolist() == [[30, 600], [9, 9]]
        assert found.near.tolist() == [[1, 2], [7, 7]]
