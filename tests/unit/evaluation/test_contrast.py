"""Predictions side by side: a difference is paired, clear where it was planted and not where it was not."""

import json

import compare_predictions
import numpy as np
import pytest
from cocomine.evaluation import detections
from cocomine.evaluation.contrast import compare
from cocomine.evaluation.ground import ground_of_file
from cocomine.evaluation.resampling import read_draws
from cocomine.evaluation.settings import JudgingSettings
from helpers.report_page import assert_page_and_json_agree

IMAGES = 40
SETTINGS = JudgingSettings.from_mapping({"bootstrap": 200})


def truth(folder, images=IMAGES):
    objects = [(image, 30 * place) for image in range(1, images + 1) for place in range(4)]
    document = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 200, "height": 50} for i in range(1, images + 1)],
        "annotations": [
            {"id": n, "image_id": image, "category_id": 1, "bbox": [x, 5, 20, 20], "area": 400, "iscrowd": 0}
            for n, (image, x) in enumerate(objects, 1)
        ],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (folder / f"truth_{images}.json").write_text(json.dumps(document))
    return folder / f"truth_{images}.json", objects


def judged(folder, name, share, seed, images=IMAGES):
    """Judge results that find a share of the objects."""
    path, objects = truth(folder, images)
    random = np.random.default_rng(seed)
    entries = [
        {"image_id": image, "category_id": 1, "bbox": [x, 5, 20, 20], "score": float(random.random())}
        for image, x in objects
        if random.random() < share
    ]
    (folder / f"{name}.json").write_text(json.dumps(entries))
    detections.score_results(folder / f"{name}.json", ground_of_file(path, None, "boxes"), SETTINGS, folder / name)
    return folder / name


@pytest.fixture
def three(tmp_path):
    given = (("good", 0.9, 1), ("bad", 0.5, 2), ("as_bad", 0.5, 3))
    return [judged(tmp_path, name, share, seed) for name, share, seed in given]


def test_a_planted_difference_is_clear_and_none_is_where_none_was_planted(three):
    (group,) = compare(three)["groups"]
    pairs = {(pair["first"], pair["second"]): pair for pair in group["pairs"] if pair["figure"] == "AP"}
    values = {entry["name"]: entry["figures"][0]["value"] for entry in group["entries"]}
    better = pairs["good", "bad"]
    assert better["difference"] == values["good"] - values["bad"]
    assert better["low"] > 0
    assert better["clear"]
    assert not pairs["bad", "as_bad"]["clear"]
    draws = [read_draws(folder / "draws.tsv")["AP"] for folder in three[:2]]
    assert better["low"] == pytest.approx(np.quantile(draws[0] - draws[1], 0.025))


def test_images_on_which_two_differ_most_come_first_and_equal_ones_are_not_named(three):
    (group,) = compare([three[0], three[0].parent / "bad"])["groups"]
    gaps = [abs(row["first_error"] - row["second_error"]) for row in group["differ_most"]]
    assert gaps == sorted(gaps, reverse=True)
    assert len(gaps) == 10
    assert min(gaps) > 0
    (same,) = compare([three[0], three[0]])["groups"]
    assert same["differ_most"] == []
    assert all(pair["difference"] == 0 and not pair["clear"] for pair in same["pairs"])


def test_what_was_judged_on_other_images_is_not_compared(three, tmp_path):
    other = judged(tmp_path, "elsewhere", 0.9, 1, images=10)
    groups = compare([three[0], other])["groups"]
    assert [len(group["entries"]) for group in groups] == [1, 1]
    assert [group["pairs"] for group in groups] == [[], []]


def test_pictures_of_a_source_s_own_file_are_said_to_stand_on_grey(three, tmp_path):
    place = ["--judged-on", "truth_40.json", str(tmp_path / "truth_40.json"), str(tmp_path / "store")]
    options = ["--judged", *map(str, three[:2]), *place, "--out-dir", str(tmp_path / "out")]
    compare_predictions.main(compare_predictions.build_parser().parse_args(options))
    html = (tmp_path / "out/comparison.html").read_text()
    assert html.count("data:image/jpeg;base64,") == 4
    assert "on grey: of a source's own annotation file no photograph is fetched" in html


def test_every_number_of_the_page_is_in_the_json(three, tmp_path):
    options = ["--judged", *map(str, three), "--out-dir", str(tmp_path / "out")]
    compare_predictions.main(compare_predictions.build_parser().parse_args(options))
    facts = json.loads((tmp_path / "out/comparison.json").read_text())
    html = (tmp_path / "out/comparison.html").read_text()
    assert_page_and_json_agree(html, facts)
    clear = [pair["clear"] for pair in facts["groups"][0]["pairs"]]
    assert html.count('<span class="tag">clear</span>') == sum(clear) < len(clear)
