"""Looking at folders: what tools export is recognised, and the config written for it names what is there."""

import json
from pathlib import Path

import pytest
import yaml
from cocomine.base.errors import CocomineError
from cocomine.configuration.look import doubts, look, proposed_config
from helpers.own_data import coco, lay
from helpers.tools import TOOLS


@pytest.mark.parametrize("tool", TOOLS)
def test_what_a_tool_exports_is_found_with_all_its_images(tmp_path: Path, tool: str) -> None:
    TOOLS[tool](tmp_path / "export")
    looked = look(tmp_path / "export")
    assert sum(len(file.names) for file in looked.files) == 4
    assert all(file.found == file.asked == len(file.names) for file in looked.files), doubts(looked)
    assert not looked.notes
    config = yaml.safe_load(proposed_config(looked))
    assert config["subsets"] == {"export": {}}


def test_roboflow_s_splits_keep_their_names_and_folders(tmp_path: Path) -> None:
    source = TOOLS["Roboflow"](tmp_path)
    written = yaml.safe_load(proposed_config(look(tmp_path)))["sources"]
    assert list(written.values()) == [source | {key: dict(sorted(source[key].items())) for key in source}]


def test_coco_s_own_layout_needs_its_folder_and_splits_only(tmp_path: Path) -> None:
    names = ["1.jpg", "2.jpg"]
    documents = {f"annotations/instances_{split}.json": coco(names) for split in ("a", "b")}
    captions = {"images": coco(names)["images"], "annotations": [{"id": 1, "image_id": 1, "caption": "a leaf"}]}
    documents["annotations/captions_b.json"] = captions
    lay(tmp_path, documents, [*(f"a/{name}" for name in names), *(f"images/b/{name}" for name in names)])
    (source,) = yaml.safe_load(proposed_config(look(tmp_path)))["sources"].values()
    files = {"b": {"captions": "annotations/captions_b.json"}}
    assert source == {"folder": str(tmp_path), "splits": ["b", "a"], "files": files} or source == {
        "folder": str(tmp_path),
        "splits": ["a", "b"],
        "files": files,
    }


def test_one_flat_folder_for_all_splits_is_said_once(tmp_path: Path) -> None:
    documents = {"train.json": coco(["1.jpg"]), "val.json": coco(["2.jpg"])}
    lay(tmp_path, documents, ["pics/1.jpg", "pics/2.jpg"])
    (source,) = yaml.safe_load(proposed_config(look(tmp_path)))["sources"].values()
    assert source["annotations"] == {"train": f"{tmp_path}/train.json", "val": f"{tmp_path}/val.json"}
    assert source["images"] == f"{tmp_path}/pics"


def test_an_export_without_its_images_says_so(tmp_path: Path) -> None:
    lay(tmp_path, {"result.json": coco(["images/1.jpg"])}, [])
    assert "none of them was found" in doubts(look(tmp_path))[0]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"labels/train/1.txt": "0 0.5 0.5 0.1 0.1", "data.yaml": "nc: 1"}, "no data.yaml that names the classes"),
        ({"1.xml": "<html/>"}, "no COCO file"),
        ({"via.json": json.dumps({"_via_settings": {}, "_via_img_metadata": {}})}, "COCO format"),
        ({"readme.json": "{}"}, "docs/own-data.md"),
        ({}, "no COCO file"),
    ],
)
def test_a_folder_of_another_form_is_named(tmp_path: Path, files: dict[str, str], said: str) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    with pytest.raises(CocomineError) as caught:
        look(tmp_path)
    assert said in str(caught.value)


def test_labels_that_are_imported_get_their_format_splits_and_tasks(tmp_path: Path) -> None:
    lay(tmp_path, {}, ["images/train/1.jpg", "images/val/2.jpg"])
    (tmp_path / "data.yaml").write_text("names: [leaf]\ntrain: images/train\nval: images/val\nkpt_shape: [1, 3]\n")
    looked = look(tmp_path)
    (source,) = yaml.safe_load(proposed_config(looked))["sources"].values()
    tasks = ["instances", "person_keypoints"]
    assert source == {"format": "yolo", "folder": str(tmp_path), "splits": ["train", "val"], "tasks": tasks}
    assert "# categories: leaf" in proposed_config(looked)
    assert "2 images; imported" in doubts(looked)[0]


@pytest.mark.parametrize(
    ("form", "files", "splits"),
    [
        ("voc", {"Annotations/1.xml": "<annotation/>"}, None),
        ("voc", {"Annotations/1.xml": "<annotation/>", "ImageSets/Main/a.txt": "1", "ImageSets/Main/b.txt": ""}, "ab"),
        ("labelme", {"1.json": json.dumps({"shapes": [], "imagePath": "1.jpg"})}, None),
        ("csv", {"boxes.csv": "filename,class,xmin,ymin,xmax,ymax\n"}, None),
    ],
)
def test_each_form_is_known(tmp_path: Path, form: str, files: dict[str, str], splits: str | None) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (source,) = yaml.safe_load(proposed_config(look(tmp_path)))["sources"].values()
    assert source == {"format": form, "folder": str(tmp_path), **({"splits": list(splits)} if splits else {})}


def test_names_of_a_stranger_s_folder_cannot_leave_the_yaml(tmp_path: Path) -> None:
    odd = tmp_path / "x: {y} #\n- z"
    lay(odd, {"a: b.json": coco(["1.jpg"], category="c: [d]\n# e")}, ["1.jpg"])
    config = yaml.safe_load(proposed_config(look(odd)))
    assert set(config) == {"sources", "subsets"}
    (source,) = config["sources"].values()
    assert source == {"annotations": f"{odd}/a: b.json", "images": str(odd)}
