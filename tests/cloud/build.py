"""Builds whose jobs run in folders of their own, with nothing in common but a bucket."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from cocomine.base.objects import SCRATCH
from helpers.workflow import copy_of_the_project

from cloud.buckets import GcsBucket, S3Bucket

PLUGINS = Path(__file__).parent / "plugins"
LOCK = "results/build.lock.json"
OF_EXECUTORS = ("googlebatch", "aws-batch", "kubernetes")


def started_from(folder: Path, config: Mapping[str, Any], profile: str) -> Path:
    """Return a checkout to start a build from, in which `my.yaml` is the config.

    Its profile is ours but for the options of its executor, whose plugin is not installed.
    """
    folder.mkdir(parents=True)
    copy_of_the_project(folder)
    (folder / "my.yaml").write_text(yaml.safe_dump(dict(config)), encoding="utf-8")
    path = folder / "profiles" / profile / "config.yaml"
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    kept = {key: value for key, value in settings.items() if not key.startswith(OF_EXECUTORS)}
    path.write_text(yaml.safe_dump(kept), encoding="utf-8")
    for command in (["init", "-q"], ["add", "-A"]):  # Snakemake sends what git lists
        subprocess.run(["git", "-C", str(folder), *command], check=True)
    return folder


def build(
    bucket: S3Bucket | GcsBucket,
    profile: str,
    config: Mapping[str, Any],
    folder: Path,
    scratch: Path | None = None,
    snakefile: str = "",
) -> "subprocess.CompletedProcess[str]":
    """Build a config over a bucket by a profile of ours, from `folder`/project, each job in a folder in `jobs`.

    The jobs are as on one machine whose disk has `scratch`, or as on a machine each. `snakefile` is the text of
    another workflow that has ours as a module.
    """
    project = started_from(folder / "project", config, profile)
    if snakefile:
        (project / "Snakefile").write_text(snakefile, encoding="utf-8")
    (folder / "jobs").mkdir()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "CLEAN_FOLDERS": str(folder / "jobs"), "PYTHONPATH": str(PLUGINS)}
    command = [
        sys.executable, "-m", "snakemake", "--profile", f"profiles/{profile}", "--executor", "clean-folder",
        "--configfile", "my.yaml", "--default-storage-prefix", bucket.prefix, *bucket.options,
        "--jobs", "2", "--cores", "2",
    ]  # fmt: skip
    if scratch is not None:
        environment[SCRATCH] = str(scratch)
        command += ["--envvars", SCRATCH]
    everything = {**os.environ, **bucket.environment, **environment}
    return subprocess.run(command, cwd=project, env=everything, capture_output=True, text=True)


def differing(bucket: S3Bucket | GcsBucket, alone: Path, folder: Path) -> list[str]:
    """Return the outputs of which the lock in the bucket says other than that of the build `alone`; none where the two
    are one file. The bucket's is left in `folder`.
    """
    bucket.download(f"build/{LOCK}", folder / "lock.json")
    theirs, ours = (folder / "lock.json").read_bytes(), (alone / LOCK).read_bytes()
    if theirs == ours:
        return []
    rows = [json.loads(text)["outputs"] for text in (theirs, ours)]
    return sorted(name for name in {*rows[0], *rows[1]} if rows[0].get(name) != rows[1].get(name)) or ["no output"]
