import json

import pytest
from cocomine.base.errors import CocomineError
from cocomine.base.files import sha256_of_file, write_json
from cocomine.reporting.index import render_index
from cocomine.reporting.lock_note import lock_script
from helpers.report_page import HOSTILE, Page, assert_page_and_json_agree, make_report


@pytest.mark.slow
def test_the_index_links_each_report_the_comparison_and_the_lock(tmp_path):
    _, _, subset = make_report(tmp_path, HOSTILE)
    results = subset.folder.parent
    figures = {name: {"mean": 0.5, "deviation": 0.01} for name in ("iou", "baseline_background", "baseline_place")}
    cell = {"experiment": HOSTILE[0], "trained_on": "animals", "model": "m", "evaluated_on": "animals"}
    cells = [cell | {"arm": "mined", "seeds": [0, 1, 2], "figures": figures}]
    write_json(results / "experiments" / "comparison.json", {"cells": cells})
    (results / "experiments" / "comparison.html").write_text("x")
    (results / "predictions").mkdir()
    (results / "predictions" / "comparison.html").write_text("x")
    report = subset.folder / "report.json"
    names = [f"results/animals/{name}" for name in ("report.html", "report.json", "explorer.html", "masks.json")]
    outputs = {name: {"sha256": sha256_of_file(report)} for name in names}
    write_json(results / "build.lock.json", {"outputs": outputs})
    render_index(
        [subset.folder / "report.html"],
        results / "experiments" / "comparison.json",
        results / "build.lock.json",
        results / "index.html",
    )
    html = (results / "index.html").read_text("utf-8")
    page = assert_page_and_json_agree(html, json.loads((results / "index.json").read_text("utf-8")))
    links = [values["href"] for tag, values in page.tags if tag == "a"]
    assert {"animals/report.html", "experiments/comparison.html", "build.lock.json"} <= set(links)
    assert "predictions/comparison.html" in links
    assert (lock := sha256_of_file(results / "build.lock.json")) in html
    script = lock_script(results / "build.lock.json")
    named = json.loads(script.removeprefix("window.cocomineLock = ").rstrip(";\n"))
    pages = {"animals/report.html": sha256_of_file(report), "animals/explorer.html": ""}
    assert named == {"sha256": lock, "pages": pages}
    seeds = [text for path, _, text in page.numbers if path.startswith("experiments.0.seeds.")]
    assert seeds == ["0", "1", "2"]
    assert str(tmp_path) not in html
    assert not [tag for tag, _ in page.tags if tag == "script"]


def test_an_index_without_experiments_or_lock_says_so(tmp_path):
    render_index([], None, None, tmp_path / "index.html")
    html = (tmp_path / "index.html").read_text("utf-8")
    Page(html)
    for sentence in ("has no subset", "has no experiment", "without a lock"):
        assert sentence in html


def test_a_report_that_was_not_made_is_named(tmp_path):
    with pytest.raises(CocomineError, match=r"report\.json"):
        render_index([tmp_path / "report.html"], None, None, tmp_path / "index.html")
