"""The settings of the split equal their schema, and wrong ones are refused by name."""

import dataclasses

import pytest
import yaml
from cocomine.base.errors import CocomineError
from cocomine.splits.settings import SplitSettings
from helpers.shared import ROOT
from jsonschema import Draft202012Validator

SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/split.schema.yaml").read_text())


def test_defaults_are_those_of_the_schema():
    defaults = dataclasses.asdict(SplitSettings())
    assert {key: list(value) if isinstance(value, tuple) else value for key, value in defaults.items()} == {
        key: entry["default"] for key, entry in SCHEMA["properties"].items()
    }
    assert all(entry["description"] for entry in SCHEMA["properties"].values())


def test_the_schema_is_one_and_takes_its_own_defaults():
    Draft202012Validator.check_schema(SCHEMA)
    defaults = {key: entry["default"] for key, entry in SCHEMA["properties"].items()}
    Draft202012Validator(SCHEMA).validate(defaults)
    assert SplitSettings.from_mapping(defaults) == SplitSettings()


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"val_shre": 0.2}, "val_shre"),
        ({"val_share": 0}, "leaves one side empty"),
        ({"val_share": 1.5}, "val_share"),
        ({"val_share": "0.2"}, "val_share"),
        ({"strategy": "random"}, "none of the choices"),
        ({"folds": 1}, "folds"),
        ({"folds": 3, "fold": 3}, "no fold 3 of 3"),
        ({"seed": True}, "seed"),
        ({"strategy": "lists"}, "no list"),
        ({"val_list": [1.5]}, "val_list"),
        ({"official_val": "val2017"}, "official_val"),
        ({"twins_distance": 13}, "twins_distance"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_key(mapping, words):
    with pytest.raises(CocomineError, match=words) as error:
        SplitSettings.from_mapping(mapping)
    assert error.value.hint


def test_a_misspelt_key_is_answered_with_the_nearest():
    with pytest.raises(CocomineError) as error:
        SplitSettings.from_mapping({"val_shre": 0.2})
    assert error.value.hint == "did you mean val_share?"
