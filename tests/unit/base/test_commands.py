"""What proposed commands promise: they carry the user's config and folder, and can be typed where the user stood."""

import argparse
import shlex
from pathlib import Path

import pytest
from cocomine.base import commands
from hypothesis import given
from hypothesis import strategies as st

HOME = Path("/projects/cocomine")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--cores", "8"], "snakemake --cores 8"),
        (["-n", "--configfile", "my.yaml"], "snakemake --cores 8 --configfile my.yaml"),
        (["-c4", "--configfile=my.yaml", "--until", "x"], "snakemake --cores 4 --configfile my.yaml"),
        (["-j", "--configfile", "a.yaml", "b.yaml", "-F"], "snakemake --jobs --configfile a.yaml b.yaml"),
        (["--profile", "profiles/slurm", "-d", "../w"], "snakemake --profile profiles/slurm --directory ../w"),
        (["-c", "1", "results/a", "--forcerun", "x", "y"], "snakemake --cores 1"),
    ],
)
def test_what_says_what_is_built_is_kept_and_the_rest_is_not(arguments: list[str], expected: str) -> None:
    assert commands.typed(HOME, arguments, HOME).snakemake == expected


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1), min_size=1))
def test_a_shell_reads_the_very_config_files_and_folder_that_were_given(names: list[str]) -> None:
    names = [name for name in names if not name.startswith("-")] or ["a"]
    made = commands.typed(HOME, ["--directory", names[0], "--configfile", *names, "--cores", "1"], HOME)
    parser = argparse.ArgumentParser()
    parser.add_argument("--configfile", nargs="+")
    parser.add_argument("--directory")
    read = parser.parse_known_args(shlex.split(made.again("sync_images"))[1:])[0]
    assert (read.configfile, read.directory) == (names, names[0])
    assert shlex.split(made.verify())[-2:] == ["--root", names[0]]


def test_a_script_by_hand_proposes_what_the_readme_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(commands.VARIABLE, raising=False)
    assert commands.commands().again("a", "b", until="b") == "./run snakemake --cores 8 --forcerun a b --until b"
    assert commands.commands().verify() == "./run python scripts/verify_build.py"


def test_a_job_of_a_cluster_keeps_what_the_user_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(commands.VARIABLE, raising=False)
    commands.remember(HOME, ["--profile", "profiles/slurm", "--configfile", "my.yaml"], HOME)
    commands.remember(HOME, ["--snakefile", "/x/Snakefile", "--mode", "remote", "--cores", "all"], HOME)
    assert commands.commands().again() == "snakemake --profile profiles/slurm --configfile my.yaml"


def test_the_last_line_names_the_page_of_the_users_folder_or_the_rest_of_the_build() -> None:
    made = commands.typed(HOME, ["--cores", "1", "--directory", "../w"], HOME)
    assert made.closing(whole=True) == (
        "Open ../w/results/index.html; prove the build with: python scripts/verify_build.py --root ../w"
    )
    assert made.closing(whole=False).endswith("the whole build is made by: snakemake --cores 1 --directory ../w")


def test_a_script_by_hand_reads_how_the_build_was_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(commands.VARIABLE, raising=False)
    commands.remember(HOME, ["--cores", "1", "--configfile", "my.yaml"], HOME)
    commands.record()
    monkeypatch.delenv(commands.VARIABLE)
    assert commands.commands().again() == "snakemake --cores 1 --configfile my.yaml"
    assert commands.commands(tmp_path / "elsewhere") == commands.Commands()
    commands.RECORD.write_text("{")
    assert commands.commands() == commands.Commands()


@pytest.mark.parametrize(
    ("hint", "spelled"),
    [
        ("run mine_subset again", "run: snakemake --cores 1 --configfile my.yaml --forcerun mine_subset"),
        ("delete it and run snakemake again", "delete it and run: snakemake --cores 1 --configfile my.yaml"),
        (
            "run the rule assemble_subset first",
            "run: snakemake --cores 1 --configfile my.yaml --forcerun assemble_subset",
        ),
        ("run it again: what has arrived is kept", "run it again: what has arrived is kept"),
        ("", ""),
    ],
)
def test_a_hint_that_names_a_rule_becomes_a_command_of_the_users(
    monkeypatch: pytest.MonkeyPatch, hint: str, spelled: str
) -> None:
    monkeypatch.delenv(commands.VARIABLE, raising=False)
    commands.remember(HOME, ["--cores", "1", "--configfile", "my.yaml"], HOME)
    assert commands.spelled_out(hint) == spelled


def test_a_secret_that_was_typed_is_not_written_down() -> None:
    given = ["--config", "sources={'own': {'origins': ['https://me:hunter2@host.test/x?sig=s3cret']}}", "--cores", "1"]
    made = commands.typed(HOME, given, HOME).snakemake
    assert "hunter2" not in made
    assert "s3cret" not in made
    assert "host.test/x" in made


def test_a_rule_of_a_module_is_called_what_the_other_workflow_calls_it() -> None:
    made = commands.Commands("snakemake -c 8", rules="coco_{}")
    assert made.again("mine_subset", until="sync_images") == (
        "snakemake -c 8 --forcerun coco_mine_subset --until coco_sync_images"
    )
