import runpy
import sys

import pytest
from helpers.shared import ROOT
from helpers.small_report import add_report_inputs
from helpers.small_subset import make_small_subset


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["render_report.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "scripts" / "render_report.py"), run_name="__main__")
    return ended.value.code


@pytest.mark.slow
def test_a_report_and_then_the_index_by_hand(tmp_path, monkeypatch, capsys):
    subset = make_small_subset(tmp_path)
    evaluation = add_report_inputs(subset)
    page = subset.folder / "report.html"
    arguments = ["--subset-dir", subset.folder, "--store-dir", subset.store, "--runs", evaluation, "--out", page]
    assert run(monkeypatch, *arguments, "--settings", '{"source": "coco"}') == 0
    assert page.is_file()
    assert page.with_suffix(".json").is_file()
    index = subset.folder.parent / "index.html"
    assert run(monkeypatch, "--index", page, "--out", index) == 0
    assert "animals/report.html" in index.read_text()


def test_neither_a_subset_nor_an_index_is_one_message(tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "--out", tmp_path / "x.html") == 1
    assert "neither --subset-dir nor --index" in capsys.readouterr().err


def test_help_teaches_with_examples(monkeypatch, capsys):
    assert run(monkeypatch, "--help") == 0
    assert "Examples:" in capsys.readouterr().out
