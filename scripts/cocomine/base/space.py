"""Advice where a disk, a quota or a right is the reason that nothing can be written."""

import errno
import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cocomine.base.errors import CocomineError

FULL_BELOW = 1 << 16
"""Free bytes below which an error without a number (Pillow's encoders have none) is put down to a full disk."""

FEW_FILES = 100
"""Inodes below which a disk is said to be full of files."""

GOES_ON = "run the same command again: what is complete is kept, and it goes on from there"

OF_WRITING = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.EFBIG,
     errno.EIO, errno.ENAMETOOLONG}
)  # fmt: skip


def size(count: float) -> str:
    """Return bytes in words: 1.5 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def free_bytes(folder: Path) -> int:
    """Return the bytes that a file in `folder`, which need not be there yet, could take."""
    found = os.statvfs(nearest(folder))
    return found.f_bavail * found.f_frsize


def nearest(path: Path) -> Path:
    """Return the nearest folder at or above `path` that is there."""
    path = Path(path).absolute()
    return next(folder for folder in (path, *path.parents) if _is_folder(folder))


def _is_folder(path: Path) -> bool:
    with suppress(PermissionError):  # it lies where this user may not look
        return path.is_dir()
    return False


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raise CocomineError when `folder` has not room for the about `needed` bytes of `what`, before any work is done.

    It is a lower bound that is asked for: what passes may still fill the disk, and then says so.
    """
    free = free_bytes(folder)
    if needed > free:
        raise CocomineError(
            f"{folder}: {what} needs about {size(needed)}, and {size(free)} are free there",
            f"make room, then {GOES_ON}; or build on another disk with --directory",
        )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Within it, an error of writing that names no file names `path`."""
    try:
        yield
    except OSError as error:
        number = error.errno
        if number is None and free_bytes(Path(path).parent) < FULL_BELOW:
            number = errno.ENOSPC
        if error.filename is not None or number not in OF_WRITING or number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def advice(error: OSError) -> CocomineError | None:
    """Return what to tell the user of an error of the system, or None when it is nothing that they could put right."""
    number, path = error.errno, Path(os.fsdecode(error.filename)) if error.filename else Path()
    folder = nearest(path if path == Path() else path.parent)
    message, hint = "", ""
    if number == errno.ENOSPC:
        room = os.statvfs(folder)
        free = room.f_bavail * room.f_frsize
        lack = f"{size(free)} are free"
        if room.f_files and room.f_favail < FEW_FILES:  # what was staged is gone by now, and has given some back
            lack = f"{room.f_favail or 'no'} inodes (files) are left"
        message, hint = f"the disk is full: {lack}", f"make room there, then {GOES_ON}"
    elif number == errno.EDQUOT:
        message, hint = "your quota there is used up", f"make room there, then {GOES_ON}"
    elif number == errno.EROFS:
        message, hint = "this disk is read-only", "build on a disk that can be written, with --directory"
    elif number in (errno.EACCES, errno.EPERM):
        message = f"user {_user()} may not do this: {error.strerror}"
        hint = f"give yourself the rights there (chmod, chown), then {GOES_ON}; or build elsewhere with --directory"
    elif number in (errno.EMFILE, errno.ENFILE):
        message = "too many files are open at once"
        hint = f"raise the limit (ulimit -n 4096) or use fewer --cores, then {GOES_ON}"
    elif number == errno.EFBIG:
        message, hint = "the file grows larger than this disk or a limit allows (ulimit -f)", "use another disk"
    elif number == errno.EIO:
        message, hint = "the disk reports a fault of its own", "look into the system's log (dmesg); use another disk"
    elif number == errno.ENAMETOOLONG:
        message, hint = "the file's name is longer than this disk allows", "give the subset or the file a shorter name"
    if not message:
        return None
    return CocomineError(f"{path if path != Path() else folder}: {message}", hint)


def _user() -> str:
    with suppress(KeyError, OSError):
        return getpass.getuser()
    return str(os.getuid())
