"""The section of predictions: what it says is in the JSON, and hostile names are text."""

import json

import pytest
from cocomine.evaluation import detections
from cocomine.evaluation.ground import ground_of_subset
from cocomine.evaluation.settings import JudgingSettings
from cocomine.matching.label_errors import KINDS
from cocomine.reporting.index import render_index
from cocomine.reporting.predictions import review_facts
from cocomine.reporting.report import Inputs, render_report
from helpers.report_page import HOSTILE, assert_page_and_json_agree
from helpers.small_report import add_report_inputs
from helpers.small_subset import DOG, make_small_subset


def judged(subset, folder):
    entries = [
        {"image_id": 44, "category_id": category, "bbox": [10, 10, 18, 18], "score": 0.5} for category in (DOG, 9)
    ]
    path = subset.folder.parent / "r.json"
    path.write_text(json.dumps(entries))
    settings = JudgingSettings.from_mapping({"bootstrap": 20})
    detections.score_results(path, ground_of_subset(subset.folder, settings, "boxes"), settings, folder)
    return folder


@pytest.mark.slow
def test_predictions_stand_in_the_report_and_on_the_index_with_their_intervals(tmp_path):
    subset = make_small_subset(tmp_path, names=HOSTILE)
    add_report_inputs(subset, HOSTILE)
    folder = judged(subset, subset.folder.parent / "predictions/mine")
    report = subset.folder / "report.html"
    render_report(
        Inputs(subset.folder, "animals", {}, None, (), None, 4, (folder,)), report, subset.folder / "report.json"
    )
    facts = json.loads((subset.folder / "report.json").read_text())
    (one,) = facts["predictions"]
    assert (one["name"], one["task"], one["split"], one["images"]) == ("mine", "boxes", "val", 2)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert one["figures"][0]["value"] == metrics["all"]["AP"]
    assert [one["figures"][0]["low"], one["figures"][0]["high"]] == metrics["intervals"]["AP"]
    assert {"what": "unknown category", "number": 1} in one["counts"]
    html = report.read_text()
    assert_page_and_json_agree(html, facts)
    assert "not the images and classes of an official split" in html
    assert "so few allow no judgement" in html
    assert one["remarks"] == [metrics[key]["finding"] for key in ("slices", "coverage", "calibration")]
    render_index([report], None, None, tmp_path / "index.html", [folder])
    assert_page_and_json_agree((tmp_path / "index.html").read_text(), json.loads((tmp_path / "index.json").read_text()))


def test_without_predictions_there_is_no_such_section(tmp_path):
    render_index([], None, None, tmp_path / "index.html")
    assert "Predictions of other programs" not in (tmp_path / "index.html").read_text()


def test_label_errors_are_counted_by_kind_and_the_likeliest_lead_to_their_images(tmp_path):
    subset = make_small_subset(tmp_path)
    add_report_inputs(subset)
    facts = review_facts(subset.folder.parent / "label_errors" / "yolo" / "label_errors.tsv")
    assert {row["kind"]: row["labels"] for row in facts["kinds"]} == {
        "missing": 1, "spurious": 0, "class": 1, "outline": 0,
    }  # fmt: skip
    assert [(row["link"], row["annotation"]) for row in facts["likeliest"]] == [
        ("explorer.html#image=44", None), ("explorer.html#image=7", 101),
    ]  # fmt: skip
    assert [row["kind"] for row in facts["kinds"]] == list(KINDS)
    assert facts["table"] == "../label_errors/yolo/label_errors.tsv"
