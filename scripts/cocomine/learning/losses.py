"""The loss of the dense families: cross-entropy with class weights, and a soft Dice term if asked for."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from cocomine.base.errors import CocomineError
from cocomine.coco.tasks import VOID
from cocomine.learning.processes import total


def class_weights(
    setting: str | dict[str, float], counts: npt.NDArray[np.int64], names: Sequence[str]
) -> list[float] | None:
    """Return a weight per label, or None for equal ones.

    "balanced" weighs by the inverse of a label's pixels, "median" by the median frequency over the label's own
    (Eigen and Fergus 2015); both leave labels without pixels at 0 and have mean 1 over the training pixels. A mapping
    gives weights by name, 1 for the labels that it does not name.
    """
    if setting == "none":
        return None
    if isinstance(setting, dict):
        unknown = sorted(set(setting) - set(names))
        if unknown:
            raise CocomineError(
                f"train.class_weights names {unknown[0]!r}, which is no label", f"labels: {', '.join(names)}"
            )
        return [float(setting.get(name, 1.0)) for name in names]
    share = counts / max(int(counts.sum()), 1)
    there = counts > 0
    base = float(np.median(share[there])) if setting == "median" else 1.0 / len(names)
    weights = np.where(there, base / np.where(there, share, 1.0), 0.0)
    return [float(weight) for weight in weights / (weights * share).sum()]


class Loss:
    """Cross-entropy, plus `dice_weight` times (1 − mean soft Dice over the labels that the batch shows)."""

    def __init__(self, weights: list[float] | None, dice_weight: float, device: str) -> None:
        self.weights = None if weights is None else torch.tensor(weights, dtype=torch.float32, device=device)
        self.dice_weight = dice_weight

    def __call__(self, scores: Tensor, masks: Tensor) -> Tensor:
        """Return the loss of scores (b, n, h, w) for masks (b, h, w) int64; a batch of void alone has loss 0.

        Of a run's processes each gives its part of the batch, and gets the loss of the whole.
        """
        entropy = functional.cross_entropy(scores, masks, self.weights, ignore_index=VOID, reduction="sum")
        valid = masks != VOID
        share = valid if self.weights is None else self.weights[masks.masked_fill(~valid, 0)] * valid
        loss = total(entropy) / total(share.sum().to(entropy.dtype)).clamp_min(1e-12 if self.weights is not None else 1)
        if self.dice_weight:
            truth = functional.one_hot(masks.masked_fill(~valid, 0), scores.shape[1]).permute(0, 3, 1, 2)
            truth = truth * valid[:, None]
            found = scores.softmax(1) * valid[:, None]
            sums = total((truth + found).sum((0, 2, 3)))
            dice = 2 * total((truth * found).sum((0, 2, 3))) / sums.clamp_min(1e-6)
            shown = total(truth.sum((0, 2, 3)).float()) > 0
            loss = loss + self.dice_weight * (1 - dice[shown].mean() if bool(shown.any()) else dice.sum() * 0)
        return loss
