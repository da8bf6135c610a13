"""Our polygons and run lengths against pycocotools', bit for bit."""

import numpy as np
import pytest
from cocomine.masks.boundaries import (
    Boundaries,
    UnusableMaskError,
    decode_counts,
    polygon_boundaries,
    polygon_coordinates,
    rle_boundaries,
    run_lengths,
)
from helpers.mask_oracle import ann_to_mask
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

# Coordinates of every grain: any float, halves and fifths (ties of the COCO API's rounding), whole pixels, the edges.
COORDINATES = st.one_of(
    st.floats(-30, 60, allow_nan=False),
    st.integers(-60, 120).map(lambda n: n / 2),
    st.integers(-150, 300).map(lambda n: n / 5),
    st.integers(-1500, 3000).map(lambda n: n / 50),
    st.sampled_from([0.0, 0.5, 1.0, 29.5, 30.0, -0.1, 1e-9, 0.49999999999999994]),
)
POLYGONS = st.lists(COORDINATES, min_size=6, max_size=24).map(lambda numbers: numbers[: len(numbers) // 2 * 2])
SLIVERS = st.tuples(st.floats(0, 30), st.floats(0, 30), st.floats(-0.6, 0.6), st.floats(-0.6, 0.6)).map(
    lambda p: [p[0], p[1], p[0] + 20, p[1] + p[2], p[0] + 20 + p[3], p[1] + 0.3]
)
SIDES = st.integers(1, 40)


def boundaries_of(polygons: list[list[float]], heights: np.ndarray, widths: np.ndarray) -> Boundaries:
    points, sizes = polygon_coordinates(polygons)
    return polygon_boundaries(points, np.array(sizes), heights, widths)


def filled(boundaries: Boundaries, part: int, height: int, width: int) -> np.ndarray:
    own = boundaries.part == part
    switches = np.zeros((height + 1, width), np.uint8)
    np.bitwise_xor.at(switches, (boundaries.y[own], boundaries.x[own]), 1)
    switched = np.bitwise_xor.accumulate(switches, axis=0)
    assert not switched[-1].any(), "every column ends switched off"
    return switched[:-1].astype(bool)


@settings(max_examples=1000, deadline=None)
@given(st.one_of(POLYGONS, SLIVERS), SIDES, SIDES)
@pytest.mark.slow
def test_any_polygon_equals_the_coco_api(polygon: list[float], height: int, width: int) -> None:
    ours = boundaries_of([polygon], np.array([height]), np.array([width]))
    assert np.array_equal(filled(ours, 0, height, width), ann_to_mask([polygon], height, width))


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(POLYGONS, SIDES, SIDES), min_size=2, max_size=6))
def test_polygons_of_many_images_do_not_disturb_one_another(cases: list[tuple[list[float], int, int]]) -> None:
    heights, widths = (np.array([case[i] for case in cases]) for i in (1, 2))
    ours = boundaries_of([case[0] for case in cases], heights, widths)
    for part, (polygon, height, width) in enumerate(cases):
        assert np.array_equal(filled(ours, part, height, width), ann_to_mask([polygon], height, width))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), SIDES, SIDES, st.floats(0, 1))
def test_any_rle_equals_the_coco_api_compressed_or_not(seed: int, height: int, width: int, density: float) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < density
    flat = np.flatnonzero(np.diff(mask.ravel(order="F"), prepend=False, append=not mask[-1, -1]))
    plain = {"size": [height, width], "counts": np.diff(flat, prepend=0).tolist()}
    packed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    as_text = {"size": [height, width], "counts": packed["counts"].decode()}
    for form in (plain, {"size": [height, width], "counts": packed["counts"]}, as_text):
        lengths = run_lengths(form, height, width)
        ours = rle_boundaries([lengths], np.array([height]))
        assert np.array_equal(filled(ours, 0, height, width), mask)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=40))
@settings(deadline=None)
def test_compressed_counts_are_read_as_written(counts: list[int]) -> None:
    total = sum(counts)
    packed = coco_mask.frPyObjects({"size": [1, total], "counts": counts}, 1, total)["counts"]
    assert decode_counts(packed).tolist() == counts


@pytest.mark.parametrize(
    ("polygons", "reason"),
    [
        ([[1, 2, 3, 4]], "polygon-too-short"),
        ([[1, 2, 3, 4, 5, 6], []], "polygon-too-short"),
        ([[1, 2, 3, 4, 5, 6, 7]], "polygon-odd"),
        ([[1, 2, float("nan"), 4, 5, 6]], "not-finite"),
        ([[1, 2, float("inf"), 4, 5, 6]], "not-finite"),
        ([[1, 2, -1e300, 4, 5, 6]], "not-finite"),
    ],
)
def test_what_is_no_polygon_is_refused_with_its_reason(polygons: list, reason: str) -> None:
    with pytest.raises(UnusableMaskError) as caught:
        polygon_coordinates(polygons)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ({"size": [3, 4], "counts": [6, 5]}, "rle-sum"),
        ({"size": [3, 4], "counts": [6, 7]}, "rle-sum"),
        ({"size": [3, 4], "counts": [20, -8]}, "rle-sum"),
        ({"size": [3, 4], "counts": [2**62, 2**62, 2**62, 2**62, 12]}, "rle-sum"),
        ({"size": [3, 4], "counts": [2**70]}, "rle-broken"),
        ({"size": [3, 4], "counts": [6.0, 6.0]}, "rle-broken"),
        ({"size": [3, 4], "counts": [True, 11]}, "rle-broken"),
        ({"size": [3, 4], "counts": [[6], [6]]}, "rle-broken"),
        ({"size": [3, 4], "counts": None}, "rle-broken"),
        ({"size": [3, 4], "counts": ""}, "rle-broken"),
        ({"size": [3, 4], "counts": "é"}, "rle-broken"),
        ({"size": [3, 4], "counts": "oooooooooooooooo"}, "rle-broken"),
        ({"size": [3, 4], "counts": "P"}, "rle-broken"),
        ({"size": [4, 3], "counts": [6, 6]}, "rle-size-differs"),
        ({"size": None, "counts": [6, 6]}, "rle-size-differs"),
        ({"counts": [6, 6]}, "rle-size-differs"),
    ],
)
def test_run_lengths_that_do_not_fit_the_image_are_refused(segmentation: dict, reason: str) -> None:
    with pytest.raises(UnusableMaskError) as caught:
        run_lengths(segmentation, 3, 4)
    assert caught.value.reason == reason
