"""File names as tools on other machines write them: what they become, and that nothing they become is unsafe."""

import json
from pathlib import Path

import pytest
from cocomine.annotations.file_names import is_safe, names_here, store_paths
from cocomine.annotations.reasons import Reason
from cocomine.annotations.repairs import repair
from helpers.coco_document import indexed
from helpers.own_data import coco
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("given_names", "here"),
    [
        (["images\\up\\1.png", "images\\2.png"], ["images/up/1.png", "images/2.png"]),
        (["/datasets/own/1.jpg", "/datasets/own/2.jpg"], ["1.jpg", "2.jpg"]),
        (["/datasets/own/cam1/1.jpg", "/datasets/own/cam2/1.jpg"], ["cam1/1.jpg", "cam2/1.jpg"]),
        (["C:\\Users\\Me\\pics\\1.jpg", "D:/pics/2.jpg"], ["Users/Me/pics/1.jpg", "pics/2.jpg"]),
        (["\\\\server\\share\\1.jpg"], ["1.jpg"]),
        (["file:///data/a%20b.jpg", "file:///data/c.jpg"], ["a b.jpg", "c.jpg"]),
        (["https://h.example/o/d%2Fp0.jpg?alt=media&token=x", "https://h.example/o/d%2Fp1.jpg"], ["p0.jpg", "p1.jpg"]),
        (["s3://bucket/x/1.jpg", "gs://other/x/2.jpg"], ["1.jpg", "2.jpg"]),
        (["/data/local-files/?d=set/1.jpg"], ["set/1.jpg"]),
        (["./images/1.jpg", "a//b.jpg"], ["images/1.jpg", "a/b.jpg"]),
        (["/a/1.jpg", "1.jpg"], ["a/1.jpg", "1.jpg"]),  # shortened, it would be another image's name
        (["plain.jpg", "folder/x.jpg", "ü #?.jpg"], ["plain.jpg", "folder/x.jpg", "ü #?.jpg"]),
        (["../up.jpg", "/a/../b.jpg"], ["../up.jpg", "/a/../b.jpg"]),
        (["https://h/%2e%2e/x.jpg", "", None], ["https://h/%2e%2e/x.jpg", "", None]),
    ],
)  # fmt: skip
def test_names_of_another_machine_become_names_here(given_names: list[str | None], here: list[str | None]) -> None:
    changed = names_here(given_names)
    assert [changed.get(row, name) for row, name in enumerate(given_names)] == here


@given(st.lists(st.one_of(st.none(), st.text(), st.from_regex(r"[./\\a-c:%2eF]{0,12}", fullmatch=True))))
def test_whatever_a_name_becomes_is_safe_and_other_names_stay(names: list[str | None]) -> None:
    changed = names_here(names)
    assert all(is_safe(name) for name in changed.values())
    assert not any(names[row] is not None and is_safe(str(names[row])) for row in changed)
    for path in store_paths([changed.get(row, name) for row, name in enumerate(names)], "train"):
        assert path is None or is_safe(path)


def test_different_paths_never_become_one_name() -> None:
    names = ["/a/x/1.jpg", "/a/y/1.jpg", "C:\\a\\x\\2.jpg", "x/1.jpg", "https://h/a/3.jpg", "https://h/b/3.jpg"]
    changed = names_here(names)
    assert len({changed.get(row, name) for row, name in enumerate(names)}) == len(names)


def test_a_foreign_name_is_a_fact_of_the_index_and_repaired_in_the_record(tmp_path: Path) -> None:
    document = coco(["/datasets/own/1.jpg", "/datasets/own/2.jpg"])
    found = indexed(tmp_path, document).images
    assert [row["file_name"] for row in found] == ["1.jpg", "2.jpg"]
    assert [row["store_path"] for row in found] == ["val2017/1.jpg", "val2017/2.jpg"]
    assert all(row["reasons"] == {Reason.FOREIGN_FILE_NAME} for row in found)
    outcome = repair("image", json.dumps(document["images"][0]).encode(), [Reason.FOREIGN_FILE_NAME], name="1.jpg")
    assert outcome.before == {"file_name": "/datasets/own/1.jpg"}
    assert outcome.after == {"file_name": "1.jpg"}


def test_names_below_a_split_keep_their_folders_apart() -> None:
    assert store_paths(["cam1/1.jpg", "2.jpg"], "train") == ["cam1/1.jpg", "train/2.jpg"]
    assert store_paths(["cam1/1.jpg", "2.jpg"], "train", below_split=True) == ["train/cam1/1.jpg", "train/2.jpg"]


def test_lvis_s_images_keep_the_folders_of_their_urls_whatever_the_split(tmp_path: Path) -> None:
    document = coco(["x"] * 2)
    for number, (image, folder) in enumerate(zip(document["images"], ("train2017", "val2017"), strict=True), 1):
        del image["file_name"]
        image |= {"coco_url": f"http://images.cocodataset.org/{folder}/{number:012d}.jpg", "neg_category_ids": [3]}
    found = indexed(tmp_path, document).images
    assert [row["store_path"] for row in found] == ["train2017/000000000001.jpg", "val2017/000000000002.jpg"]
    assert all(row["reasons"] == {Reason.NO_FILE_NAME} for row in found)
