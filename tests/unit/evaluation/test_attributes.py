"""Attributes of images: each by its definition, tags of a user's table, and what a table must not hold."""

import json

import numpy as np
import pytest
from cocomine.base.errors import CocomineError
from cocomine.evaluation.attributes import Images, describe, read_tags
from helpers.small_subset import make_small_subset

IMAGES = Images([44, 58, 7], ["000000000044.jpg", "000000000058.jpg", "000000000007.jpg"], 2)


def cells_of(attributes):
    return {a.name: [a.cells[code] if code >= 0 else None for code in a.codes] for a in attributes}


def test_attributes_of_the_small_subset_are_those_counted_by_hand(tmp_path):
    subset = make_small_subset(tmp_path).folder
    found = describe(IMAGES, subset, None, None)
    cells = cells_of(found.attributes)
    # 44: a dog of 252 px², a giraffe of no area with a box of height 0, a person; 58: one crowd; 7: three objects
    assert cells["object size"] == ["small", None, "small"]
    assert cells["object shape"] == ["under 1.5", None, "under 1.5"]
    assert cells["crowd"] == ["no", "yes", "yes"]
    assert cells["objects"] == ["2-3", "0", "2-3"]
    assert cells["aspect"] == ["square (to 1.05)", "landscape (1.05 on)", "landscape (1.05 on)"]
    assert cells["shows dog"] == ["yes", "yes", "yes"]
    assert cells["shows giraffe"] == ["yes", "no", "yes"]
    assert cells["occlusion"][1:] == [None, "none (under 0.01)"]
    assert [len(a.codes) for a in found.of_judged] == [2] * len(found.attributes)
    assert found.classes["dog"] == ((2, 1), (2, 2))


def test_an_annotation_file_alone_tells_objects_and_licence(tmp_path):
    subset = make_small_subset(tmp_path).folder
    cells = cells_of(describe(IMAGES, None, subset / "subset.json", None).attributes)
    assert cells["licence"] == ["4", "1", "1"]
    assert "brightness" not in cells


@pytest.mark.parametrize("key", ["image_id", "file_name"])
def test_tags_are_found_by_id_or_name_and_absent_ones_are_unknown(tmp_path, key):
    names = {"image_id": ("44", "7", "999"), "file_name": ("000000000044.jpg", "000000000007.jpg", "other.jpg")}[key]
    path = tmp_path / "tags.tsv"
    path.write_text(f"﻿{key}\tweather\tcamera\r\n{names[0]}\train\t\r\n{names[1]}\tsun\tB\r\n{names[2]}\tfog\tA\r\n")
    assert cells_of(read_tags(path, IMAGES)) == {"tag weather": ["rain", None, "sun"], "tag camera": [None, None, "B"]}


def test_numbers_are_cut_at_the_thirds_of_the_judged(tmp_path):
    path = tmp_path / "tags.tsv"
    path.write_text("image_id\taltitude\n" + "".join(f"{n}\t{n if n <= 12 else 1000}\n" for n in range(1, 25)))
    (found,) = read_tags(path, Images(list(range(1, 25)), [f"{n}.jpg" for n in range(1, 25)], 12))
    assert np.bincount(found.codes[:12]).tolist() == [4, 4, 4]
    assert set(found.codes[12:]) == {2}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name\tweather\nx\ty\n", "no column image_id or file_name"),
        ("image_id\tweather\n44\train\n44\tsun\n", "'44' stands twice"),
        ("image_id\tweather\n44\n", "line 2 has 1 cells, the header 2"),
        ("image_id\tweather\tweather\n44\ta\tb\n", "two have the same"),
        ("image_id\tweather\n999\train\n", "none of its 1 images"),
        ("", "no table of tags"),
        ("image_id\tnote\n" + "".join(f"{n}\tword {n}\n" for n in range(60)), "too many for slices"),
    ],
)
def test_a_table_that_is_none_of_tags_is_named(tmp_path, text, words):
    path = tmp_path / "tags.tsv"
    path.write_text(text)
    images = Images(list(range(60)), [f"{n}.jpg" for n in range(60)], 60)
    with pytest.raises(CocomineError) as caught:
        read_tags(path, images)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_table_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CocomineError, match="no table of tags"):
        read_tags(tmp_path / "none.tsv", IMAGES)


def test_more_classes_than_may_be_attributes_are_still_counted(tmp_path):
    path = tmp_path / "many.json"
    categories = [{"id": n, "name": f"c{n}"} for n in range(1, 30)]
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 10, "height": 10} for n in (1, 2)]
    annotations = [{"id": 1, "image_id": 2, "category_id": 5, "iscrowd": 0, "area": 4.0, "bbox": [0, 0, 2, 2],
                    "segmentation": [[0, 0, 2, 0, 2, 2]]}]  # fmt: skip
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    found = describe(Images([1, 2], ["1.jpg", "2.jpg"], 1), None, path, None)
    assert not any(a.name.startswith("shows") for a in found.attributes)
    assert found.classes["c5"] == ((0, 1), (0, 1))
