import numpy as np
import pytest
from cocomine.formats import trace
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

MASKS = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(lambda size: arrays(bool, size))


def filled(ring, shape):
    """The pixels whose centre lies inside, by counting the outline's crossings to the left of it."""
    inside = np.zeros(shape, bool)
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        assert x0 == x1 or y0 == y1
        if x0 == x1:
            inside[int(min(y0, y1)) : int(max(y0, y1)), int(x0) :] ^= True
    return inside


@given(MASKS)
def test_outlines_filled_one_over_another_are_the_mask(mask):
    total = np.zeros(mask.shape, bool)
    for ring in trace.outlines_of(mask):
        total ^= filled(ring, mask.shape)
    assert (total == mask).all()


@given(MASKS)
def test_each_corner_of_an_outline_is_a_turn(mask):
    for ring in trace.outlines_of(mask):
        across = np.diff(ring, axis=0, append=ring[:1]) == 0
        assert (across[:, 0] != across[:, 1]).all()
        assert (across[:, 0] != np.roll(across[:, 0], 1)).all()


@given(MASKS)
def test_an_outline_for_each_part_and_each_hole_the_parts_first(mask):
    from scipy import ndimage

    parts = ndimage.label(mask)[1]
    holes = ndimage.label(~np.pad(mask, 1), structure=np.ones((3, 3)))[1] - 1
    turning = [trace._turning(ring) for ring in trace.outlines_of(mask)]
    assert [turn > 0 for turn in turning] == [True] * parts + [False] * holes


def test_one_outline_holds_parts_and_holes_whoever_fills_it():
    mask = np.zeros((40, 60), bool)
    mask[5:30, 5:30] = True
    mask[10:20, 12:22] = False  # a hole
    mask[13:16, 15:18] = True  # an island in it
    mask[8:35, 40:55] = True  # another part
    outline = trace.joined_outline(mask)
    assert trace.drawn_iou(outline, mask) == 1.0
    assert (filled(trace.outlines_of(mask)[0], mask.shape)[14, 20], mask[14, 20]) == (True, False)
    canvas = Image.new("1", (60, 40))
    ImageDraw.Draw(canvas).polygon([tuple(point) for point in outline - 0.5], fill=1)
    drawn = np.asarray(canvas)
    assert (drawn & mask).sum() / (drawn | mask).sum() > 0.85  # Pillow draws the outline itself, too


@given(MASKS)
def test_run_lengths_are_read_in_both_forms_as_pycocotools_reads_them(mask):
    compressed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    height, width = mask.shape
    flat = mask.ravel(order="F")
    counts = np.diff(np.concatenate([[0], np.flatnonzero(np.diff(np.concatenate([[False], flat]))), [flat.size]]))
    for form in (compressed["counts"].decode(), counts.tolist()):
        read = trace.mask_of({"size": [height, width], "counts": form}, width, height)
        assert (read == mask).all()


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [4, 5], "counts": [3, 2]},
        {"size": [4, 5], "counts": [30, -10]},
        {"size": [5, 4], "counts": [20]},
        {"size": [4, 5], "counts": "é"},
        {"size": [4, 5], "counts": "P"},
        {"size": [4, 5]},
        {"size": [4, 5], "counts": [10**12, 20 - 10**12]},
    ],
)
def test_run_lengths_that_do_not_fill_their_image_are_refused(segmentation):
    assert trace.mask_of(segmentation, 5, 4) is None


def test_an_empty_mask_has_no_outline():
    assert trace.joined_outline(np.zeros((3, 3), bool)) is None
