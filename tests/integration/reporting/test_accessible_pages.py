"""Every page as a screen reader has it in chromium, and readable by day and by night (WCAG 2 AA, 4.5 to 1)."""

import json
from itertools import pairwise
from pathlib import Path

import compare_predictions
import pytest
from cocomine.evaluation import detections
from cocomine.evaluation.ground import ground_of_file
from cocomine.evaluation.settings import JudgingSettings
from helpers.browser import accessibility_tree, probed
from helpers.compared_page import compared_page
from helpers.drawn_documents import document, image, thing
from helpers.explored import make_explored
from helpers.report_page import make_report

NAMED = {"button", "link", "checkbox", "combobox", "searchbox", "textbox", "spinbutton", "slider", "image", "table",
         "region", "form", "dialog", "graphics-document", "graphics-symbol", "DisclosureTriangle"}  # fmt: skip


def predictions_page(folder: Path) -> Path:
    labels = document(thing(1, 10, 10, 60, 60), thing(2, 100, 10, 60, 60, image=2), images=[image(1), image(2)])
    (folder / "labels.json").write_text(json.dumps(labels))
    ground = ground_of_file(folder / "labels.json", None, "boxes")
    category = labels["annotations"][0]["category_id"]
    for name, found in (("one", 2), ("two", 1)):
        results = [
            {"image_id": of, "category_id": category, "bbox": [10 if of == 1 else 100, 10, 60, 60], "score": 0.8}
            for of in range(1, found + 1)
        ]
        (folder / f"{name}.json").write_text(json.dumps(results))
        (folder / name).mkdir()
        settings = JudgingSettings.from_mapping({"bootstrap": 20})
        detections.score_results(folder / f"{name}.json", ground, settings, folder / name)
    judged = ["--judged", str(folder / "one"), str(folder / "two")]
    place = ["--judged-on", "labels.json", str(folder / "labels.json"), str(folder)]
    options = compare_predictions.build_parser().parse_args([*judged, *place, "--out-dir", str(folder / "out")])
    compare_predictions.main(options)
    return folder / "out" / "comparison.html"


@pytest.fixture(scope="module", params=["report", "explorer", "differences", "predictions"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "report":
        return make_report(folder)[2].folder / "report.html"
    if request.param == "explorer":
        return make_explored(folder).folder / "explorer.html"
    return compared_page(folder) if request.param == "differences" else predictions_page(folder)


@pytest.mark.slow
def test_what_can_be_used_or_looked_at_has_a_name_and_headings_are_in_order(page: Path, tmp_path: Path) -> None:
    nodes = accessibility_tree(page, tmp_path)
    assert {node["role"] for node in nodes} >= {"RootWebArea", "main", "heading"}
    assert nodes[0]["name"], "the page has a title"
    assert [node for node in nodes if node["role"] in NAMED and not node["name"].strip()] == []
    levels = [node["level"] for node in nodes if node["role"] == "heading"]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


@pytest.mark.slow
def test_every_text_is_readable_by_day_and_by_night(page: Path) -> None:
    # Measured where it lies, beside the files that it reads.
    day, night = probed(page, page.parent), probed(page, page.parent, dark=True)
    assert day["background"] != night["background"]
    assert (day["faint"], night["faint"]) == ([], [])
