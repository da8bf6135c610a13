"""Where files and folders are written before they are complete, swept by the next run when their writer died."""

import errno
import fcntl
import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

log = logging.getLogger("cocomine")

INCOMPLETE = ".incomplete"
"""The folder, beside what is being written, that holds whatever is not complete; never an output."""

PREVIOUS = "previous"
"""Where a run keeps what it is about to replace, on systems that cannot swap two names in one step."""

# What a file system without locks answers.
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def staging(place: Path) -> Iterator[Path]:
    """Yield a folder of this run's own below the folder `place`, and remove it afterwards.

    The folder holds a locked file while its run lives. A run that finds folders whose lock is free removes them: their
    owner was killed, and what they hold is not complete. So nothing partial outlives the next run, and two runs at once
    leave each other alone. On a file system without locks nothing is swept, since nobody could tell who lives.
    """
    folder, lock = _own_folder(place)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
        _remove_if_empty(place)


@contextmanager
def alone(lock: Path, what: str) -> Iterator[None]:
    """Work while no other run does that holds `lock`, a file; `what` says in a message what is waited for.

    On a file system without locks nobody waits.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            _lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("waiting: another run %s", what)
            _lock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sweep(place: Path) -> None:
    """Remove what runs that died have left in `place`, for a run that has nothing to stage itself."""
    with suppress(FileNotFoundError):
        _sweep(place)
        _remove_if_empty(place)


def _remove_if_empty(place: Path) -> None:
    with suppress(OSError):
        place.rmdir()


def _own_folder(place: Path) -> tuple[Path, int]:
    """Make and lock a folder. Another run may sweep it between the two, so look whether it is still there."""
    while True:
        folder = place / f"{os.getpid()}-{secrets.token_hex(6)}"
        try:  # another run that ends removes the empty folder above, at any moment
            place.mkdir(parents=True, exist_ok=True)
            _sweep(place)
            folder.mkdir()
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            continue
        except FileExistsError:
            if place.exists() and not place.is_dir():
                raise
            continue
        _lock(lock, fcntl.LOCK_EX)
        if (folder / "lock").exists():
            return folder, lock
        os.close(lock)


def _lock(descriptor: int, how: int) -> bool:
    """Lock a file; say whether this file system has locks. Raises BlockingIOError where another run holds it."""
    try:
        fcntl.flock(descriptor, how)
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
        return False
    return True


def _sweep(place: Path) -> None:
    for folder in list(place.iterdir()):
        try:
            lock = os.open(folder / "lock", os.O_RDWR)
        except FileNotFoundError:
            _remove_without_lock(folder)
            continue
        except OSError:
            continue
        try:
            if _lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
                _give_back(folder / PREVIOUS, place.parent)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue
        finally:
            os.close(lock)


def _remove_without_lock(folder: Path) -> None:
    """Remove a folder of a run that was killed before it had a lock file, or while it removed all that it had.

    One that is empty may be being made at this moment, and only a lock file can come first into it.
    """
    with suppress(OSError):
        held = {one.name for one in folder.iterdir()}
        if held and "lock" not in held:
            shutil.rmtree(folder)
        else:
            folder.rmdir()


def _give_back(previous: Path, home: Path) -> None:
    """Put back what a run took out of the way and had not yet replaced when it died."""
    for kept in previous.iterdir() if previous.is_dir() else ():
        if not (home / kept.name).exists():
            kept.rename(home / kept.name)
