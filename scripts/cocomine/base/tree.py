"""What files and folders hold: SHA-256 and size of each, and one listing for a folder however many files are in it."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from cocomine.base.files import sha256_of_file, write_bytes
from cocomine.base.pool import in_order
from cocomine.base.progress import Progress
from cocomine.base.staging import INCOMPLETE

# Written by Snakemake into folders that are outputs (it holds a time), and by writers that are not done.
NOT_OUTPUTS = frozenset({".snakemake_timestamp", INCOMPLETE})

FILES_AT_ONCE = 256

Fingerprint = tuple[str, int]
"""The SHA-256 of a file and its size in bytes; ("", -1) where there is no file that can be read."""


def files_in(folder: Path) -> list[str]:
    """Return the files below `folder` that are outputs, sorted by their POSIX names, which begin with the folder's.

    They are texts, since a build of all of COCO has about a million. A folder that is not there, or may not be read,
    holds none; links to folders are not followed.
    """
    found: list[str] = []
    folders = [folder.as_posix()]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.name in NOT_OUTPUTS:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                # Of a link `is_file` may raise, of `Path` too, and the rest of the folder would be lost.
                elif os.path.isfile(entry.path) if entry.is_symlink() else entry.is_file():  # noqa: PTH113
                    found.append(entry.path)
    return sorted(found)


def fingerprints(description: str, files: Sequence[str], processes: int = 1) -> Iterator[Fingerprint]:
    """Yield the fingerprint of each file, in order, read by so many processes; one with several names is read once."""
    first = _first_names(files)
    read = [files[place] for place, other in enumerate(first) if place == other]
    again = {other for place, other in enumerate(first) if place != other}
    known: dict[int, Fingerprint] = {}
    pieces = [read[start : start + FILES_AT_ONCE] for start in range(0, len(read), FILES_AT_ONCE)]
    with Progress(description, len(files), "file") as progress:
        prints = chain.from_iterable(in_order(_fingerprints, pieces, min(processes, len(pieces))))
        for place, other in enumerate(first):
            found = next(prints) if place == other else known[other]
            if place in again:
                known[place] = found
            yield found
            progress.advance()


def _first_names(files: Sequence[str]) -> array[int]:
    """Return the place of the first file of `files` that is the same, by hard links, as each of them."""
    places: dict[tuple[int, int], int] = {}
    first = array("q", range(len(files)))
    for place, path in enumerate(files):
        with suppress(OSError):
            state = os.stat(path)  # noqa: PTH116 - a million of them
            if state.st_nlink > 1:
                first[place] = places.setdefault((state.st_dev, state.st_ino), place)
    return first


def _fingerprints(files: Sequence[str]) -> list[Fingerprint]:
    return [_fingerprint(Path(path)) for path in files]


def _fingerprint(path: Path) -> Fingerprint:
    try:
        return (sha256_of_file(path), path.stat().st_size) if path.is_file() else ("", -1)
    except OSError:
        return "", -1


def line(name: str, sha256: str) -> str:
    """Return one line of a listing."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{'' if name == escaped else chr(92)}{sha256}  {escaped}\n"


def read_listing(text: str) -> dict[str, str]:
    """Return name -> SHA-256 of a listing."""
    result = {}
    for line in text.split("\n")[:-1]:
        sha256, _, name = line.removeprefix("\\").partition("  ")
        result[re.sub(r"\\(.)", lambda code: {"n": "\n", "r": "\r"}.get(code[1], code[1]), name)] = sha256
    return result


def entry_of_folder(folder: Path, files: Sequence[str], prints: Iterable[Fingerprint]) -> tuple[dict[str, Any], str]:
    """Return what a lock says of a folder, and the listing whose SHA-256 it says: the lines that `sha256sum` writes."""
    size, lines, start = 0, [], len(folder.as_posix()) + 1
    for path, (sha256, length) in zip(files, prints, strict=True):
        lines.append(line(path[start:], sha256))
        size += length
    text = "".join(lines)
    return {"sha256": hashlib.sha256(text.encode()).hexdigest(), "files": len(lines), "bytes": size}, text


class Listings:
    """Listings of folders kept below a folder by their own SHA-256: each once, however many builds have it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digest}.gz"

    def keep(self, texts: Iterable[str]) -> None:
        """Write those that are not there yet."""
        for text in texts:
            path = self._path(hashlib.sha256(text.encode()).hexdigest())
            if not path.exists():
                write_bytes(path, gzip.compress(text.encode(), mtime=0))

    def read(self, digest: str) -> dict[str, str] | None:
        """Return name -> SHA-256 of the listing with this digest; None when it is not here, or damaged."""
        try:
            content = gzip.decompress(self._path(digest).read_bytes())
        except (OSError, EOFError, ValueError):
            return None
        return read_listing(content.decode()) if hashlib.sha256(content).hexdigest() == digest else None
