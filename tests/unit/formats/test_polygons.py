import tracemalloc

import numpy as np
import pytest
from cocomine.formats import polygons
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask


def square(x, y, side):
    return np.array([(x, y), (x + side, y), (x + side, y + side), (x, y + side)], float)


def drawn(parts, height, width):
    return coco_mask.decode(
        coco_mask.merge(coco_mask.frPyObjects([np.asarray(part).ravel().tolist() for part in parts], height, width))
    )


def test_a_polygon_inside_the_image_is_returned_untouched():
    inside = square(1, 1, 5)
    assert polygons.clip(inside, 10, 10) is inside


def test_clipping_keeps_exactly_the_area_that_lies_inside():
    assert polygons.area(polygons.clip(square(-4, -4, 10), 50, 50)) == pytest.approx(36)
    assert polygons.area(polygons.clip(square(46, 3, 10), 50, 50)) == pytest.approx(40)
    assert len(polygons.clip(square(60, 60, 5), 50, 50)) == 0


@given(st.lists(st.tuples(st.floats(-40, 80), st.floats(-40, 80)), min_size=3, max_size=12))
@settings(max_examples=150, deadline=None)
def test_clipping_covers_the_pixels_that_drawing_the_whole_polygon_covers(points):
    """pycocotools cuts at the image's edge while it draws; drawing the clipped outline must come to the same."""
    polygon = np.asarray(points, float)
    cut = polygons.clip(polygon, 40, 40)
    if len(cut):
        assert cut.min() >= 0
        assert cut.max() <= 40
    canvas = np.zeros((120, 120), bool)
    canvas |= drawn([polygon + 40], 120, 120).astype(bool)
    wanted = canvas[40:80, 40:80]
    got = drawn([cut], 40, 40).astype(bool) if len(cut) >= 3 else np.zeros((40, 40), bool)
    outline = 4 * 40 + sum(np.hypot(*(a - b)) for a, b in zip(polygon, np.roll(polygon, 1, axis=0), strict=True))
    assert (wanted != got).sum() <= 0.1 * outline + 4  # border pixels may round otherwise, areas may not


def test_joining_goes_through_every_part_and_encloses_no_more_than_they_do():
    parts = [square(0, 0, 4), square(20, 3, 6), square(5, 30, 2)]
    joined = polygons.join(parts)
    assert len(joined) == 12 + 2 * 2
    assert polygons.area(joined) == pytest.approx(16 + 36 + 4)
    assert polygons.joining_iou(parts, joined, 40, 40) == 1.0


def test_overlapping_parts_are_seen_to_change_by_joining():
    parts = [square(10, 10, 12), square(16, 16, 12)]
    assert polygons.joining_iou(parts, polygons.join(parts), 50, 50) < 0.99


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=6, unique=True))
@settings(max_examples=60, deadline=None)
def test_joined_parts_apart_from_each_other_draw_the_same_pixels(cells):
    parts = [square(20 * column + 3, 20 * row + 3, 11.3) for column, row in cells]
    joined = polygons.join(parts)
    assert polygons.joining_iou(parts, joined, 130, 130) > 0.99


def test_parts_of_fewer_than_three_points_are_no_outlines():
    assert polygons.parts_of([[1, 1, 2, 2], []]) == []
    assert [part.shape for part in polygons.parts_of([[1, 1, 2, 2, 3, 1, 9]])] == [(3, 2)]


POINTS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=80)


@given(POINTS, POINTS)
def test_the_nearest_points_are_the_first_of_all_pairs_at_the_least_distance(first, second):
    a, b = np.array(first, float), np.array(second, float)
    distances = {
        (here, there): (x - u) ** 2 + (y - v) ** 2
        for here, (x, y) in enumerate(first)
        for there, (u, v) in enumerate(second)
    }
    assert polygons.nearest(a, b) == min(distances, key=lambda pair: (distances[pair], pair))


def test_joining_two_parts_of_ten_thousand_points_takes_memory_for_the_points_and_not_for_their_pairs():
    turn = np.linspace(0, 2 * np.pi, 10_000, endpoint=False)
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1) * 100 + 110
    parts = [circle, circle + np.array([300.5, 40.25])]
    tracemalloc.start()
    joined = polygons.join(parts)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(joined) == 20_002
    assert polygons.area(joined) == pytest.approx(2 * polygons.area(circle))
    assert peak < 20e6
