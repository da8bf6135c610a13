"""Two sorted lists of names side by side, and the question whether a file is what a bucket holds."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cocomine.base.errors import CocomineError
from cocomine.transfer.ledger import FOLDER
from cocomine.transfer.records import Facts

FOLDER_LINK = "a symlink to a folder"


class LocalFile(NamedTuple):
    """A file below a folder: name, size in bytes, time in nanoseconds; `problem` says why it is not synced."""

    name: str
    bytes: int
    mtime_ns: int
    problem: str = ""


@dataclass(frozen=True)
class Filter:
    """Which names take part. As in gsutil, a regular expression must match from a name's beginning on.

    A name that matches an `exclude` takes no part: it is neither copied nor deleted. With any `include`, a name takes
    part only if it matches one.
    """

    exclude: tuple[re.Pattern[str], ...] = ()
    include: tuple[re.Pattern[str], ...] = ()

    @classmethod
    def of(cls, exclude: list[str], include: list[str]) -> "Filter":
        """Compile the expressions. Raises CocomineError for one that is none."""
        return cls(tuple(map(_compiled, exclude)), tuple(map(_compiled, include)))

    def __call__(self, name: str) -> bool:
        """Say whether a name takes part."""
        if any(pattern.match(name) for pattern in self.exclude):
            return False
        return not self.include or any(pattern.match(name) for pattern in self.include)


def _compiled(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise CocomineError(f"{text!r} is no regular expression: {error}", "for example '.*\\.jpg$'") from error


def walk(root: Path, follow_links: bool = True) -> Iterator[LocalFile]:
    """Yield the files below `root` sorted by name as bytes, as buckets list, holding one folder's entries a level.

    Symlinks to files inside `root` are followed; others, links to folders, and folders that cannot be read, whose names
    end with a slash then, are yielded with their problem. Without `follow_links`, links are as if they were not there.
    """
    inside = f"{os.path.realpath(root)}/"
    yield from _walk(str(root), "", inside, follow_links)


def _walk(path: str, prefix: str, inside: str, follow_links: bool) -> Iterator[LocalFile]:
    entries: list[tuple[bytes, os.DirEntry[str]]] = []
    try:
        with os.scandir(path) as found:
            for entry in found:
                if not prefix and entry.name == FOLDER:
                    continue
                folder = entry.is_dir(follow_symlinks=False)
                entries.append((os.fsencode(entry.name) + (b"/" if folder else b""), entry))
    except FileNotFoundError:
        return  # it was there a moment ago
    except OSError as error:
        yield LocalFile(prefix, 0, 0, f"a folder that cannot be read: {error.strerror}")
        return
    entries.sort(key=lambda pair: pair[0])
    for _, entry in entries:
        name = prefix + entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, name + "/", inside, follow_links)
        elif entry.is_symlink():
            if follow_links:
                yield _link(entry, name, inside)
        elif entry.is_file():
            try:
                stat = entry.stat()
            except OSError:
                continue  # it was there a moment ago
            yield LocalFile(name, stat.st_size, stat.st_mtime_ns)
        else:
            yield LocalFile(name, 0, 0, "neither a file nor a folder")


def _link(entry: os.DirEntry[str], name: str, inside: str) -> LocalFile:
    if entry.is_dir():
        return LocalFile(name, 0, 0, FOLDER_LINK)
    if not os.path.realpath(entry.path).startswith(inside):
        return LocalFile(name, 0, 0, "a symlink that leads out of the folder")
    try:
        stat = entry.stat()
    except OSError:
        return LocalFile(name, 0, 0, "a symlink that leads nowhere")
    return LocalFile(name, stat.st_size, stat.st_mtime_ns)


def side_by_side(
    remote: Iterator[Facts], local: Iterator[LocalFile]
) -> Iterator[tuple[str, Facts | None, LocalFile | None]]:
    """Merge two sorted lists: for each name what the bucket has and what the folder has."""
    ours, theirs = next(local, None), next(remote, None)
    while ours is not None or theirs is not None:
        left = theirs.name.encode() if theirs is not None else b""
        right = os.fsencode(ours.name) if ours is not None else b""
        if theirs is not None and (ours is None or left < right):
            yield theirs.name, theirs, None
            theirs = next(remote, None)
        elif ours is not None and (theirs is None or right < left):
            yield ours.name, None, ours
            ours = next(local, None)
        else:
            assert ours is not None
            yield ours.name, theirs, ours
            ours, theirs = next(local, None), next(remote, None)
