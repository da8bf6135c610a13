"""COCO's figures on the real slice, from its own annotations made worse: equal to pycocotools to the last digit."""

import contextlib
import io
import json

import numpy as np
import pytest
from cocomine.evaluation import detections
from cocomine.evaluation.ground import ground_of_file
from cocomine.evaluation.resampling import image_draws
from cocomine.evaluation.truth import box_iou, read_truth
from helpers.shared import coco_mini
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

IOU_TYPES = {"boxes": "bbox", "masks": "segm", "keypoints": "keypoints"}
RESAMPLED = {"boxes": (0, 1, 2, 8), "masks": (0, 1, 2, 8), "keypoints": (0, 1, 2, 5)}


def degraded(document, task, *, distinct=False):
    """Return results: objects found never, once or several times, moved, some of another class, scores often equal."""
    random = np.random.default_rng(3)
    classes = [category["id"] for category in document["categories"]]
    sizes = {image["id"]: (image["height"], image["width"]) for image in document["images"]}
    found = []
    for record in document["annotations"]:
        x, y, width, height = record["bbox"]
        for _ in range(random.integers(0, 4)):
            dx, dy, dw, dh = random.normal(0, 0.1, 4) * (width, height, width, height)
            score = float(random.random())
            entry = {
                "image_id": record["image_id"],
                "category_id": record["category_id"] if random.random() < 0.9 else int(random.choice(classes)),
                "score": score if distinct else round(score, 1),
            }
            if task == "boxes":
                entry["bbox"] = [x + dx, y + dy, max(0.0, width + dw), max(0.0, height + dh)]
            elif task == "masks":
                shape = coco_mask.frPyObjects(record["segmentation"], *sizes[record["image_id"]])
                mask = coco_mask.decode(coco_mask.merge(shape) if isinstance(shape, list) else shape)
                packed = coco_mask.encode(np.asfortranarray(np.roll(mask, (int(dy), int(dx)), (0, 1))))
                entry["segmentation"] = {"size": packed["size"], "counts": packed["counts"].decode()}
            else:
                points = np.array(record["keypoints"], float).reshape(-1, 3)
                points[:, :2] += random.normal(0, 0.03, (17, 2)) * max(width, height)
                entry["keypoints"] = points.ravel().tolist()
            found.append(entry)
    return found


def theirs(document, results, task):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = document
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(json.loads(json.dumps(results))), IOU_TYPES[task])
        evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
    return [None if value < 0 else float(value) for value in evaluation.stats]


@pytest.fixture(params=["boxes", "masks", "keypoints"])
def task(request):
    return request.param


@pytest.fixture
def path(task):
    name = "person_keypoints" if task == "keypoints" else "instances"
    return coco_mini() / "annotations" / f"{name}_val2017.json"


def judged(path, task, results):
    return detections.judge(results, read_truth(ground_of_file(path, None, task)), task)


@pytest.mark.slow
def test_all_figures_are_those_of_pycocotools_to_the_last_digit(path, task):
    document = json.loads(path.read_text())
    results = degraded(document, task)
    own = judged(path, task, results)
    assert list(own.figures().values()) == theirs(document, results, task)
    assert 0.01 < own.figures()["AP"] < 0.6


@pytest.mark.slow
def test_a_bootstrap_draw_is_an_evaluation_of_the_drawn_images(path, task):
    document = json.loads(path.read_text())
    results = degraded(document, task, distinct=True)
    own = judged(path, task, results)
    draws = own.draws(4)
    weights = np.concatenate(list(image_draws(len(own.truth.images), 4)))
    drawn = {"images": [], "annotations": [], "categories": document["categories"]}
    copied = []
    images = {image["id"]: image for image in document["images"]}
    for image, times in zip(own.truth.images, weights[2].astype(int).tolist(), strict=True):
        for _ in range(times):
            number = len(drawn["images"]) + 1
            drawn["images"].append({**images[image], "id": number})
            for record in document["annotations"]:
                if record["image_id"] == image:
                    place = len(drawn["annotations"]) + 1
                    drawn["annotations"].append({**record, "image_id": number, "id": place})
            copied += [{**entry, "image_id": number} for entry in results if entry["image_id"] == image]
    stats = theirs(drawn, copied, task)
    expected = [stats[place] for place in RESAMPLED[task]]
    assert [draws[name][2] for name in ("AP", "AP50", "AP75", "AR")] == pytest.approx(expected, abs=1e-12)


def test_the_overlap_of_boxes_is_that_of_pycocotools_to_the_last_digit():
    random = np.random.default_rng(0)
    boxes = random.uniform(0, 50, (2, 300, 4)) * (1, 1, 0.9, 1.1)
    boxes[:, ::9] = boxes[0, ::9]
    boxes[:, 5, 2] = 0
    crowd = random.random(300) < 0.3
    ours = box_iou(boxes[0], boxes[1], crowd)
    pairs = zip(boxes[0], boxes[1], crowd.tolist(), strict=True)
    assert ours.tolist() == [float(coco_mask.iou(one[None], other[None], [int(c)])[0, 0]) for one, other, c in pairs]
