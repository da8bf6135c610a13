"""Where files are written before they are complete: one folder a run, swept by the next run when its owner died."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cocomine.transfer.ledger import FOLDER


@contextmanager
def staging(root: Path) -> Iterator[Path]:
    """Yield a folder of this run's own below `root`, on the same disk, and remove it afterwards.

    The folder holds a locked file while its run lives. A run that finds folders whose lock is free removes them: their
    owner was killed, and what they hold is not complete. So nothing partial outlives the next run, and two runs at once
    leave each other alone.
    """
    parent = root / FOLDER / "incomplete"
    folder, lock = _own_folder(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
        for empty in (parent, parent.parent):
            with suppress(OSError):
                empty.rmdir()


def sweep(root: Path) -> None:
    """Remove what runs that died have left below `root`, for a run that has nothing to stage itself."""
    parent = root / FOLDER / "incomplete"
    with suppress(OSError):
        _sweep(parent)
        parent.rmdir()


def _own_folder(parent: Path) -> tuple[Path, int]:
    """Make and lock a folder. Another run may sweep it between the two, so look whether it is still there."""
    while True:
        folder = parent / f"{os.getpid()}-{secrets.token_hex(6)}"
        try:  # another run that ends removes the empty folders above, at any moment
            parent.mkdir(parents=True, exist_ok=True)
            _sweep(parent)
            folder.mkdir()
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            continue
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "lock").exists():
            return folder, lock
        os.close(lock)


def _sweep(parent: Path) -> None:
    for folder in list(parent.iterdir()):
        try:
            lock = os.open(folder / "lock", os.O_RDWR)
        except FileNotFoundError:
            # Killed between making the folder and its lock file, or it is being made at this moment: an empty folder.
            with suppress(OSError):
                folder.rmdir()
            continue
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue
        finally:
            os.close(lock)
