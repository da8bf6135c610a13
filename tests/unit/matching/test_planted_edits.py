"""Known edits of real annotations: each is found and named by its kind, and nothing else is."""

import json

import pytest
from helpers.planted_edits import KINDS, Editor, Planted
from helpers.shared import coco_mini
from helpers.two_sources import annotations, findings, matched


def differences(out):
    return {
        Planted(row["kind"], row["image_id"], tuple(sorted(row["first_ids"])), tuple(sorted(row["second_ids"])))
        for row in findings(out)
        if row["kind"] != "same"
    }


@pytest.mark.slow
def test_every_planted_edit_of_real_annotations_is_found_by_its_kind_and_nothing_else(tmp_path):
    originals, edited, planted = [], [], set()
    for seed, split in enumerate(("train2017", "val2017")):
        document = json.loads((coco_mini() / "annotations" / f"instances_{split}.json").read_text())
        editor = Editor(document, seed)
        planted |= set(editor.plant())
        originals.append(document)
        edited.append(editor.document)
    first, second = annotations(tmp_path / "one", *originals), annotations(tmp_path / "other", *edited)
    matched(first, second, tmp_path / "out", splits="ab")
    assert differences(tmp_path / "out") == planted
    assert {edit.kind for edit in planted} == set(KINDS)
    assert len(planted) > 150


def test_a_source_agrees_with_itself_in_everything(tmp_path):
    document = json.loads((coco_mini() / "annotations" / "instances_val2017.json").read_text())
    folder = annotations(tmp_path / "one", document)
    matched(folder, folder, tmp_path / "out")
    rows = findings(tmp_path / "out")
    assert {row["kind"] for row in rows} == {"same"}
    assert all(row["iou"] == row["boundary_iou"] == 1 and row["distance"] == 0 for row in rows)
    assert sorted(row["first_ids"][0] for row in rows) == sorted(one["id"] for one in document["annotations"])
