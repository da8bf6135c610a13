"""A folder that is complete or as it was before."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from cocomine.base.errors import CocomineError


@contextlib.contextmanager
def replaced_folder(folder: Path, marker: str) -> Iterator[Path]:
    """Yield an empty folder beside `folder` that takes its place on a clean exit, and is removed otherwise.

    Raises CocomineError when `folder` holds files but none called `marker`: then it is no earlier result, and replacing
    it would delete something of the user's.
    """
    if folder.exists() and not (folder / marker).is_file() and any(folder.iterdir()):
        raise CocomineError(
            f"{folder}: not empty, and no earlier result (it has no {marker})", "name another folder, or empty this one"
        )
    temporary = folder.parent / f".{folder.name}.{os.getpid()}-{secrets.token_hex(4)}.part"
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
