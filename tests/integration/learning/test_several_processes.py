"""One run over two processes (gloo, on the CPU): the weights of one process, and the same bits after a stop."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cocomine.base.errors import CocomineError
from cocomine.learning import launch
from helpers.shapes import write_shapes

SCRIPT = Path(__file__).resolve().parents[3] / "scripts/train_model.py"
# Seven images in a batch of two processes: four and three.
TRAIN = {"iterations": 8, "batch": 7, "threads": 1, "precision": "fp32", "device": "cpu", "log_every": 2,
         "validate_every": 4, "validate_images": 2, "learning_rate": 0.01, "gradient_clip": 1.0, "dice_weight": 0.5,
         "class_weights": "balanced", "augment": {"scale": 0.2, "brightness": 0.2, "crop": 32}}  # fmt: skip


def start(tensors, out, **train):
    """Start the script; it goes on by itself."""
    command = [sys.executable, str(SCRIPT), "--settings", json.dumps({"train": TRAIN | train}), "--tensors",
               str(tensors), "--labels", str(tensors / "labels.json"), "--out-dir", str(out / "out"),
               "--checkpoint-dir", str(out / "checkpoints"), "--log", str(out / "log.txt")]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def ended(process):
    """Wait for it; fail with what it said unless it went well."""
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said


def loss_of(history):
    """The losses of a history."""
    return [float(line.split(",")[2]) for line in history.read_text().splitlines()[1:]]


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def tensors(tmp_path):
    return write_shapes(tmp_path / "tensors", images=12, size=64)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["linknet", "upernet", "segformer"])
def test_two_processes_have_the_loss_gradients_and_statistics_of_one(family):
    parted = Path(__file__).resolve().parents[2] / "helpers/parted_gradients.py"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    spread = os.environ | {launch.SPREAD: "1"}
    done = subprocess.run([*torchrun, str(parted), family], capture_output=True, text=True, timeout=200, env=spread)
    assert done.returncode == 0, done.stderr
    assert max(json.loads(done.stdout).values()) < 1e-10  # in double precision, of which sums keep 15 digits


@pytest.mark.slow
def test_a_run_over_two_processes_learns_as_over_one_and_says_what_it_is(tensors, tmp_path):
    for name, train in (("one", {}), ("two", {"processes": 2})):
        ended(start(tensors, tmp_path / name, **train))
    losses = [loss_of(tmp_path / name / "out/history.csv") for name in ("one", "two")]
    assert losses[1] == pytest.approx(losses[0], rel=0.01)  # rounding grows with each iteration in single precision
    assert losses[1][0] == pytest.approx(losses[0][0], rel=1e-4)
    said = [json.loads((tmp_path / name / "out/training.json").read_text()) for name in ("one", "two")]
    assert "reproducibility" not in said[0]
    assert said[1]["reproducibility"].startswith("spread over 2 processes")


@pytest.mark.slow
def test_two_processes_that_are_stopped_go_on_to_the_same_bytes(tensors, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    long = {"iterations": 40, "processes": 2, "validate_every": 20}
    ended(start(tensors, whole, **long))
    stopped = start(tensors, cut, **long, checkpoint_seconds=0.0)
    end = time.monotonic() + 120
    while not list(cut.glob("checkpoints/*.pt")):
        assert stopped.poll() is None, stopped.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)
    stopped.send_signal(signal.SIGTERM)
    stopped.communicate(timeout=120)
    assert stopped.returncode != 0
    assert not (cut / "out/model.safetensors").exists()
    ended(start(tensors, cut, **long))
    (step,) = re.findall(r"checkpoint of iteration (\d+)", (cut / "log.txt").read_text())
    assert 0 < int(step) < 40
    for name in ("model.safetensors", "history.csv", "train_images.tsv", "curves.png"):
        assert sha(whole / "out" / name) == sha(cut / "out" / name), name


def test_jobs_take_gpus_that_no_other_has_and_give_them_back_when_they_end(tmp_path):
    known = ["GPU-a", "GPU-b", "GPU-c"]
    held = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path;"
         "from cocomine.learning import launch;"
         "print(launch.take(sys.argv[3:], 2, Path(sys.argv[2])), flush=True); sys.stdin.read()",
         str(SCRIPT.parent), str(tmp_path), *known], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert held.stdout.readline().strip() == "['GPU-a', 'GPU-b']"
    assert launch.take(known, 2, tmp_path) == []
    held.communicate("")
    assert launch.take(known, 2, tmp_path) == ["GPU-a", "GPU-b"]
    assert launch.take(known, 1, tmp_path) == ["GPU-c"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_locks_that_is_another_user_s_is_not_used(tmp_path):
    os.chown(tmp_path, 65534, 65534)
    with pytest.raises(CocomineError, match="belongs to another user"):
        launch.take(["GPU-a"], 1, tmp_path)
    assert not list(tmp_path.iterdir())
