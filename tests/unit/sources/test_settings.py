import dataclasses
from typing import Any

import pytest
import yaml
from cocomine.base.errors import CocomineError, without_secrets
from cocomine.sources.presets import preset, preset_names
from cocomine.sources.settings import SourceSettings, StoreSettings
from cocomine.transfer.origins import public_label
from cocomine.transfer.settings import OriginSettings
from helpers.shared import ROOT


def schema(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "workflow" / "schemas" / f"{name}.schema.yaml").read_text("utf-8")))


def defaults(kind: type) -> dict[str, Any]:
    result = {}
    for field in dataclasses.fields(kind):
        if field.default is not dataclasses.MISSING:
            result[field.name] = list(field.default) if isinstance(field.default, tuple) else field.default
        elif field.default_factory is not dataclasses.MISSING:
            result[field.name] = field.default_factory()
    return result


@pytest.mark.parametrize(("kind", "name"), [(StoreSettings, "store"), (SourceSettings, "source")])
def test_schema_and_settings_agree_on_keys_and_defaults(kind: type, name: str) -> None:
    properties = schema(name)["properties"]
    assert set(properties) == {field.name for field in dataclasses.fields(kind)}
    mine = defaults(kind)
    assert {k: p["default"] for k, p in properties.items() if "default" in p} == {
        k: mine[k] for k in mine if "default" in properties[k]
    }
    assert all(p.get("description") or "$ref" in p for p in properties.values())


def test_schema_and_settings_agree_on_what_an_origin_is() -> None:
    for name in ("store", "source"):
        properties = schema(name)["$defs"]["origin"]["properties"]
        assert {key: p.get("default") for key, p in properties.items()} == {"url": None, **defaults(OriginSettings)}


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"origin": []}, "unknown key"),
        ({"origins": "gs://b"}, "not a list"),
        ({"origins": ["ftp://x"]}, "unknown scheme"),
        ({"origins": [{"credentials": "x"}]}, "without url"),
        ({"folder": "/x", "use": "move"}, "store.use"),
        ({"folder": "/x", "origins": ["gs://b"]}, "both folder and origins"),
        ({"preset": "coco2099"}, "unknown name"),
        ({}, "neither origins nor folder"),
    ],
)
def test_what_is_wrong_in_a_store_is_named(section: dict[str, Any], said: str) -> None:
    with pytest.raises(CocomineError) as caught:
        StoreSettings.from_mapping(section)
    assert said in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"folder": "/x"}, "source.splits"),
        ({"splits": ["a"]}, "neither origins nor folder"),
        ({"folder": "/x", "splits": ["a"], "tasks": ["boxes"]}, "unknown task 'boxes'"),
        ({"folder": "/x", "files": {"a": {"box": "x"}}}, "source.files.a.box"),
    ],
)
def test_what_is_wrong_in_a_source_is_named(section: dict[str, Any], said: str) -> None:
    with pytest.raises(CocomineError) as caught:
        SourceSettings.from_mapping(section)
    assert said in caught.value.message


def test_presets_carry_every_task_and_only_live_https_origins() -> None:
    assert preset_names() == ["coco2014", "coco2017", "sama-coco"]
    for split in ("train2017", "val2017"):
        for task in ("instances", "captions", "person_keypoints", "stuff", "panoptic", "panoptic_pngs"):
            assert preset("coco2017").file(task, split) is not None
    for name in preset_names():
        for url in (*preset(name).images, *(file.url for file in preset(name).files)):
            assert url.startswith(("https://s3.amazonaws.com/", "https://sama-documentation-assets.s3.amazonaws.com/"))
    assert SourceSettings.from_mapping({"preset": "sama-coco"}).splits == ("train2017", "val2017")


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("gs://b/p", "gs://b/p"),
        ("https://u:p@h.org:8/x/?X-Amz-Signature=1#f", "https://h.org:8/x/"),
        ("/datasets/coco", "folder"),
        ("/datasets/coco.zip", "coco.zip"),
        ("file:///datasets/coco", "folder"),
    ],
)
def test_a_label_holds_no_secret_and_no_local_path(url: str, label: str) -> None:
    assert public_label(url) == label


def test_secrets_are_struck_out_of_messages() -> None:
    said = without_secrets("https://u:pw@h/x?sig=abc&X-Amz-Credential=k&a=1")
    assert "pw" not in said
    assert "abc" not in said
    assert "=k&" not in said
    assert "a=1" in said
