from pathlib import Path

import numpy as np
import pytest
from cocomine.base.errors import CocomineError
from helpers.imported import imported
from helpers.own_data import draw_image
from PIL import Image
from pycocotools import mask as coco_mask

# Of images 64 x 48: the pixels 10..29 by 8..23 counted from 1, which cover x 10 to 30 and y 8 to 24 counted from 0.
BOX = (11, 9, 30, 24)


def thing(name: str = "leaf", box: tuple[object, ...] = BOX, more: str = "") -> str:
    sides = "".join(
        f"<{side}>{value}</{side}>" for side, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name>{more}<bndbox>{sides}</bndbox></object>"


def sheet(*things: str, name: str = "a.jpg", size: str = "") -> str:
    return f"<annotation><filename>{name}</filename>{size}{''.join(things)}</annotation>"


def lay(root: Path, sheets: dict[str, str], images: list[str]) -> Path:
    for name, text in sheets.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for seed, image in enumerate(images):
        draw_image(root / image, seed)
    return root


def devkit(root: Path, *things: str) -> Path:
    return lay(root, {"VOC2012/Annotations/a.xml": sheet(*things)}, ["VOC2012/JPEGImages/a.jpg"])


def test_boxes_count_from_one_and_include_both_ends(tmp_path: Path) -> None:
    done = imported(devkit(tmp_path / "d", thing("leaf"), thing("ant", (1, 1, 64, 48))), "voc")
    assert [row["name"] for row in done.document()["categories"]] == ["ant", "leaf"]  # named classes are sorted
    leaf, ant = done.objects()["VOC2012/JPEGImages/a.jpg"]
    assert (leaf["category_id"], leaf["bbox"]) == (2, [10, 8, 20, 16])
    assert (ant["category_id"], ant["bbox"]) == (1, [0, 0, 64, 48])


def test_difficult_objects_are_crowds_which_evaluation_leaves_out(tmp_path: Path) -> None:
    more = "<difficult>1</difficult><truncated>1</truncated><pose>Left</pose>"
    (found,) = imported(devkit(tmp_path / "d", thing(more=more)), "voc").objects()["VOC2012/JPEGImages/a.jpg"]
    assert (found["iscrowd"], found["difficult"], found["truncated"]) == (1, 1, 1)


def test_drawn_objects_get_their_pixels_whatever_their_order(tmp_path: Path) -> None:
    folder = devkit(tmp_path / "d", thing(), thing("ant", (41, 31, 50, 40)), thing("bee", (1, 1, 4, 4)))
    values = np.zeros((48, 64), np.uint8)
    values[8:24, 10:30] = 2
    values[8, 10] = 255
    values[30:40, 40:50] = 1
    values[45:48, 60:64] = 7  # of no object
    (folder / "VOC2012/SegmentationObject").mkdir()
    Image.fromarray(values).convert("P").save(folder / "VOC2012/SegmentationObject/a.png")
    done = imported(folder, "voc")
    leaf, ant, bee = done.objects()["VOC2012/JPEGImages/a.jpg"]
    assert np.array_equal(coco_mask.decode(leaf["segmentation"]), values == 2)
    assert np.array_equal(coco_mask.decode(ant["segmentation"]), values == 1)
    assert (leaf["area"], ant["area"], bee["segmentation"]) == (319, 100, [])
    assert done.manifest["lost"] == {"drawn objects without a box": 1}


def test_each_broken_object_is_named_with_its_number(tmp_path: Path) -> None:
    things = [
        thing(), thing(box=("x", 1, 2, 3)), "<object><name>leaf</name></object>", thing(name=" "),
        thing(box=(30, 24, 11, 9)), thing(more="<part><name>head</name></part>"),
    ]  # fmt: skip
    done = imported(devkit(tmp_path / "d", *things), "voc")
    file = "VOC2012/Annotations/a.xml"
    assert done.set_aside == [
        ("label", file, "2", "not-a-number"), ("label", file, "3", "no-box"), ("label", file, "4", "no-class")
    ]  # fmt: skip
    assert done.repaired == [(file, "5", "corners-swapped")]
    assert done.labels() == (6, 2, 1, 3)
    assert {tuple(one["bbox"]) for one in done.objects()["VOC2012/JPEGImages/a.jpg"]} == {(10, 8, 20, 16)}
    assert done.manifest["lost"] == {"parts of objects": 1}


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE a [<!ENTITY x "y">]>' + sheet(thing("&x;")),
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + sheet(thing("&x;")),
        '<!DOCTYPE a SYSTEM "http://127.0.0.1:1/x.dtd">' + sheet(thing()),
        "<annotation><object>",
        "no xml",
        "",
        sheet(thing("&x;")),
    ],
)
def test_hostile_and_broken_xml_is_refused_and_its_image_is_not_one_without_objects(tmp_path: Path, text: str) -> None:
    folder = devkit(tmp_path / "d", thing())
    lay(folder, {"VOC2012/Annotations/b.xml": text}, [])
    draw_image(folder / "VOC2012/JPEGImages/b.jpg", 7)
    done = imported(folder, "voc")
    assert list(done.objects()) == ["VOC2012/JPEGImages/a.jpg"]
    assert done.set_aside == [
        ("file", "VOC2012/Annotations/b.xml", "", "unreadable-file"),
        ("image", "VOC2012/JPEGImages/b.jpg", "", "unreadable-file"),
    ]


def test_the_lists_of_imagesets_are_the_splits(tmp_path: Path) -> None:
    names = ("a", "b", "c")
    sheets = {f"VOC2012/Annotations/{name}.xml": sheet(thing(), name=f"{name}.jpg") for name in names}
    lists = {"train": "a\nb\n", "val": "c\n", "trainval": "a\nb\nc\n", "leaf_train": "a 1\nb -1\n"}
    sheets |= {f"VOC2012/ImageSets/Main/{name}.txt": text for name, text in lists.items()}
    folder = lay(tmp_path / "d", sheets, [f"VOC2012/JPEGImages/{name}.jpg" for name in names])
    done = imported(folder, "voc", splits=["train", "val"])
    assert [len(done.objects(f"instances_{split}.json")) for split in ("train", "val")] == [2, 1]
    with pytest.raises(CocomineError, match="no split 'test'") as caught:
        imported(folder, "voc", splits=["test"])
    assert "train, val" in caught.value.hint


def test_xml_beside_its_images_in_folders_of_splits(tmp_path: Path) -> None:
    sheets = {f"{split}/x.xml": sheet(thing(), name="x_of_another_machine.png") for split in ("train", "valid")}
    folder = lay(tmp_path / "d", sheets, ["train/x.jpg", "valid/x.jpg", "valid/alone.jpg"])
    done = imported(folder, "voc", splits=["valid"])
    assert list(done.objects("instances_valid.json")) == ["valid/x.jpg"]
    assert done.set_aside == [("image", "valid/alone.jpg", "", "no-labels")]
    assert "1 file of labels in none of the splits asked for" in done.manifest["said"]


def test_two_images_of_a_stem_need_the_file_name_and_two_files_of_an_image_are_not_both_taken(tmp_path: Path) -> None:
    sheets = {
        "a.xml": sheet(thing(), name="gone.jpg"),
        "b.xml": sheet(thing(), name="b.png"),
        "c.xml": sheet(thing(), name="b.png"),
        "d.xml": sheet(thing(), thing(), name="gone.jpg"),
    }
    folder = lay(tmp_path / "d", sheets, ["a.jpg", "a.png", "b.jpg", "b.png"])
    done = imported(folder, "voc")
    assert list(done.objects()) == ["b.png"]
    assert [row for row in done.set_aside if row[0] == "label"] == [
        ("label", "a.xml", "1", "two-images-of-one-stem"), ("label", "c.xml", "1", "two-label-files"),
        ("label", "d.xml", "1", "missing-image"), ("label", "d.xml", "2", "missing-image"),
    ]  # fmt: skip


def test_a_stated_size_that_is_another_goes_on_for_the_measuring_to_judge(tmp_path: Path) -> None:
    size = "<size><width>128</width><height>96</height></size>"
    folder = lay(tmp_path / "d", {"a.xml": sheet(thing(), size=size)}, ["a.jpg"])
    assert [(image["width"], image["height"]) for image in imported(folder, "voc").document()["images"]] == [(128, 96)]
