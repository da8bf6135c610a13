"""What proposed commands promise in the workflow: Snakemake takes each of them, with the user's config and folder."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from cocomine.base import commands
from helpers.shared import ROOT
from helpers.tiny_coco import write_config, write_tiny_coco

RULES = sorted(
    name
    for path in (ROOT / "workflow" / "rules").glob("*.smk")
    for name in re.findall(r"^rule (\w+):", path.read_text(encoding="utf-8"), re.MULTILINE)
)


def shell(command: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command, shell=True, cwd=folder, capture_output=True, text=True, env={**os.environ, "PATH": path}
    )


@pytest.mark.slow
@pytest.mark.parametrize("until", ["", "sync_images"])
def test_a_shell_runs_the_proposed_command_from_where_the_user_stood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: str
) -> None:
    monkeypatch.delenv(commands.VARIABLE, raising=False)
    folder = tmp_path / "it's $(here)"
    folder.mkdir()
    write_config(folder / "my; config.json", write_tiny_coco(folder / "coco"))
    given = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", "my; config.json", "--directory", "out put"]
    made = commands.typed(ROOT, [*given, "--until", "mine_subset", "--cores", "1"], folder)
    # Of rule files that this config does not include: learning, evaluation, synthetic, imports.
    absent = {"train_model", "evaluate_model", "compare_experiments", "pack_tensors", "make_demo_bucket"}
    absent |= {"import_labels", "merge_sources", "run_program", "evaluate_predictions"}

    there = [name for name in RULES if name not in absent]
    done = shell(f"{made.again(*there, until=until)} --dry-run", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pets" in done.stdout + done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["coco", "my; config.json", "out put"]


def test_a_shell_runs_the_proposed_script_from_where_the_user_stood(tmp_path: Path) -> None:
    made = commands.typed(ROOT, ["--directory", "out put"], tmp_path)
    done = shell(made.verify(), tmp_path)
    assert done.returncode == 1
    assert "error: out put/results/build.lock.json: no such file" in done.stderr


def test_every_rule_that_a_hint_names_is_one() -> None:
    named = {
        found[1]
        for path in (ROOT / "scripts" / "cocomine").rglob("*.py")
        for found in commands.RULE_AGAIN.finditer(path.read_text(encoding="utf-8"))
    }
    assert named
    assert named - {"snakemake"} <= set(RULES)


def test_no_message_writes_a_command_of_snakemake_itself() -> None:
    own = {"base/commands.py", "configuration/document.py"}
    for path in (ROOT / "scripts" / "cocomine").rglob("*.py"):
        if path.relative_to(ROOT / "scripts" / "cocomine").as_posix() not in own:
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"snakemake --|--forcerun", text), path
    assert shlex.split(commands.Commands().again("a"))[-1] == "a"
