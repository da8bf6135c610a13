import runpy
import sys

import pytest
from cocomine.base.files import read_json
from helpers.shared import ROOT
from helpers.small_subset import make_small_subset


def run(monkeypatch, script, *arguments):
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "scripts" / script), run_name="__main__")
    return ended.value.code


def test_an_export_by_hand_needs_no_workflow(tmp_path, monkeypatch, capsys):
    subset = make_small_subset(tmp_path)
    arguments = ["--subset-dir", subset.folder, "--store-dir", subset.store, "--out-dir", tmp_path / "out"]
    log = tmp_path / "log.txt"
    assert run(monkeypatch, "export_dataset.py", "--format", "yolo-detect", *arguments, "--log", log) == 0
    assert read_json(tmp_path / "out" / "manifest.json")["totals"]["objects_out"] == 5
    assert "objects 9 in, 5 out; not carried: crowd 2, other-class 1, zero-area 1" in log.read_text()


def test_a_missing_input_is_one_message_and_exit_code_1(tmp_path, monkeypatch, capsys):
    arguments = ["--subset-dir", tmp_path, "--store-dir", tmp_path, "--out-dir", tmp_path / "out"]
    assert run(monkeypatch, "export_dataset.py", "--format", "coco", *arguments) == 1
    error = capsys.readouterr().err
    assert "split.tsv: no such file" in error
    assert "Hint:" in error
    assert "Traceback" not in error


def test_help_teaches_with_an_example(monkeypatch, capsys):
    assert run(monkeypatch, "export_dataset.py", "--help") == 0
    assert "Example:" in capsys.readouterr().out
