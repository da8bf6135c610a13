"""A folder that is complete or as it was before."""

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cocomine.base.errors import CocomineError
from cocomine.base.space import writing
from cocomine.base.staging import INCOMPLETE, PREVIOUS, staging

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h
CANNOT_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)
TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)  # what a rename answers where a folder or a link is already


@contextmanager
def replaced_folder(folder: Path, marker: str) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `folder` on a clean exit, and is removed otherwise.

    Whenever the process is killed, `folder` is the old one or the new one. Raises CocomineError when `folder` holds
    files but none called `marker`: then it is no earlier result, and replacing it would delete something of the user's.
    """
    if folder.exists() and not (folder / marker).is_file() and any(folder.iterdir()):
        raise CocomineError(
            f"{folder}: not empty, and no earlier result (it has no {marker})", "name another folder, or empty this one"
        )
    with writing(folder), staging(folder.parent / INCOMPLETE) as own:
        made = own / "folder" / folder.name
        made.mkdir(parents=True)
        yield made
        put_in_place(made, folder, own)


def put_in_place(made: Path, folder: Path, own: Path) -> None:
    """Put the folder `made` where `folder` is or shall be; what was there ends in `own`, the staging folder of the run.

    What is there, a folder or a link, is swapped in one step. Where the system cannot, it is first moved to where the
    next run's sweep looks for what it must give back.
    """
    try:
        made.rename(folder)
    except OSError as error:
        if error.errno not in TAKEN:
            raise
        if not exchange(made, folder):
            (own / PREVIOUS).mkdir()
            folder.rename(own / PREVIOUS / folder.name)
            made.rename(folder)


def exchange(first: Path, second: Path) -> bool:
    """Swap what two names on one disk stand for, in one step (Linux's renameat2); False where that cannot be done."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in CANNOT_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(second))
