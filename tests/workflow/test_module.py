"""What another workflow gets that has cocomine as a module: the same bytes, below its prefix, under its names."""

import ast
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import IO, Any

import pytest
import yaml
from helpers.shared import ROOT
from helpers.workflow import copy_of_the_project, jobs_of, planned, snakemake

INCLUDING = ROOT / "tests" / "workflow" / "including"
PREFIX = Path("datasets") / "coco"


@pytest.fixture(scope="module")
def included(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the including workflow was built."""
    work = tmp_path_factory.mktemp("including")
    done = snakemake(work, project=INCLUDING)
    assert done.returncode == 0, done.stdout + done.stderr
    return work


@pytest.mark.slow
def test_a_module_builds_the_same_lock_as_the_workflow_alone(included: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    section = yaml.safe_load((INCLUDING / "config" / "config.yaml").read_text(encoding="utf-8"))["cocomine"]
    config.write_text(yaml.safe_dump(section), encoding="utf-8")
    done = snakemake(tmp_path, "--configfile", str(config))
    assert done.returncode == 0, done.stdout + done.stderr
    lock = Path("results") / "build.lock.json"
    assert (included / PREFIX / lock).read_bytes() == (tmp_path / lock).read_bytes()


@pytest.mark.slow
def test_a_module_writes_below_its_prefix_alone_and_a_rule_of_the_other_workflow_reads_its_masks(
    included: Path,
) -> None:
    assert {path.name for path in included.iterdir()} == {".snakemake", "datasets", "masks_of_small.txt"}
    assert [path.name for path in (included / "datasets").iterdir()] == ["coco"]
    drawn = list((included / PREFIX / "results" / "small" / "masks" / "semantic").glob("*.png"))
    assert int((included / "masks_of_small.txt").read_text()) == len(drawn) > 0


@pytest.mark.slow
def test_a_second_run_of_the_including_workflow_does_nothing(included: Path) -> None:
    assert planned(included, project=INCLUDING) == {}


@pytest.mark.slow
def test_a_module_from_a_hosted_repository_runs_the_scripts_of_its_tag(tmp_path: Path) -> None:
    project = tmp_path / "hosted" / "someone" / "cocomine"
    project.mkdir(parents=True)
    copy_of_the_project(project)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "All of it"], ["tag", "v1"]):
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", str(project), *identity, *command], check=True)
    text = (INCLUDING / "Snakefile").read_text(encoding="utf-8")
    local = '"../../../workflow/Snakefile"'
    assert local in text
    hosted = 'github("someone/cocomine", path="workflow/Snakefile", tag="v1")'
    other = tmp_path / "other"
    (other / "config").mkdir(parents=True)
    (other / "Snakefile").write_text(text.replace(local, hosted), encoding="utf-8")
    (other / "config" / "config.yaml").write_bytes((INCLUDING / "config" / "config.yaml").read_bytes())
    work = tmp_path / "work"
    environment = {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{tmp_path / 'hosted'}/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/",
    }
    done = snakemake(work, "--until", "coco_sync_annotations", project=other, environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert jobs_of(done.stdout + done.stderr) == {"coco_make_demo_bucket": 1, "coco_sync_annotations": 1}
    assert (work / PREFIX / "data" / "annotations" / "synthetic-demo" / "sync.lock.json").is_file()


class Repository:
    """A hosted repository of one commit, which holds a Snakefile."""

    hexsha = "c0ffee"

    def commit(self, _ref: str) -> "Repository":
        return self

    def archive(self, packed: IO[bytes], _commit: str) -> None:
        with tarfile.open(fileobj=packed, mode="w") as out:
            out.addfile(tarfile.TarInfo("Snakefile"))


def test_a_commit_that_another_snakemake_checks_out_at_the_same_moment_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = ast.parse((ROOT / "workflow" / "rules" / "home.smk").read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef))]
    home: dict[str, Any] = {}
    exec(compile(tree, "home.smk", "exec"), home)
    replace = os.replace

    def second(made: str, folder: Path) -> None:
        shutil.copytree(made, folder)
        replace(made, folder)

    monkeypatch.setattr(os, "replace", second)
    folder = home["checked_out"](Repository(), "v1", tmp_path)
    assert [path.name for path in folder.iterdir()] == ["Snakefile"]
    assert [path.name for path in folder.parent.iterdir()] == ["c0ffee"]


def test_a_module_with_replaced_prefixes_is_refused_with_what_to_write_instead(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(
        f"""
module cocomine:
    snakefile: "{ROOT}/workflow/Snakefile"
    replace_prefix: {{"results": "elsewhere"}}
    config: {{}}

use rule * from cocomine
""",
        encoding="utf-8",
    )
    done = snakemake(tmp_path / "work", project=tmp_path, environment={"XDG_CACHE_HOME": str(tmp_path)})
    assert done.returncode != 0
    assert "takes `prefix`, and no `replace_prefix`" in done.stdout + done.stderr


def test_a_rule_of_a_workflow_that_includes_ours_may_have_any_function_as_its_params(tmp_path: Path) -> None:
    config = yaml.safe_load((INCLUDING / "config" / "config.yaml").read_text(encoding="utf-8"))["cocomine"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (tmp_path / "Snakefile").write_text(
        f"""
configfile: "{tmp_path}/config.yaml"

def written(wildcards, output):
    return output[0]

rule counted:
    output:
        "own.txt",
    params:
        wildcards=len,
        stem=subpath(written, strip_suffix=".txt"),
    shell:
        "echo {{params.wildcards}} {{params.stem}} > {{output}}"

include: "{ROOT}/workflow/Snakefile"
""",
        encoding="utf-8",
    )
    work = tmp_path / "work"
    done = snakemake(work, "own.txt", project=tmp_path, environment={"XDG_CACHE_HOME": str(tmp_path)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert (work / "own.txt").read_text() == "0 own\n"
