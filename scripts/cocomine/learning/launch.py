"""Where a run computes on a machine of several GPUs: which of them it takes, and the processes that it is spread over.

Nothing here imports torch: it decides before torch looks at the machine.
"""

import fcntl
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from cocomine.base.errors import CocomineError

log = logging.getLogger("cocomine")

HERE = Path.cwd()
"""Where the command was given; `--work-dir` may lead elsewhere, and a second start reads it again."""

VISIBLE = "CUDA_VISIBLE_DEVICES"
SPREAD = "COCOMINE_SPREAD"
"""Set in the processes that `spread` starts: others' launchers set RANK too, for jobs that are one process here."""
PAUSE = 2.0  # seconds between two looks at GPUs that others hold


def rank() -> int:
    """Return which of a run's processes this is; the first, 0, alone writes and speaks."""
    return int(os.environ["RANK"]) if SPREAD in os.environ else 0


def arguments() -> list[str]:
    """Return the command's arguments, without `--log FILE` in a process that does not speak."""
    words = sys.argv[1:]
    if rank() and "--log" in words:
        place = words.index("--log")
        del words[place : place + 2]
    return words


def spread(processes: int, threads: int) -> None:
    """Start the command again as so many processes of `threads` each, by torchrun; return in those that it starts.

    It takes this process's place, and with it the GPUs that it holds.
    """
    if processes == 1 or SPREAD in os.environ:
        return
    os.environ[SPREAD] = "1"
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.chdir(HERE)
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "--"]
    os.execv(sys.executable, [sys.executable, *torchrun, *sys.argv])  # noqa: S606


def take_gpus(count: int) -> None:
    """Make `count` GPUs of this machine this job's own until it ends, where there are more; wait until they are free.

    A cluster that has given out GPUs, or a user, says so in CUDA_VISIBLE_DEVICES, which is then left as it is.
    """
    if VISIBLE in os.environ:
        return
    known = _gpus()
    if len(known) < max(count, 2):
        return
    folder = Path(tempfile.gettempdir(), f"cocomine-gpus-{os.getuid()}")
    while not (free := take(known, count, folder)):
        log.info("waiting for %d free GPU(s) of %d", count, len(known))
        time.sleep(PAUSE)
    os.environ[VISIBLE] = ",".join(free)


def take(known: Sequence[str], count: int, folder: Path) -> list[str]:
    """Return `count` of the known GPUs that no other job has taken, locked for this process and those it becomes.

    Nothing where fewer are free. Raises CocomineError where `folder`, in a place of all users, is somebody else's.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid != os.getuid():
        raise CocomineError(f"{folder} belongs to another user", f"say which GPUs to use in {VISIBLE}")
    held: dict[str, int] = {}
    for name in known:
        lock = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        held[name] = lock
        if len(held) == count:
            for one in held.values():
                os.set_inheritable(one, True)
            return list(held)
    for lock in held.values():
        os.close(lock)
    return []


def _gpus() -> list[str]:
    """Return the names of this machine's GPUs as the driver gives them; none without a driver."""
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return []
