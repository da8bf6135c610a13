"""What our own exports hold comes back as the same objects, or the export's manifest has counted the loss."""

import os
from pathlib import Path
from typing import Any

import pytest
from cocomine.base.files import canonical_json
from cocomine.formats.export import export_dataset
from cocomine.formats.yolo import written_name
from helpers.imported import Imported, imported
from helpers.own_data import draw_image
from helpers.small_subset import DOG, GIRAFFE, IMAGES, OBJECTS, make_small_subset
from pycocotools import mask as coco_mask

SPLITS = ["train", "val"]
NAMES = {DOG: "dog", GIRAFFE: "giraffe"}
SIZES = {number: (width, height) for number, _, width, height, *_ in IMAGES}


def export(form: str, tmp_path: Path) -> dict[str, Any]:
    subset = make_small_subset(tmp_path / "small")
    return export_dataset(form, subset.folder, subset.store, tmp_path / form)


def came_back(done: Imported) -> dict[int, list[dict[str, Any]]]:
    """The objects by the number in their image's name, with the name of their class."""
    result: dict[int, list[dict[str, Any]]] = {number: [] for number in SIZES}
    for split in SPLITS:
        names = {row["id"]: row["name"] for row in done.document(f"instances_{split}.json")["categories"]}
        for path, objects in done.objects(f"instances_{split}.json").items():
            result[int(Path(path).stem)] += [{**one, "name": names[one["category_id"]]} for one in objects]
    return result


def sent(*, crowds: bool) -> dict[int, list[tuple[Any, ...]]]:
    """Our two classes' objects with an area, by image: class, crowd, segmentation and the box cut at the edge."""
    result: dict[int, list[tuple[Any, ...]]] = {number: [] for number in SIZES}
    for _, image, category, crowd, segmentation, (x, y, w, h), area in OBJECTS:
        width, height = SIZES[image]
        left, top = max(x, 0), max(y, 0)
        box = [left, top, min(x + w, width) - left, min(y + h, height) - top]
        if category in NAMES and area and crowds >= bool(crowd):
            result[image].append((NAMES[category], crowd, segmentation, box))
    return result


def drawn(segmentation: Any, image: int) -> Any:
    width, height = SIZES[image]
    coded = coco_mask.frPyObjects(segmentation, height, width)
    return coco_mask.decode(coco_mask.merge(coded) if isinstance(coded, list) else coded)


def test_yolo_boxes_come_back_within_a_hundredth_of_a_pixel(tmp_path: Path) -> None:
    manifest = export("yolo-detect", tmp_path)
    done = imported(tmp_path / "yolo-detect", "yolo", splits=SPLITS)
    back, expected = came_back(done), sent(crowds=False)
    assert sum(map(len, back.values())) == manifest["totals"]["objects_out"]
    for image, objects in expected.items():
        assert [one["name"] for one in back[image]] == [name for name, *_ in objects]
        for one, (*_, box) in zip(back[image], objects, strict=True):
            assert one["bbox"] == pytest.approx(box, abs=0.01)


def test_yolo_outlines_come_back_and_cover_the_same_pixels(tmp_path: Path) -> None:
    manifest = export("yolo-segment", tmp_path)
    back, expected = came_back(imported(tmp_path / "yolo-segment", "yolo", splits=SPLITS)), sent(crowds=False)
    assert sum(map(len, back.values())) == manifest["totals"]["objects_out"]
    changed = next(row["count"] for row in manifest["not_carried"] if row["code"] == "changed-by-joining")
    differing = 0
    for image, objects in expected.items():
        for one, (name, _, segmentation, _) in zip(back[image], objects, strict=True):
            assert one["name"] == name
            here, there = drawn(one["segmentation"], image), drawn(segmentation, image)
            differing += bool((here & there).sum() / (here | there).sum() < 0.99)
    assert differing == changed == 1


def test_poses_come_back_with_the_names_of_their_keypoints(tmp_path: Path) -> None:
    export("yolo-pose", tmp_path)
    tasks = ["instances", "person_keypoints"]
    done = imported(tmp_path / "yolo-pose", "yolo", splits=SPLITS, tasks=tasks)
    document = done.document("person_keypoints_train.json")
    assert document["categories"][0]["keypoints"] == ["nose", "left_eye", "right_eye"]
    points = [item["keypoints"] for item in document["annotations"] if item["num_keypoints"]]
    assert points == [pytest.approx([16, 12, 2, 0, 0, 0, 8, 24, 1], abs=0.01)]


def test_voc_comes_back_with_whole_boxes_crowds_and_pixels(tmp_path: Path) -> None:
    manifest = export("voc", tmp_path)
    done = imported(tmp_path / "voc", "voc", splits=SPLITS)
    back, expected = came_back(done), sent(crowds=True)
    assert sum(map(len, back.values())) == manifest["totals"]["objects_out"]
    for image, objects in expected.items():
        assert [(one["name"], one["iscrowd"]) for one in back[image]] == [(name, crowd) for name, crowd, *_ in objects]
        assert [one["bbox"] for one in back[image]] == [box for *_, box in objects]
    assert manifest["totals"]["images"] == sum(
        len(done.document(f"instances_{split}.json")["images"]) for split in SPLITS
    )


def test_an_imported_folder_called_images_does_not_hide_the_labels_of_an_export(tmp_path: Path) -> None:
    subset = make_small_subset(tmp_path / "small")
    for file in [*subset.folder.rglob("*.json"), *subset.folder.rglob("*.tsv")]:
        text = file.read_text()
        if '"file_name"' in text or file.name == "images.tsv":
            file.write_text(text.replace("000000000007.jpg", "images/000000000007.jpg"))
    (subset.store / "train2017/images").mkdir()
    (subset.store / "train2017/000000000007.jpg").rename(subset.store / "train2017/images/000000000007.jpg")
    export_dataset("yolo-detect", subset.folder, subset.store, tmp_path / "out")
    done = imported(tmp_path / "out", "yolo", splits=SPLITS)
    assert len(came_back(done)[7]) == 2
    assert written_name(Path("a/images/images.jpg")).as_posix() == "a/images_/images.jpg"


def test_a_name_of_control_characters_or_no_utf8_is_set_aside_and_written_as_escapes(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    (folder / "labels").mkdir(parents=True)
    for number, stem in enumerate((b"a", b"b\nc", b"d\xff")):
        draw_image(folder / "images" / os.fsdecode(stem + b".png"), number)
        (folder / "labels" / os.fsdecode(stem + b".txt")).write_text("0 0.5 0.5 0.1 0.1")
    (folder / "data.yaml").write_text(canonical_json({"names": ["leaf"], "train": "images"}))
    done = imported(folder, "yolo")
    assert list(done.objects()) == ["images/a.png"]
    assert [row[1:] for row in done.set_aside if row[0] == "image"] == [
        ("images/b\nc.png", "", "unsafe-name"),
        ("images/d\\udcff.png", "", "unsafe-name"),
    ]
    assert [row[1] for row in done.set_aside if row[0] == "file"] == ["labels/b\nc.txt", "labels/d\\udcff.txt"]
