"""COCONut's instances, as its own script makes them of its panoptic masks, are read without loss and matched.

The shape is that of bytedance/coconut_cvpr2024, tutorials/kmaxdeeplab_instance/create_instance_by_panseg.py: contours
between pixels instead of at their corners, boxes one pixel short, whole numbers as areas, crowds as plain run lengths,
133 categories of which 53 are stuff, one licence for all images.
"""

import json

import pytest
from helpers.drawn_documents import crowd, document, image, thing
from helpers.two_sources import annotations, findings, matched

WIDTH, HEIGHT = 320, 240
STUFF = {92: "banner", 93: "blanket", 200: "rug-merged"}


def contour(number, x, y, width, height, category=7):
    """A rectangle of pixels as the script writes it: contours run half a pixel outside of the outermost pixels."""
    left, top, right, bottom = (max(0, edge - 0.5) for edge in (x, y, x + width, y + height))
    ring = [left, top, right, top, right, bottom, left, bottom, left, top]
    return {
        "image_id": 1, "category_id": category, "id": number, "iscrowd": 0, "area": width * height,
        "segmentation": [ring], "bbox": [float(x), float(y), float(width - 1), float(height - 1)],
    }  # fmt: skip


def plain_crowd(number, x, y, width, height, category=7):
    """A crowd: run lengths down the columns, as whole numbers."""
    counts = [x * HEIGHT + y]
    for column in range(width):
        counts += [
            height,
            HEIGHT - height if column < width - 1 else (WIDTH - x - width) * HEIGHT + HEIGHT - y - height,
        ]
    return {
        "image_id": 1, "category_id": category, "id": number, "iscrowd": 1, "area": width * height,
        "segmentation": {"counts": counts, "size": [HEIGHT, WIDTH]},
        "bbox": [float(x), float(y), float(width - 1), float(height - 1)],
    }  # fmt: skip


def coconut(*records):
    stuff = [{"supercategory": "textile", "isthing": 0, "id": n, "name": name} for n, name in STUFF.items()]
    content = document(*records, images=[image() | {"license": 3}])
    content["categories"] = [{**one, "isthing": 1} for one in content["categories"]] + stuff
    return content


def test_its_objects_are_those_of_coco_and_its_stuff_has_no_counterpart(tmp_path):
    first = document(
        thing(1, 20, 20, 90, 60), thing(2, 150, 20, 80, 70, category=9), crowd(3, 10, 120, 200, 90), images=[image(1)]
    )
    second = coconut(
        contour(1, 20, 20, 90, 60), contour(2, 150, 20, 80, 70, category=9), plain_crowd(3, 10, 120, 200, 90)
    )
    folders = annotations(tmp_path / "coco", first), annotations(tmp_path / "coconut", second)
    manifest = json.loads((folders[1] / "index" / "instances_a" / "index.json").read_text())
    assert manifest["counts"]["annotations"] == 3
    assert manifest["reasons"]["annotation"] == {}, "a box that is a pixel short is no damage"
    result = matched(*folders, tmp_path / "out")
    rows = {tuple(row["first_ids"]): row for row in findings(tmp_path / "out")}
    assert {ids: (row["kind"], row["second_ids"]) for ids, row in rows.items()} == {
        (1,): ("same", [1]), (2,): ("same", [2]), (3,): ("same", [3]),
    }  # fmt: skip
    assert rows[(1,)]["iou"] > 0.95
    assert result is not None
    crosswalk = (tmp_path / "out" / "crosswalk.tsv").read_text()
    assert all(name in crosswalk for name in STUFF.values())


@pytest.mark.parametrize("parts", [2, 3])
def test_what_coco_has_as_a_crowd_and_coconut_tells_apart_is_found_by_that_kind(tmp_path, parts):
    first = document(crowd(1, 20, 20, 60 * parts + 20, 100), images=[image(1)])
    second = coconut(*(contour(n, 30 + 60 * (n - 1), 40, 50, 60) for n in range(1, parts + 1)))
    matched(
        annotations(tmp_path / "coco", first), annotations(tmp_path / "coconut", second), tmp_path / "out"
    )  # fmt: skip
    (row,) = findings(tmp_path / "out")
    assert (row["kind"], row["first_ids"], row["second_ids"]) == ("crowd", [1], list(range(1, parts + 1)))
