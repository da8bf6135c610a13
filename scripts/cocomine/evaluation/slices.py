"""Where a model fails: errors by slices of the images, and which attribute explains most of the error.

An attribute sorts images into cells (licence 1, 2, …; dark, middling, bright). For each attribute η² = SS between cells
/ SS total of the image errors is the share of their variance that the attribute explains. Since η² grows with the
number of cells by chance alone, attributes are ordered by ε², the same without that bias (Kelley 1935):
ε² = (SSB − (cells − 1) · MSW) / SST. Cells of fewer images than asked for are shown and not judged: they take no part
in either. An image without an error (void alone) is in no slice.

`p` is the share of random assignments of the errors to the images that explain at least as much (a permutation test;
the observed assignment counts as one of them): an attribute of a large ε² and a large p has few images to speak from.
Of many attributes one explains much by chance alone, and so does one of many slices lie far above the rest. What is
said is therefore held to `p_of_all`: the share of random assignments in which *any* attribute explains as much, or any
slice lies as far above the other images (the step-down of Westfall and Young, 1993, in its single step). How far a
slice lies above is told by z, its mean less that of all images, in the standard deviations that a random assignment
gives it: s · √(1/n − 1/N), for n of N images of standard deviation s.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from cocomine.base.arrays import Bools, Floats
from cocomine.learning.metrics import Sums, chosen, drawn, interval, iou, mean_of_known, number, weighted

Codes = npt.NDArray[np.int64]

SAME = 1e-9  # errors that differ by less differ by rounding alone
CHANCE = 0.05  # the p up to which an attribute is said to explain something, and a slice to be worse
PERMUTED_AT_ONCE = 64


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


def by_thirds(name: str, values: Floats, first: int | None = None) -> Attribute:
    """Return the attribute low, middle, high, cut at the terciles of the known among the `first` values (all of them);
    NaN is unknown.
    """
    known = values[:first][~np.isnan(values[:first])]
    if not len(known):
        return Attribute(name, (), np.full(len(values), -1, dtype=np.int64))
    low, high = np.quantile(known, [1 / 3, 2 / 3])
    codes = np.where(np.isnan(values), -1, (values > low).astype(np.int64) + (values > high))
    return Attribute(name, (f"low (≤ {low:.4g})", "middle", f"high (> {high:.4g})"), codes.astype(np.int64))


def by_levels(name: str, values: Floats, bounds: Mapping[str, float]) -> Attribute:
    """Return the attribute whose cells are named levels, each up to its bound (itself not in it); NaN is unknown."""
    codes = np.searchsorted(np.array(list(bounds.values())), values, side="right")
    return Attribute(name, tuple(bounds), np.where(np.isnan(values), -1, codes).astype(np.int64))


Figures = Callable[[Bools], dict[str, float | None]]
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

    def figures(member: Bools) -> dict[str, float | None]:
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
    first, each with its cells; `worst`: the judged cells of all attributes by z, the worst first; `finding`: one
    sentence.
    """
    known = ~np.isnan(errors)
    attributes = [Attribute(a.name, a.cells, a.codes[known]) for a in attributes]
    errors = errors[known]
    members = [[a.codes == code for code in range(len(a.cells))] for a in attributes]
    judged = [[m for m in of_one if int(m.sum()) >= judging.least] for of_one in members]
    tested = against_chance(judged, errors, judging.draws, judging.seed)
    places = np.flatnonzero(known)

    def figures_of(member: Bools) -> dict[str, float | None]:
        whole = np.zeros(len(known), dtype=bool)
        whole[places[member]] = True
        return figures(whole)

    tables = [
        _attribute(attribute, own, errors, figures_of, judging) | test
        for attribute, own, test in zip(attributes, members, tested, strict=True)
    ]
    for table in tables:
        for cell, test in zip((cell for cell in table["cells"] if cell["judged"]), table.pop("slices"), strict=True):
            cell |= test
    tables.sort(key=lambda t: (t["epsilon_squared"] is None, -(t["epsilon_squared"] or 0.0), t["attribute"]))
    worst = [
        {"attribute": table["attribute"], **cell}
        for table in tables
        for cell in table["cells"]
        if cell["judged"] and cell["z"] is not None
    ]
    worst.sort(key=lambda cell: (-cell["z"], -cell["mean_error"], -cell["images"]))
    return {
        "error": error,
        "mean_error": number(errors.mean()) if len(errors) else None,
        "images_without_error": int((~known).sum()),
        "least_images": judging.least,
        "attributes": tables,
        "worst": worst[:10],
        "finding": _finding(tables, worst, errors),
    }


def _finding(tables: Sequence[Mapping[str, Any]], worst: Sequence[Mapping[str, Any]], errors: Floats) -> str:
    if len(errors) and np.ptp(errors) <= SAME:
        return "Every image has the same error: no slice is worse than another."
    if not worst:
        return "Too few images to say which of them the model does worst on."
    first, cell = tables[0], worst[0]
    if first["eta_squared"] is None:
        return "No attribute has two slices of enough images to say which of them explains the error."
    if first["epsilon_squared"] <= 0 or first["p_of_all"] > CHANCE:
        said = "No attribute explains more of the error than chance does."
    else:
        figures = f"ε² {first['epsilon_squared']:.2f} (p {first['p_of_all']:.2g})"
        said = f"{first['attribute']} explains most of the error: {figures}."
    if cell["p_of_all"] > CHANCE:
        return f"{said} No slice is clearly worse than the other images."
    return (
        f"{said} Worst slice: {cell['attribute']} {cell['cell']}, mean error "
        f"{cell['mean_error']:.2f} over {cell['images']} images, elsewhere {cell['mean_error_elsewhere']:.2f}."
    )


def _attribute(
    attribute: Attribute, members: Sequence[Bools], errors: Floats, figures: Figures, judging: Judging
) -> dict[str, Any]:
    return {
        "attribute": attribute.name,
        "unknown": int((attribute.codes < 0).sum()),
        "cells": [
            {"cell": name, **_cell(errors[m], errors[~m], judging), **figures(m)}
            for name, m in zip(attribute.cells, members, strict=True)
            if m.any()
        ],
    }


def _cell(inside: Floats, outside: Floats, judging: Judging) -> dict[str, Any]:
    """Return what is said of a cell by the errors of its images and of all others."""
    parts = drawn(len(inside), judging.draws, judging.seed, 2)
    means = [weighted(weights, inside) / len(inside) for weights in parts]
    return {
        "images": len(inside),
        "judged": len(inside) >= judging.least,
        "mean_error": number(inside.mean()),
        "interval": interval(np.concatenate([[np.nan], *means]), judging.confidence),
        "mean_error_elsewhere": number(outside.mean()) if len(outside) else None,
    }


def against_chance(judged: Sequence[Sequence[Bools]], errors: Floats, draws: int, seed: int) -> list[dict[str, Any]]:
    """Return for each attribute, of which `judged` has the judged cells' images, η², ε², p, p_of_all and its slices:
    z and p_of_all of each judged cell. None where the errors do not vary, where an attribute has no two judged cells,
    and for a cell that has all images.

    `draws` random assignments of the errors to the images are shared by all attributes and slices.
    """
    cells = [m for of_one in judged for m in of_one]
    bounds = np.cumsum([0, *map(len, judged)]).tolist()
    members = np.array(cells, dtype=np.float64).reshape(len(cells), len(errors))
    parts = [slice(begin, end) for begin, end in pairwise(bounds)]
    values = errors - errors.mean() if len(errors) else errors
    eta, epsilon, z = _statistics(members, parts, values[None])
    as_large = np.zeros(len(parts), dtype=np.int64)
    any_as_large, any_as_far = np.zeros_like(as_large), np.zeros(len(cells), dtype=np.int64)
    random = np.random.default_rng([seed, 4])
    for begin in range(0, draws if len(cells) else 0, PERMUTED_AT_ONCE):
        rows = np.tile(values, (min(PERMUTED_AT_ONCE, draws - begin), 1))
        _, other, far = _statistics(members, parts, random.permuted(rows, axis=1))
        as_large += (other >= epsilon - SAME).sum(0)
        any_as_large += (other.max(1, initial=-np.inf)[:, None] >= epsilon - SAME).sum(0)
        any_as_far += (far.max(1, initial=-np.inf)[:, None] >= z - SAME).sum(0)
    return [
        {
            "eta_squared": _known(eta[0, place]),
            "epsilon_squared": _known(epsilon[0, place]),
            "p": _share(as_large[place], draws, epsilon[0, place]),
            "p_of_all": _share(any_as_large[place], draws, epsilon[0, place]),
            "slices": [
                {"z": _known(z[0, cell]), "p_of_all": _share(any_as_far[cell], draws, z[0, cell])}
                for cell in range(part.start, part.stop)
            ],
        }
        for place, part in enumerate(parts)
    ]


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _share(as_large: int, draws: int, observed: float) -> float | None:
    return float((1 + as_large) / (1 + draws)) if np.isfinite(observed) else None


def _statistics(members: Floats, parts: Sequence[slice], rows: Floats) -> tuple[Floats, Floats, Floats]:
    """Return η² and ε² of each attribute (d, a) and z of each cell (d, c), of rows of errors (d, i) with mean 0; −∞
    where one is undefined.

    `members` (c, i) says which images are in which judged cell, `parts` which of the cells are whose.
    """
    size, sums, squares = members.sum(1), rows @ members.T, (rows**2) @ members.T
    images = rows.shape[1]
    eta, epsilon = (np.full((len(rows), len(parts)), -np.inf) for _ in range(2))
    for place, part in enumerate(parts):
        count, cells = size[part].sum(), part.stop - part.start
        if cells < 2:
            continue
        middle = sums[:, part].sum(1) ** 2 / count
        total = squares[:, part].sum(1) - middle
        between = (sums[:, part] ** 2 / size[part]).sum(1) - middle
        within = (total - between) / max(count - cells, 1)
        varies = total > SAME**2
        eta[varies, place] = (between / np.where(varies, total, 1))[varies]
        epsilon[varies, place] = ((between - (cells - 1) * within) / np.where(varies, total, 1))[varies]
    spread = np.sqrt((rows**2).sum(1) / max(images - 1, 1))
    defined = (size < images) & (spread[:, None] > SAME)
    width = spread[:, None] * np.sqrt(1 / size - 1 / max(images, 1))
    z = np.where(defined, sums / size / np.where(defined, width, 1), -np.inf)
    return eta, epsilon, z
