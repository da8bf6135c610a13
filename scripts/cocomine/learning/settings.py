"""What an experiment's run may be told: model, training and evaluation, each key with its type, range and default.

The same keys, with units and descriptions, stand in `workflow/schemas/experiment.schema.yaml`; a test holds the two
equal. Nothing here imports torch, since the workflow reads it while it plans.
"""

import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, Literal, Self, TypeVar, Union, get_args, get_origin, get_type_hints

from cocomine.base.errors import CocomineError

ENCODER_STAGES = ("stem", "stage1", "stage2", "stage3", "stage4")

Encoder = Literal["resnet18", "resnet34", "resnet50", "resnet101"]
Freeze = Literal["none", "stem", "stage1", "stage2", "stage3", "stage4"]


def _ranged(default: Any, low: float | None = None, high: float | None = None) -> Any:
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True)
class ModelSettings:
    """Which network: its family, its encoder, where the encoder's weights come from and how much of it is frozen.

    `weights` is `none`, `imagenet`, or the path of a .safetensors or .pth file. `freeze` names the last encoder stage
    that is frozen; the stages below it are frozen too. `options` are the family's own (see its module).
    """

    family: str = "linknet"
    encoder: Encoder = "resnet18"
    weights: str = "none"
    weights_folder: str = "data/encoders"
    freeze: Freeze = "none"
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], where: str = "model") -> Self:
        """Read the settings; raises CocomineError for an unknown key, a wrong type, or frozen noise."""
        result = build(cls, mapping, where)
        if result.freeze != "none" and result.weights == "none":
            raise CocomineError(
                f"{where}.freeze is {result.freeze!r} while {where}.weights is 'none': frozen noise is no encoder",
                f"set {where}.weights to 'imagenet' or to a file of weights, or {where}.freeze to 'none'",
            )
        return result


@dataclass(frozen=True)
class AugmentSettings:
    """Random changes of a training image; each is drawn anew per image and step.

    `flip`: mirrored left to right half of the time. `scale`: zoomed by a factor drawn log-uniformly from
    [1/(1+scale), 1+scale]. `shift`: moved by up to this share of the side. `brightness`, `contrast`: factors drawn
    from [1-x, 1+x].
    """

    flip: bool = True
    scale: float = _ranged(0.0, 0.0, 3.0)
    shift: float = _ranged(0.0, 0.0, 0.5)
    brightness: float = _ranged(0.0, 0.0, 0.9)
    contrast: float = _ranged(0.0, 0.0, 0.9)


@dataclass(frozen=True)
class TrainSettings:
    """How the network is trained. Thread count and precision change its weights, so they are settings."""

    iterations: int = _ranged(1000, 1)
    batch: int = _ranged(32, 1)
    optimiser: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = _ranged(0.01, 0.0)
    momentum: float = _ranged(0.9, 0.0, 1.0)
    weight_decay: float = _ranged(0.0001, 0.0)
    schedule: Literal["constant", "cosine", "polynomial"] = "constant"
    warmup: int = _ranged(0, 0)
    gradient_clip: float | None = _ranged(None, 0.0)
    class_weights: str | dict[str, float] = "none"
    dice_weight: float = _ranged(0.0, 0.0)
    augment: AugmentSettings = AugmentSettings()
    images: int | None = _ranged(None, 1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    channels_last: bool = True
    threads: int = _ranged(2, 1)
    log_every: int = _ranged(20, 1)
    validate_every: int = _ranged(200, 1)
    validate_images: int = _ranged(256, 1)
    early_stop: int | None = _ranged(None, 1)
    keep: Literal["last", "best"] = "last"
    checkpoint_seconds: float = _ranged(60.0, 0.0)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], where: str = "train") -> Self:
        """Read the settings; raises CocomineError for an unknown key, a wrong type or a value out of range."""
        result = build(cls, mapping, where)
        named = ("none", "balanced", "median")
        if isinstance(result.class_weights, str) and result.class_weights not in named:
            raise CocomineError(
                f"{where}.class_weights is {result.class_weights!r}",
                f"use one of {', '.join(named)}, or a mapping of class name to weight",
            )
        if result.warmup >= result.iterations:
            raise CocomineError(
                f"{where}.warmup ({result.warmup}) is not below {where}.iterations ({result.iterations})",
                "shorten the warm-up: no iteration would run at the learning rate asked for",
            )
        return result


@dataclass(frozen=True)
class EvaluationSettings:
    """What is measured: on which split, how many bootstrap draws, how small a slice may be, how many pictures."""

    split: Literal["train", "val", "all"] = "val"
    batch: int = _ranged(32, 1)
    full_resolution: bool = True
    bootstrap: int = _ranged(1000, 0)
    confidence: float = _ranged(0.95, 0.5, 0.999)
    slice_images: int = _ranged(10, 2)
    pictures: int = _ranged(4, 0)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], where: str = "evaluation") -> Self:
        """Read the settings; raises CocomineError for an unknown key, a wrong type or a value out of range."""
        return build(cls, mapping, where)


PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "none": {},
    # The paper's recipe. Momentum, the decay's value, the frozen stages and the absence of augmentation are our own
    # choices where it says nothing (docs/learning.md lists them).
    "paper": {
        "model": {
            "family": "linknet",
            "encoder": "resnet50",
            "weights": "imagenet",
            "freeze": "stage3",
            "options": {"up": "full-3x3"},
        },
        "train": {
            "iterations": 30000,
            "batch": 32,
            "optimiser": "sgd",
            "learning_rate": 0.0001,
            "momentum": 0.9,
            "weight_decay": 0.0001,
            "schedule": "constant",
            "augment": {"flip": False},
            "validate_every": 1000,
        },
    },
}


@dataclass(frozen=True)
class RunSettings:
    """One run: one cell of the experiments grid, with every default filled in."""

    run: str = "run"
    experiment: str = "run"
    subset: str = ""
    model_name: str = ""
    arm: str = ""
    seed: int = _ranged(0, 0, 2**63 - 1)
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], where: str = "experiment") -> Self:
        """Read a run's settings; `preset` fills what `model` and `train` leave open. Raises CocomineError."""
        mapping = apply_preset(mapping, where)
        rest = {key: value for key, value in mapping.items() if key not in ("model", "train", "evaluation")}
        result = build(cls, rest, where)
        parts = {
            "model": ModelSettings.from_mapping(_section(mapping, "model", where), f"{where}.model"),
            "train": TrainSettings.from_mapping(_section(mapping, "train", where), f"{where}.train"),
            "evaluation": EvaluationSettings.from_mapping(
                _section(mapping, "evaluation", where), f"{where}.evaluation"
            ),
        }
        return cls(**{**{f.name: getattr(result, f.name) for f in fields(result)}, **parts})

    def as_mapping(self) -> dict[str, Any]:
        """Return the settings as plain JSON values, which `from_mapping` reads back to the same settings."""
        return asdict(self)


def apply_preset(mapping: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return `mapping` without its `preset`, whose values stand below what `model` and `train` say themselves."""
    result = dict(mapping)
    name = result.pop("preset", "none")
    if name not in PRESETS:
        raise CocomineError(f"{where}.preset is {name!r}", f"use one of {', '.join(PRESETS)}")
    for section, values in PRESETS[name].items():
        own = _section(result, section, where)
        # Options belong to a family: those of the preset's say nothing of another.
        if section == "model" and own.get("family", values["family"]) != values["family"]:
            values = {key: value for key, value in values.items() if key != "options"}
        result[section] = _merged(values, own)
    return result


def _merged(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(low)
    for key, value in high.items():
        below = result.get(key)
        result[key] = _merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


def _section(mapping: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = mapping.get(key, {})
    if not isinstance(value, Mapping):
        raise CocomineError(f"{where}.{key} is {value!r}", f"{key} is a mapping of keys to values")
    return value


T = TypeVar("T")


def build(cls: type[T], mapping: Mapping[str, Any], where: str) -> T:
    """Make the dataclass `cls` from `mapping`: unknown keys, wrong types and values out of range are CocomineErrors.

    Types understood: bool, int, float (an int will do), str, Literal, dict, another such dataclass, and unions.
    """
    hints = get_type_hints(cls)
    known = {entry.name: entry for entry in fields(cls)}  # type: ignore[arg-type]
    values = {}
    for key, value in mapping.items():
        if key not in known:
            raise CocomineError(f"{where}: unknown key {key!r}", f"known keys: {', '.join(sorted(known))}")
        values[key] = _checked(hints[key], value, f"{where}.{key}")
        _check_range(known[key].metadata, values[key], f"{where}.{key}")
    return cls(**values)


def _checked(hint: Any, value: Any, where: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        for option in get_args(hint):
            try:
                return _checked(option, value, where)
            except CocomineError:
                continue
        raise CocomineError(f"{where} is {value!r}", f"expected {_wording(hint)}")
    if origin is Literal and value in get_args(hint) and isinstance(value, str):
        return value
    if is_dataclass(hint) and isinstance(value, Mapping):
        return build(hint, value, where)  # type: ignore[arg-type]
    if origin is dict and isinstance(value, Mapping):
        return {str(key): _checked(get_args(hint)[1], item, f"{where}.{key}") for key, item in value.items()}
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint is Any or (hint in (bool, str) and isinstance(value, hint)) or (hint is type(None) and value is None):
        return value
    raise CocomineError(f"{where} is {value!r}", f"expected {_wording(hint)}")


def _wording(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_wording(option) for option in get_args(hint))
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    plain = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "null"}
    return plain.get(hint, "a mapping")


def _check_range(metadata: Mapping[str, Any], value: Any, where: str) -> None:
    low, high = metadata.get("low"), metadata.get("high")
    if not isinstance(value, int | float) or isinstance(value, bool):
        return
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        above = f"at most {high:g}" if high is not None else ""
        below = f"at least {low:g}" if low is not None else ""
        raise CocomineError(f"{where} is {value!r}", f"it is {' and '.join(filter(None, (below, above)))}")
