"""Settings: refused where they are wrong, and the same defaults as the schema that users read."""

from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
import yaml
from cocomine.base.errors import CocomineError
from cocomine.learning.models.registry import families
from cocomine.learning.settings import EvaluationSettings, ModelSettings, RunSettings, TrainSettings

SCHEMA = Path(__file__).resolve().parents[3] / "workflow/schemas/experiment.schema.yaml"


@pytest.mark.parametrize(
    ("section", "cls"), [("model", ModelSettings), ("train", TrainSettings), ("evaluation", EvaluationSettings)]
)
def test_dataclass_and_schema_have_the_same_keys_defaults_and_ranges(section, cls):
    properties = yaml.safe_load(SCHEMA.read_text())["properties"][section]["properties"]
    assert set(properties) == {entry.name for entry in fields(cls)}
    _same(cls(), properties)


def _same(settings, properties):
    for entry in fields(settings):
        value, described = getattr(settings, entry.name), properties[entry.name]
        assert described["description"]
        if is_dataclass(value):
            _same(value, described["properties"])
            continue
        assert value == described["default"], entry.name
        assert type(value) is type(described["default"]), entry.name
        assert entry.metadata.get("low") == described.get("minimum"), entry.name
        assert entry.metadata.get("high") == described.get("maximum"), entry.name


def test_schema_offers_every_family_of_the_registry():
    schema = yaml.safe_load(SCHEMA.read_text())
    assert set(schema["properties"]["model"]["properties"]["family"]["enum"]) == set(families())


def test_settings_survive_their_own_mapping():
    settings = RunSettings.from_mapping({"preset": "paper", "seed": 3, "train": {"class_weights": {"bus": 2}}})
    assert RunSettings.from_mapping(settings.as_mapping()) == settings
    assert settings.train.class_weights == {"bus": 2.0}


def test_preset_stands_below_the_experiments_own_keys():
    settings = RunSettings.from_mapping(
        {"preset": "paper", "train": {"iterations": 5}, "model": {"encoder": "resnet18"}}
    )
    assert (settings.train.iterations, settings.train.learning_rate, settings.train.batch) == (5, 0.0001, 32)
    assert (settings.model.encoder, settings.model.weights, settings.model.freeze) == ("resnet18", "imagenet", "stage3")
    assert settings.train.optimiser == "sgd"
    assert settings.train.weight_decay > 0
    assert not settings.train.augment.flip


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"train": {"iterationz": 5}}, "iterationz"),
        ({"train": {"batch": 0}}, "train.batch"),
        ({"train": {"batch": True}}, "train.batch"),
        ({"train": {"learning_rate": "fast"}}, "learning_rate"),
        ({"train": {"learning_rate": float("nan")}}, "learning_rate"),
        ({"train": {"optimiser": "adam"}}, "sgd, adamw"),
        ({"train": {"warmup": 1000}}, "warmup"),
        ({"train": {"class_weights": "heavy"}}, "balanced"),
        ({"train": {"augment": {"twirl": 1}}}, "twirl"),
        ({"model": {"freeze": "stage2"}}, "frozen noise"),
        ({"model": {"encoder": "vgg16"}}, "resnet18"),
        ({"preset": "papier"}, "paper"),
        ({"model": "linknet"}, "mapping"),
    ],
)
def test_wrong_settings_are_named_with_their_remedy(mapping, words):
    with pytest.raises(CocomineError) as caught:
        RunSettings.from_mapping(mapping)
    assert words in str(caught.value)
    assert caught.value.hint
