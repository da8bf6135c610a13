"""The experiments grid: from the config's `experiments` section to the list of runs. Pure; imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cocomine.base.errors import CocomineError
from cocomine.base.settings import shaped
from cocomine.learning.presets import apply_preset
from cocomine.learning.settings import ExperimentSettings, ModelSettings, RunSettings

ARMS = ("mined", "all_classes", "random")
NO_FILE = ("none", "imagenet")


@dataclass(frozen=True)
class Run:
    """One training run and where it is evaluated.

    `settings` is what evaluate_model takes as --settings, `training` what train_model does. It is evaluated on each
    subset of `evaluate_on`; where that is not `subset` itself, the images of its split that is judged are to be held
    out of training (train_model's --evaluated-on and --withheld-split).
    """

    settings: RunSettings
    evaluate_on: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its name, unlike that of any other run."""
        return self.settings.run

    @property
    def subset(self) -> str:
        """The subset that it is trained on."""
        return self.settings.subset

    @property
    def training(self) -> dict[str, Any]:
        """The settings without those of the evaluation, so that a change of these trains nothing again."""
        return {key: value for key, value in self.settings.as_mapping().items() if key != "evaluation"}

    @property
    def weights_file(self) -> str | None:
        """The file of encoder weights that the config names, None for ImageNet's and for none."""
        weights = self.settings.model.weights
        if weights in NO_FILE:
            return None
        return f"{weights}/model.safetensors" if Path(weights).is_dir() else weights

    @property
    def judged(self) -> str | None:
        """The split of the evaluated subsets that is judged, and so withheld from training on another subset.

        None for test where a subset has one, and val otherwise.
        """
        return self.settings.evaluation.split


def expand(experiments: Mapping[str, Mapping[str, Any]]) -> list[Run]:
    """Return the runs of all experiments, in the config's order: subsets, then models, then seeds.

    A run is named as its experiment when that has one cell; otherwise `{experiment}-{subset}-{model}-s{seed}` with the
    varying parts only. Raises CocomineError for unknown keys, for two runs of one name, and for anything that a run's
    settings refuse.
    """
    runs = [run for name, config in experiments.items() for run in _experiment(name, config)]
    seen: set[str] = set()
    for run in runs:
        if run.name in seen:
            raise CocomineError(f"experiments: two runs are called {run.name!r}", "rename one of the experiments")
        seen.add(run.name)
    return runs


def _experiment(name: str, config: Mapping[str, Any]) -> list[Run]:
    where = f"experiments.{name}"
    given = shaped(ExperimentSettings, config, where)
    subsets = _subsets(given, where)
    base = apply_preset({key: config[key] for key in ("preset", "model", "train", "evaluation") if key in config})
    if given.arms is not None:
        _check_arms(base.get("train", {}), where)
    models = _models(config.get("models", {}), base.get("model", {}))
    _distinct(given.seeds, f"{where}.seeds")
    evaluate_on = (given.evaluate_on,) if isinstance(given.evaluate_on, str) else given.evaluate_on
    if evaluate_on is not None:
        _distinct(evaluate_on, f"{where}.evaluate_on")
    elif given.arms is not None:
        evaluate_on = (given.arms.mined,)
    runs = []
    for arm, subset in subsets:
        for label, model in models.items():
            for seed in given.seeds:
                several = ((subset, subsets), (label, models), (f"s{seed}", given.seeds))
                settings = {
                    "run": "-".join([name, *(part for part, all_of_it in several if len(all_of_it) > 1)]),
                    "experiment": name,
                    "subset": subset,
                    "model_name": label,
                    "arm": arm,
                    "seed": seed,
                    "model": model,
                    "train": base.get("train", {}),
                    "evaluation": base.get("evaluation", {}),
                }
                runs.append(Run(RunSettings.from_mapping(settings, where), evaluate_on or (subset,)))
    return runs


def _subsets(given: ExperimentSettings, where: str) -> list[tuple[str, str]]:
    """Return the arm (empty without arms) and the name of each subset to train on."""
    stated = {"subset": given.subset, "subsets": given.subsets, "arms": given.arms}
    said = [key for key, value in stated.items() if value]
    if len(said) != 1:
        raise CocomineError(
            f"{where} has {' and '.join(said) or 'no subset'}",
            "give one of: subset (a name), subsets (a list of names), "
            "arms (a mapping: mined, all_classes and random, each a subset's name)",
        )
    if given.arms is not None:
        arms = [(arm, str(getattr(given.arms, arm))) for arm in ARMS]
        _distinct([subset for _, subset in arms], f"{where}.arms")
        return arms
    subsets = given.subsets or (str(given.subset),)
    _distinct(subsets, f"{where}.subsets")
    return [("", subset) for subset in subsets]


def _check_arms(train: Mapping[str, Any], where: str) -> None:
    """Raise CocomineError where each arm would stop, or choose its weights, by validation images of its own."""
    for key, allowed in (("keep", "last"), ("early_stop", None)):
        if train.get(key, allowed) != allowed:
            raise CocomineError(
                f"{where}.train.{key} is {train[key]!r}, and the arms are to be equal but for their images: each would "
                "be judged by its own validation images on the way",
                f"leave train.{key} out where there are arms",
            )


def _models(models: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return each model's settings: what one leaves open is taken from `model`, options within one family only."""
    default = ModelSettings()
    if not models:
        label = f"{model.get('family', default.family)}-{model.get('encoder', default.encoder)}"
        return {label: model}
    return {label: _model(model, entry or {}, default.family) for label, entry in models.items()}


def _model(model: Mapping[str, Any], entry: Mapping[str, Any], family: str) -> dict[str, Any]:
    own = model.get("family", family)
    below = model.get("options", {}) if entry.get("family", own) == own else {}
    return {**model, **entry, "options": {**below, **entry.get("options", {})}}


def _distinct(values: Sequence[object], where: str) -> None:
    if not values:
        raise CocomineError(f"{where} is empty", "name at least one")
    if len(set(values)) != len(values):
        raise CocomineError(f"{where} is {list(values)!r}", "an entry stands in it twice; remove one")
