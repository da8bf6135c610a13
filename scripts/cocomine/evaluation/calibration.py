"""Calibration: whether of what is scored 0.8 eight in ten are right.

Scores are parted into ten bins of equal width. The expected calibration error is the mean over what was scored of how
far the share that is right lies from the mean score of its bin, ECE = Σ_b n_b / n · |right_b − score_b| (Naeini et al.,
AAAI 2015; Guo et al., ICML 2017). Of pixels, one is right that has the true label; of results of a detector, one that
finds an object, so that the share is a precision (the D-ECE of Küppers et al., CVPR Workshops 2020, by score alone).
Overconfidence is the mean score less the share that is right.

Chance alone makes an ECE above 0. For results it is therefore held against what results of the same scores have that
are right just as often as their scores say (consistency resampling: Bröcker and Smith, Weather and Forecasting 2007):
the mean of these is `ece_by_chance`, and `p` the share of them that have as high an ECE. Pixels of one image are alike,
so that for them there is only the interval of overconfidence over images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cocomine.base.arrays import Bools, Floats, Ints
from cocomine.evaluation.resampling import image_draws
from cocomine.learning.metrics import interval, ratio

if TYPE_CHECKING:
    from torch import Tensor

BINS = 10
CHANCE = 0.05
MOST_CHANCES = 200  # resampled outcomes, which are enough for a p of 0.05


@dataclass(frozen=True)
class Scored:
    """Sums of each image and bin of scores, (i, b): how many were scored, their scores, and how many are right."""

    count: Floats
    score: Floats
    right: Floats


def bin_of(scores: Floats) -> Ints:
    """Return the bin of each score between 0 and 1; 1 itself is in the last."""
    return np.minimum((scores * BINS).astype(np.int64), BINS - 1)


def of_results(image: Ints, scores: Floats, right: Bools, images: int) -> Scored:
    """Return the sums of results: the image, the score and whether it is right of each (n,)."""
    slots, size = image * BINS + bin_of(scores), images * BINS
    sums = (np.bincount(slots, weights, size).reshape(images, BINS) for weights in (None, scores, right))
    return Scored(*(part.astype(np.float64) for part in sums))


def of_pixels(probabilities: Tensor, predicted: Tensor, masks: Tensor, void: int) -> Scored:
    """Return the sums of the pixels of a batch: (b, n, h, w), the labels given (b, h, w) and the true ones."""
    import torch  # not at the top: results of boxes are judged without it, and it is slow to import

    size = (len(masks), BINS)
    scores = probabilities.gather(1, predicted.long()[:, None])[:, 0].clamp(0, 1)
    valid = (masks != void).double()
    bins = (scores * BINS).long().clamp_(max=BINS - 1)
    slots = (torch.arange(len(masks), device=masks.device)[:, None, None] * BINS + bins).reshape(-1)
    parts = (valid, scores.double() * valid, (predicted == masks).double() * valid)
    sums = (torch.bincount(slots, part.reshape(-1), len(masks) * BINS) for part in parts)
    return Scored(*(part.cpu().numpy().reshape(size) for part in sums))


def joined(parts: list[Scored]) -> Scored:
    """Return the sums of the images of all parts, in order."""
    return Scored(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("count", "score", "right")))


def ece_of(count: Floats, score: Floats, right: Floats) -> Floats:
    """Return the ECE of sums of bins (…, b); NaN where nothing was scored."""
    return ratio(np.abs(right - score).sum(-1), count.sum(-1))


def calibration(scored: Scored, draws: int, confidence: float, scores: Floats | None = None) -> dict[str, Any]:
    """Return the reliability table, ECE and overconfidence with its interval over images, as plain JSON values.

    `scores` are those of single results, for the test against chance.
    """
    count, score, right = (part.sum(0) for part in (scored.count, scored.score, scored.right))
    total = float(count.sum())
    if not total:
        return {"finding": "Nothing was scored."}
    drawn = [
        (weights @ (scored.score - scored.right).sum(1)) / np.maximum(weights @ scored.count.sum(1), 1)
        for weights in image_draws(len(scored.count), draws)
    ]
    result: dict[str, Any] = {
        "bins": [
            {"from": b / BINS, "to": (b + 1) / BINS, "scored": int(n), "mean_score": s / n, "right": r / n}
            for b, (n, s, r) in enumerate(zip(count.tolist(), score.tolist(), right.tolist(), strict=True))
            if n
        ],
        "ece": float(ece_of(count, score, right)),
        "overconfidence": float((score - right).sum() / total),
        "interval": interval(np.concatenate(drawn), confidence) if drawn and len(scored.count) > 1 else None,
    }
    if scores is not None and draws:
        result |= _by_chance(scores, result["ece"], draws)
    return result | {"finding": _finding(result, float(score.sum() / total), float(right.sum() / total))}


def not_probabilities() -> dict[str, Any]:
    """Return what is said of scores that do not lie between 0 and 1."""
    return {"finding": "Scores do not lie between 0 and 1, so that they are no probabilities: no calibration."}


def _by_chance(scores: Floats, observed: float, draws: int) -> dict[str, float]:
    """Return the mean ECE of outcomes as likely as the scores say, and the share of them that have as high a one."""
    random, bins = np.random.default_rng([0, 5]), bin_of(scores)
    count, score = _summed(bins, np.ones(len(scores))), _summed(bins, scores)
    outcomes = (random.random(len(scores)) < scores for _ in range(min(draws, MOST_CHANCES)))
    found = np.array([ece_of(count, score, _summed(bins, right)) for right in outcomes])
    as_high = int((found >= observed).sum())
    return {"ece_by_chance": float(found.mean()), "p": (1 + as_high) / (1 + len(found))}


def _summed(bins: Ints, weights: Floats | Bools) -> Floats:
    return np.bincount(bins, weights, BINS).astype(np.float64)


def _finding(result: dict[str, Any], score: float, right: float) -> str:
    ends, p = result["interval"], result.get("p", 0.0)
    figures = f"a mean score of {score:.2f}, of which {right:.2f} are right (ECE {result['ece']:.2f})"
    if p > CHANCE:
        return f"Scores are calibrated as far as can be told: {figures}."
    if ends is not None and ends[0] > 0:
        return f"Scores are too high: {figures}."
    if ends is not None and ends[1] < 0:
        return f"Scores are too low: {figures}."
    return f"Scores are neither too high nor too low on the whole: {figures}."
