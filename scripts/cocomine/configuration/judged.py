"""What the config's `predictions`, and experiments that are programs, ask for: what is judged on what, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from cocomine.base.errors import CocomineError
from cocomine.evaluation.settings import (
    JudgingSettings,
    PredictionSettings,
    ProgramExperiment,
    ProgramSettings,
)

if TYPE_CHECKING:
    from cocomine.configuration.plan import Subset
    from cocomine.configuration.sources import Source

T = TypeVar("T")

TASK_FILES = {"boxes": "instances", "masks": "instances", "keypoints": "person_keypoints", "panoptic": "panoptic"}


@dataclass(frozen=True)
class Prediction:
    """Predictions and what they are judged on.

    `truth` are the files and folders of the build that it takes; `output` is the folder of the program that predicts
    them, empty for predictions that lie there already.
    """

    name: str
    settings: PredictionSettings
    judged_on: tuple[str, ...]
    truth: tuple[str, ...]
    output: str = ""

    @property
    def folder(self) -> str:
        """Where its figures go."""
        return f"results/predictions/{self.name}"

    @property
    def given(self) -> list[str]:
        """The predictions themselves, or the output of the program that predicts them."""
        paths = [path for path in (self.settings.file, self.settings.folder) if path is not None]
        return [self.output] if self.output else paths

    @property
    def sources(self) -> list[str]:
        """The source whose annotation files it is judged on, if it is one."""
        return [] if self.settings.source is None else [self.settings.source]

    @property
    def pictured(self) -> list[str]:
        """The subset whose photographs stand in its pictures, if there are any."""
        return [self.settings.subset] if self.settings.subset and self.settings.task == "semantic" else []

    @property
    def judging(self) -> dict[str, Any]:
        """The settings of `evaluate_predictions`."""
        keys = JudgingSettings.__struct_fields__
        return {key: value for key, value in self.settings.as_mapping().items() if key in keys}

    @property
    def options(self) -> list[str]:
        """The options of `evaluate_predictions` that say what is judged on what."""
        return ["--task", self.settings.task, *self._given_by_option, *self.judged_on]

    @property
    def _given_by_option(self) -> list[str]:
        places = (("--file", self.settings.file), ("--folder", self.settings.folder))
        below = f"{self.output}/" if self.output else ""
        return [word for option, path in places if path is not None for word in (option, f"{below}{path}")]

    @property
    def review(self) -> str:
        """Where the labels go that it contradicts; empty where none are asked for."""
        return f"results/label_errors/{self.name}" if self.settings.label_errors else ""

    @property
    def review_options(self) -> list[str]:
        """The options of `find_label_errors`."""
        subset = self.settings.subset
        explorer = [] if subset is None else ["--explorer", f"../../{subset}/explorer.html"]
        return [*self._given_by_option, *self.judged_on, *explorer]


@dataclass(frozen=True)
class Program:
    """A program of the user's: one seed of an experiment that names a command."""

    name: str
    experiment: ProgramExperiment
    seed: int
    export: str
    subset: str

    @property
    def folder(self) -> str:
        """Where its output and the facts of it go."""
        return f"results/experiments/{self.name}"

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of `run_program`."""
        own = {key: value for key, value in self.experiment.as_mapping().items() if key in KEYS_OF_PROGRAM}
        return {**own, "seed": self.seed}

    @property
    def minutes(self) -> int:
        """The time that a cluster is asked for: the program's limit, and what it takes to look after it."""
        return self.experiment.time_limit + 10

    @property
    def reads(self) -> list[str]:
        """The files of the subset that must be the same afterwards."""
        return [f"{self.subset}/{name}" for name in ("subset.json", "split.tsv", "labels.json", "tasks", "masks")]


KEYS_OF_PROGRAM = ProgramSettings.__struct_fields__


def planned_programs(
    given: Mapping[str, Any], subsets: Mapping[str, Subset]
) -> tuple[dict[str, Program], dict[str, Prediction]]:
    """Return the programs of the experiments that name a command, and their predictions, by name."""
    programs: dict[str, Program] = {}
    predictions: dict[str, Prediction] = {}
    for name, mapping in given.items():
        where = f"experiments.{name}"
        one = ProgramExperiment.from_mapping(mapping, where)
        subset = _known(subsets, one.subset, f"{where}.subset", "subset")
        for seed in one.seeds:
            run = name if len(one.seeds) == 1 else f"{name}-s{seed}"
            programs[run] = Program(run, one, seed, f"{subset.folder}/exports/{one.export}", subset.folder)
            for task, predicted in one.predictions.items():
                told = {"subset": one.subset, **{k: v for k, v in predicted.as_mapping().items() if v is not None}}
                settings = PredictionSettings.from_mapping({**told, "task": task}, f"{where}.predictions.{task}")
                judged = run if len(one.predictions) == 1 else f"{run}-{task}"
                on = _known(subsets, str(settings.subset), f"{where}.predictions.{task}.subset", "subset")
                made = _on_subset(judged, settings, on, f"{where}.predictions.{task}")
                predictions[judged] = replace(made, output=f"results/experiments/{run}/output")
    return programs, predictions


def planned_predictions(
    given: Mapping[str, Any], subsets: Mapping[str, Subset], sources: Mapping[str, Source]
) -> dict[str, Prediction]:
    """Return the predictions of a config by name. Raises CocomineError where they name what is not there."""
    result = {}
    for name, mapping in given.items():
        where = f"predictions.{name}"
        settings = PredictionSettings.from_mapping(mapping, where)
        if settings.subset is not None:
            subset = _known(subsets, settings.subset, f"{where}.subset", "subset")
            result[name] = _on_subset(name, settings, subset, where)
        else:
            source = _known(sources, str(settings.source), f"{where}.source", "source")
            result[name] = _on_source(name, settings, source, where)
    return result


def _known(among: Mapping[str, T], name: str, where: str, kind: str) -> T:
    if name not in among:
        raise CocomineError(f"{where}: no {kind} is called {name!r}", f"{kind}s in this config: {', '.join(among)}")
    return among[name]


def _on_subset(name: str, settings: PredictionSettings, subset: Subset, where: str) -> Prediction:
    folder, outputs = subset.folder, subset.masks.outputs
    kind = settings.task if settings.task in ("panoptic", "semantic") else ""
    drawn = ("semantic",) if outputs is None else outputs
    if kind and kind not in drawn:
        raise CocomineError(
            f"{where}: it is judged on {kind} masks of {subset.name}, whose outputs are {list(drawn)}",
            f"add {kind} to subsets.{subset.name}.masks.outputs",
        )
    truth = [f"{folder}/{file}" for file in ("subset.json", "split.tsv", "labels.json", "images.tsv", "images.parquet")]
    truth += [f"{folder}/tasks"] if settings.task == "keypoints" else []
    truth += [f"{folder}/masks"] if kind else []
    truth += [f"{folder}/images.lock.tsv"] if kind == "semantic" else []
    store = ["--store-dir", subset.source.store.folder] if kind == "semantic" else []
    tagged = _tagged(settings.tags or subset.tags)
    return Prediction(name, settings, ("--subset-dir", folder, *store, *tagged), (*truth, *tagged[1:]))


def _on_source(name: str, settings: PredictionSettings, source: Source, where: str) -> Prediction:
    task, split = TASK_FILES[settings.task], settings.split or "val"
    if (task, split) not in source.files:
        there = ", ".join(split for kind, split in source.files if kind == task) or "none"
        raise CocomineError(
            f"{where}.split: the source {source.name} has no {task} file of {split!r}",
            f"splits with one: {there}",
        )
    file = f"{source.folder}/{task}_{split}.json"
    pngs = ["--annotation-pngs", f"{source.folder}/panoptic_{split}"] if task == "panoptic" else []
    tagged = _tagged(settings.tags)
    return Prediction(name, settings, ("--annotations", file, *pngs, *tagged), (source.lock, *tagged[1:]))


def _tagged(tags: str | None) -> list[str]:
    return ["--tags", tags] if tags else []
