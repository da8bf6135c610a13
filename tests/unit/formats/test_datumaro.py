"""Datumaro's layout: what its file says, read as plain JSON; tests/integration/formats has Datumaro itself read it."""

import json

from cocomine.formats.export import export_dataset
from helpers.small_subset import IMAGES, OBJECTS, PERSON, make_small_subset
from pycocotools import mask as coco_mask


def test_every_object_is_a_group_of_its_box_and_its_shape(tmp_path):
    subset = make_small_subset(tmp_path / "small")
    manifest = export_dataset("datumaro", subset.folder, subset.store, tmp_path / "out")
    groups = {}
    for split in ("train", "val"):
        document = json.loads((tmp_path / "out" / "annotations" / f"{split}.json").read_text())
        labels = [(label["name"], label["parent"]) for label in document["categories"]["label"]["labels"]]
        assert labels == [("dog", "animal"), ("giraffe", "animal")]
        for item in document["items"]:
            (row,) = [row for row in IMAGES if row[0] == item["attr"]["id"]]
            assert (item["id"], item["image"]) == (row[1].split(".")[0], {"path": row[1], "size": [row[3], row[2]]})
            assert (tmp_path / "out" / "images" / split / row[1]).is_file()
            for mark in item["annotations"]:
                if mark["type"] != "caption":
                    groups.setdefault(mark["group"], []).append(mark)
    wanted = [row for row in OBJECTS if row[2] != PERSON]
    assert sorted(groups) == [row[0] for row in wanted]
    for number, _, _, crowd, segmentation, box, _ in wanted:
        marks = groups[number]
        assert {mark["attributes"]["is_crowd"] for mark in marks} == {bool(crowd)}
        assert [mark["bbox"] for mark in marks if mark["type"] == "bbox"] == [box]
        outlines = [mark["points"] for mark in marks if mark["type"] == "polygon"]
        if isinstance(segmentation, list):
            assert outlines == [part for part in segmentation if len(part) >= 6]
            continue
        (run_lengths,) = [mark["rle"] for mark in marks if mark["type"] == "mask"]
        whole = coco_mask.frPyObjects(segmentation, *segmentation["size"])
        assert coco_mask.iou([run_lengths], [whole], [0])[0, 0] == 1.0
    lost = {row["code"]: row["count"] for row in manifest["not_carried"] if row["drops"]}
    assert lost == {"other-class": 1, "person_keypoints": 1}
