"""What is measured of a segmentation, as sums that add up over images, and the figures made from the sums.

Void pixels count nowhere. Definitions, for class c over a set of pixels, y the one-hot truth, ŷ the probability and
I, P, T the counts of pixels that are c in both, in the prediction, in the truth:

- IoU(c) = I / (P + T − I); undefined (null) where c is neither predicted nor true.
- Dice(c) = 2I / (P + T).
- pixel accuracy = Σ_c I / pixels.
- cross-entropy (the paper's Eq. 3) = mean over pixels of −log ŷ(true class).
- eq2_as_printed (the paper's Eq. 2): the mean over the N true entries of y·ŷ / (y + ŷ − y·ŷ). With y = 1 a term is ŷ,
  with y = 0 it is 0: it is the mean probability of the true class. `eq2_over_all_entries` has the n entries of every
  pixel in N, and so is n times smaller.
- soft IoU(c) over sums, which the paper probably means = Σyŷ / Σ(y + ŷ − yŷ); `all_entries` sums over the entries of
  all labels together, background included, before it divides once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cocomine.base.arrays import Floats, Ints
from cocomine.coco.tasks import VOID

if TYPE_CHECKING:
    from torch import Tensor


PART = 4_000_000  # weights of bootstrap draws that are held at once


@dataclass(frozen=True)
class Sums:
    """Sums per image (i) and label (k), and the confusion over all images.

    `inter`, `predicted`, `truth` (i, k) int64 pixels; `soft_inter`, `soft_predicted` (i, k) float64, or None where
    only labels were predicted; `log_loss` (i,) float64 or None; `pixels` (i,) int64 without void; `confusion` (k, k)
    int64, rows the truth, columns the prediction.
    """

    inter: Ints
    predicted: Ints
    truth: Ints
    pixels: Ints
    confusion: Ints
    soft_inter: Floats | None
    soft_predicted: Floats | None
    log_loss: Floats | None

    def __len__(self) -> int:
        return len(self.pixels)


def joined(parts: Sequence[Sums]) -> Sums:
    """Return the sums of the images of all parts, in order."""
    values: dict[str, Any] = {}
    for entry in fields(Sums):
        arrays = [getattr(part, entry.name) for part in parts]
        if entry.name == "confusion":
            values[entry.name] = np.sum(arrays, axis=0)
        else:
            values[entry.name] = None if any(a is None for a in arrays) else np.concatenate(arrays)
    return Sums(**values)


def chosen(sums: Sums, images: Ints | npt.NDArray[np.bool_]) -> Sums:
    """Return the sums of some images; their confusion is not known apart and is left at zero."""
    values = {entry.name: getattr(sums, entry.name) for entry in fields(Sums)}
    picked: dict[str, Any] = {
        name: None if a is None else a[images] for name, a in values.items() if name != "confusion"
    }
    return Sums(**picked, confusion=np.zeros_like(sums.confusion))


def highest(probabilities: Tensor) -> Tensor:
    """Return the label (b, h, w) uint8 of the highest of (b, n, h, w); the lowest label wins a tie.

    A running maximum over the planes: over ten times faster than argmax over a dimension that is not the last. Later
    labels are higher, so that the label too is a running maximum, which is quicker than writing under a condition.
    """
    import torch  # not at the top: results of boxes are judged without it, and it is slow to import

    best = probabilities[:, 0].clone()
    labels = torch.zeros(best.shape, dtype=torch.uint8, device=best.device)
    for label in range(1, probabilities.shape[1]):
        plane = probabilities[:, label]
        torch.maximum(labels, (plane > best).view(torch.uint8).mul_(label), out=labels)
        torch.maximum(best, plane, out=best)
    return labels


def measure(probabilities: Tensor, masks: Tensor, predicted: Tensor | None = None) -> tuple[Sums, Tensor]:
    """Return the sums of a batch and the predicted labels (b, h, w) uint8.

    `probabilities` (b, n, h, w) float32, planes contiguous; `masks` (b, h, w) uint8 with 255 void. `predicted` is given
    where the labels were not decided by these probabilities; the hard figures are then its own.
    """
    import torch

    count, labels = probabilities.shape[:2]
    if predicted is None:
        predicted = highest(probabilities)
    valid = masks != VOID
    truth = masks.masked_fill(~valid, 0).to(torch.int64)
    of_truth = probabilities.gather(1, truth[:, None])[:, 0]
    # One slot behind the labels takes the void pixels of every image.
    slots = truth.masked_fill(~valid, labels)
    image = torch.arange(count, device=masks.device)[:, None, None]
    confusion = torch.bincount(
        ((image * (labels + 1) + slots) * labels + predicted).view(-1), minlength=count * (labels + 1) * labels
    ).view(count, labels + 1, labels)[:, :labels]
    soft_inter = torch.bincount(
        (image * (labels + 1) + slots).view(-1), weights=of_truth.reshape(-1).double(), minlength=count * (labels + 1)
    ).view(count, labels + 1)[:, :labels]
    # All pixels less the void ones, which are few: no second copy of the probabilities.
    soft_predicted = probabilities.sum((2, 3)).double()
    if not bool(valid.all()):
        where = torch.nonzero(~valid)
        void = probabilities.permute(0, 2, 3, 1)[where[:, 0], where[:, 1], where[:, 2]].double()
        soft_predicted.index_add_(0, where[:, 0], void, alpha=-1)
        soft_predicted.clamp_min_(0.0)
    log_loss = -(of_truth.clamp_min(1e-30).log_().mul_(valid)).sum((1, 2), dtype=torch.float64)
    diagonal = torch.diagonal(confusion, dim1=1, dim2=2)
    return (
        Sums(
            _ints(diagonal),
            _ints(confusion.sum(1)),
            _ints(confusion.sum(2)),
            _ints(confusion.sum((1, 2))),
            _ints(confusion.sum(0)),
            soft_inter.cpu().numpy(),
            soft_predicted.cpu().numpy(),
            log_loss.cpu().numpy(),
        ),
        predicted,
    )


def measure_labels(predicted: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8], labels: int) -> Sums:
    """Return the sums of one image of which only labels are predicted: both (h, w) uint8, 255 void in `mask`."""
    # Every pair of bytes counted at once; the rows of void and the columns past n fall away.
    pairs = np.bincount((mask.astype(np.int64) * 256 + predicted).ravel(), minlength=65536).reshape(256, 256)
    confusion = pairs[:labels, :labels]
    return Sums(
        confusion.diagonal().copy()[None],
        confusion.sum(0)[None],
        confusion.sum(1)[None],
        np.array([confusion.sum()]),
        confusion.copy(),
        None,
        None,
        None,
    )


def _ints(values: Tensor) -> Ints:
    return values.cpu().numpy().astype(np.int64)


def ratio(numerator: npt.NDArray[Any], denominator: npt.NDArray[Any]) -> Floats:
    """Divide, with NaN where the denominator is 0."""
    result = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    np.divide(numerator, denominator, out=result, where=np.asarray(denominator) != 0)
    return result


def mean_of_known(values: Floats, axis: int = -1) -> Floats:
    """Return the mean of what is not NaN along `axis`; NaN where nothing is known."""
    known = ~np.isnan(values)
    mean: Floats = ratio(np.where(known, values, 0.0).sum(axis), known.sum(axis))
    return mean


def iou(inter: npt.NDArray[Any], predicted: npt.NDArray[Any], truth: npt.NDArray[Any]) -> Floats:
    """Return I / (P + T − I)."""
    return ratio(inter, predicted + truth - inter)


def image_scores(sums: Sums) -> Floats:
    """Return each image's mean foreground IoU, over the labels that it shows or was said to show, as (i,).

    An image with no foreground in truth and prediction has 1: there was nothing to find, and nothing was claimed. An
    image of void alone has NaN: nothing in it can be right or wrong.
    """
    scores = mean_of_known(iou(sums.inter, sums.predicted, sums.truth)[:, 1:])
    return np.where(sums.pixels == 0, np.nan, np.where(np.isnan(scores), 1.0, scores))


def summary(sums: Sums, names: Sequence[str]) -> dict[str, Any]:
    """Return every figure as plain JSON values; undefined ones are None."""
    inter, predicted, truth = (part.sum(0) for part in (sums.inter, sums.predicted, sums.truth))
    per_class, dice = iou(inter, predicted, truth), ratio(2 * inter, predicted + truth)
    per_image = iou(sums.inter, sums.predicted, sums.truth)
    pixels = int(sums.pixels.sum())
    result: dict[str, Any] = {
        "images": len(sums),
        "pixels": pixels,
        "iou": {
            "mean_foreground": number(mean_of_known(per_class[1:])),
            "mean_with_background": number(mean_of_known(per_class)),
            "per_class": _named(names, per_class),
            "per_image_mean_foreground": number(mean_of_known(image_scores(sums))),
            "per_image_mean_with_background": number(mean_of_known(mean_of_known(per_image))),
            "per_image_per_class": _named(names, mean_of_known(per_image, 0)),
        },
        "dice": {
            "mean_foreground": number(mean_of_known(dice[1:])),
            "mean_with_background": number(mean_of_known(dice)),
            "per_class": _named(names, dice),
        },
        "pixel_accuracy": number(ratio(inter.sum(), np.asarray(pixels))),
        "confusion": sums.confusion.tolist(),
        "truth_pixels": dict(zip(names, truth.tolist(), strict=True)),
        "predicted_pixels": dict(zip(names, predicted.tolist(), strict=True)),
    }
    if sums.soft_inter is not None and sums.soft_predicted is not None and sums.log_loss is not None:
        soft_inter, soft_predicted = sums.soft_inter.sum(0), sums.soft_predicted.sum(0)
        soft = ratio(soft_inter, truth + soft_predicted - soft_inter)
        printed = soft_inter.sum() / pixels if pixels else np.nan
        result |= {
            "cross_entropy": number(sums.log_loss.sum() / pixels if pixels else np.nan),
            "eq2_as_printed": number(printed),
            "eq2_over_all_entries": number(printed / len(names)),
            "soft_iou": {
                "mean_foreground": number(mean_of_known(soft[1:])),
                "mean_with_background": number(mean_of_known(soft)),
                "per_class": _named(names, soft),
                "all_entries": number(
                    ratio(soft_inter.sum(), np.asarray(truth.sum() + soft_predicted.sum() - soft_inter.sum()))
                ),
            },
        }
    return result


def number(value: Any) -> float | None:
    """Return a float for JSON, None for NaN."""
    return None if np.isnan(value) else float(value)


def _named(names: Sequence[str], values: Floats) -> dict[str, float | None]:
    return {name: number(value) for name, value in zip(names, values, strict=True)}


def drawn(count: int, draws: int, seed: int, stream: int) -> Iterator[Floats]:
    """Yield how often each of `count` images is drawn in each of `draws` bootstrap draws, as parts of (draws, count).

    A part holds at most PART numbers, so that memory does not grow with draws × images; the draws are the same however
    they are parted.
    """
    generator = np.random.Generator(np.random.Philox(key=np.array([seed % 2**64, stream], dtype=np.uint64)))
    rows = max(1, PART // max(count, 1))
    for start in range(0, draws, rows):
        part = min(rows, draws - start)
        positions = (generator.random((part, count)) * count).astype(np.int64) + count * np.arange(part)[:, None]
        yield np.bincount(positions.ravel(), minlength=part * count).reshape(part, count).astype(np.float64)


def weighted(weights: Floats, values: npt.NDArray[Any]) -> Floats:
    """Return weights (d, i) times values (i,) or (i, k), added up in one order whatever the number of threads.

    Not `@`: it hands floats to BLAS, whose order of adding depends on its threads.
    """
    total: Floats = np.einsum("di,i...->d...", weights, values.astype(np.float64))
    return total


def bootstrap(sums: Sums, names: Sequence[str], draws: int, confidence: float, seed: int) -> dict[str, Any]:
    """Return percentile intervals of the main figures, over images drawn with replacement `draws` times.

    Images are the unit, since pixels of one image are alike. Keys: mean_foreground, mean_with_background,
    dice_mean_foreground, pixel_accuracy, per_image_mean_foreground, per_class (the IoU of each of `names`; null where
    no draw knows it) and, where probabilities were measured, cross_entropy, eq2_as_printed and
    soft_iou_mean_foreground. Empty without draws, or with a single image.
    """
    figures = draws_of(sums, draws, seed)
    if not figures:
        return {}
    per_class = figures.pop("per_class")
    by_class = {name: interval(values, confidence) for name, values in zip(names, per_class.T, strict=True)}
    return {name: interval(values, confidence) for name, values in figures.items()} | {"per_class": by_class}


def draws_of(sums: Sums, draws: int, seed: int) -> dict[str, Floats]:
    """Return each figure of `bootstrap` in each draw (d,), `per_class` (d, k); empty without draws or images."""
    if draws == 0 or len(sums) < 2:
        return {}
    parts = [_drawn_figures(sums, weights) for weights in drawn(len(sums), draws, seed, 1)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _drawn_figures(sums: Sums, weights: Floats) -> dict[str, Floats]:
    # Counts of pixels are whole numbers, whose sums are exact in any order: they may go through BLAS.
    inter, predicted, truth = (weights @ part.astype(np.float64) for part in (sums.inter, sums.predicted, sums.truth))
    per_class, pixels = iou(inter, predicted, truth), weights @ sums.pixels.astype(np.float64)
    scores = image_scores(sums)
    known = ~np.isnan(scores)
    figures = {
        "per_class": per_class,
        "mean_foreground": mean_of_known(per_class[:, 1:]),
        "mean_with_background": mean_of_known(per_class),
        "dice_mean_foreground": mean_of_known(ratio(2 * inter, predicted + truth)[:, 1:]),
        "pixel_accuracy": ratio(inter.sum(1), pixels),
        "per_image_mean_foreground": ratio(weighted(weights, np.where(known, scores, 0.0)), weighted(weights, known)),
    }
    if sums.soft_inter is not None and sums.soft_predicted is not None and sums.log_loss is not None:
        soft_inter, soft_predicted = weighted(weights, sums.soft_inter), weighted(weights, sums.soft_predicted)
        figures["cross_entropy"] = ratio(weighted(weights, sums.log_loss), pixels)
        figures["eq2_as_printed"] = ratio(soft_inter.sum(1), pixels)
        figures["soft_iou_mean_foreground"] = mean_of_known(
            ratio(soft_inter, truth + soft_predicted - soft_inter)[:, 1:]
        )
    return figures


def interval(values: Floats, confidence: float) -> list[float] | None:
    """Return the two percentiles that enclose `confidence` of the known values."""
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return [float(low), float(high)]
