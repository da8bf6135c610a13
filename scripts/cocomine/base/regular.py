"""Opening a file that a stranger may have laid there: a regular file within seconds, or a word for what it is."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


class NotRegularError(OSError):
    """There is something at the path, and it is no regular file. `str` says what it is: "a FIFO", "a folder"."""


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file to be read; symlinks are followed. Never waits, whatever lies there.

    Raises NotRegularError for a FIFO, a device, a socket or a folder, and OSError as `open` does.
    """
    refuse_others(path.stat().st_mode)
    # What it was may have been exchanged since: O_NONBLOCK, so that even a FIFO is opened without waiting for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        refuse_others(os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def refuse_others(mode: int) -> None:
    """Raise NotRegularError unless `mode` (of os.stat) is a regular file's."""
    if not stat.S_ISREG(mode):
        raise NotRegularError(_kind(mode))


def changed_between(before: os.stat_result, after: os.stat_result) -> bool:
    """Tell whether a file was written, or another put in its place, between two looks at it."""
    return (before.st_size, before.st_mtime_ns, before.st_ino) != (after.st_size, after.st_mtime_ns, after.st_ino)


def changed_since(before: os.stat_result, path: Path) -> bool:
    """Tell whether the file at `path` was written, exchanged or removed since that look at it."""
    try:
        return changed_between(before, path.stat())
    except FileNotFoundError:
        return True


def why_not(error: OSError) -> str:
    """Return in a word or two why a file could not be read: "a FIFO", "a link that loops", "permission denied"."""
    if isinstance(error, NotRegularError):
        return str(error)
    return "a link that loops" if error.errno == errno.ELOOP else os.strerror(error.errno or 0).lower()


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a FIFO"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a device" if stat.S_ISBLK(mode) or stat.S_ISCHR(mode) else "no regular file"
