"""Models of two subsets on the same images: differences image by image, and their intervals."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cocomine.evaluation.crossed import Judged, crossed


def judged(folder, trained_on, judged_on, values, seed=0, boundary=True):
    place = folder / f"{trained_on}-{judged_on}-{seed}"
    place.mkdir(parents=True)
    figures = pa.array(list(values.values()), pa.float64())
    columns = {"iou_mean_foreground": figures, "boundary_iou_mean_foreground": figures}
    table = pa.table({"image_id": list(values), **(columns if boundary else {"iou_mean_foreground": figures})})
    pq.write_table(table, place / "per_image.parquet")
    return Judged("e", "m", seed, trained_on, judged_on, "val", place)


def test_a_gain_in_every_image_is_seen_though_images_differ_much_more(tmp_path):
    hard = {n: 0.1 + 0.008 * n for n in range(100)}
    (row,) = crossed(
        [
            judged(tmp_path, "coco", "coco", hard),
            judged(tmp_path, "sama", "coco", {n: value + 0.02 + 0.0001 * (n % 3) for n, value in hard.items()}),
        ]
    )
    assert row["iou"] == row["boundary_iou"]
    found = row["iou"]
    assert (row["first"], row["second"], found["images"], found["verdict"]) == ("coco", "sama", 100, "second")
    assert found["difference"] == pytest.approx(0.0201, abs=1e-4)
    assert found["interval"][0] < found["difference"] < found["interval"][1]
    assert found["interval"][1] - found["interval"][0] < 0.001


def test_the_mean_over_common_seeds_counts_and_images_that_one_lacks_do_not(tmp_path):
    (row,) = crossed(
        [
            judged(tmp_path, "a", "a", {1: 0.5, 2: 0.5, 3: None}, seed=0),
            judged(tmp_path, "a", "a", {1: 0.7, 2: 0.7, 3: 0.1}, seed=1),
            judged(tmp_path, "b", "a", {1: 0.4, 2: 0.9, 3: 0.9, 4: 1.0}, seed=0),
            judged(tmp_path, "b", "a", {1: 0.6, 2: 0.7, 3: 0.9, 4: 1.0}, seed=1),
            judged(tmp_path, "b", "a", {1: 0.0, 2: 0.0, 3: 0.0, 4: 0.0}, seed=2),
        ]
    )
    found = row["iou"]
    assert (row["seeds"], found["images"]) == ([0, 1], 2)
    assert found["first"] == pytest.approx(0.6)
    assert found["second"] == pytest.approx((0.5 + 0.8) / 2)
    assert found["difference"] == pytest.approx(0.05)
    # Of two images one is worse by 0.1 and one better by 0.2.
    assert found["verdict"] == ""


def test_tables_of_an_earlier_build_have_no_boundaries(tmp_path):
    (row,) = crossed([judged(tmp_path, name, "a", {1: 0.5, 2: 0.6}, boundary=False) for name in ("a", "b")])
    assert (row["iou"]["images"], row["boundary_iou"]["images"], row["boundary_iou"]["difference"]) == (2, 0, None)


def test_four_models_and_subsets_make_a_two_by_two(tmp_path):
    rows = crossed([judged(tmp_path, a, b, {1: 0.5, 2: 0.6}) for a in ("coco", "sama") for b in ("coco", "sama")])
    assert [(row["judged_on"], row["first"], row["second"]) for row in rows] == [
        ("coco", "coco", "sama"),
        ("sama", "coco", "sama"),
    ]
    assert crossed([judged(tmp_path / "x", "a", "a", {1: 0.5}), judged(tmp_path / "x", "a", "b", {1: 0.5})]) == []
    assert crossed([Judged("e", "m", 0, name, "a", "val", tmp_path / name) for name in "ab"]) == []
