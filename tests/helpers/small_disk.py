"""A disk of a chosen size, on memory, that a test may fill."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(path: Path, size: int, files: int = 10_000) -> Iterator[Path]:
    """Mount a tmpfs of `size` bytes that holds so many files; skip the test where that is not allowed."""
    path.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},nr_inodes={files}", "tmpfs", path], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"not run: no tmpfs may be mounted here: {made.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def fill(folder: Path, leaving: int = 0) -> Path:
    """Write a file that leaves so many bytes of the folder's disk; return it."""
    found = os.statvfs(folder)
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(max(0, found.f_bavail * found.f_frsize - leaving)))
    return ballast
