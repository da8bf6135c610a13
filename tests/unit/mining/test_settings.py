"""The settings of a subset: defaults as in the schema, and advice for what is wrong."""

import dataclasses

import jsonschema
import pytest
import yaml
from cocomine.annotations.reasons import AREA_TOLERANCE
from cocomine.base.errors import CocomineError
from cocomine.mining.settings import OTHER_SECTIONS, CategoryRef, Range, SubsetSettings
from helpers.shared import ROOT

SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/subset.schema.yaml").read_text("utf-8"))


def own_keys():
    return {key: part for key, part in SCHEMA["properties"].items() if key not in OTHER_SECTIONS}


def test_the_schema_and_the_settings_have_the_same_keys_and_defaults():
    assert list(own_keys()) == [field.name for field in dataclasses.fields(SubsetSettings)]
    defaults = {key: part["default"] for key, part in own_keys().items()}
    assert SubsetSettings.from_mapping(defaults) == SubsetSettings()
    assert SubsetSettings.from_mapping({}) == SubsetSettings()
    assert SubsetSettings().area_tolerance == AREA_TOLERANCE


def test_every_key_has_a_description_and_a_default():
    for key, part in own_keys().items():
        assert part["description"].strip(), key
        assert "default" in part, key


FULL = {
    "source": "coco",
    "categories": ["giraffe", 1, {"supercategory": "animal"}, {"id": 3}, {"name": "bus"}],
    "match": "only",
    "none": ["dog"],
    "instances": {"min": 1, "max": 9},
    "instances_per_class": {"giraffe": {"min": 2}},
    "area": {"min": 100},
    "relative_area": {"max": 0.5},
    "outside_area": "keep",
    "crowds": "exclude",
    "image_width": {"min": 300},
    "image_height": {"min": 300},
    "image_aspect": {"max": 2},
    "licenses": [4, "Attribution License"],
    "caption": "sleep(s|ing)",
    "source_splits": ["val2017"],
    "include_images": [1, "000000000002.jpg"],
    "exclude_images": "bad.txt",
    "fraction": 0.5,
    "max_images": 100,
    "max_per_class": {"giraffe": 50},
    "balance": True,
    "negatives": 10,
    "refill": True,
    "spares": 3,
    "seed": 7,
    "keep_other_annotations": True,
    "check_areas": False,
    "area_tolerance": 0.2,
    "policy": {"box-zero-side": "quarantine"},
}


def test_a_full_query_is_read_and_fits_the_schema():
    jsonschema.Draft202012Validator(SCHEMA).validate(FULL)
    query = SubsetSettings.from_mapping(FULL)
    assert query.categories[2] == CategoryRef(supercategory="animal")
    assert query.area == Range(min=100)
    assert query.max_per_class == ((CategoryRef(text="giraffe"), 50),)


@pytest.mark.parametrize(
    ("mapping", "message", "hint"),
    [
        ({"categorys": ["dog"]}, "unknown key 'categorys'", "categories"),
        ({"match": "some"}, "match: 'some'", "any, all, only"),
        ({"fraction": 0}, "fraction: 0", "above 0"),
        ({"fraction": "half"}, "fraction: 'half'", "a number"),
        ({"max_images": 0}, "max_images: 0", "at least 1"),
        ({"max_images": True}, "max_images: True", "at least 1"),
        ({"area": {"min": 5, "max": 2}}, "min 5 is above max 2", "swap"),
        ({"area": {"least": 5}}, "area", "{min: 1, max: 10}"),
        ({"area": {"min": float("nan")}}, "area.min", "a number"),
        ({"categories": [None]}, "categories: None", "name or id"),
        ({"categories": [True]}, "categories: True", "name or id"),
        ({"categories": [{"colour": "red"}]}, "categories", "supercategory"),
        ({"negatives": -1}, "negatives: -1", "at least 0"),
        ({"balance": "yes"}, "balance: 'yes'", "true or false"),
        ({"policy": {"box-zero-side": "ignore"}}, "policy.box-zero-side", "keep, repair, quarantine, stop"),
        ({"images_from": "other", "negatives": 3}, "images_from", "remove negatives"),
    ],
)
def test_a_wrong_value_is_named_with_its_remedy(mapping, message, hint):
    with pytest.raises(CocomineError) as caught:
        SubsetSettings.from_mapping(mapping)
    assert message in caught.value.message
    assert hint in caught.value.hint or hint in caught.value.message


def test_the_sections_of_other_stages_are_passed_over():
    sections = {"masks": {}, "split": {"train": 0.8}, "tensors": {}, "exports": []}
    assert SubsetSettings.from_mapping(sections) == SubsetSettings()
