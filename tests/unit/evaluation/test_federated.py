"""LVIS' rules: each by a case counted by hand, and all figures equal to lvis-api's to the last digit."""

import json

import numpy as np
import pytest
from cocomine.evaluation import detections
from cocomine.evaluation.ground import ground_of_file, ground_of_subset
from cocomine.evaluation.settings import JudgingSettings
from helpers.peers import told_by
from pycocotools import mask as coco_mask

SIDE = 64
SETTINGS = JudgingSettings.from_mapping({"bootstrap": 20})
FREQUENCIES = ("r", "c", "f", "f")
LVIS_API = """
import json, sys, numpy
numpy.float = float  # lvis-api 0.5.3 is older than NumPy 1.24
from lvis import LVIS, LVISEval, LVISResults
truth = LVIS(sys.argv[1])
one = LVISEval(truth, LVISResults(truth, sys.argv[2]), sys.argv[3])
one.run()
print(json.dumps({name: float(value) for name, value in one.results.items()}))
"""
THEIRS = {"AP": "AP", "AP50": "AP50", "AP75": "AP75", "APs": "AP_small", "APm": "AP_medium", "APl": "AP_large",
          "APr": "AP_rare", "APc": "AP_common", "APf": "AP_frequent", "AR@300": "AR300", "ARs@300": "AR_small",
          "ARm@300": "AR_medium", "ARl@300": "AR_large"}  # fmt: skip


def outline(x, y, width, height):
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def drawn(folder, task, seed, images=25):
    """Write an annotation file in the form of LVIS and results, some images with more than 300; return both."""
    random = np.random.default_rng(seed)
    pictures, annotations, results = [], [], []
    for image in range(1, images + 1):
        kinds = random.permutation(4) + 1
        shown, absent = kinds[:2].tolist(), kinds[2 : 2 + random.integers(0, 3)].tolist()
        partial = [int(kind) for kind in kinds[:3] if random.random() < 0.3]
        pictures.append({"id": image, "width": SIDE, "height": SIDE, "file_name": f"{image}.jpg",
                         "neg_category_ids": absent, "not_exhaustive_category_ids": partial})  # fmt: skip
        for number in range(random.integers(1, 7)):
            box = [*random.uniform(0, 20, 2).tolist(), *random.uniform(4, 44, 2).tolist()]
            annotations.append({"id": len(annotations) + 1, "image_id": image, "bbox": box, "area": box[2] * box[3],
                                "category_id": int(random.choice(shown)), "segmentation": [outline(*box)]}
                               | ({"ignore": 1} if number == 5 else {}))  # fmt: skip
            for _ in range(120 if image % 9 == 0 else 4):
                moved = (np.array(box) + random.normal(0, 3, 4)).clip(0.5, 60).tolist()
                entry = {"image_id": image, "score": round(float(random.random()), 2),
                         "category_id": annotations[-1]["category_id"] if random.random() < 0.6
                         else int(random.integers(1, 5))}  # fmt: skip
                if task == "boxes":
                    entry["bbox"] = moved
                else:
                    packed = coco_mask.merge(coco_mask.frPyObjects([outline(*moved)], SIDE, SIDE))
                    entry["segmentation"] = {"size": packed["size"], "counts": packed["counts"].decode()}
                results.append(entry)
    categories = [
        {"id": n, "name": f"c{n}", "frequency": letter, "image_count": 1} for n, letter in enumerate(FREQUENCIES, 1)
    ]
    return write(folder, pictures, annotations, categories, results)


def write(folder, pictures, annotations, categories, results):
    truth, found = folder / "lvis.json", folder / "results.json"
    truth.write_text(json.dumps({"images": pictures, "annotations": annotations, "categories": categories,
                                 "info": {}, "licenses": []}))  # fmt: skip
    found.write_text(json.dumps(results))
    return truth, found


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("task", ["boxes", "masks"])
def test_figures_are_those_of_lvis_api_to_the_last_digit(tmp_path, task, seed):
    truth, found = drawn(tmp_path, task, seed)
    kind = {"boxes": "bbox", "masks": "segm"}[task]
    expected = told_by("lvis", LVIS_API, truth, found, kind, home=tmp_path)
    result = detections.score_results(found, ground_of_file(truth, None, task), SETTINGS, tmp_path / "out")
    assert result["rules"] == "LVIS'"
    assert result["predictions"]["beyond_300_of_an_image"] > 0
    assert result["predictions"]["class_not_looked_for"] > 0
    figures = {ours: result["all"][ours] for ours in THEIRS.values()}
    assert figures == {ours: None if expected[name] < 0 else expected[name] for name, ours in THEIRS.items()}


def one_image(tmp_path, entries, absent=(), partial=(), extra=()):
    """Judge results of one image that shows a c1 at the left top; return what was judged."""
    picture = {"id": 1, "width": SIDE, "height": SIDE, "file_name": "1.jpg",
               "neg_category_ids": list(absent), "not_exhaustive_category_ids": list(partial)}  # fmt: skip
    box = [0, 0, 40, 40]
    shown = {"id": 1, "image_id": 1, "category_id": 1, "bbox": box, "area": 1600, "segmentation": [outline(*box)]}
    categories = [{"id": n, "name": f"c{n}", "frequency": "f"} for n in (1, 2)]
    results = [{"image_id": 1, "category_id": c, "bbox": b, "score": s} for c, b, s in entries]
    files = write(tmp_path, [picture], [shown, *extra], categories, results)
    return detections.score_results(files[1], ground_of_file(files[0], None, "boxes"), SETTINGS, tmp_path / "out")


RIGHT, ELSEWHERE = (1, [0, 0, 40, 40], 0.5), [50, 50, 10, 10]


def test_a_class_that_was_not_looked_for_is_not_held_against_a_model(tmp_path):
    result = one_image(tmp_path, [RIGHT, (2, ELSEWHERE, 0.9)])
    assert (result["all"]["AP"], result["predictions"]["class_not_looked_for"]) == (pytest.approx(1.0), 1)
    assert result["mistakes"]["kinds"]["background"]["results"] == 0


def test_a_class_that_was_looked_for_in_vain_is(tmp_path):
    result = one_image(tmp_path, [RIGHT, (2, ELSEWHERE, 0.9)], absent=[2])
    assert result["predictions"]["class_not_looked_for"] == 0
    assert result["mistakes"]["kinds"]["background"]["results"] == 1


@pytest.mark.parametrize(("partial", "expected"), [([], 0.5), ([1], 1.0)])
def test_false_results_of_a_class_that_is_not_exhaustive_do_not_count(tmp_path, partial, expected):
    assert one_image(tmp_path, [(1, ELSEWHERE, 0.9), RIGHT], partial=partial)["all"]["AP"] == pytest.approx(expected)


def test_of_an_image_the_best_300_take_part_whatever_their_class(tmp_path):
    others = [(2, ELSEWHERE, 0.6)] * 300
    result = one_image(tmp_path, [RIGHT, *others], absent=[2])
    assert (result["all"]["AP"], result["predictions"]["beyond_300_of_an_image"]) == (0.0, 1)
    assert one_image(tmp_path, [RIGHT, *others[1:]], absent=[2])["all"]["AP"] == pytest.approx(1.0)


def test_an_image_that_says_nothing_leaves_cocos_rules(tmp_path):
    truth, found = drawn(tmp_path, "boxes", 1, images=4)
    document = json.loads(truth.read_text())
    del document["images"][0]["neg_category_ids"]
    truth.write_text(json.dumps(document))
    result = detections.score_results(found, ground_of_file(truth, None, "boxes"), SETTINGS, tmp_path / "out")
    assert result["rules"] == "COCO's"
    assert "AR100" in result["all"]


def test_a_class_made_of_several_was_looked_for_where_all_of_them_were(tmp_path):
    folder = tmp_path / "subset"
    folder.mkdir()
    pictures = [{"id": n, "width": SIDE, "height": SIDE, "file_name": f"{n}.jpg", "neg_category_ids": absent,
                 "not_exhaustive_category_ids": []} for n, absent in ((1, [7, 8]), (2, [7]))]  # fmt: skip
    made = {"id": 1, "name": "vehicle", "source_categories": [{"id": 7, "name": "bus"}, {"id": 8, "name": "truck"}]}
    results = [{"image_id": n, "category_id": 1, "bbox": ELSEWHERE, "score": 0.5} for n in (1, 2)]
    _, found = write(folder, pictures, [], [made], results)
    (folder / "lvis.json").rename(folder / "subset.json")
    (folder / "split.tsv").write_text("image_id\tfile_name\tsplit\n1\t1.jpg\tval\n2\t2.jpg\tval\n")
    labels = [{"label": 0, "category_id": None, "name": "background", "color": [0, 0, 0]},
              {"label": 1, "category_id": 1, "name": "vehicle", "color": [9, 9, 9]}]  # fmt: skip
    (folder / "labels.json").write_text(json.dumps({"labels": labels}))
    ground = ground_of_subset(folder, SETTINGS, "boxes")
    counts = detections.score_results(found, ground, SETTINGS, tmp_path / "out")["predictions"]
    assert (counts["judged"], counts["class_not_looked_for"]) == (2, 1)
