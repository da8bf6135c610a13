"""The experiments grid: from the config's `experiments` section to the list of runs. Pure; imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cocomine.base.errors import CocomineError
from cocomine.learning.settings import ModelSettings, RunSettings, apply_preset

ARMS = ("mined", "all_classes", "random")
NO_FILE = ("none", "imagenet")
EXPERIMENT_KEYS = (
    "preset", "subset", "subsets", "arms", "model", "models", "train", "seeds", "evaluate_on", "evaluation"
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One training run and where it is evaluated.

    `settings` is what evaluate_model takes as --settings, `training` what train_model does. It is evaluated on
    each subset of `evaluate_on`; where that is not `subset` itself, the images of its split that is evaluated are to be
    held out of training (train_model's --evaluated-on and --withheld-split).
    """

    name: str
    experiment: str
    subset: str
    model_name: str
    seed: int
    arm: str
    evaluate_on: tuple[str, ...]
    settings: dict[str, Any]

    @property
    def training(self) -> dict[str, Any]:
        """The settings without those of the evaluation, so that a change of these trains nothing again."""
        return {key: value for key, value in self.settings.items() if key != "evaluation"}

    @property
    def weights_file(self) -> str | None:
        """The file of encoder weights that the config names, None for ImageNet's and for none."""
        weights = self.settings["model"]["weights"]
        return None if weights in NO_FILE else str(weights)

    @property
    def evaluated_split(self) -> str:
        """The split of the evaluated subsets that is scored, and so withheld from training on another subset."""
        return str(self.settings["evaluation"]["split"])


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
    for key in config:
        if key not in EXPERIMENT_KEYS:
            raise CocomineError(f"{where}: unknown key {key!r}", f"known keys: {', '.join(sorted(EXPERIMENT_KEYS))}")
    subsets = _subsets(config, where)
    base = {key: config[key] for key in ("preset", "model", "train", "evaluation") if key in config}
    base = apply_preset(base, where)
    if "arms" in config:
        _check_arms(base.get("train", {}), where)
    models = _models(config, base, where)
    seeds = config.get("seeds", [0])
    _distinct(seeds, f"{where}.seeds", int)
    evaluate_on = config.get("evaluate_on")
    if isinstance(evaluate_on, str):
        evaluate_on = [evaluate_on]
    if evaluate_on is not None:
        _distinct(evaluate_on, f"{where}.evaluate_on", str)
    if evaluate_on is None and "arms" in config:
        evaluate_on = [subsets[0][1]]
    runs = []
    for arm, subset in subsets:
        for label, model in models.items():
            for seed in seeds:
                parts = [subset] * (len(subsets) > 1) + [label] * (len(models) > 1) + [f"s{seed}"] * (len(seeds) > 1)
                run = "-".join([name, *parts])
                settings = RunSettings.from_mapping(
                    {
                        "run": run,
                        "experiment": name,
                        "subset": subset,
                        "model_name": label,
                        "arm": arm,
                        "seed": seed,
                        "model": model,
                        "train": base.get("train", {}),
                        "evaluation": base.get("evaluation", {}),
                    },
                    where,
                ).as_mapping()
                runs.append(Run(run, name, subset, label, seed, arm, tuple(evaluate_on or [subset]), settings))
    return runs


def _subsets(config: Mapping[str, Any], where: str) -> list[tuple[str, str]]:
    given = [key for key in ("subset", "subsets", "arms") if key in config]
    if len(given) != 1:
        raise CocomineError(
            f"{where} has {' and '.join(given) or 'no subset'}",
            "give one of: subset (a name), subsets (a list of names), "
            "arms (a mapping: mined, all_classes and random, each a subset's name)",
        )
    if given == ["arms"]:
        arms = config["arms"]
        if not isinstance(arms, Mapping) or set(arms) != set(ARMS):
            raise CocomineError(f"{where}.arms is {arms!r}", f"it names a subset for each of {', '.join(ARMS)}")
        _distinct([arms[arm] for arm in ARMS], f"{where}.arms", str)
        return [(arm, arms[arm]) for arm in ARMS]
    subsets = [config["subset"]] if given == ["subset"] else config["subsets"]
    _distinct(subsets, f"{where}.{given[0]}", str)
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


def _models(config: Mapping[str, Any], base: Mapping[str, Any], where: str) -> dict[str, Mapping[str, Any]]:
    """Return each model's settings: what one leaves open is taken from `model`, options within one family only."""
    model = base.get("model", {})
    if "models" not in config:
        label = f"{model.get('family', 'linknet')}-{model.get('encoder', 'resnet18')}"
        return {label: model}
    models = config["models"]
    if not isinstance(models, Mapping) or not models:
        raise CocomineError(f"{where}.models is {models!r}", "it maps a name of your choice to a model's settings")
    return {label: _model(model, entry or {}, f"{where}.models.{label}") for label, entry in models.items()}


def _model(model: Mapping[str, Any], entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    if not isinstance(entry, Mapping):
        raise CocomineError(f"{where} is {entry!r}", "it is a mapping of a model's keys to values")
    own = model.get("family", ModelSettings.family)
    below = model.get("options", {}) if entry.get("family", own) == own else {}
    return {**model, **entry, "options": {**below, **entry.get("options", {})}}


def _distinct(values: Any, where: str, kind: type) -> None:
    right = isinstance(values, Sequence) and not isinstance(values, str) and len(values) > 0
    if not right or not all(isinstance(value, kind) and not isinstance(value, bool) for value in values):
        raise CocomineError(f"{where} is {values!r}", f"expected a list of {'names' if kind is str else 'numbers'}")
    if len(set(values)) != len(values):
        raise CocomineError(f"{where} is {values!r}", "an entry stands in it twice; remove one")
