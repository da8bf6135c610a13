"""All runs beside one another: one line a run, one line a cell of the grid over its seeds, and the arms."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json, write_json, write_table
from cocomine.evaluation.crossed import Judged, crossed
from cocomine.learning.grid import ARMS

Getter = Callable[[Mapping[str, Any]], float | None]


def _at(*keys: str) -> Getter:
    def get(metrics: Mapping[str, Any]) -> float | None:
        value: Any = metrics
        for key in keys:
            if value is None:
                return None
            value = value.get(key)
        return None if value is None else float(value)

    return get


FIGURES: dict[str, Getter] = {
    "iou": _at("training_resolution", "iou", "mean_foreground"),
    "iou_with_background": _at("training_resolution", "iou", "mean_with_background"),
    "iou_per_image": _at("training_resolution", "iou", "per_image_mean_foreground"),
    "iou_full": _at("full_resolution", "iou", "mean_foreground"),
    "iou_of_added_probabilities": _at("training_resolution", "iou_of_added_probabilities", "mean_foreground"),
    "dice": _at("training_resolution", "dice", "mean_foreground"),
    "pixel_accuracy": _at("training_resolution", "pixel_accuracy"),
    "cross_entropy": _at("training_resolution", "cross_entropy"),
    "eq2_as_printed": _at("training_resolution", "eq2_as_printed"),
    "soft_iou": _at("training_resolution", "soft_iou", "mean_foreground"),
    "baseline_background": _at("baselines", "all_background", "training_resolution", "iou", "mean_foreground"),
    "baseline_place": _at("baselines", "most_frequent_place", "training_resolution", "iou", "mean_foreground"),
}

BASELINES = ("baseline_background", "baseline_place")

ARM_WORDS = {
    "mined": "mined images, wanted classes",
    "all_classes": "the same images, all classes",
    "random": "as many random images, all classes",
}


@dataclass(frozen=True)
class Evaluated:
    """One evaluation: what was trained, what it was evaluated on, and its figures."""

    metrics: dict[str, Any]
    folder: Path

    @property
    def run(self) -> dict[str, Any]:
        """What was trained."""
        run: dict[str, Any] = self.metrics["run"]
        return run

    @property
    def cell(self) -> tuple[str, str, str, str]:
        """The cell of the grid: experiment, subset trained on, model, subset evaluated on."""
        run = self.run
        return run["experiment"], run["subset"], run["model_name"], self.metrics["subset"]

    @property
    def judged_on(self) -> tuple[str, str]:
        """The subset and the split that it was evaluated on."""
        return self.metrics["subset"], self.metrics["split"]

    def figures(self) -> dict[str, float | None]:
        """The figures of the tables."""
        found = {name: get(self.metrics) for name, get in FIGURES.items()}
        trivial = [value for name in BASELINES if (value := found[name]) is not None]
        return {**found, "baseline": max(trivial, default=None)}


def read_evaluations(folders: Sequence[Path]) -> list[Evaluated]:
    """Read the metrics.json of each folder, or of the `on-…` folders inside a run's folder. Raises CocomineError."""
    found = []
    for folder in folders:
        files = [folder / "metrics.json"] if (folder / "metrics.json").exists() else []
        files = files or sorted(folder.glob("on-*/metrics.json"))
        if not files:
            raise CocomineError(f"{folder}: no metrics.json in it or in an on-… folder of it", "evaluate the run first")
        found += [Evaluated(read_json(file), file.parent) for file in files]
    return found


def compare(evaluations: Sequence[Evaluated]) -> dict[str, Any]:
    """Return the comparison as JSON values: runs, cells (mean and deviation over seeds), arms, crossed, published.

    `crossed` are the runs without an arm whose labels differ (cocomine.evaluation.crossed).
    """
    runs = [
        {
            "run": e.run["run"],
            "experiment": e.run["experiment"],
            "trained_on": e.run["subset"],
            "model": e.run["model_name"],
            "arm": e.run["arm"],
            "seed": e.run["seed"],
            "evaluated_on": e.metrics["subset"],
            "split": e.metrics["split"],
            "images_trained": e.run["images_trained"],
            "iterations": e.run["iterations"],
            "images_evaluated": e.metrics["images"],
            "per_class": e.metrics["training_resolution"]["iou"]["per_class"],
            "interval": e.metrics["training_resolution"]["intervals"].get("mean_foreground"),
            "finding": e.metrics["slices"]["finding"],
            **e.figures(),
        }
        for e in evaluations
    ]
    cells: dict[tuple[str, str, str, str], list[Evaluated]] = {}
    for e in evaluations:
        cells.setdefault(e.cell, []).append(e)
    tables = [_cell(cell, members) for cell, members in cells.items()]
    judged = [
        Judged(e.run["experiment"], e.run["model_name"], e.run["seed"], e.run["subset"], *e.judged_on, e.folder)
        for e in evaluations
        if not e.run["arm"]
    ]
    return {
        "runs": runs,
        "cells": tables,
        "arms": _arms(evaluations),
        "crossed": crossed(judged),
        "published": _published(evaluations),
    }


def _cell(cell: tuple[str, str, str, str], members: Sequence[Evaluated]) -> dict[str, Any]:
    experiment, subset, model, evaluated_on = cell
    figures = {}
    for name in FIGURES:
        values = [v for v in (e.figures()[name] for e in members) if v is not None]
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
        figures[name] = {"mean": float(np.mean(values)) if values else None, "deviation": deviation}
    return {
        "experiment": experiment,
        "trained_on": subset,
        "model": model,
        "evaluated_on": evaluated_on,
        "split": members[0].metrics["split"],
        "arm": members[0].run["arm"],
        "seeds": sorted(e.run["seed"] for e in members),
        "figures": figures,
    }


def _published(evaluations: Sequence[Evaluated]) -> list[dict[str, Any]]:
    return list(evaluations[0].metrics["published"]) if evaluations else []


def _arms(evaluations: Sequence[Evaluated]) -> list[dict[str, Any]]:
    """Answer the paper's question for each experiment with arms, model and evaluated subset.

    The arms are comparable only with equal counts of images and iterations, the very same images to judge, none of
    which was trained on, the same seeds, and in (b) the very images of (a); `comparable` says so, and `unequal` names
    what is otherwise.
    """
    groups: dict[tuple[str, str, str], dict[str, list[Evaluated]]] = {}
    for e in evaluations:
        if e.run["arm"]:
            key = (e.run["experiment"], e.run["model_name"], e.metrics["subset"])
            groups.setdefault(key, {}).setdefault(e.run["arm"], []).append(e)
    return [_answer(key, arms) for key, arms in groups.items() if set(arms) == set(ARMS)]


def _answer(key: tuple[str, str, str], arms: Mapping[str, Sequence[Evaluated]]) -> dict[str, Any]:
    members = [e for arm in ARMS for e in arms[arm]]
    unequal = [
        words
        for words, of in (
            ("images trained on", lambda e: e.run["images_trained"]),
            ("iterations", lambda e: e.run["iterations"]),
            ("images judged", lambda e: e.metrics["images_sha256"]),
            ("classes scored", lambda e: [entry["name"] for entry in e.metrics["labels"]]),
        )
        if len({str(of(e)) for e in members}) > 1
    ]
    if len({tuple(sorted(e.run["seed"] for e in arms[arm])) for arm in ARMS}) > 1:
        unequal.append("seeds")
    if not _same_images(arms):
        unequal.append("the images of the first two arms, which should be the same")
    if any(e.metrics.get("images_trained_on") for e in members):
        unequal.append("how many of the images evaluated they were trained on")
    figures = {arm: {e.run["seed"]: e.figures()["iou"] for e in arms[arm]} for arm in ARMS}
    rows = []
    for arm in ARMS:
        values = [v for v in figures[arm].values() if v is not None]
        rows.append(
            {
                "arm": arm,
                "what": ARM_WORDS[arm],
                "iou": float(np.mean(values)) if values else None,
                "iou_full": _mean_of("iou_full", arms[arm]),
                "iou_of_added_probabilities": _mean_of("iou_of_added_probabilities", arms[arm]),
                "baseline": _mean_of("baseline", arms[arm]),
                "deviation": float(np.std(values, ddof=1)) if len(values) > 1 else None,
                "seeds": sorted(figures[arm]),
                "images_trained": sorted({e.run["images_trained"] for e in arms[arm]}),
                "iterations": sorted({e.run["iterations"] for e in arms[arm]}),
                "images_evaluated": sorted({e.metrics["images"] for e in arms[arm]}),
            }
        )
    gains = {}
    for arm in ARMS[1:]:
        pairs = [
            (a, b)
            for seed, a in figures["mined"].items()
            if a is not None and (b := figures[arm].get(seed)) is not None
        ]
        gains[arm] = {
            "mean": float(np.mean([a - b for a, b in pairs])) if pairs else None,
            "deviation": float(np.std([a - b for a, b in pairs], ddof=1)) if len(pairs) > 1 else None,
            "seeds": len(pairs),
        }
    experiment, model, subset = key
    return {
        "experiment": experiment,
        "model": model,
        "evaluated_on": subset,
        "comparable": not unequal,
        "unequal": unequal,
        "arms": rows,
        "gain_of_mining": gains,
    }


def _same_images(arms: Mapping[str, Sequence[Evaluated]]) -> bool:
    """Whether (a) and (b) were trained on the very same images, seed by seed."""
    first, second = (
        {e.run["seed"]: e.run.get("images_trained_sha256") for e in arms[arm]} for arm in ("mined", "all_classes")
    )
    return all(first[seed] == second[seed] for seed in first.keys() & second.keys())


def _mean_of(figure: str, members: Sequence[Evaluated]) -> float | None:
    values = [value for value in (e.figures()[figure] for e in members) if value is not None]
    return float(np.mean(values)) if values else None


def write_comparison(folders: Sequence[Path], out_dir: Path) -> dict[str, Any]:
    """Write comparison.json and .tsv of the evaluations in `folders`, return what comparison.json holds."""
    result = compare(read_evaluations(folders))
    write_json(out_dir / "comparison.json", result)
    columns = ["experiment", "trained_on", "model", "evaluated_on", "split", "arm", "seeds"]
    header = columns + [f"{name}_{part}" for name in FIGURES for part in ("mean", "deviation")]
    lines = []
    for cell in result["cells"]:
        line = [*(cell[c] for c in columns[:-1]), " ".join(map(str, cell["seeds"]))]
        lines.append(line + [cell["figures"][name][part] for name in FIGURES for part in ("mean", "deviation")])
    write_table(out_dir / "comparison.tsv", header, lines)
    return result
