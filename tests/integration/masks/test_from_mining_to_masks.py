"""Masks of stuff and of panoptic files, by the whole way: indexed, mined, assembled and drawn."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cocomine.annotations.build import build_index
from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json, read_table
from cocomine.masks.draw import rasterize_masks
from cocomine.masks.settings import MaskSettings
from cocomine.masks.subset import Sources
from cocomine.mining.assemble import assemble
from cocomine.mining.drawn import Drawn
from cocomine.mining.mine import mine
from cocomine.mining.settings import SubsetSettings
from helpers.mask_oracle import draw
from helpers.shared import coco_mini
from PIL import Image

ALL = ("semantic", "instance", "panoptic")


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def segment_ids(path: Path) -> np.ndarray:
    colors = picture(path).astype(np.int64)
    return colors[..., 0] + 256 * colors[..., 1] + 65536 * colors[..., 2]


def assembled(annotations: Path, out: Path, query: dict[str, Any], drawn: Drawn, splits: tuple[str, ...]) -> Path:
    """Index, mine and assemble a subset as the workflow does; return its folder."""
    for file in sorted(annotations.glob("*.json")):
        task, split = file.stem.rsplit("_", 1)
        if split in splits:
            build_index(file, task, split, out / "index" / file.stem)
    settings, folder = SubsetSettings.from_mapping(query), out / "subset"
    mine(settings, out / "index", splits, folder / "selection.tsv", folder / "funnel.json")
    paths = (folder / "selection.tsv", folder / "funnel.json", None, folder)
    assemble(settings, out / "index", annotations, *paths, drawn=drawn)
    return folder


def sources(folder: Path, **files: Any) -> Sources:
    return Sources(folder / "images.tsv", folder / "labels.json", **files)


def test_panoptic_masks_of_a_mined_subset_equal_the_official_pngs_and_json(tmp_path: Path) -> None:
    source = coco_mini() / "annotations"
    folder = assembled(source, tmp_path, {"negatives": 500}, Drawn("panoptic"), ("train2017",))
    pngs = (source / "panoptic_train2017",)
    from_where = sources(folder, panoptic=folder / "tasks" / "panoptic.json", panoptic_pngs=pngs)
    rasterize_masks(MaskSettings(outputs=ALL, draw_from="panoptic", contact_sheet=0), from_where, folder, 128, 2)
    official = read_json(source / "panoptic_train2017.json")
    ours = {record["image_id"]: record for record in read_json(folder / "masks" / "panoptic.json")["annotations"]}
    label_of = {int(k): v for k, v in read_json(folder / "labels.json")["category_to_label"].items()}
    assert sorted(label_of) == sorted(category["id"] for category in official["categories"])
    drawn = 0
    for record in official["annotations"]:
        if record["image_id"] not in ours:
            continue
        drawn += 1
        theirs = source / "panoptic_train2017" / record["file_name"]
        assert np.array_equal(picture(theirs), picture(folder / "masks" / "panoptic" / record["file_name"]))
        keys = ("id", "category_id", "iscrowd", "area", "bbox")
        assert [[s[k] for k in keys] for s in ours[record["image_id"]]["segments_info"]] == [
            [s[k] for k in keys] for s in record["segments_info"]
        ]
    assert drawn == len(official["annotations"]) == 100
    things = {category["id"] for category in official["categories"] if category["isthing"]}
    segments = [segment for record in official["annotations"] for segment in record["segments_info"]]
    manifest = read_json(folder / "masks.json")
    assert manifest["counts"]["annotations"] == {"in": 100, "drawn": 100, "not_drawn": 0}
    assert manifest["all"]["instances"] == sum(s["category_id"] in things and not s["iscrowd"] for s in segments)
    assert manifest["all"]["stuff"] == sum(s["category_id"] not in things for s in segments)
    for line in read_table(folder / "masks" / "instances.tsv"):
        assert (line["number"] == "0") == (line["state"] == "stuff") == (int(line["category_id"]) not in things)


def test_a_panoptic_subset_of_one_class_keeps_all_stuff_and_of_the_things_only_that_class(tmp_path: Path) -> None:
    source = coco_mini() / "annotations"
    folder = assembled(source, tmp_path, {"categories": ["person"]}, Drawn("panoptic"), ("train2017",))
    categories = {category["id"]: category for category in read_json(source / "panoptic_train2017.json")["categories"]}
    labelled = [categories[entry["category_id"]] for entry in read_json(folder / "labels.json")["labels"][1:]]
    assert [one["name"] for one in labelled if one["isthing"]] == ["person"]
    assert sum(not one["isthing"] for one in labelled) == sum(not one["isthing"] for one in categories.values())
    named = assembled(
        source, tmp_path / "named", {"categories": ["person"]}, Drawn("panoptic", ("rug-merged", 187)), ("train2017",)
    )
    names = [entry["name"] for entry in read_json(named / "labels.json")["labels"]]
    assert names == [
        "background",
        "person",
        *(categories[i]["name"] for i in sorted(categories) if i == 187 or categories[i]["name"] == "rug-merged"),
    ]


STUFF = [{"id": 92, "name": "grass", "supercategory": "plant"}, {"id": 93, "name": "sky", "supercategory": "sky"}]


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    """Two images with a dog each, over regions of grass and sky that fill the image."""
    folder = tmp_path / "annotations"
    folder.mkdir()
    images = [{"id": n, "file_name": f"{n:012}.jpg", "width": 40, "height": 30} for n in (1, 2)]

    def record(number: int, image: int, category: int, outline: list[float]) -> dict[str, Any]:
        xs, ys = outline[::2], outline[1::2]
        box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
        return {"id": number, "image_id": image, "category_id": category, "iscrowd": 0, "area": box[2] * box[3],
                "bbox": box, "segmentation": [outline]}  # fmt: skip

    dogs = [record(n, n, 18, [5, 10, 25, 10, 25, 25, 5, 25]) for n in (1, 2)]
    regions = [record(10 * n, n, 93, [0, 0, 40, 0, 40, 15, 0, 15]) for n in (1, 2)]
    regions += [record(10 * n + 1, n, 92, [0, 15, 40, 15, 40, 30, 0, 30]) for n in (1, 2)]
    dog = [{"id": 18, "name": "dog", "supercategory": "animal"}]
    for name, labels, categories in (("instances", dogs, dog), ("stuff", regions, STUFF)):
        document = {"images": images, "annotations": labels, "categories": categories}
        (folder / f"{name}_a.json").write_text(json.dumps(document))
    return folder


@pytest.mark.parametrize(
    ("draw_from", "stuff", "names"),
    [
        ("stuff", (), ["grass", "sky"]),
        ("stuff", ("Sky",), ["sky"]),
        ("instances+stuff", (), ["dog", "grass", "sky"]),
        ("instances+stuff", (92,), ["dog", "grass"]),
    ],
)
def test_stuff_of_a_mined_subset_is_drawn_with_labels_of_its_own(
    annotations: Path, tmp_path: Path, draw_from: str, stuff: tuple[int | str, ...], names: list[str]
) -> None:
    folder = assembled(annotations, tmp_path, {}, Drawn(draw_from, stuff), ("a",))
    labels = read_json(folder / "labels.json")
    assert [entry["name"] for entry in labels["labels"][1:]] == names
    label_of = {int(category): label for category, label in labels["category_to_label"].items()}
    settings = MaskSettings(outputs=ALL, draw_from=draw_from, stuff_categories=stuff, contact_sheet=0)
    stuff_file = folder / "tasks" / "stuff.json"
    files = {"subset": stuff_file} if draw_from == "stuff" else {"subset": folder / "subset.json", "stuff": stuff_file}
    rasterize_masks(settings, sources(folder, **files), folder)
    records = {name: read_json(annotations / f"{name}_a.json")["annotations"] for name in ("instances", "stuff")}
    for image in (1, 2):
        own = {name: [r for r in part if r["image_id"] == image] for name, part in records.items()}
        things = own["instances"] if draw_from != "stuff" else []
        expected = draw(settings, 30, 40, things, label_of, stuff=own["stuff"])
        assert np.array_equal(picture(folder / f"masks/semantic/{image:012}.png"), expected.semantic)
        assert set(np.unique(expected.semantic)) - {0} == set(label_of.values())
        assert np.array_equal(segment_ids(folder / f"masks/panoptic/{image:012}.png"), expected.panoptic)
        assert np.array_equal(picture(folder / f"masks/instance/{image:012}.png"), expected.instance)
    lines = list(read_table(folder / "masks.tsv"))
    assert {row["name"] for row in lines} >= set(names)
    assert {row["instances"] for row in lines if row["name"] != "dog"} == {"0"}
    things = 2 if "dog" in names else 0
    whole = read_json(folder / "masks.json")["all"]
    assert (whole["instances"], whole["stuff"]) == (things, 2 * (len(names) - bool(things)))


def test_a_stuff_category_that_is_not_there_is_named_with_the_nearest(annotations: Path, tmp_path: Path) -> None:
    with pytest.raises(CocomineError, match=r"masks\.stuff_categories: the stuff file has no .* 'gras'") as caught:
        assembled(annotations, tmp_path, {}, Drawn("stuff", ("gras",)), ("a",))
    assert "'grass'" in caught.value.hint


def test_a_split_without_the_file_that_is_drawn_is_refused(annotations: Path, tmp_path: Path) -> None:
    with pytest.raises(CocomineError, match="the source has no panoptic file for the split 'a'"):
        assembled(annotations, tmp_path, {}, Drawn("panoptic"), ("a",))


def test_labels_of_other_annotations_than_those_drawn_are_an_error_and_no_empty_masks(
    annotations: Path, tmp_path: Path
) -> None:
    folder = assembled(annotations, tmp_path, {}, Drawn(), ("a",))
    stuff = sources(folder, subset=folder / "tasks" / "stuff.json")
    with pytest.raises(CocomineError, match="none of its 2 categories has a label"):
        rasterize_masks(MaskSettings(draw_from="stuff", contact_sheet=0), stuff, folder)
    assert not (folder / "masks").exists()


def test_one_id_for_an_object_and_for_stuff_is_refused(annotations: Path, tmp_path: Path) -> None:
    file = annotations / "stuff_a.json"
    file.write_text(file.read_text().replace("92", "18"))
    with pytest.raises(CocomineError, match="the id 18 is 'dog' among the objects and 'grass' among the stuff"):
        assembled(annotations, tmp_path, {}, Drawn("instances+stuff"), ("a",))
