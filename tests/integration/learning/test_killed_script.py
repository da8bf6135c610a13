"""The script itself, killed by the system between two checkpoints, ends with the weights of a run left alone."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from helpers.shapes import write_shapes

SCRIPT = Path(__file__).resolve().parents[3] / "scripts/train_model.py"
TRAIN = {"iterations": 40, "batch": 8, "threads": 1, "precision": "fp32", "device": "cpu", "log_every": 1,
         "validate_every": 20, "validate_images": 2, "learning_rate": 0.01}  # fmt: skip


def start(tensors, out, seconds):
    settings = {"train": TRAIN | {"checkpoint_seconds": seconds}}
    command = [sys.executable, str(SCRIPT), "--settings", json.dumps(settings), "--tensors", str(tensors),
               "--labels", str(tensors / "labels.json"), "--out-dir", str(out / "out"),
               "--checkpoint-dir", str(out / "checkpoints"), "--tensorboard", str(out / "board"),
               "--log", str(out / "log.txt")]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def events(out):
    return sum(path.stat().st_size for path in out.glob("board/*"))


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "training ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.01)


def sha(out, name):
    return hashlib.sha256((out / "out" / name).read_bytes()).hexdigest()


def test_script_killed_between_two_checkpoints_ends_with_the_same_bytes(tmp_path):
    tensors = write_shapes(tmp_path / "tensors", images=8, size=32)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    alone = start(tensors, whole, 3600)
    killed = start(tensors, cut, 0.5)
    wait_for(lambda: list(cut.glob("checkpoints/*.pt")), killed)
    (saved,) = cut.glob("checkpoints/*.pt")
    stamp, before = saved.stat().st_mtime_ns, events(cut)
    wait_for(lambda: events(cut) > before + 400, killed)  # several iterations later: a row is some 60 bytes
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert saved.stat().st_mtime_ns >= stamp
    assert not (cut / "out/model.safetensors").exists()
    assert start(tensors, cut, 3600).wait() == 0
    assert alone.wait() == 0
    (step,) = re.findall(r"checkpoint of iteration (\d+)", (cut / "log.txt").read_text())
    assert 0 < int(step) < TRAIN["iterations"]
    for name in ("model.safetensors", "history.csv", "train_images.tsv"):
        assert sha(whole, name) == sha(cut, name), name
