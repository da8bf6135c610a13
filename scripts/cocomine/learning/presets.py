"""Published recipes of training, by name: what a config leaves open is taken from its `preset`."""

from collections.abc import Mapping
from typing import Any

from cocomine.base.errors import CocomineError
from cocomine.base.settings import merged

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
    # Section 4.1 of the paper; its schedule has the power 1, ours 0.9, and its head learns ten times as fast.
    "segformer": {
        "model": {"family": "segformer", "encoder": "mit-b0", "weights": "imagenet"},
        "train": {
            "iterations": 160000,
            "batch": 16,
            "optimiser": "adamw",
            "learning_rate": 0.00006,
            "weight_decay": 0.01,
            "schedule": "polynomial",
            "warmup": 1500,
            "augment": {"flip": True, "scale": 1.0, "crop": 512},
            "validate_every": 4000,
        },
    },
}


def apply_preset(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Return `mapping` without its `preset`, whose values stand below what `model` and `train` say themselves."""
    result = dict(mapping)
    name = result.pop("preset", "none")
    if name not in PRESETS:
        raise CocomineError(f"preset is {name!r}", f"use one of {', '.join(PRESETS)}")
    for section, values in PRESETS[name].items():
        own = result.get(section, {})
        if not isinstance(own, Mapping):
            continue
        # Options belong to a family: those of the preset's say nothing of another.
        if section == "model" and own.get("family", values["family"]) != values["family"]:
            values = {key: value for key, value in values.items() if key != "options"}
        result[section] = merged(values, own)
    return result
