"""The loss: torch's own cross-entropy where there is no void and no extra, weights as described."""

import numpy as np
import pytest
import torch
from cocomine.base.errors import CocomineError
from cocomine.learning.losses import Loss, class_weights
from torch.nn import functional

NAMES = ("background", "a", "b")


def random():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 3, 8, 8, generator=generator)
    masks = torch.randint(0, 3, (2, 8, 8), generator=generator)
    masks[0, :2] = 255
    return scores, masks


@pytest.mark.parametrize("weights", [None, [0.2, 1.0, 3.0]])
def test_cross_entropy_is_torchs_own_with_void_left_out(weights):
    scores, masks = random()
    tensor = None if weights is None else torch.tensor(weights)
    expected = functional.cross_entropy(scores, masks, tensor, ignore_index=255)
    assert float(Loss(weights, 0.0, "cpu")(scores, masks)) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(
    ("weights", "dice"), [(None, 0.0), ([1.0, 2.0, 3.0], 0.0), (None, 1.0), ([1.0, 2.0, 3.0], 1.0)]
)
def test_batch_of_void_alone_has_no_loss_and_no_nan(weights, dice):
    scores = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = Loss(weights, dice, "cpu")(scores, torch.full((1, 4, 4), 255))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert torch.isfinite(scores.grad).all()
    assert not scores.grad.any()


def test_dice_term_vanishes_for_a_perfect_prediction():
    _, masks = random()
    truth = functional.one_hot(masks.masked_fill(masks == 255, 0), 3).permute(0, 3, 1, 2).float() * 50
    assert float(Loss(None, 1.0, "cpu")(truth, masks)) == pytest.approx(0.0, abs=1e-4)


def test_balanced_weights_make_every_class_count_alike():
    counts = np.array([700, 200, 100])
    weights = np.array(class_weights("balanced", counts, NAMES))
    assert weights * counts == pytest.approx(np.full(3, 1000 / 3))


def test_median_weights_are_the_median_frequency_over_the_own():
    weights = class_weights("median", np.array([700, 200, 100]), NAMES)
    assert weights[1] / weights[0] == pytest.approx(3.5)
    assert weights[2] / weights[1] == pytest.approx(2.0)


def test_classes_without_pixels_get_no_weight_and_no_infinity():
    assert class_weights("balanced", np.array([10, 0, 10]), NAMES)[1] == 0.0


def test_weights_by_name_refuse_unknown_names():
    assert class_weights({"a": 4.0}, np.zeros(3, np.int64), NAMES) == [1.0, 4.0, 1.0]
    with pytest.raises(CocomineError, match="'bus'"):
        class_weights({"bus": 2.0}, np.zeros(3, np.int64), NAMES)
