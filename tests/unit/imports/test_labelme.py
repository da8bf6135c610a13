import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.imported import imported
from helpers.own_data import HEIGHT, WIDTH, draw_image
from PIL import Image
from pycocotools import mask as coco_mask


def shape(kind: str, points: Any, label: str | None = "leaf", group: int | None = None, **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind, "group_id": group, "flags": {}, **more}


def png(pixels: Any) -> str:
    held = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8) * 255).save(held, "PNG")
    return base64.b64encode(held.getvalue()).decode()


def lay(root: Path, *shapes: dict[str, Any], name: str = "a.jpg", said: str | None = None) -> Path:
    draw_image(root / name, len(name))
    document = {
        "version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": said or name, "imageData": "AAAA",
        "imageHeight": HEIGHT, "imageWidth": WIDTH,
    }  # fmt: skip
    (root / name).with_suffix(".json").write_text(json.dumps(document))
    return root


def flat(points: list[list[int]]) -> list[int]:
    return [side for point in points for side in point]


def drawn(found: dict[str, Any]) -> Any:
    segmentation = found["segmentation"]
    if isinstance(segmentation, dict):
        return coco_mask.decode(segmentation)
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(segmentation, HEIGHT, WIDTH)))


def test_each_shape_covers_what_labelme_says(tmp_path: Path) -> None:
    shapes = [
        shape("polygon", [[10, 8], [30, 8], [30, 24]]),
        shape("rectangle", [[30, 24], [10, 8]]),
        shape("circle", [[32, 24], [32, 34]]),
        shape("mask", [[5, 6], [7, 7]], mask=png([[1, 0, 1], [0, 1, 0]])),
    ]
    polygon, rectangle, circle, mask = imported(lay(tmp_path / "d", *shapes), "labelme").objects()["a.jpg"]
    assert polygon["segmentation"] == [[10, 8, 30, 8, 30, 24]]
    assert (rectangle["bbox"], rectangle["segmentation"]) == ([10, 8, 20, 16], [])
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    disc = (columns - 32) ** 2 + (rows - 24) ** 2 <= 100
    assert (drawn(circle) & disc).sum() / (drawn(circle) | disc).sum() > 0.93
    assert sorted(map(tuple, np.argwhere(drawn(mask)).tolist())) == [(6, 5), (6, 7), (7, 6)]
    assert (mask["area"], mask["bbox"]) == (3, [5, 6, 3, 2])


def test_shapes_of_one_label_and_group_are_one_object(tmp_path: Path) -> None:
    left, right = [[0, 0], [8, 0], [8, 8], [0, 8]], [[20, 0], [28, 0], [28, 8], [20, 8]]
    shapes = [
        shape("polygon", left, group=1), shape("rectangle", [right[0], right[2]], group=1),
        shape("polygon", left, "ant", group=1), shape("polygon", left), shape("polygon", left),
        shape("polygon", left, group=2), shape("mask", [[40, 2], [40, 2]], group=2, mask=png([[1]])),
    ]  # fmt: skip
    done = imported(lay(tmp_path / "d", *shapes), "labelme")
    both, ant, _, _, masked = done.objects()["a.jpg"]
    assert (both["segmentation"], both["area"]) == ([flat(left), flat(right)], 128)
    assert ant["category_id"] == 1
    assert drawn(masked).sum() == 65
    assert drawn(masked)[2, 40] == 1
    assert done.labels() == (7, 7, 0, 0)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (shape("point", [[1, 1]]), "no-area"),
        (shape("linestrip", [[1, 1], [2, 2], [3, 3]]), "no-area"),
        (shape("polygon", [[1, 1], [2, 2]]), "bad-points"),
        (shape("polygon", [[1, 1], [2, 2], [3]]), "bad-points"),
        (shape("polygon", [[1, 1], [2, 2], [1e9, 3]]), "bad-points"),
        (shape("polygon", "x"), "bad-points"),
        (shape("star", [[1, 1], [2, 2], [3, 3]]), "bad-points"),
        (shape("mask", [[1, 1], [2, 2]]), "bad-mask"),
        (shape("mask", [[1, 1], [2, 2]], mask="!"), "bad-mask"),
        (shape("mask", [[63, 1], [64, 1]], mask=png([[1, 1]])), "bad-mask"),
        (shape("rectangle", [[1, 1], [2, 2]], ""), "no-class"),
        (shape("rectangle", [[1, 1], [2, 2]], None), "no-class"),
        (shape("rectangle", [[1, 1], [2, 2]], "__ignore__"), "ignored"),
    ],
)
def test_each_broken_shape_is_named_and_the_others_stay(tmp_path: Path, broken: dict[str, Any], reason: str) -> None:
    done = imported(lay(tmp_path / "d", shape("rectangle", [[10, 8], [30, 24]]), broken), "labelme")
    assert done.set_aside == [("label", "a.json", "2", reason)]
    assert done.labels() == (2, 1, 0, 1)
    assert len(done.objects()["a.jpg"]) == 1
    assert len(done.document()["annotations"]) == 2  # the lost one goes on, for the index to quarantine


@pytest.mark.parametrize(
    "said", ["a.jpg", "..\\images\\a.jpg", "/pictures/of/mine/a.jpg", "another.jpg", "../../a.jpg"]
)
def test_images_are_found_by_what_labelme_writes_or_by_the_stem(tmp_path: Path, said: str) -> None:
    folder = lay(tmp_path / "d", shape("rectangle", [[10, 8], [30, 24]]), said=said)
    assert list(imported(folder, "labelme").objects()) == ["a.jpg"]


def test_json_that_is_none_of_labelme_s_is_named_and_json_that_is_none_sets_its_image_aside(tmp_path: Path) -> None:
    folder = lay(tmp_path / "d", shape("rectangle", [[10, 8], [30, 24]]))
    (folder / "other.json").write_text("{}")
    (folder / "b.json").write_text('{"shapes": [')
    draw_image(folder / "b.jpg", 3)
    done = imported(folder, "labelme")
    assert list(done.objects()) == ["a.jpg"]
    assert done.manifest["said"][0].startswith("other.json: JSON, but none of labelme's")
    assert done.set_aside == [("file", "b.json", "", "unreadable-file"), ("image", "b.jpg", "", "unreadable-file")]


def test_a_stated_size_beyond_measure_takes_no_memory(tmp_path: Path) -> None:
    folder = lay(tmp_path / "d", shape("mask", [[5, 6], [5, 6]], mask=png([[1]])))
    document = json.loads((folder / "a.json").read_text()) | {"imageHeight": 10**9, "imageWidth": 10**9}
    (folder / "a.json").write_text(json.dumps(document))
    assert drawn(imported(folder, "labelme").objects()["a.jpg"][0]).shape == (HEIGHT, WIDTH)
