"""Running the workflow itself, as a user would, in a folder of its own."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from cocomine.base.staging import INCOMPLETE

from helpers.shared import ROOT

# What a copy of the project needs in order to run.
PARTS = ("Snakefile", "config", "envs", "profiles", "scripts", "workflow")

# What Python compiles is renamed at its end: another process may do so while this one copies.
BEING_WRITTEN = shutil.ignore_patterns("*.pyc.*", INCOMPLETE)


def copy_of_the_project(folder: Path) -> Path:
    """Copy what runs into `folder`, so that a test can edit it; with what Python compiled, which takes seconds."""
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=BEING_WRITTEN)
        else:
            shutil.copy(source, folder / part)
    return folder


def snakemake(
    work: Path, *arguments: str, project: Path = ROOT, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run snakemake on two cores in `work` with the Snakefile of `project`."""
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", str(project / "Snakefile"), "--directory", str(work),
        "--cores", "2", *arguments,
    ]  # fmt: skip
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PATH": path, **(environment or {})}
    )


def jobs_of(printed: str) -> dict[str, int]:
    """Return how many jobs of each rule a dry run announces; nothing when nothing is to be done."""
    table = re.search(r"^Job stats:\n.*?\n-[- ]+\n(.*?)^total", printed, re.MULTILINE | re.DOTALL)
    if table is None:
        return {}
    rows = (line.split() for line in table.group(1).splitlines() if line.strip())
    return {rule: int(count) for rule, count in rows if rule != "all"}


def planned(work: Path, *arguments: str, project: Path = ROOT) -> dict[str, int]:
    """Return how many jobs of each rule would run now."""
    done = snakemake(work, "--dry-run", *arguments, project=project)
    assert done.returncode == 0, done.stdout + done.stderr
    return jobs_of(done.stdout + done.stderr)
