"""Mover processes started ahead: they start while the command that will drive them is still importing."""

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

SCRIPTS = Path(__file__).resolve().parents[2]

_waiting: list["Child"] = []


class Child:
    """A mover and this end of its pipes."""

    def __init__(self, stdin: IO[bytes], stdout: IO[bytes], process: "subprocess.Popen[bytes] | int") -> None:
        self.stdin = stdin
        self.stdout = stdout
        self._process = process

    def end(self, kill: bool) -> None:
        """Wait for its end; `kill` brings that about, whatever it is doing."""
        if isinstance(self._process, int):
            if kill:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._process, signal.SIGTERM)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._process, 0)
            return
        if kill:
            self._process.terminate()
        self._process.wait()


def start(count: int) -> None:
    """Start so many movers, before any thread and any file is opened.

    Those that nobody takes end with this process, whose pipe they wait at.
    """
    # A fork has at once what is imported already. It also has whatever is open, so that later ones are not forked.
    new = _forked if sys.platform == "linux" and threading.active_count() == 1 else _executed
    while len(_waiting) < count:
        _waiting.append(new())


def take() -> Child:
    """Return a mover that waits for its setup: one started ahead, or else a new one."""
    return _waiting.pop() if _waiting else _executed()


def _forked() -> Child:
    from cocomine.transfer import mover

    theirs_in, ours_in = os.pipe()
    ours_out, theirs_out = os.pipe()
    pid = os.fork()
    if not pid:
        os.dup2(theirs_in, 0)
        os.dup2(theirs_out, 1)
        ours = [end.fileno() for other in _waiting for end in (other.stdin, other.stdout)]
        for descriptor in (ours_in, ours_out, *ours):  # or no mover would see this command's ends close
            os.close(descriptor)
        mover.run()
    os.close(theirs_in)
    os.close(theirs_out)
    return Child(open(ours_in, "wb"), open(ours_out, "rb"), pid)


def _executed() -> Child:
    # Without `site`, which costs a third of the start: the mover needs this folder and one package.
    crc32c = importlib.util.find_spec("google_crc32c")
    assert crc32c is not None
    assert crc32c.origin is not None
    packages = Path(crc32c.origin).parents[1]
    environment = {**os.environ, "PYTHONPATH": f"{SCRIPTS}{os.pathsep}{packages}"}
    process = subprocess.Popen(
        [sys.executable, "-S", "-m", "cocomine.transfer.mover"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    return Child(process.stdin, process.stdout, process)
