"""A run that is killed again and again ends with the very bytes of one that was left alone."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from helpers.shapes import write_shapes

SCRIPT = Path(__file__).resolve().parents[2] / "helpers/train_until_killed.py"


def run(tensors, out, kills, seed=0):
    command = [sys.executable, str(SCRIPT), str(tensors), str(out), str(kills), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + (out / "log.txt").read_text()
    facts = json.loads(done.stdout)
    assert facts["status"] == 0, (out / "log.txt").read_text()
    return facts


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_killed_at_twenty_moments_ends_with_the_same_bytes(tmp_path):
    tensors = write_shapes(tmp_path / "tensors", images=12, size=32)
    run(tensors, tmp_path / "whole", 0)
    wanted, killed, seed = hashes(tmp_path / "whole/out"), 0, 0
    while killed < 20:
        facts = run(tensors, tmp_path / f"cut{seed}", 20 - killed, seed)
        assert hashes(tmp_path / f"cut{seed}/out") == wanted
        assert not list((tmp_path / f"cut{seed}").rglob("*.pt"))
        assert facts["killed"]
        assert facts["resumed_at"]
        killed, seed = killed + facts["killed"], seed + 1
