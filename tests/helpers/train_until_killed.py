"""Train in a forked child left alone, then in children each of which ends itself by SIGKILL at its moment, to the end.

    python tests/helpers/train_until_killed.py TENSORS OUT [PLACE]

writes the first run below OUT/whole and the other below OUT/cut. With a PLACE (a folder or bucket that checkpoints are
copied to), each child is on a machine of its own: it finds empty folders, and nothing but what lies there.

A moment is the n-th time that training comes by a place: between two iterations, in the middle of writing a file,
just before that file takes its name, or just after; in the middle of copying a checkpoint to the PLACE, or just after
that. So the kills fall where they may hurt, however slow the machine.
Everything is imported once, here, and no tensor is computed before forking, so that a child starts within milliseconds.
Prints a JSON line: how many children were killed, at which iterations the next ones went on, and the two
statuses of those that were not.
"""

import json
import logging
import os
import re
import shutil
import signal
import sys
from http.client import HTTPConnection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cocomine.learning import data, steps, training
from cocomine.learning.away import Away
from cocomine.learning.models import linknet, maskformer  # noqa: F401 - imported before forking
from cocomine.learning.settings import RunSettings

from helpers.small_network import shrink

TRAIN = {"iterations": 30, "batch": 2, "threads": 1, "precision": "fp32", "device": "cpu", "log_every": 4,
         "validate_every": 5, "validate_images": 2, "learning_rate": 0.01, "augment": {"scale": 0.2}, "keep": "best",
         "checkpoint_seconds": 0.0}  # fmt: skip

# While it trains (every fourth child sees more than one checkpoint written), and while it writes its outputs.
MOMENTS = [(place, 2 + number % 2) for number in range(4) for place in ("iteration", "writing", "before", "after")]
COPYING = [(place, 1 + number % 2) for number in range(3) for place in ("sending", "sent", "writing")]
LATE = [("writing model.safetensors", 1), ("after train_images.tsv", 1), ("before training.json", 1), ("removing", 1)]

LONG = 10_000
"""Bytes of a request that carries a checkpoint; none other has as many."""


def kill_at(place, count):
    """End this process the `count`-th time it comes by `place`."""
    left = [count]

    def passing(here, path=""):
        if place in (here, f"{here} {Path(path).name}"):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    feed, write, replace, unlink = steps.Feeder.training, Path.write_bytes, os.replace, Path.unlink
    send, copy, away = HTTPConnection.send, shutil.copyfile, Away.send

    def feeding(*args):
        passing("iteration")
        return feed(*args)

    def writing(path, content):
        write(path, bytes(content)[: len(content) // 2])
        passing("writing", path)
        return write(path, content)

    def replacing(source, target):
        passing("before", source)
        replace(source, target)
        passing("after", source)

    def unlinking(path, *args, **options):
        if path.suffix == ".pt":
            passing("removing")
        unlink(path, *args, **options)

    def sending(connection, data):
        if isinstance(data, bytes) and len(data) > LONG:
            send(connection, data[: len(data) // 2])
            passing("sending")
            return send(connection, data[len(data) // 2 :])
        return send(connection, data)

    def copying(source, target):
        content = Path(source).read_bytes()
        write(Path(target), content[: len(content) // 2])
        passing("sending")
        return copy(source, target)

    def sent(copied):
        away(copied)
        passing("sent")

    for owner, name, instead in (
        (HTTPConnection, "send", sending),
        (shutil, "copyfile", copying),
        (Away, "send", sent),
        (steps.Feeder, "training", feeding),
        (Path, "write_bytes", writing),
        (os, "replace", replacing),
        (Path, "unlink", unlinking),
    ):
        setattr(owner, name, instead)


def start(tensors, out, moment=None, place=""):
    """Train in a child and return its exit code, negative when it was killed."""
    if place:
        shutil.rmtree(out / "out", ignore_errors=True)
        shutil.rmtree(out / "checkpoints", ignore_errors=True)
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(out / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        code = 1
        try:
            training.log.addHandler(logging.StreamHandler())
            training.log.setLevel("INFO")
            if moment is not None:
                kill_at(*moment)
            settings = RunSettings.from_mapping(
                {"train": {**TRAIN, "checkpoint_copy": place, "checkpoint_copy_seconds": 0.0}}
            )
            labels = data.read_trained_labels(tensors / "labels.json")
            training.train(
                training.Job(settings, data.read_tensors(tensors), labels, out / "out", out / "checkpoints", code="c")
            )
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main():
    tensors, whole, cut = Path(sys.argv[1]), Path(sys.argv[2], "whole"), Path(sys.argv[2], "cut")
    place = sys.argv[3] if len(sys.argv) > 3 else ""
    moments = COPYING + LATE if place else MOMENTS + LATE
    shrink()
    for folder in (whole, cut):
        folder.mkdir(parents=True)
    status = [start(tensors, whole)]
    killed = [start(tensors, cut, moment, place) for moment in moments].count(-signal.SIGKILL)
    status.append(start(tensors, cut, place=place))
    resumed = re.findall(r"checkpoint of iteration (\d+)", (cut / "log.txt").read_text())
    print(json.dumps({"killed": killed, "resumed_at": [int(step) for step in resumed], "status": status}))


if __name__ == "__main__":
    main()
