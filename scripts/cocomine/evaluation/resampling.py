"""Intervals of figures over images drawn with replacement, out of what was counted once for each image.

No draw is evaluated again. A draw takes image i w_i times, and every count of the evaluation is a sum over images: the
objects of a category become Σ w, tp and fp at a score become running sums of w over the results that were matched
already. Copies of an image stand side by side in the order of scores, so the raised precision is that of an evaluation
of the drawn images (a test holds the two equal).
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from cocomine.base.arrays import Bools, Floats, Ints
from cocomine.base.files import read_table, write_table
from cocomine.evaluation.precision import RECALLS, THRESHOLDS
from cocomine.learning.metrics import drawn, interval, mean_of_known

Draws = Mapping[str, Floats]
"""The values of each figure in each draw, NaN where a draw does not know it."""

STREAM = 1
AT_ONCE = 250  # draws whose running sums are held in memory together


def image_draws(images: int, draws: int) -> Iterator[Floats]:
    """Yield how often each image is drawn, as (draws, images) in parts; the same for any predictions of the images."""
    for weights in drawn(images, draws, 0, STREAM):
        for begin in range(0, len(weights), AT_ONCE):
            yield weights[begin : begin + AT_ONCE]


def images_digest(images: Iterable[int]) -> str:
    """Return the SHA-256 of image ids in ascending order, a line each: equal where draws are of the same images."""
    return hashlib.sha256("".join(f"{image}\n" for image in sorted(images)).encode()).hexdigest()


def joined(parts: Sequence[Draws]) -> Draws:
    """Return the draws of all parts in order."""
    return {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else {})}


def intervals(draws: Draws, confidence: float) -> dict[str, list[float] | None]:
    """Return the percentiles of each figure that enclose `confidence` of its draws."""
    return {name: interval(values, confidence) for name, values in draws.items()}


def write_draws(path: Path, draws: Draws) -> None:
    """Write a row a draw, so that two predictions of the same images can be held against each other draw by draw."""
    columns = [["" if np.isnan(value) else value for value in values.tolist()] for values in draws.values()]
    write_table(path, tuple(draws), zip(*columns, strict=True))


def read_draws(path: Path) -> Draws:
    """Read what `write_draws` wrote."""
    rows = list(read_table(path))
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in (rows[0] if rows else {})}


def drawn_precision(
    weights: Floats, images: Ints, hits: Bools, counts: Bools, objects: Floats
) -> tuple[Floats, Floats]:
    """Return AP and last recall of one category at each threshold, as (t, draws); NaN where a draw has no objects.

    `weights` (draws, images); `images` (n,) the image of each result by falling score; `hits` (t, n) whether it finds
    an object, `counts` (t, n) whether it counts; `objects` (draws,) how many objects a draw has.
    """
    shape = (len(THRESHOLDS), len(weights))
    precision, recall = np.full(shape, np.nan), np.full(shape, np.nan)
    known = objects > 0
    own, objects = weights[known][:, images], objects[known][:, None]
    running: dict[bytes, Floats] = {}
    for number in range(len(THRESHOLDS)):
        counted = counts[number]
        key = counted.tobytes()
        if key not in running:
            running[key] = np.cumsum(own * counted, axis=1)
        true = np.flatnonzero(hits[number] & counted)
        found = np.cumsum(own[:, true], axis=1)
        precision[number, known] = _area(found, running[key][:, true], objects)
        recall[number, known] = found[:, -1] / objects[:, 0] if len(true) else 0.0
    return precision, recall


def _area(found: Floats, taken: Floats, objects: Floats) -> Floats:
    """Return the mean over RECALLS of the raised precision, from running sums (d, n) at the true results alone.

    Precision is highest where an object is found, and recall grows nowhere else.
    """
    if not found.shape[1]:
        return np.zeros(len(found))
    raised = np.maximum.accumulate((found / (taken + np.spacing(1)))[:, ::-1], axis=1)[:, ::-1]
    reached = np.searchsorted(RECALLS, found / objects, side="right")
    steps = np.diff(reached, axis=1, prepend=0)
    area: Floats = np.einsum("dn,dn->d", raised, steps.astype(np.float64)) / len(RECALLS)
    return area


def mean_over_categories(values: Sequence[Floats]) -> Floats:
    """Return the mean over categories and thresholds, of a (t, draws) a category, of what a draw knows."""
    stacked = np.stack(values)
    return mean_of_known(stacked.reshape(-1, stacked.shape[-1]), axis=0)
