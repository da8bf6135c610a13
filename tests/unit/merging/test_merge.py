"""The files of several sources made those of one: every record at its place, one numbering of what they share."""

import json
from pathlib import Path
from typing import Any

import pytest
from cocomine.annotations.build import build_index
from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json, read_table
from cocomine.merging.merge import merge_sources
from helpers.small_documents import annotation, document

LEAVES = {
    "categories": [{"id": 1, "name": "leaf"}, {"id": 2, "name": "person"}],
    "licenses": [{"id": 1, "name": "Own", "url": ""}, {"id": 4, "name": "Attribution", "url": "http://example.org/"}],
}


def merged(folder: Path, sources: dict[str, dict[str, Any]]) -> Path:
    """Index documents, given as {source: {"instances_train": document or text}}, and merge them; return the folder."""
    indexes = []
    for source, documents in sources.items():
        for name, content in documents.items():
            task, split = name.rsplit("_", 1)
            path = folder / source / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if isinstance(content, str) else json.dumps(content))
            build_index(path, task, split, folder / source / "index" / name)
            indexes.append(folder / source / "index" / name / "index.json")
    merge_sources(indexes, folder / "merged")
    return folder / "merged"


def both(folder: Path) -> Path:
    ours = document([annotation(1, category_id=1), annotation(2, category_id=2)], **LEAVES)
    return merged(folder, {"coco": {"instances_val": document([annotation(1)])}, "ours": {"instances_train": ours}})


def test_categories_of_one_name_are_one_and_others_keep_apart(tmp_path: Path) -> None:
    ours = read_json(both(tmp_path) / "annotations/instances_ours.train.json")
    assert {one["name"]: one["id"] for one in ours["categories"]} == {"leaf": 26, "person": 1}
    assert [one["category_id"] for one in ours["annotations"]] == [26, 1]
    assert [one["source_category_id"] for one in ours["annotations"]] == [1, 2]
    rows = [
        (row["source"], row["id"], row["name"], row["merged_id"])
        for row in read_table(tmp_path / "merged/categories.tsv")
    ]
    assert rows == [
        ("coco", "1", "person", "1"), ("coco", "25", "giraffe", "25"),
        ("ours", "1", "leaf", "26"), ("ours", "2", "person", "1"),
    ]  # fmt: skip


def test_licences_of_one_name_and_address_are_one(tmp_path: Path) -> None:
    ours = read_json(both(tmp_path) / "annotations/instances_ours.train.json")
    assert {one["name"]: one["id"] for one in ours["licenses"]} == {"Own": 5, "Attribution": 1}
    assert {image["license"] for image in ours["images"]} == {5}


def test_the_first_source_gains_only_the_name_of_its_images(tmp_path: Path) -> None:
    made = read_json(both(tmp_path) / "annotations/instances_coco.val.json")
    for image in made["images"]:
        assert image.pop("source_name") == "coco"
    assert made == document([annotation(1)])


def test_a_category_that_is_not_listed_does_not_become_another_sources(tmp_path: Path) -> None:
    ours = document([annotation(1, category_id=25)], categories=LEAVES["categories"])
    folder = merged(tmp_path, {"coco": {"instances_val": document([])}, "ours": {"instances_train": ours}})
    made = read_json(folder / "annotations/instances_ours.train.json")
    assert made["annotations"][0]["category_id"] not in {1, 25} | {one["id"] for one in made["categories"]}


def test_two_categories_of_one_name_in_a_source_stay_two(tmp_path: Path) -> None:
    ours = document([], categories=[{"id": 1, "name": "giraffe"}, {"id": 2, "name": "giraffe"}])
    folder = merged(tmp_path, {"coco": {"instances_val": document([])}, "ours": {"instances_train": ours}})
    made = read_json(folder / "annotations/instances_ours.train.json")
    assert len({one["id"] for one in made["categories"]} | {1, 25}) == 4


def test_every_task_of_a_source_has_the_same_ids(tmp_path: Path) -> None:
    stuff = document([annotation(9, category_id=3)], categories=[{"id": 3, "name": "grass"}, {"id": 1, "name": "leaf"}])
    ours = document([annotation(1, category_id=1)], **LEAVES)
    folder = merged(
        tmp_path,
        {"coco": {"instances_val": document([])}, "ours": {"instances_train": ours, "stuff_train": stuff}},
    )
    made = [read_json(folder / f"annotations/{task}_ours.train.json") for task in ("instances", "stuff")]
    leaf = [next(one["id"] for one in of["categories"] if one["name"] == "leaf") for of in made]
    assert leaf == [26, 26]


def test_damaged_records_come_through_as_damaged(tmp_path: Path) -> None:
    ours = document(
        [annotation(1, category_id=1), annotation(2, category_id="1"), annotation(3, category_id="absent")], **LEAVES
    )
    text = json.dumps(ours).replace('"area": 400.0', '"area": NaN', 1)
    folder = merged(tmp_path, {"coco": {"instances_val": document([])}, "ours": {"instances_train": text}})
    before = read_json(tmp_path / "ours/index/instances_train/index.json")
    build_index(folder / "annotations/instances_ours.train.json", "instances", "ours.train", tmp_path / "index")
    after = read_json(tmp_path / "index/index.json")
    assert (after["counts"], after["reasons"]) == (before["counts"], before["reasons"])


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = both(tmp_path / "a"), both(tmp_path / "b")
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert len(files) == 5
    for file in files:
        assert (first / file).read_bytes() == (second / file).read_bytes()


def test_one_category_with_two_lists_of_keypoints_is_an_error(tmp_path: Path) -> None:
    one, other = (
        document([], categories=[{"id": 1, "name": "person", "keypoints": points}]) for points in (["nose"], ["eye"])
    )
    with pytest.raises(CocomineError, match="'person' has other keypoints than that of coco"):
        merged(tmp_path, {"coco": {"person_keypoints_val": one}, "ours": {"person_keypoints_train": other}})


def test_a_file_that_changed_since_it_was_indexed_is_refused(tmp_path: Path) -> None:
    both(tmp_path)
    path = tmp_path / "ours/instances_train.json"
    path.write_text(path.read_text().replace('"leaf"', '"beef"'))
    indexes = [tmp_path / "coco/index/instances_val/index.json", tmp_path / "ours/index/instances_train/index.json"]
    with pytest.raises(CocomineError, match="not as locked"):
        merge_sources(indexes, tmp_path / "again")
