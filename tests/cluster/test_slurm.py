"""The default job on a real cluster: every job but the syncs goes through Slurm's queue.

./run pytest tests/cluster
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.shared import ROOT
from helpers.tiny_coco import write_config, write_tiny_coco

from cluster import slurm

LOCAL_RULES = {"all", "sync_annotations", "sync_images"}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that munged, which is another user, may enter; pytest's own are closed to all but their owner."""
    with tempfile.TemporaryDirectory(prefix="cocomine-slurm-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def command_in(work: Path) -> list[str]:
    """Return the command of a user of this cluster who builds in `work`, looking at its queue every second."""
    return [
        sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(work),
        "--profile", str(ROOT / "profiles" / "slurm"), "--jobs", "4", "--max-threads", str(os.cpu_count()),
        "--slurm-no-account", "--latency-wait", "10",
        "--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1",
    ]  # fmt: skip


@pytest.mark.timeout(1500)
def test_the_default_job_runs_through_slurm_and_is_proved_by_its_lock(open_folder: Path) -> None:
    reason = slurm.missing()
    if reason:
        pytest.skip(f"not run: {reason}")
    work = open_folder / "work"
    work.mkdir()
    with slurm.slurm(open_folder / "slurm") as environment:
        done = subprocess.run(command_in(work), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-5000:]
    submitted = len(re.findall(r"SLURM jobid '?\d+", done.stderr)) or len(
        re.findall(r"has been submitted with", done.stderr)
    )
    local = len(re.findall(r"^localrule (\w+):", done.stderr, re.MULTILINE))
    assert submitted >= 15, done.stderr[-5000:]
    assert local <= len(LOCAL_RULES)
    lock = json.loads((work / "results" / "build.lock.json").read_text(encoding="utf-8"))
    assert "results/experiments/baseline/model.safetensors" in lock["outputs"]
    proof = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "verify_build.py"), "--root", str(work)], capture_output=True, text=True
    )
    assert proof.returncode == 0, proof.stdout


@pytest.mark.timeout(600)
def test_what_failed_and_what_to_do_stand_last_where_a_job_of_the_cluster_fails(open_folder: Path) -> None:
    reason = slurm.missing()
    if reason:
        pytest.skip(f"not run: {reason}")
    work = open_folder / "work"
    work.mkdir()
    config = write_config(
        open_folder / "config.json", write_tiny_coco(open_folder / "coco"), subsets={"pets": {"categories": ["catt"]}}
    )
    with slurm.slurm(open_folder / "slurm") as environment:
        done = subprocess.run(
            [*command_in(work), "--retries", "0", "--configfile", str(config), "--until", "mine_subset"],
            env=environment, capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode != 0
    last = done.stderr.rstrip().splitlines()[-4:]
    assert any("the source has no category 'catt'" in line for line in last), done.stderr[-3000:]
    assert any("did you mean 'cat'?" in line for line in last)
    assert any("logs/mine_subset/pets.log" in line for line in last)
