"""The comparison: mean and deviation over seeds, the three arms with what makes them unequal, the published table."""

import json

import numpy as np
import pytest
from cocomine.base.errors import CocomineError
from cocomine.evaluation import comparison


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


def test_cells_hold_mean_and_sample_deviation_over_seeds(tmp_path):
    places = [write(tmp_path, f"e-s{s}", seed=s, iou=v) for s, v in enumerate((0.5, 0.6, 0.7))]
    result = comparison.write_comparison(places, tmp_path)
    (cell,) = result["cells"]
    assert cell["seeds"] == [0, 1, 2]
    assert cell["figures"]["iou"]["mean"] == pytest.approx(0.6)
    assert cell["figures"]["iou"]["deviation"] == pytest.approx(np.std([0.5, 0.6, 0.7], ddof=1))
    assert cell["figures"]["iou_full"] == {"mean": None, "deviation": None}
    lines = (tmp_path / "comparison.tsv").read_text().splitlines()
    assert len(lines) == 2
    assert lines[1].split("\t")[6] == "0 1 2"
    page = (tmp_path / "comparison.html").read_text()
    assert "0.600 ± 0.100" in page
    assert "<td>0, 1, 2</td>" in page
    assert "89.6" in page
    assert "<b>x</b>" not in page


def test_experiments_that_differ_only_by_seed_are_told_apart_on_the_page(tmp_path):
    for seed in (3, 71):
        write(tmp_path, f"e-s{seed}", seed=seed)
        metrics = tmp_path / f"e-s{seed}" / "on-a" / "metrics.json"
        metrics.write_text(metrics.read_text().replace('"experiment": "e"', f'"experiment": "e{seed}"'))
    comparison.write_comparison([tmp_path / "e-s3", tmp_path / "e-s71"], tmp_path)
    page = (tmp_path / "comparison.html").read_text()
    assert "<td>3</td>" in page
    assert "<td>71</td>" in page


def arms(tmp_path, second=None, **random):
    for seed in (0, 1):
        write(tmp_path, f"e-a-s{seed}", "a", "mined", seed, 0.6 + 0.02 * seed)
        write(tmp_path, f"e-b-s{seed}", "b", "all_classes", seed, 0.5 + 0.02 * seed, **(second or {}))
        write(tmp_path, f"e-c-s{seed}", "c", "random", seed, 0.2, **random)
    return [tmp_path / f"e-{x}-s{s}" for s in (0, 1) for x in "abc"]


def test_arms_answer_the_papers_question_seed_by_seed(tmp_path):
    (answer,) = comparison.write_comparison(arms(tmp_path), tmp_path)["arms"]
    assert answer["comparable"]
    assert not answer["unequal"]
    assert [arm["arm"] for arm in answer["arms"]] == ["mined", "all_classes", "random"]
    for name in ("images_trained", "iterations", "images_evaluated"):
        assert len({tuple(arm[name]) for arm in answer["arms"]}) == 1
    assert "Iterations" in (tmp_path / "comparison.html").read_text()
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
    (answer,) = comparison.write_comparison(arms(tmp_path, **change), tmp_path)["arms"]
    assert not answer["comparable"]
    assert answer["unequal"] == [words]
    assert "Not comparable" in (tmp_path / "comparison.html").read_text()


def test_images_of_the_random_arm_are_its_own(tmp_path):
    (answer,) = comparison.write_comparison(arms(tmp_path, own="others"), tmp_path)["arms"]
    assert answer["comparable"]


def test_arms_of_other_seeds_are_said_to_be_not_comparable(tmp_path):
    places = [place for place in arms(tmp_path) if place.name != "e-c-s1"]
    (answer,) = comparison.write_comparison(places, tmp_path)["arms"]
    assert answer["unequal"] == ["seeds"]


def test_the_better_baseline_stands_beside_every_arm(tmp_path):
    (answer,) = comparison.write_comparison(arms(tmp_path), tmp_path)["arms"]
    assert [arm["baseline"] for arm in answer["arms"]] == [0.1, 0.1, 0.1]
    assert "of the better baseline" in (tmp_path / "comparison.html").read_text()


def test_folder_without_an_evaluation_is_named(tmp_path):
    with pytest.raises(CocomineError, match=r"no metrics.json"):
        comparison.read_evaluations([tmp_path])
