"""The index of real COCO files: clean where COCO is clean, and counting as pycocotools counts."""

import contextlib
import io
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cocomine.annotations.arrow import arrays
from cocomine.annotations.build import build_index
from cocomine.annotations.drawing import drawn_fact
from cocomine.annotations.schema import Index, open_index
from helpers.shared import coco_mini
from pycocotools.coco import COCO

FILES = [
    ("instances", "train2017"),
    ("instances", "val2017"),
    ("person_keypoints", "train2017"),
    ("person_keypoints", "val2017"),
    ("captions", "train2017"),
    ("captions", "val2017"),
    ("panoptic", "train2017"),
]
OBJECTS = [file for file in FILES if file[0] in ("instances", "person_keypoints")]


@pytest.fixture(scope="module")
def indexes(tmp_path_factory) -> dict[tuple[str, str], Index]:
    folder = tmp_path_factory.mktemp("index")
    for task, split in FILES:
        build_index(coco_mini() / "annotations" / f"{task}_{split}.json", task, split, folder / f"{task}_{split}")
    return {file: open_index(folder / "_".join(file)) for file in FILES}


def source_of(file: tuple[str, str]) -> Path:
    return coco_mini() / "annotations" / f"{file[0]}_{file[1]}.json"


@pytest.mark.parametrize("file", FILES, ids="_".join)
def test_every_record_is_a_row_whose_span_is_its_bytes(indexes, file):
    content = json.loads(source_of(file).read_bytes())
    index = indexes[file]
    text = source_of(file).read_bytes()

    def parsed(offset, length):
        return json.loads(text[offset : offset + length])

    images = arrays(index.images(["offset", "length"]))
    read = [parsed(*span) for span in zip(images["offset"], images["length"], strict=True)]
    assert read == content["images"]
    labels = arrays(index.annotations(["record", "offset", "length"]))
    _, firsts = np.unique(labels["record"], return_index=True)
    spans = zip(labels["offset"][firsts], labels["length"][firsts], strict=True)
    assert [parsed(*span) for span in spans] == content["annotations"]
    assert index.manifest["counts"]["annotation_records"] == len(content["annotations"])
    assert index.manifest["categories"] == content.get("categories", [])
    assert index.manifest["licenses"] == content["licenses"]


@pytest.mark.parametrize("file", FILES, ids="_".join)
def test_coco_is_found_clean(indexes, file):
    assert indexes[file].manifest["reasons"] == {"image": {}, "annotation": {}, "category": {}}
    assert indexes[file].manifest["unknown_keys"]["image"] == {}


@pytest.mark.parametrize("file", OBJECTS, ids="_".join)
def test_counts_equal_pycocotools_for_every_category_and_every_pair(indexes, file):
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(source_of(file))
    index = indexes[file]
    images, labels = arrays(index.images()), arrays(index.annotations())
    of: dict[int, set[int]] = {}
    for category in index.manifest["categories"]:
        mine = labels["category_id"] == category["id"]
        of[category["id"]] = set(images["id"][labels["image_row"][mine]].tolist())
        assert int(mine.sum()) == len(coco.getAnnIds(catIds=[category["id"]]))
        assert of[category["id"]] == set(coco.getImgIds(catIds=[category["id"]]))
        for crowd in (0, 1):
            number = int((mine & (labels["iscrowd"] == crowd)).sum())
            assert number == len(coco.getAnnIds(catIds=[category["id"]], iscrowd=crowd))
    for one, other in combinations(sorted(of), 2):
        assert of[one] & of[other] == set(coco.getImgIds(catIds=[one, other]))
        assert of[one] | of[other] == set(coco.catToImgs[one]) | set(coco.catToImgs[other])


@pytest.mark.parametrize("file", OBJECTS, ids="_".join)
def test_polygons_vertices_and_keypoints_are_counted_as_they_are(indexes, file):
    labels = arrays(indexes[file].annotations())
    for row, record in enumerate(json.loads(source_of(file).read_bytes())["annotations"]):
        segmentation = record["segmentation"]
        polygons = segmentation if isinstance(segmentation, list) else []
        assert labels["polygons"][row] == len(polygons)
        assert labels["vertices"][row] == sum(map(len, polygons)) // 2
        assert labels["segmentation"][row] == (1 if polygons else 2)
        assert labels["area"][row] == record["area"]
        assert [labels[f"bbox_{side}"][row] for side in "xywh"] == record["bbox"]
        assert labels["num_keypoints"][row] == record.get("num_keypoints", -1)


def test_panoptic_segments_are_rows_with_the_span_of_their_image(indexes):
    content = json.loads(source_of(("panoptic", "train2017")).read_bytes())
    labels = arrays(indexes["panoptic", "train2017"].annotations())
    expected = [
        (number, record["image_id"], segment["id"], segment["category_id"], segment["iscrowd"])
        for number, record in enumerate(content["annotations"])
        for segment in record["segments_info"]
    ]
    names = ("record", "image_id", "id", "category_id", "iscrowd")
    assert list(zip(*(labels[name].tolist() for name in names), strict=True)) == expected
    assert len(expected) == 1111


def test_only_crowds_disagree_with_their_drawn_area():
    content: dict[str, Any] = json.loads(source_of(("instances", "val2017")).read_bytes())
    sizes = {image["id"]: (image["width"], image["height"]) for image in content["images"]}
    found = [
        record["iscrowd"]
        for record in content["annotations"]
        if drawn_fact(record["segmentation"], record["area"], *sizes[record["image_id"]])
    ]
    assert len(found) == sum(found) <= 3


@pytest.mark.parametrize("threads", [1, 2])
def test_the_index_has_the_same_bytes_on_any_number_of_processes(tmp_path, monkeypatch, indexes, threads):
    monkeypatch.setattr("cocomine.annotations.layout.WORTH_PROCESSES", 0)
    monkeypatch.setattr("cocomine.annotations.layout.STRETCH", 100_000)
    build_index(source_of(OBJECTS[0]), "instances", "train2017", tmp_path, threads)
    for name in ("index.json", "images.parquet", "annotations.parquet"):
        assert (tmp_path / name).read_bytes() == (indexes[OBJECTS[0]].folder / name).read_bytes()
