"""Train in forked children that are killed (SIGKILL) one after another, then once more to the end.

    python tests/helpers/train_until_killed.py TENSORS OUT KILLS SEED

Everything is imported once, here, and no tensor is computed before forking, so that a child starts within milliseconds.
Prints a JSON line: how many children were killed while at work, and at which iterations they resumed.
"""

import json
import os
import random
import re
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from cocomine.learning import data, training
from cocomine.learning.models import linknet, maskformer  # noqa: F401 - imported before forking
from cocomine.learning.settings import RunSettings

TRAIN = {"iterations": 40, "batch": 4, "threads": 1, "precision": "fp32", "device": "cpu", "log_every": 7,
         "validate_every": 20, "validate_images": 4, "learning_rate": 0.01, "augment": {"scale": 0.2}, "keep": "best",
         "checkpoint_seconds": 0.1}  # fmt: skip


def child(tensors, out):
    settings = RunSettings.from_mapping({"train": TRAIN})
    labels = data.read_labels(tensors / "labels.json")
    training.train(
        training.Job(settings, data.read_tensors(tensors), labels, out / "out", out / "checkpoints", code="c")
    )


def start(tensors, out):
    pid = os.fork()
    if pid == 0:
        log = os.open(out / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 2)
        code = 1
        try:
            training.log.addHandler(__import__("logging").StreamHandler())
            training.log.setLevel("INFO")
            child(tensors, out)
            code = 0
        finally:
            os._exit(code)
    return pid


def main():
    tensors, out, kills, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    out.mkdir(parents=True)
    moments = random.Random(seed)
    killed = 0
    for _ in range(kills):
        pid = start(tensors, out)
        time.sleep(moments.uniform(0.2, 1.2))
        if os.waitpid(pid, os.WNOHANG)[0] == 0:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            killed += 1
        else:
            break
    _, status = os.waitpid(start(tensors, out), 0)
    resumed = re.findall(r"checkpoint of iteration (\d+)", (out / "log.txt").read_text())
    print(json.dumps({"killed": killed, "resumed_at": [int(step) for step in resumed], "status": status}))


if __name__ == "__main__":
    main()
