"""All runs beside one another: one line a run, one line a cell of the grid over its seeds, and the arms."""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json, write_json, write_table, write_text
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

# The columns of the page, and their titles.
SHOWN = {
    "iou": "IoU",
    "iou_full": "IoU, full size",
    "iou_with_background": "IoU with background",
    "soft_iou": "Soft IoU",
    "eq2_as_printed": "Eq. 2 as printed",
    "cross_entropy": "Cross-entropy",
    "pixel_accuracy": "Pixel accuracy",
    "baseline_background": "IoU of all background",
    "baseline_place": "IoU of usual places",
}

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
    """Write comparison.json, .tsv and .html of the evaluations in `folders`, return what comparison.json holds."""
    result = compare(read_evaluations(folders))
    write_json(out_dir / "comparison.json", result)
    columns = ["experiment", "trained_on", "model", "evaluated_on", "split", "arm", "seeds"]
    header = columns + [f"{name}_{part}" for name in FIGURES for part in ("mean", "deviation")]
    lines = []
    for cell in result["cells"]:
        line = [*(cell[c] for c in columns[:-1]), " ".join(map(str, cell["seeds"]))]
        lines.append(line + [cell["figures"][name][part] for name in FIGURES for part in ("mean", "deviation")])
    write_table(out_dir / "comparison.tsv", header, lines)
    write_text(out_dir / "comparison.html", page(result))
    return result


STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:84rem;padding:0 1rem;color:#1c2430}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.3rem .6rem;border-bottom:1px solid #d8dee6;"
    "text-align:left;vertical-align:bottom}td.n,th.n{text-align:right}td.n{white-space:nowrap;"
    "font-variant-numeric:tabular-nums}.wide{overflow-x:auto}.note{color:#5b6776;max-width:60rem}"
)


def page(result: Mapping[str, Any]) -> str:
    """Return the comparison as one HTML page without outside parts."""
    head = ["Experiment", "Trained on", "Model", "Evaluated on", "Seeds", *SHOWN.values()]
    body = []
    for cell in result["cells"]:
        names = [
            cell["experiment"],
            cell["trained_on"],
            cell["model"],
            f"{cell['evaluated_on']}, {cell['split']}",
            _listed(cell["seeds"]),
        ]
        body.append((names, [_pm(**cell["figures"][name]) for name in SHOWN]))
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Experiments</title>",
        f"<style>{STYLE}</style><h1>Experiments</h1>",
        "<p class=note>Mean ± deviation over seeds, on the split that is named. IoU is the mean over the foreground "
        "classes, over pixel sums, at training resolution unless it says full. The last two columns are baselines that "
        "look at no image.</p>",
        _table(head, body),
    ]
    for answer in result["arms"]:
        parts.append(f"<h2>{html.escape(answer['experiment'])}: does mining help?</h2>")
        if not answer["comparable"]:
            parts.append(
                f"<p><b>Not comparable:</b> the arms differ in {html.escape(', '.join(answer['unequal']))}.</p>"
            )
        counts = ("images_trained", "iterations", "images_evaluated")
        rows = [
            (
                [arm["what"]],
                [
                    *(" or ".join(f"{count:,}" for count in arm[name]) for name in counts),
                    _listed(arm["seeds"]),
                    _pm(arm["iou"], arm["deviation"]),
                    *(_pm(arm[name], None) for name in ("iou_full", "iou_of_added_probabilities", "baseline")),
                ],
            )
            for arm in answer["arms"]
        ]
        head = ["Arm", "Images trained on", "Iterations", "Images judged", "Seeds", "IoU of the wanted classes",
                "at full size", "of added probabilities", "of the better baseline"]  # fmt: skip
        parts.append(_table(head, rows))
        for arm, gain in answer["gain_of_mining"].items():
            words, seeds = html.escape(ARM_WORDS[arm]), f"{gain['seeds']} seed{'s' * (gain['seeds'] != 1)}"
            parts.append(f"<p>Mined, less {words}: {_pm(gain['mean'], gain['deviation'], '+')} ({seeds}).</p>")
        parts.append(
            "<p class=note>A model of all classes is scored on the wanted ones: a pixel is decided among all of its "
            "classes, and is background if that class is not wanted. Beside it, of added probabilities: what the IoU "
            "would be if the probabilities of unwanted classes were the background's first.</p>"
        )
        if len(answer["arms"][0]["seeds"]) < 2:
            parts.append("<p class=note>One seed says nothing of chance: give several before you read a gain.</p>")
    parts += _crossed(result["crossed"])
    published = [([row["method"]], [f"{row['iou_percent']:.1f}"]) for row in result["published"]]
    parts += [
        "<h2>As published</h2><p class=note>Table I of the paper: other images, other classes, and a measure that is "
        "not said to be intersection over union; printed for reading beside, not as ours.</p>",
        _table(["Method", "“IoU” in percent"], published),
    ]
    return "\n".join(parts) + "\n"


def _crossed(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the section on what the labels that were trained on change; nothing where there is no pair."""
    if not rows:
        return []
    body = []
    for row in rows:
        bounds = row["interval"]
        between = "–" if bounds is None else f"{bounds[0]:+.3f} to {bounds[1]:+.3f}".replace("-", "−")
        said = f"{row[row['verdict']]} is better" if row["verdict"] else "no difference shown"
        names = [row["experiment"], row["model"], f"{row['judged_on']}, {row['split']}", row["first"], row["second"]]
        figures = [_pm(row["first_iou"], None), _pm(row["second_iou"], None), _pm(row["difference"], None, "+")]
        body.append((names, [_listed(row["seeds"]), f"{row['images']:,}", *figures, between, said]))
    head = ["Experiment", "Model", "Judged on", "Trained on A", "or on B", "Seeds", "Images", "IoU per image, A", "B",
            "B less A", "95 % interval", "Reading"]  # fmt: skip
    return [
        "<h2>What the labels change</h2><p class=note>Models trained on different subsets, judged on the same images: "
        "the difference of the mean foreground IoU is taken image by image, mean over the seeds, and its interval is a "
        "bootstrap over images. It holds what chance the images bring, and not that of other seeds.</p>",
        _table(head, body),
    ]


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _pm(mean: float | None, deviation: float | None, sign: str = "") -> str:
    if mean is None:
        return "–"
    text = f"{mean:{sign}.3f}".replace("-", "−")
    return text if deviation is None else f"{text} ± {deviation:.3f}"


def _table(head: Sequence[str], body: Sequence[tuple[Sequence[str], Sequence[str]]]) -> str:
    first = len(body[0][0]) if body else 0
    titles = (f"<th{' class=n' * (i >= first)}>{html.escape(name)}</th>" for i, name in enumerate(head))
    lines = ["<div class=wide><table><tr>" + "".join(titles) + "</tr>"]
    for names, numbers in body:
        cells = "".join(f"<td>{html.escape(name)}</td>" for name in names)
        lines.append("<tr>" + cells + "".join(f"<td class=n>{html.escape(n)}</td>" for n in numbers) + "</tr>")
    return "\n".join([*lines, "</table></div>"])
