"""A program of the user's: it is told where to read and write, ended after its time, and watched."""

import json
import logging
import os
import sys
import time
from pathlib import Path

import msgspec
import pytest
from cocomine.base.errors import CocomineError
from cocomine.evaluation.detections import score_results
from cocomine.evaluation.ground import ground_of_subset
from cocomine.evaluation.program import Job, run_program
from cocomine.evaluation.settings import JudgingSettings, ProgramSettings
from cocomine.formats.export import export_dataset
from helpers.shared import ROOT
from helpers.small_subset import make_small_subset


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "export").mkdir()
    (tmp_path / "export/data.yaml").write_text("names: [dog]")
    return tmp_path


def run(command, **settings):
    """Run a command of the shell, or the text of a Python program."""
    if not command.startswith("sh: "):
        Path("program.py").write_text(command)
        command = f"{sys.executable} $COCOMINE_WORK/program.py"
    given = ProgramSettings.from_mapping({"command": command.removeprefix("sh: "), **settings})
    return run_job(given)


def run_job(settings):
    export = Path("export")
    job = Job(
        settings, export, Path("subset"), Path("results/mine"), Path("checkpoints"), Path("logs/mine.txt"), (export,)
    )
    return run_program(job)


def test_a_program_is_told_by_variables_and_writes_into_its_output_folder(work):
    facts = run(
        """
import json, os, pathlib
told = {key: value for key, value in os.environ.items() if key.startswith("COCOMINE_")}
told["here"] = os.getcwd()
told["OMP_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"]
pathlib.Path("told.json").write_text(json.dumps(told))
print("trained")
""",
        seed=7,
        threads=3,
    )
    told = json.loads((work / "results/mine/output/told.json").read_text())
    assert told["here"] == os.path.realpath(told["COCOMINE_OUTPUT"])
    assert Path(told["COCOMINE_EXPORT"]) == work / "export"
    assert (told["COCOMINE_SUBSET"], told["COCOMINE_WORK"]) == (str(work / "subset"), str(work))
    assert Path(told["COCOMINE_CHECKPOINTS"]).is_dir()
    assert (told["COCOMINE_SEED"], told["COCOMINE_THREADS"], told["OMP_NUM_THREADS"]) == ("7", "3", "3")
    assert (work / "logs/mine.txt").read_text() == "trained\n"
    assert json.loads((work / "results/mine/program.json").read_text()) == facts
    assert list(facts["files"]) == ["told.json"]
    assert facts["reproducible"] is False


def test_the_environment_that_the_user_names_comes_first_and_its_versions_are_kept(work):
    (work / "env/bin").mkdir(parents=True)
    python = work / "env/bin/python"
    python.write_text('#!/bin/sh\n[ "$1" = -c ] && echo \'{"python": "9.9", "packages": {"own": "1"}}\' || touch ran\n')
    python.chmod(0o755)
    facts = run("sh: python train.py", environment="env")
    assert (facts["python"], facts["packages"]) == ("9.9", {"own": "1"})
    assert list(facts["files"]) == ["ran"]
    with pytest.raises(CocomineError, match="no environment"):
        run("sh: true", environment="nowhere")


def gone(process):
    """Whether a process ends within ten seconds: a busy machine takes its time to bury one."""
    for _ in range(100):
        try:
            if Path(f"/proc/{process}/stat").read_text().split()[2] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.1)
    return False


def test_a_failure_shows_the_last_lines_and_leaves_no_result(work):
    with pytest.raises(CocomineError, match="failed with exit code 3") as caught:
        run("sh: seq 100; echo out of memory >&2; exit 3")
    assert "  | 100\n  | out of memory" in caught.value.message
    assert "| 50" not in caught.value.message
    assert "logs/mine.txt" in caught.value.hint
    assert not (work / "results/mine").exists()


@pytest.mark.slow
def test_a_program_is_ended_after_its_time_with_all_that_it_started(work):
    settings = ProgramSettings.from_mapping({"command": "echo begun; sleep 60 & echo $! > $COCOMINE_WORK/child; wait"})
    began = time.monotonic()
    with pytest.raises(CocomineError, match=r"ended after its 0\.02 minutes.*\n  \| begun") as caught:
        run_job(msgspec.structs.replace(settings, time_limit=0.02))
    assert "time_limit" in caught.value.hint
    assert time.monotonic() - began < 30
    child = int((work / "child").read_text())
    assert gone(child)


def test_a_program_that_changes_what_it_reads_is_stopped_and_the_file_is_named(work):
    with pytest.raises(CocomineError, match=r"changed 1 file that it was to read: export/data\.yaml"):
        run("sh: echo more >> $COCOMINE_EXPORT/data.yaml; touch done")
    with pytest.raises(CocomineError, match="export/new"):
        run("sh: touch $COCOMINE_EXPORT/new done")
    with pytest.raises(CocomineError, match=r"export/data\.yaml"):
        run("sh: rm $COCOMINE_EXPORT/data.yaml; touch done")


def test_what_appears_in_the_working_directory_is_named(work, caplog):
    with caplog.at_level(logging.WARNING, logger="cocomine"):
        run("sh: mkdir $COCOMINE_WORK/wandb; touch done")
    assert "appeared in the working directory while the command ran: wandb" in caplog.text


@pytest.mark.parametrize(
    ("command", "words"), [("true", "wrote nothing"), ("ln -s /etc/hostname out", "a link out of its folder: out")]
)
def test_nothing_or_a_link_to_elsewhere_is_no_output(work, command, words):
    with pytest.raises(CocomineError, match=words):
        run(f"sh: {command}")


def test_braces_and_quotes_of_a_command_reach_the_shell_as_they_are(work):
    run("""sh: echo '{wildcards.x} {{y}} "z"' > said""")
    assert (work / "results/mine/output/said").read_text() == """{wildcards.x} {{y}} "z"\n"""


def test_a_trainer_of_thirty_lines_is_trained_on_an_export_and_judged(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    subset = make_small_subset(Path("work"))
    export = Path("work/results/animals/exports/coco")
    export_dataset("coco", subset.folder, subset.store, export)
    command = f"{sys.executable} {ROOT / 'tests/helpers/small_trainer.py'}"
    settings = ProgramSettings.from_mapping({"command": command, "seed": 1})
    job = Job(settings, export, subset.folder, Path("results/mine"), Path("checkpoints"), Path("mine.txt"), (export,))
    facts = run_program(job)
    assert list(facts["files"]) == ["boxes.json"]
    assert Path("mine.txt").read_text() == "learned 2 classes, predicted 4 boxes\n"
    judging = JudgingSettings.from_mapping({"bootstrap": 20})
    ground = ground_of_subset(subset.folder, judging, "boxes")
    result = score_results(Path("results/mine/output/boxes.json"), ground, judging, Path("judged"))
    assert result["predictions"]["judged"] == 4
    assert result["all"]["AP"] is not None
