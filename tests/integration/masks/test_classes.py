"""Masks of classes: as if every task of the source had been written with them, pixel for pixel."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cocomine.annotations.build import build_index
from cocomine.base.files import read_json
from cocomine.masks.draw import rasterize_masks
from cocomine.masks.settings import MaskSettings
from cocomine.masks.subset import Sources
from cocomine.mining import interference
from cocomine.mining.assemble import assemble
from cocomine.mining.drawn import Drawn
from cocomine.mining.mine import mine
from cocomine.mining.settings import SubsetSettings
from helpers.shared import coco_mini
from PIL import Image

CLASSES = {"vehicle": ["truck", "car", "bus"], "human": ["person"], "pet": ["dog", "cat"]}


def assembled(annotations: Path, out: Path, query: dict[str, Any], draw_from: str) -> Path:
    settings, folder = SubsetSettings.from_mapping(query), out / "subset"
    for file in sorted(annotations.glob("*_train2017.json")):
        build_index(file, file.stem.rsplit("_", 1)[0], "train2017", out / "index" / file.stem)
    tables = folder / "selection.tsv", folder / "funnel.json"
    mine(settings, out / "index", ["train2017"], *tables)
    assemble(settings, out / "index", annotations, *tables, None, folder, drawn=Drawn(draw_from))
    return folder


def drawn(folder: Path, draw_from: str, pngs: Path) -> dict[str, np.ndarray]:
    """The semantic masks of a subset by file name."""
    tasks = folder / "tasks"
    files: dict[str, dict[str, Any]] = {
        "instances": {"subset": folder / "subset.json"},
        "panoptic": {"panoptic": tasks / "panoptic.json", "panoptic_pngs": (pngs,)},
    }
    sources = Sources(folder / "images.tsv", folder / "labels.json", **files[draw_from])
    rasterize_masks(MaskSettings(draw_from=draw_from, contact_sheet=0), sources, folder, 64, 1)
    return {path.name: np.asarray(Image.open(path)) for path in sorted((folder / "masks" / "semantic").glob("*.png"))}


def rewritten(source: Path, folder: Path) -> None:
    """Copy the annotation files of train2017, their categories made classes beforehand, by a plain loop."""
    folder.mkdir(parents=True)
    instances = read_json(source / "instances_train2017.json")
    id_of = {category["name"]: category["id"] for category in instances["categories"]}
    new = {id_of[name]: number for number, names in enumerate(CLASSES.values(), 1) for name in names}
    others = sorted(identity for identity in id_of.values() if identity not in new)
    new |= {old: number for number, old in enumerate(others, len(CLASSES) + 1)}
    class_names = dict(enumerate(CLASSES, 1))
    for task in ("instances", "panoptic", "person_keypoints"):
        document = copy.deepcopy(read_json(source / f"{task}_train2017.json"))
        records = [s for a in document["annotations"] for s in a.get("segments_info", [a])]
        for record in records:
            record["category_id"] = new.get(record["category_id"], record["category_id"])
        categories = {}
        for category in document["categories"]:
            identity = new.get(category["id"], category["id"])
            categories[identity] = category | {"id": identity, "name": class_names.get(identity, category["name"])}
        document["categories"] = [categories[identity] for identity in sorted(categories)]
        (folder / f"{task}_train2017.json").write_text(json.dumps(document))


@pytest.mark.parametrize("draw_from", ["instances", "panoptic"])
def test_masks_of_classes_are_those_of_a_source_that_was_written_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, draw_from: str
) -> None:
    monkeypatch.setattr(interference, "draw", lambda before, after, path: None)
    source = coco_mini() / "annotations"
    rewritten(source, tmp_path / "beforehand")
    one = assembled(source, tmp_path / "one", {"classes": CLASSES, "balance": True}, draw_from)
    two = assembled(
        tmp_path / "beforehand", tmp_path / "two", {"categories": list(CLASSES), "balance": True}, draw_from
    )
    names = [[row["name"] for row in read_json(folder / "labels.json")["labels"]] for folder in (one, two)]
    assert names[0] == names[1]
    assert names[0][:4] == ["background", *CLASSES]
    pngs = source / "panoptic_train2017"
    masks, expected = drawn(one, draw_from, pngs), drawn(two, draw_from, pngs)
    assert masks.keys() == expected.keys()
    assert len(masks) > 10
    assert all(np.array_equal(masks[name], expected[name]) for name in masks)
    assert {1, 2, 3} <= set(np.unique(np.concatenate([mask.ravel() for mask in masks.values()])).tolist())
    keypoints = read_json(one / "tasks" / "person_keypoints.json")
    assert {record["category_id"] for record in keypoints["annotations"]} == {2}
    assert {record["source_category_id"] for record in keypoints["annotations"]} == {1}
    (human,) = keypoints["categories"]
    assert (human["id"], human["name"], len(human["keypoints"])) == (2, "human", 17)
    segments = [s for a in read_json(one / "tasks" / "panoptic.json")["annotations"] for s in a["segments_info"]]
    assert {s["category_id"] for s in segments if s["source_category_id"] in (3, 6, 8)} == {1}
