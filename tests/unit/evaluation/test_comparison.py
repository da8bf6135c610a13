"""The comparison: mean and deviation over seeds, the three arms with what makes them unequal, the published table."""

import html
import json
import re

import compare_experiments
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cocomine.base.errors import CocomineError
from cocomine.evaluation import comparison
from helpers.report_page import assert_every_number_is_known


def write(folder, run, subset="a", arm="", seed=0, iou=0.5, images=40, ids="same", evaluated="a", own="x", seen=0):
    figures = {
        "iou": {"mean_foreground": iou, "mean_with_background": 0.6, "per_image_mean_foreground": 0.4,
                "per_class": {"dog": iou}},
        "dice": {"mean_foreground": 0.6}, "pixel_accuracy": 0.9, "cross_entropy": 0.3, "eq2_as_printed": 0.8,
        "soft_iou": {"mean_foreground": 0.4}, "intervals": {"mean_foreground": [0.4, 0.6]},
    }  # fmt: skip
    trivial = {"training_resolution": {"iou": {"mean_foreground": 0.1}}}
    metrics = {
        "run": {"run": run, "experiment": "e", "subset": subset, "model_name": "m", "arm": arm, "seed": seed,
                "images_trained": images, "iterations": 100, "images_trained_sha256": own},
        "subset": evaluated, "split": "val", "images": 10, "images_sha256": ids, "images_trained_on": seen,
        "labels": [{"name": "background"}, {"name": "dog"}],
        "training_resolution": figures, "full_resolution": None,
        "baselines": {"all_background": trivial, "most_frequent_place": trivial},
        "slices": {"finding": "none"},
        "published": [{"method": "<b>x</b>", "iou_percent": 89.6}],
    }  # fmt: skip
    place = folder / run / f"on-{evaluated}"
    place.mkdir(parents=True)
    (place / "metrics.json").write_text(json.dumps(metrics))
    return place


def compared(places, folder):
    """Compare by the script, which writes the page too; return what comparison.json holds."""
    options = ["--runs", *map(str, places), "--out-dir", str(folder)]
    compare_experiments.main(compare_experiments.build_parser().parse_args(options))
    facts = json.loads((folder / "comparison.json").read_text())
    assert_every_number_is_known((folder / "comparison.html").read_text(), facts)
    return facts


def shown(folder):
    """Return the words of the page."""
    page = re.sub(r"<style>.*?</style>", "", (folder / "comparison.html").read_text(), flags=re.S)
    page = re.sub(r"</?span[^>]*>", "", page)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_cells_hold_mean_and_sample_deviation_over_seeds(tmp_path):
    places = [write(tmp_path, f"e-s{s}", seed=s, iou=v) for s, v in enumerate((0.5, 0.6, 0.7))]
    result = compared(places, tmp_path)
    (cell,) = result["cells"]
    assert cell["seeds"] == [0, 1, 2]
    assert cell["figures"]["iou"]["mean"] == pytest.approx(0.6)
    assert cell["figures"]["iou"]["deviation"] == pytest.approx(np.std([0.5, 0.6, 0.7], ddof=1))
    assert cell["figures"]["iou_full"] == {"mean": None, "deviation": None}
    lines = (tmp_path / "comparison.tsv").read_text().splitlines()
    assert len(lines) == 2
    assert lines[1].split("\t")[6] == "0 1 2"
    page = shown(tmp_path)
    assert "0.600 ± 0.100" in page
    assert "0, 1, 2" in page
    assert "89.6" in page
    assert "<b>x</b>" not in (tmp_path / "comparison.html").read_text()


def test_experiments_that_differ_only_by_seed_are_told_apart_on_the_page(tmp_path):
    for seed in (3, 71):
        write(tmp_path, f"e-s{seed}", seed=seed)
        metrics = tmp_path / f"e-s{seed}" / "on-a" / "metrics.json"
        metrics.write_text(metrics.read_text().replace('"experiment": "e"', f'"experiment": "e{seed}"'))
    compared([tmp_path / "e-s3", tmp_path / "e-s71"], tmp_path)
    rows = re.findall(r"e(\d+) a m a, val (\d+)", shown(tmp_path))
    assert rows == [("3", "3"), ("71", "71")]


def arms(tmp_path, second=None, **random):
    for seed in (0, 1):
        write(tmp_path, f"e-a-s{seed}", "a", "mined", seed, 0.6 + 0.02 * seed)
        write(tmp_path, f"e-b-s{seed}", "b", "all_classes", seed, 0.5 + 0.02 * seed, **(second or {}))
        write(tmp_path, f"e-c-s{seed}", "c", "random", seed, 0.2, **random)
    return [tmp_path / f"e-{x}-s{s}" for s in (0, 1) for x in "abc"]


def test_arms_answer_the_papers_question_seed_by_seed(tmp_path):
    (answer,) = compared(arms(tmp_path), tmp_path)["arms"]
    assert answer["comparable"]
    assert not answer["unequal"]
    assert [arm["arm"] for arm in answer["arms"]] == ["mined", "all_classes", "random"]
    for name in ("images_trained", "iterations", "images_evaluated"):
        assert len({tuple(arm[name]) for arm in answer["arms"]}) == 1
    assert "Iterations" in shown(tmp_path)
    gain = answer["gain_of_mining"]["all_classes"]
    assert gain["mean"] == pytest.approx(0.1)
    assert gain["deviation"] == pytest.approx(0.0, abs=1e-9)
    assert gain["seeds"] == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": 39}, "images trained on"),
        ({"ids": "other"}, "images judged"),
        ({"second": {"own": "y"}}, "the images of the first two arms, which should be the same"),
        ({"seen": 7}, "how many of the images evaluated they were trained on"),
    ],
)
def test_unequal_arms_are_said_to_be_not_comparable(tmp_path, change, words):
    (answer,) = compared(arms(tmp_path, **change), tmp_path)["arms"]
    assert not answer["comparable"]
    assert answer["unequal"] == [words]
    assert "Not comparable" in shown(tmp_path)


def test_images_of_the_random_arm_are_its_own(tmp_path):
    (answer,) = compared(arms(tmp_path, own="others"), tmp_path)["arms"]
    assert answer["comparable"]


def test_arms_of_other_seeds_are_said_to_be_not_comparable(tmp_path):
    places = [place for place in arms(tmp_path) if place.name != "e-c-s1"]
    (answer,) = compared(places, tmp_path)["arms"]
    assert answer["unequal"] == ["seeds"]


def test_the_better_baseline_stands_beside_every_arm(tmp_path):
    (answer,) = compared(arms(tmp_path), tmp_path)["arms"]
    assert [arm["baseline"] for arm in answer["arms"]] == [0.1, 0.1, 0.1]
    assert "of the better baseline" in shown(tmp_path)


def test_folder_without_an_evaluation_is_named(tmp_path):
    with pytest.raises(CocomineError, match=r"no metrics.json"):
        comparison.read_evaluations([tmp_path])


@pytest.mark.slow
def test_two_kinds_of_labels_stand_two_by_two_with_their_intervals_and_boundaries(tmp_path):
    images = list(range(60))
    for trained, gain in (("coco", 0.0), ("sama", 0.05)):
        for judged in ("coco", "sama"):
            place = write(tmp_path, f"e-{trained}", trained, "", 0, 0.5 + gain, evaluated=judged)
            hard = np.array([0.2 + 0.01 * n for n in images])
            table = {"image_id": images, "iou_mean_foreground": hard + gain}
            pq.write_table(pa.table(table | {"boundary_iou_mean_foreground": hard / 2}), place / "per_image.parquet")
    facts = compared([tmp_path / "e-coco", tmp_path / "e-sama"], tmp_path)
    rows = {row["judged_on"]: row for row in facts["crossed"]}
    assert set(rows) == {"coco", "sama"}
    for row in rows.values():
        assert (row["first"], row["second"]) == ("coco", "sama")
        assert row["iou"]["difference"] == pytest.approx(0.05)
        assert row["iou"]["verdict"] == "second"
        assert (row["boundary_iou"]["difference"], row["boundary_iou"]["verdict"]) == (0.0, "")
    page = shown(tmp_path)
    assert "sama is better" in page
    assert "no difference shown" in page
    drawn = (tmp_path / "comparison.html").read_text()
    assert drawn.count('<svg class="chart"') == 4
    assert 'aria-label="m, judged on sama, trained on coco: 0.495"' in drawn
    assert 'aria-label="m, judged on coco, sama less coco: 0.050"' in drawn


def test_names_from_outside_stay_text_on_the_page(tmp_path):
    compared([write(tmp_path, "e", "<script>alert(1)</script>")], tmp_path)
    assert "<script>alert" not in (tmp_path / "comparison.html").read_text()
