import os
from pathlib import Path

import pytest
from cocomine.base.errors import CocomineError
from cocomine.imports.yolo import label_path
from helpers.imported import imported
from helpers.own_data import draw_image
from PIL import Image

# Of images 64 x 48: the box (10, 8, 20, 16) by its centre (20, 16), and a triangle.
BOX = "0 0.3125 0.3333333333 0.3125 0.3333333333"
TRIANGLE = "1 0.25 0.25 0.75 0.25 0.5 0.75"


def lay(root: Path, labels: dict[str, str | None], data: str = "names: [leaf, flower]\ntrain: images\n") -> Path:
    """Images of 64 x 48 below images/ and their labels below labels/; None leaves the file of labels out."""
    for seed, (name, text) in enumerate(labels.items()):
        draw_image(root / "images" / name, seed)
        if text is not None:
            path = (root / "labels" / name).with_suffix(".txt")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    (root / "data.yaml").write_text(data)
    return root


def test_boxes_and_outlines_are_in_pixels_and_classes_count_from_one(tmp_path: Path) -> None:
    done = imported(lay(tmp_path / "d", {"a.jpg": f"{BOX}\n{TRIANGLE}\n"}), "yolo")
    document = done.document()
    assert document["categories"] == [{"id": 1, "name": "leaf"}, {"id": 2, "name": "flower"}]
    box, triangle = done.objects()["images/a.jpg"]
    assert (box["category_id"], box["bbox"], box["area"], box["segmentation"]) == (1, [10, 8, 20, 16], 320, [])
    assert triangle["category_id"] == 2
    assert triangle["segmentation"] == [[16, 12, 48, 12, 32, 36]]
    assert (triangle["bbox"], triangle["area"]) == ([16, 12, 32, 24], 384)
    assert done.labels() == (2, 2, 0, 0)


def test_each_broken_line_is_named_with_its_file_line_and_reason_and_its_image_knows_of_it(tmp_path: Path) -> None:
    broken = {
        "field-count": "0 0.5 0.5",
        "unknown-class": "2 0.5 0.5 0.1 0.1",
        "not-a-number": "0 0.5 x 0.1 0.1",
        "outside": "0 32 24 10 10",
    }
    lines = [BOX, "", *broken.values(), "0 nan 0.5 0.1 0.1", "0.5 0.5 0.5 0.1 0.1", "-1 0.5 0.5 0.1 0.1"]
    done = imported(lay(tmp_path / "d", {"a.jpg": "\n".join(lines)}), "yolo")
    reasons = [*broken, "not-a-number", "unknown-class", "unknown-class"]
    assert done.set_aside == [("label", "labels/a.txt", str(line), reason) for line, reason in enumerate(reasons, 3)]
    assert done.labels() == (8, 1, 0, 7)
    lost = [item for item in done.document()["annotations"] if "lost_at_import" in item]
    assert len(lost) == 7
    # A known class stays known, so that only subsets of that class lose the image; 0 is nobody's id.
    assert [item["category_id"] for item in lost] == [1, 0, 1, 1, 1, 0, 0]


def test_a_share_just_outside_is_moved_to_the_edge_and_counted_as_repaired(tmp_path: Path) -> None:
    done = imported(lay(tmp_path / "d", {"a.jpg": "1 -0.005 0.25 0.75 0.25 0.5 1.01"}), "yolo")
    assert done.repaired == [("labels/a.txt", "1", "just-outside")]
    assert done.objects()["images/a.jpg"][0]["segmentation"] == [[0, 12, 48, 12, 32, 48]]
    assert done.labels() == (1, 0, 1, 0)


def test_keypoints_become_a_file_of_their_own_where_tasks_ask_for_it(tmp_path: Path) -> None:
    data = "names: [leaf, flower]\ntrain: images\nkpt_shape: [2, 3]\nkpt_names: {0: [tip, stem]}\n"
    folder = lay(tmp_path / "d", {"a.jpg": f"{BOX} 0.5 0.5 2 0 0 0\n{BOX} 0.5 0.5 3 0 0 0\n{BOX}"}, data)
    done = imported(folder, "yolo", tasks=["instances", "person_keypoints"])
    pose = done.document("person_keypoints_all.json")
    assert pose["categories"][0] == {"id": 1, "name": "leaf", "keypoints": ["tip", "stem"], "skeleton": []}
    assert (pose["annotations"][0]["keypoints"], pose["annotations"][0]["num_keypoints"]) == ([32, 24, 2, 0, 0, 0], 1)
    assert pose["annotations"][0]["id"] == done.document()["annotations"][0]["id"]
    assert [row[3] for row in done.set_aside] == ["bad-visibility", "field-count"]
    alone = imported(folder, "yolo", out=tmp_path / "alone")
    assert alone.manifest["lost"] == {"keypoints": 1}


def test_two_images_of_one_stem_are_both_set_aside_with_their_labels(tmp_path: Path) -> None:
    done = imported(lay(tmp_path / "d", {"a.jpg": BOX, "a.png": BOX, "b.jpg": BOX}), "yolo")
    assert list(done.objects()) == ["images/b.jpg"]
    assert sorted(done.set_aside) == [
        ("image", "images/a.jpg", "", "two-images-of-one-stem"),
        ("image", "images/a.png", "", "two-images-of-one-stem"),
        ("label", "labels/a.txt", "1", "missing-image"),
    ]


def test_labels_without_an_image_and_images_without_labels_are_counted(tmp_path: Path) -> None:
    folder = lay(tmp_path / "d", {"a.jpg": BOX, "b.jpg": None})
    (folder / "labels/gone.txt").write_text(f"{BOX}\n{BOX}\n")
    (folder / "labels/classes.txt").write_text("leaf\n")
    (folder / "images/c.jpg").write_bytes(b"no image")
    (folder / "labels/c.txt").write_text(BOX)
    done = imported(folder, "yolo")
    assert done.objects()["images/b.jpg"] == []
    assert "1 image without a file of labels" in done.manifest["said"][0]
    assert done.set_aside == [
        ("image", "images/c.jpg", "", "image-unreadable"),
        ("label", "labels/c.txt", "1", "missing-image"),
        ("label", "labels/gone.txt", "1", "missing-image"),
        ("label", "labels/gone.txt", "2", "missing-image"),
    ]


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        ("images/train/a.jpg", "labels/train/a.txt"),
        ("train/images/a.b.png", "train/labels/a.b.txt"),
        ("images/images/a.jpg", "images/labels/a.txt"),
        ("obj_train_data/a.jpg", "obj_train_data/a.txt"),
        ("my images/a.jpg", "my images/a.txt"),
    ],
)
def test_labels_lie_where_ultralytics_looks_for_them(image: str, labels: str) -> None:
    assert label_path(image) == labels


@pytest.mark.parametrize("said", ["../train/images", "train/images", "/elsewhere/own/train/images", "list.txt"])
def test_splits_are_found_as_people_write_them(tmp_path: Path, said: str) -> None:
    folder = tmp_path / "own"
    for split in ("train", "valid"):
        draw_image(folder / split / "images/a.jpg", len(split))
        (folder / split / "labels").mkdir()
        (folder / split / "labels/a.txt").write_text(BOX)
    (folder / "list.txt").write_text("./train/images/a.jpg\n")
    said = said.replace("/elsewhere", str(tmp_path))
    (folder / "data.yaml").write_text(f"names: {{0: leaf}}\ntrain: {said}\nval: valid/images\n")
    done = imported(folder, "yolo", splits=["train", "val"])
    assert list(done.objects("instances_train.json")) == ["train/images/a.jpg"]
    assert list(done.objects("instances_val.json")) == ["valid/images/a.jpg"]
    ids = [item["id"] for split in ("train", "val") for item in done.document(f"instances_{split}.json")["annotations"]]
    assert ids == [1, 2]


@pytest.mark.parametrize("where", ["classes.txt", "labels/classes.txt"])
def test_a_list_of_classes_does_where_there_is_no_data_yaml(tmp_path: Path, where: str) -> None:
    folder = lay(tmp_path / "d", {"a.jpg": BOX, "b.jpg": TRIANGLE})
    (folder / "data.yaml").unlink()
    (folder / where).write_text("leaf\r\nflower\n")
    done = imported(folder, "yolo")
    assert [row["name"] for row in done.document()["categories"]] == ["leaf", "flower"]
    assert done.labels() == (2, 2, 0, 0)


def test_an_image_of_two_splits_stays_in_the_first(tmp_path: Path) -> None:
    folder = lay(tmp_path / "d", {"a.jpg": BOX}, "names: [leaf]\ntrain: images\nval: images\n")
    done = imported(folder, "yolo", splits=["train", "val"])
    assert len(done.objects("instances_train.json")) == 1
    assert done.set_aside == [("image", "images/a.jpg", "", "in-two-splits")]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "no data.yaml"),
        ("train: images\n", "without `names`"),
        ("names: [yes, leaf]\ntrain: images\n", "quotation marks"),
        ("names: [leaf]\nnc: 2\ntrain: images\n", "nc is 2"),
        ("names: {1: leaf}\ntrain: images\n", "{0: name"),
        ("names: leaf\ntrain: images\n", "{0: name"),
        ("names: [leaf]\ntrain: pictures\n", "pictures: no such folder"),
        ("names: [leaf]\ntrain: ../../etc\n", "no such folder"),
        ("names: [leaf]\ntrain: images\nkpt_shape: [a, 3]\n", "kpt_shape"),
        ("names: [leaf\n", "line"),
    ],
)
def test_a_folder_that_says_too_little_is_an_error_with_the_remedy(tmp_path: Path, data: str | None, said: str) -> None:
    folder = lay(tmp_path / "d", {"a.jpg": BOX}, data or "")
    if data is None:
        (folder / "data.yaml").unlink()
    with pytest.raises(CocomineError) as caught:
        imported(folder, "yolo")
    assert said in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.hint


def test_a_folder_of_which_no_label_can_be_read_is_an_error_that_shows_the_first(tmp_path: Path) -> None:
    with pytest.raises(CocomineError, match=r"labels/a.txt, 1: outside"):
        imported(lay(tmp_path / "d", {"a.jpg": "0 32 24 20 16"}), "yolo")


def test_what_lies_outside_of_the_folder_or_is_no_file_is_not_read(tmp_path: Path) -> None:
    folder = lay(tmp_path / "d", {"a.jpg": BOX, "b.jpg": None, "c.jpg": None})
    (tmp_path / "secret.txt").write_text(BOX)
    (folder / "labels/b.txt").symlink_to(tmp_path / "secret.txt")
    os.mkfifo(folder / "labels/c.txt")
    done = imported(folder, "yolo")
    assert list(done.objects()) == ["images/a.jpg"]  # an image whose labels cannot be read is not one without objects
    assert [row for row in done.set_aside if row[0] == "file"] == [
        ("file", "labels/b.txt", "", "unreadable-file"),
        ("file", "labels/c.txt", "", "unreadable-file"),
    ]
    followed = imported(folder, "yolo", out=tmp_path / "followed", follow_links=True)
    assert list(followed.objects()) == ["images/a.jpg", "images/b.jpg"]


def test_shares_are_of_the_image_as_its_exif_orientation_shows_it(tmp_path: Path) -> None:
    folder = lay(tmp_path / "d", {"a.jpg": BOX})
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (48, 64)).save(folder / "images/a.jpg", exif=exif)
    done = imported(folder, "yolo")
    assert [(image["width"], image["height"]) for image in done.document()["images"]] == [(64, 48)]
    assert done.objects()["images/a.jpg"][0]["bbox"] == [10, 8, 20, 16]


def test_the_same_folder_gives_the_same_bytes_and_an_added_image_changes_no_id(tmp_path: Path) -> None:
    first = imported(lay(tmp_path / "d", {"b.jpg": BOX, "c.jpg": TRIANGLE}), "yolo")
    again = imported(tmp_path / "d", "yolo", out=tmp_path / "again")
    names = [str(path.relative_to(first.out)) for path in sorted(first.out.rglob("*.*"))]
    assert len(names) == 4
    assert all((first.out / name).read_bytes() == (again.out / name).read_bytes() for name in names)
    ids = {image["file_name"]: image["id"] for image in first.document()["images"]}
    more = imported(lay(tmp_path / "d", {"a.jpg": BOX}), "yolo", out=tmp_path / "more")
    assert ids.items() < {image["file_name"]: image["id"] for image in more.document()["images"]}.items()


def test_a_build_inside_the_folder_of_the_labels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lay(tmp_path / "d", {"a.jpg": BOX}))
    with pytest.raises(CocomineError, match="inside the folder of the labels"):
        imported(tmp_path / "d", "yolo", out=tmp_path / "out")
