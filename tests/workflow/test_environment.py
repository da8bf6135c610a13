"""What `./run` and the environment files promise: one set of versions everywhere, made once, whoever is killed."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from cocomine.provenance.digests import package_versions, reached_files
from helpers.shared import ROOT

ENVIRONMENTS = ("data", "learning")


def pinned() -> dict[str, str]:
    text = (ROOT / "envs" / "pinned.txt").read_text(encoding="utf-8")
    text += (ROOT / "envs" / "torch.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\\n]+)", text, re.MULTILINE))


def listed(environment: str) -> dict[str, str]:
    content = yaml.safe_load((ROOT / "envs" / f"{environment}.yaml").read_text(encoding="utf-8"))
    pip = next(part["pip"] for part in content["dependencies"] if isinstance(part, dict))
    return dict(line.split("#")[0].strip().split("==") for line in pip)


def scripts_of(environment: str) -> set[str]:
    text = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")))
    rules = re.split(r"^ *rule ", text, flags=re.MULTILINE)[1:]
    return {
        name
        for rule in rules
        if f"envs/{environment}.yaml" in rule
        for name in re.findall(r'script=script\("(\w+)"\)', rule)
    }


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_versions_for_conda_are_those_of_the_pinned_set(environment: str) -> None:
    versions = pinned()
    assert {name: versions.get(name) for name in listed(environment)} == listed(environment)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_lists_every_package_that_its_scripts_import(environment: str) -> None:
    modules = {path for name in scripts_of(environment) for path in reached_files(ROOT / "scripts" / f"{name}.py")}
    assert set(package_versions(sorted(modules))) <= listed(environment).keys()


def test_the_pinned_set_has_hashes_and_names_no_host() -> None:
    text = (ROOT / "envs" / "pinned.txt").read_text(encoding="utf-8")
    assert not re.search(r"https?://|--index-url|--find-links", text)
    assert "torch==" not in text
    assert not re.search(r"^nvidia", text, re.MULTILINE)
    for requirement in re.split(r"\n(?=\S)", text.strip()):
        assert "--hash=sha256:" in requirement, requirement.splitlines()[0]


def test_the_command_that_compiles_the_pinned_set_names_the_same_packages(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "envs", tmp_path / "envs")
    text = (ROOT / "DEVELOPING.md").read_text(encoding="utf-8")
    command = re.search(r"^    \./run (uv pip compile (?:.*\\\n)*.*)\n", text, re.MULTILINE)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command[1], shell=True, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    if "Failed to fetch" in done.stderr:
        pytest.skip("not run: the package index is not reachable")
    assert done.returncode == 0, done.stderr
    made, kept = (
        re.findall(r"^([a-z0-9._-]+)==", (folder / "envs" / "pinned.txt").read_text(encoding="utf-8"), re.MULTILINE)
        for folder in (tmp_path, ROOT)
    )
    assert made == kept


def project_with_run(folder: Path) -> Path:
    """Make a project of `run` and what makes the environment, with two small packages in place of the pinned set.

    The whole set takes a minute each time, and `.ci/run` makes it from nothing.
    """
    shutil.copy(ROOT / "run", folder / "run")
    shutil.copytree(ROOT / "envs", folder / "envs", ignore=shutil.ignore_patterns("__pycache__"))
    text = (ROOT / "envs" / "pinned.txt").read_text(encoding="utf-8")
    small = {name: re.search(rf"^{name}==(?:.*\\\n)*.*\n", text, re.MULTILINE) for name in ("msgspec", "idna")}
    (folder / "envs" / "pinned.txt").write_text(small["msgspec"][0], encoding="utf-8")
    (folder / "envs" / "torch.txt").write_text(small["idna"][0].split(" ")[0], encoding="utf-8")
    return folder


def started(project: Path) -> "subprocess.Popen[str]":
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    environment |= {"PYTHON": getattr(sys, "_base_executable", sys.executable), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        ["./run", "python", "-c", "import msgspec, idna; print('ready')"],
        cwd=project, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


@pytest.mark.timeout(600)
def test_run_survives_being_killed_half_way_and_two_being_started_at_once(tmp_path: Path) -> None:
    project = project_with_run(tmp_path)
    stamp = tmp_path / "another" / "made_from"
    stamp.parent.mkdir()
    stamp.write_text("by another checkout")
    (project / ".venv").symlink_to(stamp.parent)
    killed = started(project)
    deadline = time.monotonic() + 120
    while not list((project / ".venv").glob("lib/python*/site-packages/msgspec")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert stamp.read_text() == "by another checkout"
    assert not (project / ".venv" / "made_from").exists(), "it was killed too late to prove anything"
    both = [started(project), started(project)]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert [out for out, _ in said] == ["ready\n", "ready\n"]
    assert sum("making the environment" in errors for _, errors in said) == 1, "one makes it and the other waits"
    again = started(project)
    assert "making" not in again.communicate()[1]
    compiled = list((project / ".venv").glob("lib/python*/site-packages/msgspec/__pycache__/*.pyc"))
    assert compiled, "each start would compile what it imports anew"


def test_run_says_what_to_do_without_a_python_that_is_new_enough(tmp_path: Path) -> None:
    project = project_with_run(tmp_path)
    done = subprocess.run(
        ["./run", "true"], cwd=project, env={**os.environ, "PYTHON": "no-such-python"}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "no interpreter 'no-such-python'" in done.stderr
    assert "Hint: install Python 3.11 or newer" in done.stderr


def make_environment(folder: Path, *words: str, path: str = os.environ["PATH"]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "envs" / "make_environment.py"), str(folder), *words]
    return subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True)


def test_a_build_of_torch_that_is_none_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    done = make_environment(tmp_path, "image", "gpu")
    assert (done.returncode, list(tmp_path.iterdir())) == (1, [])
    assert "no build of torch called 'gpu'" in done.stderr
    assert 'Hint: say "cpu" or "cuda"' in done.stderr


def test_an_image_for_cpus_does_not_ask_for_a_gpu(tmp_path: Path) -> None:
    asked, driver = tmp_path / "asked", tmp_path / "bin" / "nvidia-smi"
    driver.parent.mkdir()
    driver.write_text(f"#!/bin/sh\ntouch '{asked}'\n")
    driver.chmod(0o755)
    path = f"{driver.parent}{os.pathsep}{os.environ['PATH']}"
    for build in ("cpu", ""):
        project = tmp_path / f"for {build}"
        project.mkdir()
        done = make_environment(project_with_run(project), "image", build, path=path)
        assert asked.exists() == (build == ""), done.stderr
