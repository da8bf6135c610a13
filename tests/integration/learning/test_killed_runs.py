"""A run that is killed again and again ends with the very bytes of one that was left alone."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from helpers.shapes import write_shapes

SCRIPT = Path(__file__).resolve().parents[2] / "helpers/train_until_killed.py"


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_killed_at_twenty_moments_ends_with_the_same_bytes(tmp_path):
    tensors = write_shapes(tmp_path / "tensors", images=8, size=32)
    command = [sys.executable, str(SCRIPT), str(tensors), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    facts, log = json.loads(done.stdout), (tmp_path / "cut/log.txt").read_text()
    assert facts["status"] == [0, 0], log
    assert facts["killed"] == 20, log
    assert facts["resumed_at"] == sorted(facts["resumed_at"])
    assert len(set(facts["resumed_at"])) > 10  # nearly every child got on by an iteration or two
    assert facts["resumed_at"][-1] == 30
    assert hashes(tmp_path / "cut/out") == hashes(tmp_path / "whole/out")
    assert not list((tmp_path / "cut/checkpoints").iterdir())  # neither checkpoints nor halves of them are left
