"""Labels that a model contradicts: each kind on drawn objects, and planted errors of real annotations found early."""

import json

import find_label_errors as script
import numpy as np
import pytest
from cocomine.base.files import read_table
from cocomine.evaluation.ground import ground_of_file
from cocomine.evaluation.results_file import read_results
from cocomine.evaluation.settings import JudgingSettings
from cocomine.evaluation.truth import read_truth
from cocomine.matching.label_errors import find_label_errors
from helpers.drawn_documents import crowd, document, image, thing
from helpers.drawn_predictions import predictions_of
from helpers.planted_edits import Editor
from helpers.shared import coco_mini
from helpers.small_subset import make_small_subset
from pycocotools import mask as coco_mask

KIND_OF_EDIT = {"only-first": "missing", "only-second": "spurious", "relabelled": "class", "outline": "outline"}


def predicted(x, y, width, height, score, category=7, of=1):
    polygon = [[x, y, x + width, y, x + width, y + height, x, y + height]]
    rle = coco_mask.frPyObjects(polygon, 240, 320)[0]
    shape = {"size": [240, 320], "counts": rle["counts"].decode()}
    return {"image_id": of, "category_id": category, "score": score, "segmentation": shape}


def found(tmp_path, labels, results, **options):
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    (tmp_path / "results.json").write_text(json.dumps(results))
    ground = ground_of_file(tmp_path / "labels.json", None, "masks")
    entries = read_results(tmp_path / "results.json", ground, read_truth(ground).sizes, JudgingSettings()).entries
    return find_label_errors(ground, entries, tmp_path / "out", **options)


def test_each_kind_of_error_is_named(tmp_path):
    places = [(10, 10), (100, 10), (200, 10), (10, 120)]
    labels = [thing(n, x, y, 60, 60) for n, (x, y) in enumerate(places, 1)]
    # The model finds the four, the third with another outline; and it contradicts three more labels.
    results = [predicted(x, y, 60, 60, 0.9) for x, y in places]
    results[2] = predicted(210, 18, 60, 60, 0.9)
    labels += [thing(5, 100, 120, 60, 60, category=9), thing(6, 200, 120, 60, 60), crowd(7, 0, 200, 300, 40)]
    results += [predicted(100, 120, 60, 60, 0.8), predicted(270, 100, 40, 40, 0.7, category=9)]
    results += [predicted(20, 205, 30, 30, 0.9)]  # in the crowd
    ranked = found(tmp_path, document(*labels, images=[image()]), results, page="explorer.html")
    kinds = {one.annotation: one.kind for one in ranked}
    assert kinds == {3: "outline", 5: "class", 6: "spurious", -1: "missing"}
    assert [one.suspicion for one in ranked] == sorted((one.suspicion for one in ranked), reverse=True)
    rows = {row["annotation_id"]: row for row in read_table(tmp_path / "out" / "label_errors.tsv")}
    assert (rows["5"]["category"], rows["5"]["predicted_category"]) == ("dog", "cat")
    assert rows[""]["predicted_category"] == "dog"
    assert rows["6"]["link"] == "explorer.html#image=1"


def test_a_model_that_never_finds_a_class_proves_nothing_about_it(tmp_path):
    labels = document(*(thing(n, 40 * n, 10, 30, 30) for n in range(1, 6)), thing(9, 10, 100, 50, 50, category=9))
    assert found(tmp_path, labels, [predicted(10, 100, 50, 50, 0.9, category=9)]) == []


def test_a_label_without_any_prediction_in_its_image_is_suspicious_where_the_class_is_found(tmp_path):
    things = [thing(n, 40 * n, 10, 30, 30) for n in range(1, 5)]
    labels = document(*things, thing(5, 50, 50, 60, 60, image=2), images=[image(1), image(2)])
    results = [predicted(40 * n, 10, 30, 30, 0.9) for n in range(1, 5)]
    assert [(one.kind, one.annotation) for one in found(tmp_path, labels, results)] == [("spurious", 5)]


def test_the_script_reviews_the_judged_split_of_a_subset_and_lists_as_many_as_are_asked_for(tmp_path):
    subset = make_small_subset(tmp_path).folder
    square = {"size": [50, 50], "counts": coco_mask.encode(np.ones((50, 50), np.uint8, order="F"))["counts"].decode()}
    results = [{"image_id": 44, "category_id": 18, "score": 0.9, "segmentation": square}]
    (tmp_path / "results.json").write_text(json.dumps(results))
    options = ["--subset-dir", str(subset), "--file", str(tmp_path / "results.json"), "--explorer", "../explorer.html"]
    for number, shown in ((1, 1), (50, 3)):
        out = tmp_path / str(number)
        parsed = script.build_parser().parse_args([*options, "--out-dir", str(out)])
        parsed.settings = JudgingSettings(split="val", label_errors=number)
        script.main(parsed)
        rows = list(read_table(out / "label_errors.tsv"))
        assert len(rows) <= shown
        assert {row["image_id"] for row in rows} <= {"44", "58"}
    assert rows[0]["kind"] == "missing"
    assert rows[0]["link"] == "../explorer.html#image=44"


@pytest.mark.slow
def test_planted_errors_of_real_labels_come_first(tmp_path, capsys):
    original = json.loads((coco_mini() / "annotations" / "instances_train2017.json").read_text())
    editor = Editor(original, 0, (*KIND_OF_EDIT, *["nothing"] * 4))
    planted = {
        (KIND_OF_EDIT[edit.kind], edit.image_id, edit.second[0] if edit.second else -1) for edit in editor.plant()
    }
    results = predictions_of(original, 1)
    ranked = [(one.kind, one.image.id, one.annotation) for one in found(tmp_path, editor.document, results)]
    lines = []
    for k in (10, 25, 50, 100, len(planted), 2 * len(planted)):
        hits = len(planted & set(ranked[:k]))
        lines.append(f"k = {k}: precision {hits / k:.2f}, recall {hits / len(planted):.2f}")
    with capsys.disabled():
        print(f"\n{len(planted)} planted errors, {len(ranked)} suspects", *lines, sep="\n")
    # By chance one of 18 would be a hit. A spurious label looks like one of the many that the model misses by itself.
    assert len(planted & set(ranked[:25])) >= 0.8 * 25
    assert len(planted & set(ranked[: 2 * len(planted)])) >= 0.6 * len(planted)
    assert len(planted & set(ranked)) >= 0.9 * len(planted)
