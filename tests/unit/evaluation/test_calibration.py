"""Calibration: scores that say too much or too little are found out, those that are right are not."""

import numpy as np
import pytest
import torch
from cocomine.evaluation import calibration
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error


def scored(seed, skew, count=4000, images=100):
    generator = np.random.default_rng(seed)
    scores, image = generator.random(count), generator.integers(0, images, count)
    right = generator.random(count) < np.clip(scores - skew, 0, 1)
    return calibration.of_results(image, scores, right, images), scores, right


@pytest.mark.parametrize(("skew", "words"), [(0.1, "too high"), (-0.1, "too low")])
def test_planted_skew_is_found(skew, words):
    sums, scores, _ = scored(0, skew)
    found = calibration.calibration(sums, 200, 0.95, scores)
    assert words in found["finding"]
    assert found["p"] == pytest.approx(1 / 201)
    assert np.sign(found["overconfidence"]) == np.sign(skew)
    assert found["ece"] > 2 * found["ece_by_chance"]


def test_scores_that_are_right_are_called_wrong_as_rarely_as_chance_is_allowed():
    wrong = 0
    for seed in range(100):
        sums, scores, _ = scored(seed, 0.0, 500, 50)
        wrong += "calibrated as far" not in calibration.calibration(sums, 99, 0.95, scores)["finding"]
    assert wrong < 14  # of 100 with a chance of 0.05 each, 14 or more are in one of a thousand


def test_the_ece_of_results_is_torchmetrics():
    sums, scores, right = scored(1, 0.15)
    expected = binary_calibration_error(torch.tensor(scores), torch.tensor(right.astype(int)), n_bins=10, norm="l1")
    # torchmetrics calls the score of a binary classifier its confidence, so that is the same sum.
    assert calibration.calibration(sums, 0, 0.95)["ece"] == pytest.approx(float(expected), abs=1e-6)


def test_the_ece_of_pixels_is_torchmetrics_without_void():
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.softmax(torch.randn(3, 4, 20, 20, generator=generator), 1)
    truth = torch.randint(0, 4, (3, 20, 20), generator=generator, dtype=torch.uint8)
    truth[0, :5] = 255
    found = calibration.of_pixels(probabilities, probabilities.argmax(1).to(torch.uint8), truth, 255)
    expected = multiclass_calibration_error(
        probabilities, truth.long(), num_classes=4, n_bins=10, norm="l1", ignore_index=255
    )
    assert calibration.calibration(found, 0, 0.95)["ece"] == pytest.approx(float(expected), abs=1e-6)
    assert found.count.sum() == 3 * 400 - 100
    assert found.count.shape == (3, 10)


def test_a_table_counted_by_hand():
    sums = calibration.of_results(
        np.array([0, 0, 1, 1]), np.array([0.05, 0.95, 0.95, 1.0]), np.array([False, True, True, False]), 2
    )
    found = calibration.calibration(sums, 0, 0.95)
    assert [(row["from"], row["scored"]) for row in found["bins"]] == [(0.0, 1), (0.9, 3)]
    assert found["bins"][1]["right"] == pytest.approx(2 / 3)
    assert found["ece"] == pytest.approx((0.05 + abs(2 - 2.9)) / 4)
    assert found["overconfidence"] == pytest.approx((2.95 - 2) / 4)
    assert found["interval"] is None


def test_nothing_scored_is_said():
    empty = calibration.of_results(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, bool), 3)
    assert calibration.calibration(empty, 10, 0.95) == {"finding": "Nothing was scored."}
