"""All predictions and runs of a config side by side: figures, paired differences, slices, and where two differ most.

The difference of two is paired: both were resampled by the same draws of the same images, so A − B of each draw is a
draw of the difference, and its interval leaves out what both find hard alike. It is said to be clear where the
interval does not hold 0. Each pair is judged by itself: of many pairs some are clear by chance.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json, read_table
from cocomine.base.parquet import read_columns
from cocomine.evaluation.resampling import Draws, read_draws
from cocomine.evaluation.verdict import most_recall
from cocomine.learning.metrics import interval

MOST_IMAGES = 10
CONFIDENCE = 0.95
FIGURES = {
    "panoptic": {"pq": "PQ", "sq": "SQ", "rq": "RQ"},
    "semantic": {"mean_foreground": "IoU", "pixel_accuracy": "pixel accuracy"},
    "results": {"AP": "AP", "AP50": "AP50", "AP75": "AP75", "AR": "AR"},
}
"""The columns of draws.tsv that are compared, and what they are called."""


@dataclass(frozen=True)
class Entry:
    """Predictions or a run, as it was judged: its draws, and the error of each image where that is known."""

    name: str
    folder: Path
    kind: str
    judged_on: str
    images_sha256: str
    values: dict[str, float | None]
    draws: Draws
    errors: dict[int, float]
    slices: dict[str, Any]
    calibration: dict[str, Any]
    coverage: dict[str, Any]

    @property
    def group(self) -> tuple[str, str, str]:
        """What two must share to be compared."""
        return self.kind, self.judged_on, self.images_sha256

    @property
    def figures(self) -> dict[str, str]:
        """The figures of its kind, by the column of its draws."""
        return FIGURES.get(self.kind, FIGURES["results"])


def read_entry(folder: Path) -> Entry:
    """Read what evaluate_predictions or evaluate_model wrote. Raises CocomineError for another folder."""
    metrics = read_json(folder / "metrics.json")
    if "run" in metrics:
        name, kind, judged_on = str(metrics["run"]["run"]), "semantic", f"{metrics['subset']}, {metrics['split']}"
        digest = metrics["draws"]["images_sha256"]
        measured = metrics[f"{metrics['draws']['resolution']}_resolution"]
    elif "judged_on" in metrics:
        name, kind, ground = folder.name, metrics["kind"], metrics["judged_on"]
        judged_on = f"{ground.get('subset') or ground.get('file')}, {ground['split']}"
        digest = ground["images_sha256"]
        measured = metrics["full_resolution"] if kind == "semantic" else metrics["all"]
    else:
        raise CocomineError(f"{folder}: no figures of predictions or of a run", "judge them again")
    of_kind = FIGURES.get(kind, FIGURES["results"])
    values = (
        {"mean_foreground": measured["iou"]["mean_foreground"], "pixel_accuracy": measured["pixel_accuracy"]}
        if kind == "semantic"
        else {key: measured[key] if key in measured else most_recall(measured)[1] for key in of_kind}
    )
    return Entry(
        name,
        folder,
        kind,
        judged_on,
        digest,
        values,
        read_draws(folder / "draws.tsv"),
        _errors(folder),
        metrics["slices"],
        metrics.get("calibration") or metrics.get("training_resolution", {}).get("calibration") or {},
        metrics.get("coverage") or {},
    )


def _errors(folder: Path) -> dict[int, float]:
    errors: dict[int, float] = {}
    if (folder / "per_image.parquet").is_file():  # of a run of ours
        table = read_columns(folder / "per_image.parquet").to_pydict()
        scores = table.get("full_iou_mean_foreground", table["iou_mean_foreground"])
        return {image: 1 - iou for image, iou in zip(table["image_id"], scores, strict=True) if iou is not None}
    path = folder / "per_image.tsv"
    if not path.is_file():
        return errors
    for row in read_table(path):
        if row.get("error"):
            errors[int(row["image_id"])] = float(row["error"])
        elif row.get("iou_mean_foreground"):
            errors[int(row["image_id"])] = 1 - float(row["iou_mean_foreground"])
    return errors


def compare(folders: Sequence[Path]) -> dict[str, Any]:
    """Return the comparison as plain JSON values: every entry with its figures, and each group's pairs and slices.

    The best entry stands first; of the pairs, those of a clear difference, the largest first.
    """
    return {"confidence": CONFIDENCE, "groups": [_compared(members) for members in groups_of(folders)]}


def groups_of(folders: Sequence[Path]) -> list[list[Entry]]:
    """Return what was judged on the same images together, the best first by its first figure."""
    groups: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in map(read_entry, folders):
        groups.setdefault(entry.group, []).append(entry)
    return [sorted(members, key=_worse) for members in groups.values()]


def pairs_of(members: Sequence[Entry]) -> list[tuple[Entry, Entry]]:
    """Return each two of a group, those whose first figure differs clearly before others, the largest first."""

    def order(two: tuple[Entry, Entry]) -> tuple[bool, float]:
        first = next(_pairs(*two))
        return not first["clear"], -abs(first["difference"] or 0.0)

    return sorted(combinations(members, 2), key=order)


def _worse(entry: Entry) -> tuple[float, str]:
    value = next(iter(entry.values.values()))
    return -(value if value is not None else -1.0), entry.name


def _compared(members: Sequence[Entry]) -> dict[str, Any]:
    pairs = pairs_of(members)
    return {
        "kind": members[0].kind,
        "judged_on": members[0].judged_on,
        "entries": [_row(entry) for entry in members],
        "coverage": next((entry.coverage for entry in members if entry.coverage), {}),
        "pairs": [pair for two in pairs for pair in _pairs(*two)],
        "slices": _slices(members),
        "differ_most": [one for two in pairs for one in differ_most(*two)],
    }


def _row(entry: Entry) -> dict[str, Any]:
    figures = []
    for column, name in entry.figures.items():
        low, high = (interval(entry.draws[column], CONFIDENCE) if column in entry.draws else None) or (None, None)
        figures.append({"name": name, "value": entry.values[column], "low": low, "high": high})
    return {
        "name": entry.name,
        "figures": figures,
        "calibration": {key: entry.calibration.get(key) for key in ("ece", "finding")},
        "bins": entry.calibration.get("bins", []),
    }


def _pairs(first: Entry, second: Entry) -> Iterator[dict[str, Any]]:
    """Yield the difference of each figure of two entries of the same images."""
    for column, name in first.figures.items():
        one, other = first.values[column], second.values[column]
        ends = None
        if column in first.draws and column in second.draws and len(first.draws[column]) == len(second.draws[column]):
            ends = interval(first.draws[column] - second.draws[column], CONFIDENCE)
        low, high = ends or (None, None)
        yield {
            "first": first.name,
            "second": second.name,
            "figure": name,
            "difference": None if one is None or other is None else one - other,
            "low": low,
            "high": high,
            "clear": ends is not None and bool(np.sign(ends[0]) == np.sign(ends[1]) != 0),
        }


def _slices(members: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return the mean error of each slice beside one another, the largest spread between the entries first."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for number, entry in enumerate(members):
        for table in entry.slices.get("attributes", []):
            for cell in table["cells"]:
                row = rows.setdefault(
                    (table["attribute"], cell["cell"]), {"images": cell["images"], "errors": [None] * len(members)}
                )
                row["errors"][number] = cell["mean_error"]
    made = [{"attribute": a, "slice": cell, **row} for (a, cell), row in rows.items()]
    return sorted(made, key=lambda row: (-_spread(row["errors"]), row["attribute"], row["slice"]))


def _spread(errors: Sequence[float | None]) -> float:
    known = [error for error in errors if error is not None]
    return max(known) - min(known) if known else 0.0


def differ_most(first: Entry, second: Entry) -> list[dict[str, Any]]:
    """Return the images on which the errors of two differ most, the widest apart first."""
    shared = sorted(
        first.errors.keys() & second.errors.keys(),
        key=lambda image: (-abs(first.errors[image] - second.errors[image]), image),
    )
    return [
        {
            "first": first.name,
            "second": second.name,
            "image_id": image,
            "first_error": first.errors[image],
            "second_error": second.errors[image],
        }
        for image in shared[:MOST_IMAGES]
        if first.errors[image] != second.errors[image]
    ]
