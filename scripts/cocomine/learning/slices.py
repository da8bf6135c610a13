"""Where a model fails: errors by slices of the images, and which attribute explains most of the error.

An attribute sorts images into cells (licence 1, 2, …; dark, middling, bright). For each attribute η² = SS between cells
/ SS total of the image errors is the share of their variance that the attribute explains. Since η² grows with the
number of cells by chance alone, attributes are ordered by ε², the same without that bias (Kelley 1935):
ε² = (SSB − (cells − 1) · MSW) / SST. Cells of fewer images than asked for are shown and not judged: they take no part
in either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from cocomine.learning.metrics import Floats, Sums, chosen, interval, iou, mean_of_known, number

Codes = npt.NDArray[np.int64]


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


def analyse(
    attributes: Sequence[Attribute], sums: Sums, errors: Floats, least: int, draws: int, confidence: float, seed: int
) -> dict[str, Any]:
    """Return the analysis as plain JSON values.

    `errors` (i,) is 1 − mean foreground IoU of each image. `attributes`: by ε², the one that explains most first, each
    with its cells; `worst`: the judged cells of all attributes, by the Welch t of their errors against all other
    images', the worst first; `finding`: one sentence.
    """
    tables = [_attribute(a, sums, errors, least, draws, confidence, seed) for a in attributes]
    tables.sort(key=lambda t: (t["epsilon_squared"] is None, -(t["epsilon_squared"] or 0.0), t["attribute"]))
    worst = [
        {"attribute": table["attribute"], **cell}
        for table in tables
        for cell in table["cells"]
        if cell["judged"] and cell["t"] is not None
    ]
    worst.sort(key=lambda cell: -cell["t"])
    return {
        "error": "1 - mean foreground IoU of the image",
        "mean_error": number(errors.mean()),
        "least_images": least,
        "attributes": tables,
        "worst": worst[:10],
        "finding": _finding(tables, worst),
    }


def _finding(tables: Sequence[Mapping[str, Any]], worst: Sequence[Mapping[str, Any]]) -> str:
    if not tables or tables[0]["eta_squared"] is None or not worst:
        return "Too few images to say which of them the model does worst on."
    first, cell = tables[0], worst[0]
    low, high = first["interval"] or (float("nan"), float("nan"))
    return (
        f"{first['attribute']} explains most of the error: η² {first['eta_squared']:.2f} "
        f"({low:.2f} to {high:.2f}). Worst slice: {cell['attribute']} {cell['cell']}, mean error "
        f"{cell['mean_error']:.2f} over {cell['images']} images, elsewhere {cell['mean_error_elsewhere']:.2f}."
    )


def _attribute(
    attribute: Attribute, sums: Sums, errors: Floats, least: int, draws: int, confidence: float, seed: int
) -> dict[str, Any]:
    members = [attribute.codes == code for code in range(len(attribute.cells))]
    judged = [m for m in members if int(m.sum()) >= least]
    result: dict[str, Any] = {
        "attribute": attribute.name,
        "unknown": int((attribute.codes < 0).sum()),
        "eta_squared": None,
        "epsilon_squared": None,
        "interval": None,
        "cells": [
            _cell(name, m, sums, errors, least, draws, confidence, seed)
            for name, m in zip(attribute.cells, members, strict=True)
            if m.any()
        ],
    }
    if len(judged) >= 2:
        weights = _weights(len(errors), draws, seed)
        eta, epsilon = _explained(np.ones((1, len(errors))), judged, errors)
        drawn, _ = _explained(weights, judged, errors) if draws else (np.array([np.nan]), None)
        result |= {
            "eta_squared": number(eta[0]),
            "epsilon_squared": number(epsilon[0]),
            "interval": interval(drawn, confidence),
        }
    return result


def _cell(
    name: str,
    member: npt.NDArray[np.bool_],
    sums: Sums,
    errors: Floats,
    least: int,
    draws: int,
    confidence: float,
    seed: int,
) -> dict[str, Any]:
    inside, outside = errors[member], errors[~member]
    part = chosen(sums, member)
    pooled = mean_of_known(iou(part.inter.sum(0), part.predicted.sum(0), part.truth.sum(0))[1:])
    means = _weights(len(inside), draws, seed) @ inside / len(inside) if draws else np.array([np.nan])
    t = np.nan
    if len(inside) > 1 and len(outside) > 1:
        spread = inside.var(ddof=1) / len(inside) + outside.var(ddof=1) / len(outside)
        t = (inside.mean() - outside.mean()) / np.sqrt(spread) if spread > 0 else np.nan
    return {
        "cell": name,
        "images": len(inside),
        "judged": len(inside) >= least,
        "iou_mean_foreground": number(pooled),
        "mean_error": number(inside.mean()),
        "interval": interval(means, confidence),
        "mean_error_elsewhere": number(outside.mean()) if len(outside) else None,
        "t": number(t),
    }


def _weights(count: int, draws: int, seed: int) -> Floats:
    """Return how often each of `count` images is drawn in each bootstrap draw, as (draws, count)."""
    generator = np.random.Generator(np.random.Philox(key=np.array([seed % 2**64, 2], dtype=np.uint64)))
    positions = (generator.random((draws, count)) * count).astype(np.int64)
    weights = np.zeros((draws, count))
    np.add.at(weights, (np.arange(draws)[:, None], positions), 1.0)
    return weights


def _explained(weights: Floats, judged: Sequence[npt.NDArray[np.bool_]], errors: Floats) -> tuple[Floats, Floats]:
    """Return η² and ε² of each row of weights, over the images of the judged cells."""
    used = np.logical_or.reduce(judged)
    count = weights @ used
    mean = np.divide(weights @ (used * errors), count, out=np.zeros(len(weights)), where=count > 0)
    total = weights @ (used * errors**2) - count * mean**2
    between = np.zeros(len(weights))
    for member in judged:
        size = weights @ member
        cell = np.divide(weights @ (member * errors), size, out=np.zeros(len(weights)), where=size > 0)
        between += size * (cell - mean) ** 2
    within = (total - between) / np.maximum(count - len(judged), 1)
    flat = total <= 1e-12
    safe = np.where(flat, 1.0, total)
    eta = np.where(flat, np.nan, between / safe)
    epsilon = np.where(flat, np.nan, (between - (len(judged) - 1) * within) / safe)
    return eta, epsilon
