"""A run's or a prediction's own files as what an experiment tracker logs: parameters, series, figures, tags.

cocomine keeps no tracker: what a run measured lies in its folder. This reads it back and hands it to MLflow or Weights
& Biases, which are imported when they are asked for.
"""

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json, sha256_of_file

STEP = "iteration"
LEFT_OUT = ("bins", "confusion", "slices", "coverage", "labels", "published", "settings", "run", "size")
"""Parts of metrics.json that are tables or are told as parameters."""


@dataclass
class Logged:
    """What is logged of one folder: its name, parameters, the figures of each step, final figures, tags."""

    name: str
    parameters: dict[str, str] = field(default_factory=dict)
    steps: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


def read_folder(folder: Path, lock: Path | None = None) -> Logged:
    """Read a run's folder (training.json, history.csv, on-…/metrics.json) or that of predictions (metrics.json).

    The SHA-256 of the build's `lock` becomes a tag, so that the figures lead back to their data. Raises CocomineError
    for a folder with none of these files.
    """
    result = Logged(folder.name)
    if (folder / "training.json").is_file():
        result.parameters = dict(_texts(read_json(folder / "training.json")["settings"]))
    if (folder / "history.csv").is_file():
        with open(folder / "history.csv", encoding="utf-8", newline="") as lines:
            result.steps = [_step(row) for row in csv.DictReader(lines)]
    for file in sorted([*folder.glob("metrics.json"), *folder.glob("on-*/metrics.json")]):
        begin = "" if file.parent == folder else f"{file.parent.name}/"
        metrics = {key: value for key, value in read_json(file).items() if key not in LEFT_OUT}
        result.figures |= {f"{begin}{name}": value for name, value in _numbers(metrics)}
    if not result.steps and not result.figures:
        raise CocomineError(f"{folder}: neither history.csv nor metrics.json", "name the folder of a run or prediction")
    if lock is not None:
        result.tags["build_lock_sha256"] = sha256_of_file(lock)
    return result


def _step(row: Mapping[str, str]) -> tuple[int, dict[str, float]]:
    figures = {name: float(value) for name, value in row.items() if name != STEP and value}
    return int(row[STEP]), {name: value for name, value in figures.items() if math.isfinite(value)}


def _texts(settings: Mapping[str, Any], begin: str = "") -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _texts(value, f"{begin}{key}.")
        else:
            yield f"{begin}{key}", str(value)


def _numbers(metrics: Mapping[str, Any], begin: str = "") -> Iterator[tuple[str, float]]:
    """Yield every number of nested mappings by its path, and both ends of intervals."""
    for key, value in metrics.items():
        name = f"{begin}{_plain(str(key))}"
        if key in LEFT_OUT:
            continue
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)
        elif isinstance(value, list) and len(value) == 2 and all(isinstance(end, float) for end in value):
            yield from ((f"{name}/low", value[0]), (f"{name}/high", value[1]))


def _plain(name: str) -> str:
    """Return a name with the characters that MLflow takes: class names are anybody's."""
    return "".join(one if one.isalnum() or one in "-_. " else "_" for one in name)


def to_mlflow(logged: Logged, project: str, where: str | None) -> None:
    """Log to MLflow: `project` is the experiment, `where` a tracking URI, without which MLflow's own holds."""
    mlflow = _tracker("mlflow")
    if where is not None:
        mlflow.set_tracking_uri(where)
    mlflow.set_experiment(project)
    with mlflow.start_run(run_name=logged.name):
        mlflow.log_params(logged.parameters)
        mlflow.set_tags(logged.tags)
        for step, figures in logged.steps:
            mlflow.log_metrics(figures, step=step)
        mlflow.log_metrics(logged.figures)


def to_wandb(logged: Logged, project: str, where: str | None) -> None:
    """Log to Weights & Biases: `where` is a folder for a run that is kept offline, without which it goes out."""
    wandb = _tracker("wandb")
    mode = {} if where is None else {"mode": "offline", "dir": where}
    config = {**logged.parameters, **logged.tags}
    with wandb.init(project=project, name=logged.name, config=config, **mode) as run:
        for step, figures in logged.steps:
            run.log(figures, step=step)
        run.summary.update(logged.figures)


TRACKERS = {"mlflow": to_mlflow, "wandb": to_wandb}


def _tracker(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise CocomineError(
            f"{name} is not installed here", f"pip install {name}, in an environment of its own or in this one"
        ) from error
