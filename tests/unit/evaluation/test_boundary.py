"""Boundary IoU against a plain loop over pixels, and what void does to it."""

import json

import numpy as np
import pytest
from cocomine.evaluation import boundary, detections
from cocomine.evaluation.ground import ground_of_file
from cocomine.evaluation.settings import JudgingSettings
from helpers.peers import told_by
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask


def eroded_once(mask):
    """One erosion by 3 × 3, pixel by pixel; outside of the image nothing is set."""
    height, width = mask.shape
    inside = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            around = [(y + j, x + i) for j in (-1, 0, 1) for i in (-1, 0, 1)]
            inside[y, x] = all(0 <= j < height and 0 <= i < width and mask[j, i] for j, i in around)
    return inside


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))), st.integers(1, 4))
def test_a_region_is_the_mask_without_what_repeated_erosion_leaves(mask, width):
    inner = mask
    for _ in range(width):
        inner = eroded_once(inner)
    assert (boundary.region(mask, width) == (mask & ~inner)).all()


def test_the_width_is_a_share_of_the_diagonal_and_never_nothing():
    assert boundary.width_of((480, 640)) == 16
    assert boundary.width_of((3, 4)) == 1
    assert boundary.width_of((480, 640), 0.01) == 8


def test_a_square_that_is_moved_by_a_pixel_loses_of_its_boundary_and_little_of_its_area():
    truth, found = np.zeros((100, 100), np.uint8), np.zeros((100, 100), np.uint8)
    truth[20:80, 20:80], found[20:80, 21:81] = 1, 1
    both, own, true = boundary.boundary_counts(found, truth, 2)
    ring = 60 * 60 - 54 * 54  # d = 3
    assert own[1] == true[1] == ring
    # The rings share 59 × 60 minus what lies inside one of them: the holes are 54 wide and a pixel apart.
    assert both[1] == 59 * 60 - 55 * 54


@pytest.mark.parametrize("found_under_void", [0, 1])
def test_the_edge_of_void_is_no_boundary_and_void_counts_nowhere(found_under_void):
    truth = np.full((60, 60), 1, np.uint8)
    truth[:, 30:] = 255
    found = np.where(truth == 255, found_under_void, truth).astype(np.uint8)
    both, own, true = boundary.boundary_counts(found, truth, 2)
    width = boundary.width_of((60, 60))
    outer = 60 * 30 - (60 - 2 * width) * (30 - width)  # the image's own three edges
    assert both[1] == own[1] == true[1] == outer


masks = arrays(np.uint8, (14, 17), elements=st.integers(0, 1), fill=st.just(1))


def packed(mask):
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


@given(masks, masks, st.integers(1, 4))
def test_the_iou_of_packed_masks_is_that_of_their_regions(one, other, width):
    regions = [boundary.region(mask.astype(bool), width) for mask in (one, other)]
    union = (regions[0] | regions[1]).sum()
    expected = (regions[0] & regions[1]).sum() / union if union else 0.0
    assert boundary.edge_iou(*(boundary.edge_of(packed(mask), width) for mask in (one, other))) == expected


def blobs(random, side):
    """Return a mask of an ellipse and the same with a ragged outline."""
    y, x = np.mgrid[:side, :side]
    middle, size = random.uniform(30, side - 30, 2), random.uniform(8, 40, 2)
    distance = ((x - middle[0]) / size[0]) ** 2 + ((y - middle[1]) / size[1]) ** 2
    waves = 1 + 0.3 * np.sin(np.arctan2(y - middle[1], x - middle[0]) * random.integers(3, 9)) * random.random()
    return distance < 1, distance < waves**2


def write_case(folder, images=12, side=120):
    random = np.random.default_rng(0)
    annotations, results = [], []
    for image in range(1, images + 1):
        for number in range(6):
            truth, found = blobs(random, side)
            box = coco_mask.toBbox(packed(truth)).tolist()
            record = {"id": len(annotations) + 1, "image_id": image, "category_id": 1 + number % 2, "bbox": box,
                      "area": int(truth.sum()), "iscrowd": int(number == 5), "segmentation": packed(truth)}  # fmt: skip
            annotations.append(record)
            results.append({"image_id": image, "category_id": 1 + number % 2, "segmentation": packed(found),
                            "score": float(random.random())})  # fmt: skip
    pictures = [{"id": n, "width": side, "height": side, "file_name": f"{n}.jpg"} for n in range(1, images + 1)]
    categories = [{"id": n, "name": f"c{n}"} for n in (1, 2)]
    truth, found = folder / "truth.json", folder / "found.json"
    truth.write_text(json.dumps({"images": pictures, "annotations": annotations, "categories": categories}))
    found.write_text(json.dumps(results))
    return truth, found


def judged(folder, share=0.02):
    settings = JudgingSettings.from_mapping({"bootstrap": 20, "boundary": share})
    truth, found = folder / "truth.json", folder / "found.json"
    return detections.score_results(found, ground_of_file(truth, None, "masks"), settings, folder / "out")


THEIRS = """
import contextlib, io, json, sys
from faster_coco_eval import COCO, COCOeval_faster
with contextlib.redirect_stdout(io.StringIO()):
    truth = COCO(sys.argv[1])
    one = COCOeval_faster(truth, truth.loadRes(sys.argv[2]), "boundary", boundary_dilation_ratio=float(sys.argv[3]))
    one.evaluate(); one.accumulate(); one.summarize()
print(json.dumps([float(value) for value in one.all_stats[:12]]))
"""


@pytest.mark.parametrize("share", [0.02, 0.05])
def test_boundary_ap_of_masks_is_that_of_faster_coco_eval_to_the_last_digit(tmp_path, share):
    files = write_case(tmp_path)
    expected = told_by("faster-coco-eval", THEIRS, *files, share, home=tmp_path)
    result = judged(tmp_path, share)
    assert list(result["boundary"]["all"].values()) == [None if value < 0 else value for value in expected]
    assert result["boundary"]["all"]["AP"] < result["all"]["AP"] - 0.05


def test_masks_that_are_the_truth_have_a_boundary_ap_of_one_and_none_is_given_where_none_is_asked_for(tmp_path):
    truth, found = write_case(tmp_path, images=3)
    records = json.loads(truth.read_text())["annotations"]
    keys = ("image_id", "category_id", "segmentation")
    found.write_text(json.dumps([{key: r[key] for key in keys} | {"score": 0.9} for r in records if not r["iscrowd"]]))
    assert judged(tmp_path)["boundary"]["all"]["AP"] == pytest.approx(1.0)
    assert "boundary" not in judged(tmp_path, 0)
