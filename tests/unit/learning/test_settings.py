"""Settings: refused where they are wrong, and what a preset leaves open."""

from typing import get_args, get_type_hints

import pytest
from cocomine.base.errors import CocomineError
from cocomine.learning.models.registry import families
from cocomine.learning.settings import OPTIONS, ModelSettings, RunSettings


def test_every_family_of_the_registry_can_be_asked_for():
    assert set(get_args(get_type_hints(ModelSettings)["family"])) == set(families()) == set(OPTIONS)


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
        ({"model": {"options": {"queries": 5}}}, "queries"),
        ({"model": {"family": "maskformer", "options": {"width": 16}}}, "width"),
    ],
)
def test_wrong_settings_are_named_with_their_remedy(mapping, words):
    with pytest.raises(CocomineError) as caught:
        RunSettings.from_mapping(mapping)
    assert words in str(caught.value)
    assert caught.value.hint
