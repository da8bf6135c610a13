"""Mover processes started ahead: they start while the command that will drive them is still importing."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2]

_waiting: list["subprocess.Popen[bytes]"] = []


def start(count: int) -> None:
    """Start so many movers; those that nobody takes end with this process, whose pipe they wait at."""
    _waiting.extend(_new() for _ in range(count))


def take() -> "subprocess.Popen[bytes]":
    """Return a mover that waits for its setup: one started ahead, or else a new one."""
    return _waiting.pop() if _waiting else _new()


def _new() -> "subprocess.Popen[bytes]":
    # Without `site`, which costs a third of the start: the mover needs this folder and one package.
    crc32c = importlib.util.find_spec("google_crc32c")
    assert crc32c is not None
    assert crc32c.origin is not None
    packages = Path(crc32c.origin).parents[1]
    environment = {**os.environ, "PYTHONPATH": f"{SCRIPTS}{os.pathsep}{packages}"}
    return subprocess.Popen(
        [sys.executable, "-S", "-m", "cocomine.sources.mover"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
