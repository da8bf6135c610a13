from types import SimpleNamespace

import pytest
from cocomine.coco.reader import Annotation
from cocomine.formats.tally import Tally
from cocomine.formats.yolo import label_text, segment_line
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

FIGURE_OF_EIGHT = [10, 10, 50, 40, 50, 10, 10, 40]


def line_of(segmentation, width=64, height=48):
    tally = Tally()
    annotation = Annotation(image_id=1, id=7, category_id=3, segmentation=segmentation)
    tally.take(annotation)
    return segment_line(annotation, 0, width, height, tally), tally


def points_of(line, width=64, height=48):
    numbers = [float(text) for text in line.split()[1:]]
    return [number * (width, height)[place % 2] for place, number in enumerate(numbers)]


def test_a_figure_of_eight_whose_areas_cancel_is_kept_since_its_mask_has_pixels():
    line, tally = line_of([FIGURE_OF_EIGHT])
    assert points_of(line) == pytest.approx(FIGURE_OF_EIGHT, abs=1e-3)
    drawn = coco_mask.frPyObjects([points_of(line)], 48, 64)
    assert coco_mask.iou(drawn, coco_mask.frPyObjects([FIGURE_OF_EIGHT], 48, 64), [0])[0, 0] > 0.98
    assert not tally.losses


def test_an_outline_that_neither_has_an_area_nor_covers_a_pixel_is_dropped():
    line, tally = line_of([[5.1, 5.1, 5.2, 5.2, 5.1, 5.1]])
    assert line is None
    assert tally.losses == {"zero-area": 1}


@given(st.lists(st.tuples(st.integers(0, 64), st.integers(0, 48)), min_size=3, max_size=9))
def test_the_short_way_for_usual_outlines_writes_what_the_long_way_writes(points):
    outline = [number for point in points for number in point]
    short, _ = line_of([outline])
    # A second part without three points leaves the usual way, and is itself left out.
    long, _ = line_of([outline, [1, 1]])
    assert short == long


def test_parts_are_counted_as_joined_and_their_overlap_as_a_change():
    overlapping = [[10, 10, 30, 10, 30, 30, 10, 30], [20, 20, 40, 20, 40, 40, 20, 40]]
    _, tally = line_of(overlapping)
    assert (tally.losses["parts-joined"], tally.losses["changed-by-joining"]) == (1, 1)


def test_fifty_thousand_equal_objects_of_an_image_are_written_in_a_time_that_grows_with_their_number():
    square = [[1.0, 1.0, 9.0, 1.0, 9.0, 9.0, 1.0, 9.0]]
    objects = tuple(Annotation(image_id=1, id=n, category_id=3, segmentation=square) for n in range(50_000))
    image = SimpleNamespace(width=64, height=48)
    item = SimpleNamespace(objects=objects, image=image, exif_rotated=False, grouped=False)
    tally = Tally()
    assert label_text(segment_line, {3: 0}, item, tally).count("\n") == 50_000
    assert tally.losses["identical-row"] == 49_999
