from typing import Any

import pytest
from cocomine.base.errors import CocomineError, without_secrets
from cocomine.sources.presets import preset, presets
from cocomine.sources.settings import SourceSettings, StoreSettings
from cocomine.transfer.places import public_label


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"origin": []}, "store: unknown key 'origin'"),
        ({"origins": "gs://b"}, "store.origins: expected list of text"),
        ({"origins": ["ftp://x"]}, "unknown scheme"),
        ({"origins": [{"credentials": "x"}]}, "store.origins[0]: the key 'url' is missing"),
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
        ({"folder": "/x", "splits": ["a"], "tasks": ["boxes"]}, "source.tasks[0]: 'boxes' is not one of instances"),
        ({"folder": "/x", "files": {"a": {"box": "x"}}}, "source.files.a: unknown key 'box'"),
    ],
)
def test_what_is_wrong_in_a_source_is_named(section: dict[str, Any], said: str) -> None:
    with pytest.raises(CocomineError) as caught:
        SourceSettings.from_mapping(section)
    assert said in caught.value.message


PUBLIC = (
    "https://s3.amazonaws.com/", "https://sama-documentation-assets.s3.amazonaws.com/",
    "https://dl.fbaipublicfiles.com/LVIS/", "https://storage.googleapis.com/cocorem/",
)  # fmt: skip


def test_presets_carry_every_task_and_only_live_https_origins() -> None:
    assert sorted(presets()) == ["coco-rem", "coco2014", "coco2017", "lvis-v1", "sama-coco"]
    for split in ("train2017", "val2017"):
        for task in ("instances", "captions", "person_keypoints", "stuff", "panoptic", "panoptic_pngs"):
            assert preset("coco2017").file(task, split) is not None
    for name in presets():
        for url in (*preset(name).images, *(file.url for file in preset(name).files)):
            assert url.startswith(PUBLIC)
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
