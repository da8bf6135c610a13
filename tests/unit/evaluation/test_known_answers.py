"""Weaknesses that were planted in predictions are found and named; where none was planted, none is named."""

import pytest
from cocomine.evaluation import detections
from cocomine.evaluation.ground import ground_of_subset
from cocomine.evaluation.settings import JudgingSettings
from helpers.planted_weakness import make_subset, write_results


def never(fact):
    return False


WEAK = {
    "occlusion": ("partial (to 0.35)", lambda fact: fact["near"]),
    "tag weather": ("fog", lambda fact: fact["weather"] == "fog"),
    "licence": ("3", lambda fact: fact["licence"] == 3),
    "brightness": ("low", lambda fact: fact["brightness"] < 1 / 3),
}


def judged(folder, facts, weak, seed, skew=0.0, draws=199):
    results = write_results(folder, facts, weak, seed, skew)
    settings = JudgingSettings.from_mapping({"bootstrap": draws, "split": "val"})
    ground = ground_of_subset(folder, settings, "boxes", folder / "tags.tsv")
    return detections.score_results(results, ground, settings, folder / "out")


@pytest.mark.parametrize("name", WEAK)
def test_planted_weakness_is_named_first(tmp_path, name):
    cell, weak = WEAK[name]
    found = judged(tmp_path, make_subset(tmp_path, 1), weak, 1)["slices"]
    assert f"{name} explains most of the error" in found["finding"]
    assert found["worst"][0]["attribute"] == name
    assert found["worst"][0]["cell"].startswith(cell)
    assert found["attributes"][0]["p_of_all"] <= 0.05


@pytest.mark.slow
def test_where_nothing_was_planted_nothing_is_named_but_as_rarely_as_chance_is_allowed(tmp_path):
    explained = worse = skewed = gaps = 0
    for seed in range(30):
        folder = tmp_path / str(seed)
        result = judged(folder, make_subset(folder, seed), never, seed, draws=99)
        explained += "explains most" in result["slices"]["finding"]
        worse += "Worst slice" in result["slices"]["finding"]
        skewed += "calibrated as far" not in result["calibration"]["finding"]
        gaps += bool(result["coverage"]["gaps"])
    # Of 30 with a chance of 0.05 each, 7 or more are in less than one of a thousand.
    assert explained < 7
    assert worse < 7
    assert skewed < 7
    assert gaps == 0


def test_planted_gap_of_the_training_images_is_found(tmp_path):
    def without_fog(fact):
        return fact["weather"] != "fog"

    facts = make_subset(tmp_path, 2, training=without_fog)
    (gap,) = judged(tmp_path, facts, never, 2)["coverage"]["gaps"]
    assert (gap["attribute"], gap["cell"], gap["training_images"]) == ("tag weather", "fog", 0)
    assert gap["judged_images"] == sum(fact["weather"] == "fog" for fact in facts)


@pytest.mark.parametrize(("skew", "words"), [(0.2, "Scores are too high"), (-0.2, "Scores are too low")])
def test_planted_skew_of_scores_is_found(tmp_path, skew, words):
    assert words in judged(tmp_path, make_subset(tmp_path, 3), never, 3, skew)["calibration"]["finding"]


def test_scores_that_are_no_probabilities_are_said_to_be_none(tmp_path):
    facts = make_subset(tmp_path, 4, images=40)
    path = write_results(tmp_path, facts, never, 4)
    path.write_text(path.read_text().replace('"score": 0.', '"score": 7.'))
    settings = JudgingSettings.from_mapping({"bootstrap": 20, "split": "val"})
    result = detections.score_results(path, ground_of_subset(tmp_path, settings, "boxes"), settings, tmp_path / "out")
    assert result["calibration"] == {
        "finding": "Scores do not lie between 0 and 1, so that they are no probabilities: no calibration."
    }
