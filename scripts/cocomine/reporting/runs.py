"""The facts of an experiment: what evaluate_model and train_model wrote, as the report shows it."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json
from cocomine.evaluation.verdict import no_better, too_few
from cocomine.reporting.pictures import embedded

TRIVIAL = {"all_background": "All background", "most_frequent_place": "Most frequent place"}
FIGURES = (
    # name on the page, key in the measured figures, key of its bootstrap interval
    ("IoU, mean over classes", ("iou", "mean_foreground"), "mean_foreground"),
    ("IoU, mean with background", ("iou", "mean_with_background"), "mean_with_background"),
    ("IoU, mean over images", ("iou", "per_image_mean_foreground"), "per_image_mean_foreground"),
    ("Dice, mean over classes", ("dice", "mean_foreground"), "dice_mean_foreground"),
    ("Pixel accuracy", ("pixel_accuracy",), "pixel_accuracy"),
    ("Cross-entropy", ("cross_entropy",), "cross_entropy"),
    ("Soft IoU over sums", ("soft_iou", "mean_foreground"), "soft_iou_mean_foreground"),
    ("The paper's equation for IoU, as printed", ("eq2_as_printed",), "eq2_as_printed"),
)
MOST_POINTS = 400
MOST_CLASSES = 20
PICTURE_WIDTH = 784

Facts = dict[str, Any]


@dataclass(frozen=True)
class RunPicture:
    """A picture of a run as a data URI, with its size in pixels."""

    image: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Run:
    """The facts of one evaluation, and its pictures in the order of `facts["pictures"]`."""

    facts: Facts
    drawn: list[RunPicture]


def read_run(path: Path, labels: Sequence[Mapping[str, Any]]) -> Run:
    """Read the evaluation in `path`: a folder with metrics.json, or that file.

    The training's own files lie in the same folder or in one above it. `labels` are the rows of labels.json, background
    first. Raises CocomineError when there is no metrics.json.
    """
    folder = path.parent if path.name == "metrics.json" else path
    if not (folder / "metrics.json").is_file():
        raise CocomineError(f"{folder / 'metrics.json'}: no such file", "run the rule evaluate_model first")
    metrics = read_json(folder / "metrics.json")
    training = next(
        (place for place in (folder, *list(folder.parents)[:2]) if (place / "training.json").is_file()), None
    )
    origin = metrics["run"]
    measured = metrics["training_resolution"]
    names, drawn = _pictures(folder / "pictures")
    facts = {
        "name": str(origin.get("run") or folder.name),
        "model": str(origin.get("model_name") or "predictions made elsewhere"),
        "trained_on": str(origin.get("subset") or ""),
        "arm": str(origin.get("arm") or ""),
        "seed": origin.get("seed"),
        "images_trained": origin.get("images_trained"),
        "parameters": (origin.get("parameters") or {}).get("all"),
        "trained": (origin.get("parameters") or {}).get("trained"),
        "iterations": origin.get("iterations"),
        "images": metrics["images"],
        "split": str(metrics.get("split") or ""),
        "seen": metrics.get("images_trained_on") or None,
        "weights_sha256": str(origin.get("weights_sha256") or ""),
        "score": {"value": measured["iou"]["mean_foreground"], "trivial": _best_trivial(metrics)},
        "no_better": no_better(measured["iou"]["mean_foreground"], _best_trivial(metrics)),
        "too_few_images": too_few(metrics["images"]),
        "ratio": metrics["baselines"].get("ratio"),
        **_classes(metrics, labels),
        "confidence": metrics["settings"].get("confidence") if measured.get("intervals") else None,
        "missing_classes": list(metrics.get("classes_without_pixels", [])),
        "figure_columns": ["At training size", "Interval from", "to", "At full size", *TRIVIAL.values()],
        "figures": _figures(metrics),
        "charts": _charts(training),
        "confusion": _confusion(measured["confusion"], [label["name"] for label in labels]),
        **_slices(metrics.get("slices")),
        "remarks": remarks(metrics, metrics.get("training_resolution", {})),
        "pictures": names,
    }
    return Run(facts, drawn)


def _of(figures: Mapping[str, Any] | None, keys: Sequence[str]) -> float | None:
    value: Any = figures
    for key in keys:
        value = None if value is None else value.get(key)
    return None if value is None else float(value)


def _best_trivial(metrics: Mapping[str, Any]) -> float | None:
    found = [_of(_trivial(metrics, name), ("iou", "mean_foreground")) for name in TRIVIAL]
    return max((value for value in found if value is not None), default=None)


def _trivial(metrics: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    baseline = metrics["baselines"].get(name)
    return baseline["training_resolution"] if baseline else None


def _classes(metrics: Mapping[str, Any], labels: Sequence[Mapping[str, Any]]) -> Facts:
    measured = metrics["training_resolution"]
    intervals = measured.get("intervals") or {}
    per_class = intervals.get("per_class") or {}
    trivial = [_trivial(metrics, name) for name in TRIVIAL]
    rows = [
        _class_row(
            name=label["name"],
            color=label["color"],
            iou=_of(measured, ("iou", "per_class", label["name"])),
            ends=per_class.get(label["name"]),
            trivial=[_of(figures, ("iou", "per_class", label["name"])) for figures in trivial],
            dice=_of(measured, ("dice", "per_class", label["name"])),
        )
        for label in [*labels[1:], labels[0]]
    ]
    mean = _class_row(
        name="mean of the classes",
        color=None,
        iou=measured["iou"]["mean_foreground"],
        ends=intervals.get("mean_foreground"),
        trivial=[_of(figures, ("iou", "mean_foreground")) for figures in trivial],
        dice=measured["dice"]["mean_foreground"],
    )
    return {"classes": [*rows[:-1], mean, rows[-1]], "trivial_names": list(TRIVIAL.values())}


def _class_row(
    name: str,
    color: Sequence[int] | None,
    iou: float | None,
    ends: Sequence[float] | None,
    trivial: list[float | None],
    dice: float | None,
) -> Facts:
    low, high = ends if ends else (None, None)
    return {
        "name": name,
        "color": color,
        "total": color is None,
        "iou": iou,
        "low": low,
        "high": high,
        "trivial": trivial,
        "dice": dice,
    }


def _figures(metrics: Mapping[str, Any]) -> list[Facts]:
    measured, full = metrics["training_resolution"], metrics.get("full_resolution")
    intervals = measured.get("intervals") or {}
    rows = []
    for name, keys, interval in FIGURES:
        low, high = intervals.get(interval) or (None, None)
        cells = [_of(measured, keys), low, high, _of(full, keys)]
        cells += [_of(_trivial(metrics, trivial), keys) for trivial in TRIVIAL]
        if any(cell is not None for cell in cells):
            rows.append({"name": name, "cells": cells})
    return rows


def _charts(training: Path | None) -> list[Facts]:
    if training is None or not (training / "history.csv").is_file():
        return []
    with open(training / "history.csv", encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))

    def series(column: str) -> list[list[float]]:
        known = [[float(row["iteration"]), float(row[column])] for row in rows if row.get(column)]
        step = max(1, -(-len(known) // MOST_POINTS))
        return known[::step] + ([known[-1]] if known and (len(known) - 1) % step else [])

    charts = {
        "IoU on validation images": {"mean over classes": "val_iou", "with background": "val_iou_with_background"},
        "Loss": {"training": "train_loss", "validation, cross-entropy": "val_cross_entropy"},
    }
    made = [
        {
            "title": title,
            "series": [{"name": name, "points": points} for name, key in columns.items() if (points := series(key))],
        }
        for title, columns in charts.items()
    ]
    return [chart for chart in made if chart["series"]]


def _confusion(counts: Sequence[Sequence[int]], names: Sequence[str]) -> Facts | None:
    """The confusion matrix as shares of each row, in label order; None for more classes than can be read."""
    if len(names) > MOST_CLASSES + 1 or not counts:
        return None
    return {
        "names": list(names),
        "shares": [[cell / sum(row) if sum(row) else None for cell in row] for row in counts],
    }


def remarks(*parts: Mapping[str, Any]) -> list[str]:
    """Return what is said of coverage and of calibration by figures that have them."""
    return [part[key]["finding"] for part in parts for key in ("coverage", "calibration") if part.get(key)]


def _slices(analysis: Mapping[str, Any] | None) -> Facts:
    if not analysis:
        return {"slices": [], "explained": [], "finding": ""}
    return {
        "finding": analysis["finding"],
        "explained": [
            {
                "name": table["attribute"],
                "value": table["epsilon_squared"],
                "p": table["p_of_all"],
            }
            for table in analysis["attributes"]
            if table["epsilon_squared"] is not None
        ],
        "slices": [
            {
                "attribute": table["attribute"],
                "slice": cell["cell"],
                "images": cell["images"],
                "iou": cell["iou_mean_foreground"],
                "error": cell["mean_error"],
                "too_few": not cell["judged"],
            }
            for table in analysis["attributes"]
            for cell in table["cells"]
        ],
    }


def _pictures(folder: Path) -> tuple[list[Facts], list[RunPicture]]:
    """The best and the worst images that the evaluation drew, the worst first."""
    files = sorted(
        folder.glob("*.png"), key=lambda file: (not file.stem.startswith("worst"), len(file.stem), file.stem)
    )
    facts, drawn = [], []
    for file in files:
        kind, _, place = file.stem.partition("_")
        what = f"{kind.capitalize()} {place}".strip()
        facts.append({"what": what, "alt": f"{what}: image, ground truth and prediction side by side"})
        drawn.append(RunPicture(*embedded(file, PICTURE_WIDTH)))
    return facts, drawn
