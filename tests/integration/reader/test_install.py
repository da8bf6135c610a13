"""`pip install .` into an empty environment, and a subset loaded there; needs a package index."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.shared import ROOT
from helpers.small_subset import make_small_subset

CODE = """
import importlib.metadata, sys, cocomine
print(*sorted(one.name.lower() for one in importlib.metadata.distributions() if one.name not in ("pip", "setuptools")))
animals = cocomine.load(sys.argv[1], store=sys.argv[2])
print(*[(len(animals[split]), animals[split][0].image.size) for split in animals.splits])
"""


def test_the_reader_installs_by_pip_and_opens_a_subset_without_snakemake_or_torch(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(ROOT / "scripts/cocomine", project / "scripts/cocomine")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project / name)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "empty"], check=True)
    python = tmp_path / "empty/bin/python"
    installed = subprocess.run(
        [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", project], capture_output=True, text=True
    )
    if "No matching distribution" in installed.stderr:
        pytest.skip("not run: no package index can be reached")
    assert installed.returncode == 0, installed.stderr
    small = make_small_subset(tmp_path / "small")
    done = subprocess.run(
        [python, "-I", "-c", CODE, small.folder, small.store], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["cocomine msgspec numpy pillow", "(3, (64, 48)) (2, (50, 50))"]
