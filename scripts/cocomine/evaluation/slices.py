"""Where a model fails: errors by slices of the images, and which attribute explains most of the error.

An attribute sorts images into cells (licence 1, 2, …; dark, middling, bright). For each attribute η² = SS between cells
/ SS total of the image errors is the share of their variance that the attribute explains. Since η² grows with the
number of cells by chance alone, attributes are ordered by ε², the same without that bias (Kelley 1935):
ε² = (SSB − (cells − 1) · MSW) / SST. Cells of fewer images than asked for are shown and not judged: they take no part
in either. An image without an error (void alone) is in no slice.

`p` is the share of random assignments of the errors to the images that explain at least as much (a permutation test;
the observed assignment counts as one of them): an attribute of a large ε² and a large p has few images to speak from.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from cocomine.learning.metrics import Floats, Sums, chosen, drawn, interval, iou, mean_of_known, number, weighted

Codes = npt.NDArray[np.int64]

SAME = 1e-9  # errors that differ by less differ by rounding alone
CHANCE = 0.05  # the p up to which an attribute is said to explain something
PERMUTED_AT_ONCE = 64
CLEARLY = 2.0  # the t from which on a slice is called worse: chance reaches it in one of forty slices


@dataclass(frozen=True)
class Attribute:
    """A way to sort the images: `cells` in order and, per image, the number of its cell (-1: unknown)."""

    name: str
    cells: tuple[str, ...]
    codes: Codes


def by_value(name: str, values: Sequence[str | None]) -> Attribute:
    """Return the attribute whose cells are the values that occur, sorted."""
    cells = sorted({value for value in values if value is not None})
    place = {cell: i for i, cell in enumerate(cells)}
    return Attribute(name, tuple(cells), np.array([-1 if v is None else place[v] for v in values], dtype=np.int64))


def by_ranges(name: str, values: Sequence[int], starts: Sequence[int]) -> Attribute:
    """Return the attribute with one cell from each start up to the next: starts 0, 1, 2, 4 give 0, 1, 2-3, 4+."""
    cells = [str(low) if high == low + 1 else f"{low}-{high - 1}" for low, high in pairwise(starts)]
    codes = np.searchsorted(np.asarray(starts), np.asarray(values, dtype=np.int64), side="right") - 1
    return Attribute(name, (*cells, f"{starts[-1]}+"), codes.astype(np.int64))


def by_thirds(name: str, values: Floats) -> Attribute:
    """Return the attribute low, middle, high, cut at the terciles of the known values; NaN is unknown."""
    known = values[~np.isnan(values)]
    if not len(known):
        return Attribute(name, (), np.full(len(values), -1, dtype=np.int64))
    low, high = np.quantile(known, [1 / 3, 2 / 3])
    codes = np.where(np.isnan(values), -1, (values > low).astype(np.int64) + (values > high))
    return Attribute(name, (f"low (≤ {low:.4g})", "middle", f"high (> {high:.4g})"), codes.astype(np.int64))


Figures = Callable[[npt.NDArray[np.bool_]], dict[str, float | None]]
"""The figures of some images, by name."""


@dataclass(frozen=True)
class Judging:
    """How slices are judged: the least images of one, bootstrap draws and what an interval encloses, and the seed."""

    least: int
    draws: int
    confidence: float
    seed: int = 0


def analyse(
    attributes: Sequence[Attribute], sums: Sums, errors: Floats, least: int, draws: int, confidence: float, seed: int
) -> dict[str, Any]:
    """Return `analyse_figures` with the mean foreground IoU of each cell; `errors` is 1 − that of each image."""

    def figures(member: npt.NDArray[np.bool_]) -> dict[str, float | None]:
        part = chosen(sums, member)
        pooled = mean_of_known(iou(part.inter.sum(0), part.predicted.sum(0), part.truth.sum(0))[1:])
        return {"iou_mean_foreground": number(pooled)}

    judging = Judging(least, draws, confidence, seed)
    return analyse_figures(attributes, errors, figures, "1 - mean foreground IoU of the image", judging)


def analyse_figures(
    attributes: Sequence[Attribute], errors: Floats, figures: Figures, error: str, judging: Judging
) -> dict[str, Any]:
    """Return the analysis as plain JSON values.

    `errors` (i,) is the error of each image, `error` in words, NaN for one that has none; such images are left out and
    counted. `figures` gives what else is said of a cell's images. `attributes`: by ε², the one that explains most
    first, each with its cells; `worst`: the judged cells of all attributes, by the Welch t of their errors against all
    other images', the worst first (where neither side varies at all, t is null and `t_infinite` is 1 or -1);
    `finding`: one sentence.
    """
    known = ~np.isnan(errors)
    if not known.all():
        attributes = [Attribute(a.name, a.cells, np.where(known, a.codes, -1)) for a in attributes]
    tables = [_attribute(a, errors, known, figures, judging) for a in attributes]
    errors = errors[known]
    tables.sort(key=lambda t: (t["epsilon_squared"] is None, -(t["epsilon_squared"] or 0.0), t["attribute"]))
    worst = [
        {"attribute": table["attribute"], **cell}
        for table in tables
        for cell in table["cells"]
        if cell["judged"] and (cell["t"] is not None or cell["t_infinite"])
    ]
    worst.sort(key=lambda cell: (-_t(cell), -cell["mean_error"], -cell["images"]))
    return {
        "error": error,
        "mean_error": number(errors.mean()) if len(errors) else None,
        "images_without_error": int((~known).sum()),
        "least_images": judging.least,
        "attributes": tables,
        "worst": worst[:10],
        "finding": _finding(tables, worst, errors),
    }


def _t(cell: Mapping[str, Any]) -> float:
    return math.inf * cell["t_infinite"] if cell["t_infinite"] else float(cell["t"])


def _finding(tables: Sequence[Mapping[str, Any]], worst: Sequence[Mapping[str, Any]], errors: Floats) -> str:
    if not worst:
        return "Too few images to say which of them the model does worst on."
    if np.ptp(errors) <= SAME:
        return "Every image has the same error: no slice is worse than another."
    first, cell = tables[0], worst[0]
    if first["eta_squared"] is None:
        return "No attribute has two slices of enough images to say which of them explains the error."
    if first["epsilon_squared"] <= 0 or first["p"] > CHANCE:
        said = "No attribute explains more of the error than chance does."
    else:
        figures = f"ε² {first['epsilon_squared']:.2f} (p {first['p']:.2g})"
        said = f"{first['attribute']} explains most of the error: {figures}."
    if _t(cell) < CLEARLY:
        return f"{said} No slice is clearly worse than the other images."
    return (
        f"{said} Worst slice: {cell['attribute']} {cell['cell']}, mean error "
        f"{cell['mean_error']:.2f} over {cell['images']} images, elsewhere {cell['mean_error_elsewhere']:.2f}."
    )


def _attribute(
    attribute: Attribute, errors: Floats, known: npt.NDArray[np.bool_], figures: Figures, judging: Judging
) -> dict[str, Any]:
    members = [attribute.codes == code for code in range(len(attribute.cells))]
    judged = [m for m in members if int(m.sum()) >= judging.least]
    result: dict[str, Any] = {
        "attribute": attribute.name,
        "unknown": int((attribute.codes[known] < 0).sum()),
        "eta_squared": None,
        "epsilon_squared": None,
        "p": None,
        "cells": [
            {"cell": name, **_cell(errors[m], errors[known & ~m], judging), **figures(m)}
            for name, m in zip(attribute.cells, members, strict=True)
            if m.any()
        ],
    }
    if len(judged) >= 2:
        eta, epsilon = explained(judged, errors)
        result |= {
            "eta_squared": number(eta),
            "epsilon_squared": number(epsilon),
            "p": None if math.isnan(eta) else chance(judged, errors, judging.draws, judging.seed),
        }
    return result


def _cell(inside: Floats, outside: Floats, judging: Judging) -> dict[str, Any]:
    """Return what is said of a cell by the errors of its images and of all others."""
    parts = drawn(len(inside), judging.draws, judging.seed, 2)
    means = [weighted(weights, inside) / len(inside) for weights in parts]
    t = _welch(inside, outside)
    return {
        "images": len(inside),
        "judged": len(inside) >= judging.least,
        "mean_error": number(inside.mean()),
        "interval": interval(np.concatenate([[np.nan], *means]), judging.confidence),
        "mean_error_elsewhere": number(outside.mean()) if len(outside) else None,
        "t": number(t) if np.isfinite(t) else None,
        "t_infinite": int(np.sign(t)) if np.isinf(t) else 0,
    }


def _welch(inside: Floats, outside: Floats) -> float:
    """Return Welch's t of two samples: ±inf where neither varies and they differ, NaN for less than two images."""
    if len(inside) < 2 or len(outside) < 2:
        return math.nan
    difference = float(inside.mean() - outside.mean())
    if abs(difference) <= SAME:
        return 0.0
    spread = float(inside.var(ddof=1) / len(inside) + outside.var(ddof=1) / len(outside))
    return difference / math.sqrt(spread) if spread > SAME**2 else math.copysign(math.inf, difference)


def explained(judged: Sequence[npt.NDArray[np.bool_]], errors: Floats) -> tuple[float, float]:
    """Return η² and ε² over the images of the judged cells; NaN where the errors do not vary."""
    values = errors[np.logical_or.reduce(judged)]
    total = float(((values - values.mean()) ** 2).sum())
    if total <= SAME**2:
        return math.nan, math.nan
    between = float(sum(m.sum() * (errors[m].mean() - values.mean()) ** 2 for m in judged))
    within = (total - between) / max(len(values) - len(judged), 1)
    return between / total, (between - (len(judged) - 1) * within) / total


def chance(judged: Sequence[npt.NDArray[np.bool_]], errors: Floats, draws: int, seed: int) -> float:
    """Return the p of a permutation test with `draws` random assignments; their total is the same, so is their mean."""
    used = np.logical_or.reduce(judged)
    members = np.array([m[used] for m in judged], dtype=np.float64)
    values = errors[used] - errors[used].mean()

    def between(rows: Floats) -> Floats:
        return np.asarray(((members @ rows.T) ** 2 / members.sum(1)[:, None]).sum(0))

    random = np.random.default_rng([seed, 4])
    observed, as_large = between(values[None])[0], 0
    for begin in range(0, draws, PERMUTED_AT_ONCE):
        count = min(PERMUTED_AT_ONCE, draws - begin)
        shuffled = random.permuted(np.tile(values, (count, 1)), axis=1)
        as_large += int((between(shuffled) >= observed * (1 - SAME)).sum())
    return (1 + as_large) / (1 + draws)
