import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from cocomine.base.errors import CocomineError
from cocomine.formats.export import export_dataset
from cocomine.formats.voc import object_palette
from helpers.small_subset import IMAGES, make_small_subset
from PIL import Image

ROOT = Path("VOCdevkit") / "VOC2012"


@pytest.fixture
def exported(tmp_path):
    subset = make_small_subset(tmp_path / "small")
    return export_dataset("voc", subset.folder, subset.store, tmp_path / "out"), tmp_path / "out" / ROOT


def boxes(file):
    """What a reader of VOC makes of a file: name, crowd flag, and the box counted from 0 with its end behind it."""
    found = []
    for row in ET.parse(file).getroot().iter("object"):
        xmin, ymin, xmax, ymax = (int(row.find(f"bndbox/{key}").text) for key in ("xmin", "ymin", "xmax", "ymax"))
        found.append((row.find("name").text, int(row.find("difficult").text), [xmin - 1, ymin - 1, xmax, ymax]))
    return found


def test_boxes_are_those_of_the_source_cut_at_the_edge_and_crowds_are_difficult(exported):
    manifest, root = exported
    assert boxes(root / "Annotations" / "000000000007.xml") == [
        ("giraffe", 0, [4, 4, 24, 24]),
        ("dog", 0, [30, 5, 54, 30]),
        ("dog", 1, [0, 30, 30, 48]),
    ]
    assert boxes(root / "Annotations" / "000000000012.xml")[0] == ("giraffe", 0, [0, 10, 20, 30])
    counts = {row["code"]: row["count"] for row in manifest["not_carried"]}
    assert (counts["other-class"], counts["zero-area"], counts["clipped"]) == (1, 1, 1)
    assert manifest["totals"]["objects_out"] == 7


def test_every_list_names_what_lies_there(exported):
    _, root = exported
    for split in ("train", "val"):
        stems = [Path(name).stem for _, name, *_, side, _ in IMAGES if side == split]
        for kind in ("Main", "Segmentation"):
            assert (root / "ImageSets" / kind / f"{split}.txt").read_text().split() == stems
        for stem in stems:
            assert (root / "JPEGImages" / f"{stem}.jpg").is_file()
    both = (root / "ImageSets" / "Main" / "trainval.txt").read_text().split()
    assert both == [Path(name).stem for _, name, *_ in IMAGES]
    dogs = dict(line.split() for line in (root / "ImageSets" / "Main" / "dog_train.txt").read_text().splitlines())
    assert dogs == {"000000000007": "1", "000000000012": "1", "000000000031": "-1"}
    crowds = dict(line.split() for line in (root / "ImageSets" / "Main" / "dog_val.txt").read_text().splitlines())
    assert crowds == {"000000000044": "1", "000000000058": "0"}


def test_masks_of_classes_and_objects_hold_labels_and_numbers_with_void_at_255(exported, tmp_path):
    _, root = exported
    drawn = tmp_path / "small" / "results" / "animals" / "masks"
    for _, name, *_ in IMAGES:
        stem = Path(name).stem
        for folder, kind in (("SegmentationClass", "semantic"), ("SegmentationObject", "instance")):
            with Image.open(root / folder / f"{stem}.png") as written, Image.open(drawn / kind / f"{stem}.png") as mask:
                assert written.mode == "P"
                values = np.asarray(mask).astype(int)
                values[values == 65535] = 255
                assert (np.asarray(written) == values).all()


def test_a_subset_without_masks_has_boxes_all_the_same(tmp_path):
    subset = make_small_subset(tmp_path / "small")
    for folder in sorted((subset.folder / "masks").iterdir(), reverse=True):
        if folder.is_dir():
            folder.rename(tmp_path / folder.name)
    manifest = export_dataset("voc", subset.folder, subset.store, tmp_path / "out")
    assert manifest["totals"]["objects_out"] == 7
    assert not (tmp_path / "out" / ROOT / "ImageSets" / "Segmentation").exists()
    counts = {row["code"]: row["count"] for row in manifest["not_carried"]}
    assert (counts["no-class-mask"], counts["no-object-mask"]) == (5, 5)


def test_the_colours_are_those_of_the_development_kit():
    palette = np.frombuffer(object_palette(), np.uint8).reshape(-1, 3).tolist()
    assert palette[:4] == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    assert palette[255] == [224, 224, 192]


def test_hostile_class_names_name_files_and_stand_in_xml_and_lead_back(tmp_path):
    names = ("../a\n<b>&\x01", "CON é'")
    subset = make_small_subset(tmp_path / "small", names=names)
    manifest = export_dataset("voc", subset.folder, subset.store, tmp_path / "out")
    read = {name for file in (tmp_path / "out" / ROOT / "Annotations").iterdir() for name, _, _ in boxes(file)}
    assert {manifest["class_names"][name] for name in read} == set(names)
    lists = {path.name for path in (tmp_path / "out" / ROOT / "ImageSets" / "Main").iterdir()}
    assert {f"{name}_{split}.txt" for name in read for split in ("train", "val")} <= lists
    counts = {row["code"]: row["count"] for row in manifest["not_carried"]}
    assert counts["class-name"] == 2


@pytest.mark.parametrize("name", ["a\nb.jpg", " a.jpg", "a\u2028b.jpg"])
def test_image_names_that_a_list_cannot_hold_are_refused_before_anything_is_written(name, tmp_path):
    subset = make_small_subset(tmp_path / "small")
    text = (subset.folder / "splits/instances_train.json").read_text()
    escaped = name.replace("\n", "\\n")
    (subset.folder / "splits/instances_train.json").write_text(text.replace('"000000000007.jpg"', f'"{escaped}"'))
    with pytest.raises(CocomineError, match="ImageSets"):
        export_dataset("voc", subset.folder, subset.store, tmp_path / "out")
    assert not (tmp_path / "out").exists()
