"""The effect of labels on learning: models of two subsets over the same images, judged on the same images, in pairs.

Trained on A or B and judged on A or B, four means of the IoU per image stand beside one another. Two models judged on
one subset see the same images, so their difference is taken image by image, as the mean over the seeds that both have,
and its interval is that of a bootstrap over images: far narrower than those of the two means.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from cocomine.base.parquet import read_columns
from cocomine.evaluation.resampling import image_draws
from cocomine.learning.metrics import interval

FIGURES: Final = {"iou": "iou_mean_foreground", "boundary_iou": "boundary_iou_mean_foreground"}
"""The figures that are compared, and their columns in per_image.parquet."""

DRAWS: Final = 1000
CONFIDENCE: Final = 0.95


class Judged(NamedTuple):
    """One evaluation: the experiment, the model and the seed, what it was trained and judged on, and where it lies."""

    experiment: str
    model: str
    seed: int
    trained_on: str
    judged_on: str
    split: str
    folder: Path


def crossed(evaluations: Sequence[Judged]) -> list[dict[str, Any]]:
    """Return for each two subsets trained on in one experiment, by model, and each subset that both are judged on:
    the mean IoU per image of both, their difference (second less first), its interval and whether that is above or
    below 0, and the same of boundary IoU. Images that one of them has no figure of are left out. Evaluations without a
    table of images are passed over.
    """
    cells: dict[tuple[str, str, str, str], dict[str, dict[int, Path]]] = {}
    for one in evaluations:
        if (one.folder / "per_image.parquet").is_file():
            cell = cells.setdefault((one.experiment, one.model, one.judged_on, one.split), {})
            cell.setdefault(one.trained_on, {})[one.seed] = one.folder
    rows = []
    for (experiment, model, judged_on, split), trained in cells.items():
        for first, second in combinations(trained, 2):
            seeds = sorted(trained[first].keys() & trained[second].keys())
            if seeds:
                where = {"experiment": experiment, "model": model, "judged_on": judged_on, "split": split}
                paths = [[trained[name][seed] for seed in seeds] for name in (first, second)]
                figures = {name: _paired(column, *paths) for name, column in FIGURES.items()}
                rows.append(where | {"first": first, "second": second, "seeds": seeds} | figures)
    return rows


def _paired(column: str, first: Sequence[Path], second: Sequence[Path]) -> dict[str, Any]:
    sides = [[_per_image(folder, column) for folder in folders] for folders in (first, second)]
    images = sorted(set.intersection(*(set(table) for side in sides for table in side)))
    means = [np.array([[table[image] for image in images] for table in side]).mean(axis=0) for side in sides]
    if not images:
        return {"images": 0, "first": None, "second": None, "difference": None, "interval": None, "verdict": ""}
    gain = means[1] - means[0]
    drawn = np.concatenate([weights @ gain / weights.sum(axis=1) for weights in image_draws(len(images), DRAWS)])
    bounds = interval(drawn, CONFIDENCE)
    verdict = "" if bounds is None or bounds[0] <= 0 <= bounds[1] else "second" if bounds[0] > 0 else "first"
    figures = {"first": float(means[0].mean()), "second": float(means[1].mean())}
    return {"images": len(images), **figures, "difference": float(gain.mean()), "interval": bounds, "verdict": verdict}


def _per_image(folder: Path, column: str) -> Mapping[int, float]:
    """Return a figure of each image that has one; of none where the table is of an earlier build without it."""
    path = folder / "per_image.parquet"
    if column not in pq.read_schema(path).names:
        return {}
    table = read_columns(path, columns=["image_id", column]).to_pydict()
    pairs = zip(table["image_id"], table[column], strict=True)
    return {image: value for image, value in pairs if value is not None and value == value}
