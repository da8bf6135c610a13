"""Metrics: equal to torchmetrics and to the printed formulas on random data, void nowhere."""

import numpy as np
import pytest
import torch
from cocomine.learning import metrics
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
    MulticlassJaccardIndex,
)

NAMES = ("background", "a", "b", "c")


@pytest.fixture(params=[0, 1, 2])
def random(request):
    generator = torch.Generator().manual_seed(request.param)
    scores = torch.randn(6, 4, 17, 23, generator=generator)
    masks = torch.randint(0, 4, (6, 17, 23), dtype=torch.uint8, generator=generator)
    masks[torch.rand(masks.shape, generator=generator) < 0.2] = 255
    return scores.softmax(1), masks


def test_hard_figures_equal_torchmetrics(random):
    probabilities, masks = random
    sums, labels = metrics.measure(probabilities, masks)
    found = metrics.summary(sums, NAMES)
    options = {"num_classes": 4, "ignore_index": 255}
    target = masks.long()
    jaccard = MulticlassJaccardIndex(average=None, **options)(probabilities, target)
    assert list(found["iou"]["per_class"].values()) == pytest.approx(jaccard.tolist(), abs=1e-6)
    assert found["iou"]["mean_with_background"] == pytest.approx(float(jaccard.mean()), abs=1e-6)
    assert found["iou"]["mean_foreground"] == pytest.approx(float(jaccard[1:].mean()), abs=1e-6)
    dice = MulticlassF1Score(average=None, **options)(probabilities, target)
    assert list(found["dice"]["per_class"].values()) == pytest.approx(dice.tolist(), abs=1e-6)
    accuracy = MulticlassAccuracy(average="micro", **options)(probabilities, target)
    assert found["pixel_accuracy"] == pytest.approx(float(accuracy), abs=1e-6)
    assert found["confusion"] == MulticlassConfusionMatrix(**options)(probabilities, target).tolist()
    assert torch.equal(labels.long(), probabilities.argmax(1))


def test_per_image_figures_equal_torchmetrics_image_by_image(random):
    probabilities, masks = random
    scores = metrics.image_scores(metrics.measure(probabilities, masks)[0])
    for i in range(6):
        one = MulticlassJaccardIndex(4, average=None, ignore_index=255)(
            probabilities[i : i + 1], masks[i : i + 1].long()
        )
        assert scores[i] == pytest.approx(float(one[1:].mean()), abs=1e-6)


def test_soft_figures_equal_the_printed_formulas(random):
    probabilities, masks = random
    found = metrics.summary(metrics.measure(probabilities, masks)[0], NAMES)
    valid = masks != 255
    truth = torch.nn.functional.one_hot(masks.masked_fill(~valid, 0).long(), 4).permute(0, 3, 1, 2).double()
    y = truth.permute(0, 2, 3, 1)[valid]
    p = probabilities.double().permute(0, 2, 3, 1)[valid]
    terms = y * p / (y + p - y * p)
    assert found["eq2_as_printed"] == pytest.approx(float(terms.sum() / len(y)), rel=1e-6)
    assert found["eq2_over_all_entries"] == pytest.approx(float(terms.mean()), rel=1e-6)
    assert found["eq2_as_printed"] == pytest.approx(float(p[y == 1].mean()), rel=1e-6)
    soft = (y * p).sum(0) / (y + p - y * p).sum(0)
    assert list(found["soft_iou"]["per_class"].values()) == pytest.approx(soft.tolist(), rel=1e-6)
    expected = torch.nn.functional.nll_loss(probabilities.log(), masks.long(), ignore_index=255)
    assert found["cross_entropy"] == pytest.approx(float(expected), rel=1e-5)


def test_sums_of_parts_are_the_sums_of_the_whole(random):
    probabilities, masks = random
    whole = metrics.measure(probabilities, masks)[0]
    parts = metrics.joined([metrics.measure(probabilities[i : i + 2], masks[i : i + 2])[0] for i in (0, 2, 4)])
    for name, value in vars(whole).items():
        np.testing.assert_array_equal(getattr(parts, name), value)


def test_labels_alone_give_the_same_hard_sums(random):
    probabilities, masks = random
    whole, labels = metrics.measure(probabilities, masks)
    parts = metrics.joined(
        [metrics.measure_labels(a.numpy(), m.numpy(), 4) for a, m in zip(labels, masks, strict=True)]
    )
    for name in ("inter", "predicted", "truth", "pixels", "confusion"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    assert "cross_entropy" not in metrics.summary(parts, NAMES)


def test_class_in_neither_truth_nor_prediction_is_unknown_and_left_out_of_means():
    probabilities = torch.tensor([0.2, 0.8, 0.0])[None, :, None, None].expand(1, 3, 4, 4).contiguous()
    found = metrics.summary(
        metrics.measure(probabilities, torch.ones(1, 4, 4, dtype=torch.uint8))[0], ("background", "a", "b")
    )
    assert found["iou"]["per_class"] == {"background": None, "a": 1.0, "b": None}
    assert found["iou"]["mean_foreground"] == 1.0


def test_image_of_void_alone_counts_nothing():
    probabilities = torch.full((1, 3, 4, 4), 1 / 3)
    sums = metrics.measure(probabilities, torch.full((1, 4, 4), 255, dtype=torch.uint8))[0]
    found = metrics.summary(sums, ("background", "a", "b"))
    assert found["pixels"] == 0
    assert found["pixel_accuracy"] is None
    assert found["cross_entropy"] is None
    assert found["iou"]["per_image_mean_foreground"] is None
    assert np.isnan(metrics.image_scores(sums)).all()


def some_classes(seed):
    """Probabilities (7, 5, 12, 14) and masks in which no image has every class, and one is void alone."""
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(5), (7, 12, 14)).transpose(0, 3, 1, 2).astype(np.float32)
    probabilities[:, 4] = 0.0  # label 4 is never predicted
    masks = np.zeros((7, 12, 14), np.uint8)
    for i in range(6):
        allowed = generator.choice([0, 1, 2, 4], 1 + i % 3, replace=False)  # label 3 is never true
        masks[i] = generator.choice(allowed, (12, 14))
        masks[i][generator.random((12, 14)) < 0.1] = 255
    masks[6] = 255
    return probabilities, masks


@pytest.mark.parametrize("seed", range(4))
def test_every_figure_equals_a_plain_loop_where_images_lack_classes_and_one_is_void(seed):
    probabilities, masks = some_classes(seed)
    names = ("background", "a", "b", "c", "d")
    sums = metrics.measure(torch.from_numpy(probabilities), torch.from_numpy(masks))[0]
    found = metrics.summary(sums, names)
    counts = {(i, k): [0, 0, 0, 0.0, 0.0] for i in range(7) for k in range(5)}  # I, P, T, Σyŷ, Σŷ
    confusion, log_loss, pixels = np.zeros((5, 5), int), 0.0, 0
    for i, y, x in np.ndindex(masks.shape):
        truth, p = int(masks[i, y, x]), probabilities[i, :, y, x].astype(float)
        if truth == 255:
            continue
        guess = int(np.argmax(p))
        confusion[truth, guess] += 1
        log_loss -= np.log(max(p[truth], 1e-30))
        pixels += 1
        for k in range(5):
            entry = counts[i, k]
            entry[0] += k == truth == guess
            entry[1] += k == guess
            entry[2] += k == truth
            entry[3] += p[k] * (k == truth)
            entry[4] += p[k]

    def over(inter, union):
        return inter / union if union else None

    def mean(values):
        known = [value for value in values if value is not None]
        return pytest.approx(sum(known) / len(known), rel=1e-5) if known else None

    total = [[sum(counts[i, k][j] for i in range(7)) for j in range(5)] for k in range(5)]
    iou = [over(t[0], t[1] + t[2] - t[0]) for t in total]
    assert found["confusion"] == confusion.tolist()
    assert list(found["iou"]["per_class"].values()) == [None if v is None else pytest.approx(v) for v in iou]
    assert found["iou"]["mean_foreground"] == mean(iou[1:])
    assert found["iou"]["mean_with_background"] == mean(iou)
    dice = [over(2 * t[0], t[1] + t[2]) for t in total]
    assert found["dice"]["mean_foreground"] == mean(dice[1:])
    each = [[over(c[0], c[1] + c[2] - c[0]) for c in (counts[i, k] for k in range(5))] for i in range(7)]
    assert list(found["iou"]["per_image_per_class"].values()) == [mean([row[k] for row in each]) for k in range(5)]
    scores = [1.0 if (score := mean(row[1:])) is None else score for row in each[:6]]
    assert metrics.image_scores(sums)[:6].tolist() == scores
    assert np.isnan(metrics.image_scores(sums)[6])
    assert found["iou"]["per_image_mean_foreground"] == pytest.approx(metrics.image_scores(sums)[:6].mean())
    assert found["pixel_accuracy"] == pytest.approx(confusion.trace() / pixels)
    assert found["cross_entropy"] == pytest.approx(log_loss / pixels, rel=1e-5)
    assert found["eq2_as_printed"] == pytest.approx(sum(t[3] for t in total) / pixels, rel=1e-5)
    soft = [over(t[3], t[2] + t[4] - t[3]) for t in total]
    assert found["soft_iou"]["mean_foreground"] == mean(soft[1:])
    union = sum(t[2] + t[4] - t[3] for t in total)
    assert found["soft_iou"]["all_entries"] == pytest.approx(sum(t[3] for t in total) / union, rel=1e-5)
    intervals = metrics.bootstrap(sums, names, 100, 0.95, 0)
    low, high = intervals["per_image_mean_foreground"]
    assert low <= found["iou"]["per_image_mean_foreground"] <= high


def test_bootstrap_in_parts_is_the_bootstrap_of_the_whole(random, monkeypatch):
    sums = metrics.measure(*random)[0]
    whole = metrics.bootstrap(sums, NAMES, 50, 0.95, 3)
    monkeypatch.setattr(metrics, "PART", 45)  # seven draws of six images at a time
    assert metrics.bootstrap(sums, NAMES, 50, 0.95, 3) == whole


def test_empty_image_left_empty_scores_one_and_claimed_scores_zero():
    claimed = torch.tensor([0.1, 0.9])[None, :, None, None].expand(1, 2, 4, 4)
    probabilities = torch.cat([claimed.flip(1), claimed]).contiguous()
    sums = metrics.measure(probabilities, torch.zeros(2, 4, 4, dtype=torch.uint8))[0]
    assert metrics.image_scores(sums).tolist() == [1.0, 0.0]


def test_lowest_label_wins_a_tie():
    assert metrics.highest(torch.full((1, 5, 3, 3), 0.2)).max() == 0


def test_bootstrap_encloses_the_figure_and_is_the_same_each_time(random):
    sums = metrics.measure(*random)[0]
    first = metrics.bootstrap(sums, NAMES, 200, 0.95, 7)
    assert first == metrics.bootstrap(sums, NAMES, 200, 0.95, 7)
    low, high = first["mean_foreground"]
    assert low <= metrics.summary(sums, NAMES)["iou"]["mean_foreground"] <= high
    narrow = metrics.bootstrap(sums, NAMES, 200, 0.5, 7)["mean_foreground"]
    assert narrow[1] - narrow[0] < high - low


def test_bootstrap_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        right = generator.random(40) < 0.7
        inter = np.stack([np.zeros(40), np.where(right, 10, 0)], 1).astype(np.int64)
        ten = np.stack([np.zeros(40), np.full(40, 10)], 1).astype(np.int64)
        sums = metrics.Sums(inter, inter, ten, ten.sum(1), np.zeros((2, 2), np.int64), None, None, None)
        low, high = metrics.bootstrap(sums, ("background", "a"), 200, 0.9, trial)["mean_foreground"]
        covered += low <= 0.7 <= high
    assert 160 <= covered <= 195


def test_each_class_has_the_interval_of_its_iou_over_images_drawn_anew(random):
    probabilities, masks = random
    masks = masks.masked_fill(masks == 3, 0)
    probabilities = torch.cat([probabilities[:, :3], torch.zeros_like(probabilities[:, :1])], 1)
    sums = metrics.measure(probabilities, masks)[0]
    found = metrics.bootstrap(sums, NAMES, 300, 0.9, 7)["per_class"]
    generator = np.random.Generator(np.random.Philox(key=np.array([7, 1], dtype=np.uint64)))
    drawn = (generator.random((300, 6)) * 6).astype(int)
    for label, name in enumerate(NAMES[:3]):
        inter, predicted, truth = (part[:, label][drawn].sum(1) for part in (sums.inter, sums.predicted, sums.truth))
        expected = np.quantile(inter / (predicted + truth - inter), [0.05, 0.95])
        assert found[name] == pytest.approx(expected.tolist())
        assert found[name][0] < metrics.summary(sums, NAMES)["iou"]["per_class"][name] < found[name][1]
    assert found["c"] is None  # neither predicted nor true: nothing is known of it
