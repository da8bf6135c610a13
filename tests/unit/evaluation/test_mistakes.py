"""What is wrong with results: each kind of mistake planted is found, and weaknesses where they were planted."""

import json

import numpy as np
import pytest
from cocomine.evaluation import detections, mistakes
from cocomine.evaluation.ground import ground_of_file
from cocomine.evaluation.settings import JudgingSettings
from cocomine.evaluation.truth import read_truth

CAT, DOG = 1, 2
CATEGORIES = [{"id": CAT, "name": "cat"}, {"id": DOG, "name": "dog"}]


def write_truth(path, objects, images=1, licences=None):
    """Write annotations of (image, class, box[, crowd])."""
    document = {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "width": 200, "height": 200, "license": (licences or {}).get(i, 1)}
            for i in range(1, images + 1)
        ],
        "annotations": [
            {"id": n, "image_id": image, "category_id": category, "bbox": box, "area": box[2] * box[3],
             "iscrowd": int(bool(crowd)), "segmentation": [[0, 0, 1, 0, 1, 1]]}
            for n, (image, category, box, *crowd) in enumerate(objects, 1)
        ],
        "categories": CATEGORIES,
    }  # fmt: skip
    path.write_text(json.dumps(document))
    return path


def result(image, category, box, score):
    return {"image_id": image, "category_id": category, "bbox": box, "score": score}


def score(folder, objects, results, **more):
    truth = write_truth(folder / "truth.json", objects, **more)
    (folder / "r.json").write_text(json.dumps(results))
    settings = JudgingSettings.from_mapping({"bootstrap": 200})
    return detections.score_results(folder / "r.json", ground_of_file(truth, None, "boxes"), settings, folder / "out")


OBJECTS = [
    (1, CAT, [10, 10, 40, 40]),
    (1, CAT, [100, 10, 40, 40]),
    (1, DOG, [10, 100, 40, 40]),
    (1, DOG, [100, 100, 40, 40]),
    (1, CAT, [150, 150, 40, 40], True),
]
RESULTS = {
    "right": result(1, CAT, [10, 10, 40, 40], 0.95),
    "duplicate": result(1, CAT, [11, 10, 40, 40], 0.9),
    "localisation": result(1, CAT, [120, 10, 40, 40], 0.85),  # IoU 1/3 with the second cat
    "confusion": result(1, CAT, [10, 100, 40, 40], 0.8),  # on the first dog
    "background": result(1, DOG, [60, 60, 20, 20], 0.75),
    "both": result(1, CAT, [120, 100, 40, 40], 0.7),  # IoU 1/3 with the second dog
    "in a crowd": result(1, CAT, [150, 150, 30, 30], 0.65),
}


def test_each_kind_of_mistake_is_told_from_the_others(tmp_path):
    found = score(tmp_path, OBJECTS, list(RESULTS.values()))["mistakes"]["kinds"]
    assert {kind: found[kind]["results"] for kind in mistakes.KINDS} == dict.fromkeys(mistakes.KINDS, 1)
    assert found["missed"]["objects"] == 1  # the second dog: the others are found, or a mistake lies nearest to them


def test_a_figure_without_a_kind_of_mistake_is_that_of_results_without_it(tmp_path):
    kinds = score(tmp_path, OBJECTS, list(RESULTS.values()))["mistakes"]["kinds"]
    for kind in mistakes.KINDS:
        left = [entry for name, entry in RESULTS.items() if name != kind]
        assert kinds[kind]["AP50_without"] == score(tmp_path, OBJECTS, left)["all"]["AP50"]


def test_classes_taken_for_one_another_stand_in_the_confusion(tmp_path):
    entries = [RESULTS[name] for name in ("right", "confusion", "background", "in a crowd")]
    table = score(tmp_path, OBJECTS, entries)["confusion"]
    assert table["classes"] == ["cat", "dog"]
    assert table["score_threshold"] == 0.95  # the score of best F1: the right one alone
    truth = read_truth(ground_of_file(tmp_path / "truth.json", None, "boxes"))
    judged = detections.judge(entries, truth, "boxes")
    edges = mistakes.across_classes(entries, judged.found, truth, "boxes", judged.matches)
    counts = mistakes.confusion(judged.found, truth, judged.matches, edges, 0.0)
    #                 cat dog nothing
    assert counts == [[1, 0, 1], [1, 0, 1], [0, 1, 0]]


def scattered(images, worse):
    """Return objects and results of many images; in the images of `worse` most objects are not found."""
    random = np.random.default_rng(5)
    objects, results = [], []
    for image in range(1, images + 1):
        for place in range(3):
            box = [60 * place + 5, float(random.integers(0, 120)), 40, 40]
            objects.append((image, CAT if random.random() < 0.5 else DOG, box))
            if random.random() < (0.3 if image in worse else 0.8):
                results.append(result(image, objects[-1][1], box, float(random.random())))
    return objects, results


@pytest.mark.parametrize("planted", [True, False])
def test_a_weakness_is_found_where_it_was_planted_and_none_where_none_was(tmp_path, planted):
    images = 60
    licences = {image: 1 + image % 2 for image in range(1, images + 1)}
    worse = {image for image, licence in licences.items() if licence == 2} if planted else set()
    objects, results = scattered(images, worse)
    found = score(tmp_path, objects, results, images=images, licences=licences)["slices"]
    if planted:
        assert found["finding"].startswith("licence explains most of the error")
        assert "Worst slice: licence 2" in found["finding"]
        cells = {cell["cell"]: cell for cell in found["attributes"][0]["cells"]}
        assert cells["2"]["AP"] < cells["1"]["AP"]
    else:
        assert "No attribute explains more of the error than chance does" in found["finding"]


def test_an_image_of_nothing_in_which_nothing_is_claimed_has_no_error(tmp_path):
    truth = write_truth(tmp_path / "t.json", [(1, CAT, [0, 0, 10, 10])], images=2)
    entries = [result(1, CAT, [0, 0, 10, 10], 0.5)]
    judged = detections.judge(entries, read_truth(ground_of_file(truth, None, "boxes")), "boxes")
    assert mistakes.image_errors(judged.matches, judged.truth, 0.5).tolist() == [0.0, 0.0]
    assert mistakes.image_errors(judged.matches, judged.truth, 0.6).tolist() == [1.0, 0.0]
