"""The default job on a real cluster: every job but the syncs goes through Slurm's queue.

./run pytest tests/cluster
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.shared import ROOT

from cluster import slurm

LOCAL_RULES = {"all", "sync_annotations", "sync_images"}


@pytest.mark.timeout(1500)
def test_the_default_job_runs_through_slurm_and_is_proved_by_its_lock(tmp_path: Path) -> None:
    reason = slurm.missing()
    if reason:
        pytest.skip(f"not run: {reason}")
    tmp_path.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    with slurm.slurm(tmp_path / "slurm") as environment:
        command = [
            sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(work),
            "--profile", str(ROOT / "profiles" / "slurm"), "--jobs", "4", "--slurm-no-account", "--latency-wait", "10",
            "--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1",
        ]  # fmt: skip
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
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
