import json

import numpy as np
import pytest
import yaml
from cocomine.base.errors import CocomineError
from cocomine.formats.export import export_dataset
from cocomine.formats.yolo import mirrored
from helpers.small_subset import IMAGES, make_small_subset


@pytest.fixture
def subset(tmp_path):
    return make_small_subset(tmp_path / "small")


def export(format_name, subset, out):
    return export_dataset(format_name, subset.folder, subset.store, out)


def test_yolo_poses_hold_box_and_keypoints_of_the_classes_that_have_some(subset, tmp_path):
    manifest = export("yolo-pose", subset, tmp_path / "out")
    data = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text("utf-8"))
    assert (data["names"], data["kpt_shape"], data["flip_idx"]) == ({0: "giraffe"}, [3, 3], [0, 2, 1])
    labels = tmp_path / "out" / "labels" / "train"
    index, *numbers = (labels / "000000000007.txt").read_text().split()
    assert index == "0"
    scaled = [round(float(number) * (64, 48)[place % 2], 3) for place, number in enumerate(numbers[:4])]
    assert scaled == [14, 14, 20, 20]
    points = np.array(numbers[4:], float).reshape(3, 3) * (64, 48, 1)
    assert points == pytest.approx(np.array([[16, 12, 2], [0, 0, 0], [8, 24, 1]]), abs=1e-3)
    _, *without = (labels / "000000000012.txt").read_text().split()
    assert without[4:] == ["0.000000", "0.000000", "0"] * 3
    counts = {row["code"]: row["count"] for row in manifest["not_carried"]}
    assert (counts["no-keypoints"], "person_keypoints" in counts) == (1, False)


def test_poses_of_a_subset_without_keypoints_are_refused_before_anything_is_written(subset, tmp_path):
    (subset.folder / "splits" / "person_keypoints_train.json").unlink()
    with pytest.raises(CocomineError, match="no class of this subset has keypoints") as error:
        export("yolo-pose", subset, tmp_path / "out")
    assert "person_keypoints" in error.value.hint
    assert not (tmp_path / "out").exists()


def test_poses_of_classes_with_different_numbers_of_keypoints_are_refused(subset, tmp_path):
    file = subset.folder / "splits" / "person_keypoints_train.json"
    document = json.loads(file.read_text())
    document["categories"].append({"id": 18, "name": "dog", "keypoints": ["tail"]})
    file.write_text(json.dumps(document))
    with pytest.raises(CocomineError, match="category 18 has 1, category 25 has 3"):
        export("yolo-pose", subset, tmp_path / "out")


def test_left_and_right_change_places_in_a_mirror_and_what_has_no_other_side_stays():
    assert mirrored(["nose", "left_eye", "right_eye", "left_tusk"]) == [0, 2, 1, 3]


def test_ultralytics_semantic_segmentation_names_every_label_and_where_the_masks_lie(subset, tmp_path):
    export("yolo-semantic", subset, tmp_path / "out")
    data = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text("utf-8"))
    assert data == {
        "train": "images/train",
        "val": "images/val",
        "masks_dir": "masks",
        "names": {0: "background", 1: "dog", 2: "giraffe"},
    }
    assert len(list((tmp_path / "out" / "masks").rglob("*.png"))) == len(IMAGES)
