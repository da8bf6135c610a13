"""The settings of a subset: what may be said, and advice for what is wrong."""

import json

import msgspec
import pytest
from cocomine.base.errors import CocomineError
from cocomine.base.settings import without_places
from cocomine.mining.settings import (
    _FORBIDDEN_WITH_IMAGES_FROM,
    NamedCategory,
    Range,
    SubsetSettings,
    category_words,
)

FULL = {
    "source": "coco+ours",
    "sources": ["coco", "ours"],
    "categories": ["giraffe", 1, {"supercategory": "animal"}, {"id": 3}, {"name": "bus"}],
    "match": "only",
    "exclude_categories": ["dog"],
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
    "labels_from": "earlier/labels.json",
}


def test_a_full_query_is_read_and_written_as_it_was_said():
    query = SubsetSettings.from_mapping(FULL)
    assert query.categories[2] == NamedCategory(supercategory="animal")
    assert query.area == Range(min=100)
    assert query.max_per_class == {"giraffe": 50}
    assert query.as_mapping() == SubsetSettings().as_mapping() | FULL
    assert [category_words(category) for category in query.categories] == [
        "giraffe", "id 1", "supercategory animal", "id 3", "bus"]  # fmt: skip


def test_classes_are_read_from_a_mapping_or_a_list_and_keep_their_order_where_keys_are_sorted():
    listed = [{"name": "vehicle", "categories": ["bus", 3]}, {"name": "person", "categories": ["person"]}]
    query = SubsetSettings.from_mapping({"classes": {"vehicle": ["bus", 3], "person": "person"}})
    assert query == SubsetSettings.from_mapping({"classes": listed})
    assert query.as_mapping()["classes"] == without_places(query)["classes"] == listed
    assert SubsetSettings.from_mapping(json.loads(json.dumps(query.as_mapping(), sort_keys=True))) == query


def test_a_category_that_is_a_key_may_be_written_as_a_number():
    query = SubsetSettings.from_mapping({"instances_per_class": {25: {"min": 2}}, "max_per_class": {25: 3}})
    assert SubsetSettings.from_mapping(query.as_mapping()).max_per_class == {"25": 3}


@pytest.mark.parametrize(
    ("mapping", "message", "hint"),
    [
        ({"categorys": ["dog"]}, "unknown key 'categorys'", "categories"),
        ({"match": "some"}, "match: 'some'", "any, all, only"),
        ({"fraction": 0}, "fraction: expected number > 0, ≤ 1, got 0", "Share"),
        ({"fraction": "half"}, "fraction: expected number > 0, ≤ 1, got text: 'half'", "Share"),
        ({"max_images": 0}, "max_images: expected whole number ≥ 1 or null, got 0", "Most images"),
        ({"max_images": True}, "max_images: expected whole number ≥ 1 or null, got true/false: True", "Most"),
        ({"area": {"min": 5, "max": 2}}, "min 5 is above max 2", "swap"),
        ({"area": {"least": 5}}, "area: unknown key 'least'", "known here: min, max"),
        ({"area": {"min": float("nan")}}, "area.min: ", "number"),
        ({"categories": [None]}, "categories[0]: expected text or whole number or mapping", "by name, id"),
        ({"categories": [True]}, "categories[0]: expected text or whole number or mapping", "by name, id"),
        ({"categories": [{"colour": "red"}]}, "categories[0]: unknown key 'colour'", "supercategory"),
        ({"categories": [{"name": "cat", "id": 7}]}, "categories[0]: {", "give one of name, id and supercategory"),
        ({"exclude_categories": "dog"}, "exclude_categories: expected list of text", "left out"),
        ({"categories": ["cat"], "classes": {"pet": "cat"}}, "by `categories` too", "remove categories"),
        ({"classes": {"pet": []}}, "'pet' is a class of no category", "remove the class"),
        ({"classes": {"pet": ["cat", 7], "cat": "cat"}}, "cat stands in 'pet' and in 'cat'", "out of one of the two"),
        ({"classes": {"background": ["wall"]}}, "'background' is the name of label 0", "another name"),
        ({"classes": {"pet": ["cat", None]}}, "classes.pet[1]: expected text", "in the order of their labels"),
        ({"classes": [{"name": "a", "categories": ["b"]}] * 2}, "classes: 'a' stands in it twice", "once"),
        ({"labels_from": "a{b}.json"}, "labels_from: the path 'a{b}.json'", "without braces"),
        ({"none": ["dog"]}, "none: this key is called 'exclude_categories' now", "write exclude_categories"),
        ({"negatives": -1}, "negatives: expected whole number ≥ 0, got -1", "How many"),
        ({"balance": "yes"}, "balance: expected true/false, got text: 'yes'", "Cap"),
        ({"policy": {"box-zero-side": "ignore"}}, "policy.box-zero-side", "keep, repair, quarantine, stop"),
        ({"policy": {"box-zero-sid": "keep"}}, "policy: there is no reason code 'box-zero-sid'", "box-zero-side"),
        ({"images_from": "other", "negatives": 3}, "images_from", "remove negatives"),
    ],
)
def test_a_wrong_value_is_named_with_its_remedy(mapping, message, hint):
    with pytest.raises(CocomineError) as caught:
        SubsetSettings.from_mapping(mapping)
    assert message in caught.value.message
    assert hint in caught.value.hint or hint in caught.value.message


def test_every_key_that_chooses_images_is_refused_beside_images_from():
    choose_no_images = {
        "source", "sources", "source_splits", "categories", "classes", "labels_from", "seed", "images_from", "refill",
        "spares", "policy", "lost_objects",
        "keep_other_annotations", "crowds", "area", "relative_area", "outside_area", "area_tolerance", "check_areas",
    }  # fmt: skip
    keys = {field.encode_name for field in msgspec.structs.fields(SubsetSettings)}
    assert keys - choose_no_images == set(_FORBIDDEN_WITH_IMAGES_FROM), (
        "put a key that chooses images into _FORBIDDEN_WITH_IMAGES_FROM, any other into choose_no_images here"
    )


def test_the_full_query_names_every_key():
    keys = {field.encode_name for field in msgspec.structs.fields(SubsetSettings)}
    assert keys - set(FULL) == {"classes", "images_from", "lost_objects"}, "give FULL a value for each new key"


def test_a_caption_that_is_no_pattern_is_refused_when_the_config_is_read():
    with pytest.raises(CocomineError, match="caption: “\\(” is no regular expression"):
        SubsetSettings.from_mapping({"caption": "("})
