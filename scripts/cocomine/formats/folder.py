"""The files of an export: linked or copied into its folder, each of them hashed."""

import hashlib
import os
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cocomine.base.errors import SYNC_IMAGES_AGAIN, CocomineError
from cocomine.base.files import sha256_of_file
from cocomine.base.progress import Progress

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Placement:
    """One file of the store or the subset and where it goes.

    `source` is a path on this machine, `target` a path inside the export with forward slashes, `sha256` the hash that
    the file had when it was fetched ("" when nobody noted one).
    """

    source: Path
    target: str
    sha256: str = ""


@dataclass(frozen=True)
class Placed:
    """One file of the export: its path inside it, its size in bytes and its SHA-256 as hex."""

    path: str
    bytes: int
    sha256: str


def checked_targets(placements: Iterable[Placement], by_stem: bool) -> list[Placement]:
    """Return the placements, having checked that no two share a target and that none leaves the folder.

    With `by_stem` two targets that differ only in the suffix count as one, since labels and masks are named by their
    image's stem; two that differ only in case always do, since some file systems ignore it. Raises CocomineError that
    names both sources.
    """
    result = list(placements)
    seen: dict[str, Placement] = {}
    for placement in result:
        check_inside(placement)
        path = PurePosixPath(placement.target)
        earlier = seen.setdefault(str(path.with_suffix("") if by_stem else path).casefold(), placement)
        if earlier is not placement:
            raise CocomineError(
                f"two images would both be written as {placement.target!r}: {earlier.source} and {placement.source}",
                "set the policy of `duplicate-file-name` to quarantine, or build a subset per source split",
            )
    return result


def check_inside(placement: Placement) -> None:
    """Raise CocomineError when the placement's target would leave the export's folder."""
    path = PurePosixPath(placement.target)
    if path.is_absolute() or ".." in path.parts or "\\" in placement.target:
        raise CocomineError(
            f"file name {placement.target!r} would leave the export's folder",
            "set the policy of `unsafe-file-name` to quarantine",
        )


def place_files(
    placements: Iterable[Placement],
    folder: Path,
    *,
    link: bool = True,
    threads: int = 1,
    what: str = "files",
    by_stem: bool = False,
) -> list[Placed]:
    """Hard-link the files into `folder`, or copy them where a link cannot be made or `link` is False; hash each.

    A symbolic link in the store is followed, so the export never holds one. Returns the placed files in the order
    given. Raises CocomineError when a source is missing, or when its bytes are not those that were fetched.
    """
    todo = checked_targets(placements, by_stem)
    for parent in sorted({(folder / placement.target).parent for placement in todo}):
        parent.mkdir(parents=True, exist_ok=True)
    with Progress(f"place {what}", len(todo), "file") as progress, ThreadPoolExecutor(max_workers=threads) as pool:
        result = []
        for placed, linked in pool.map(lambda placement: _place(placement, folder, link), todo):
            result.append(placed)
            progress.count("linked" if linked else "copied")
            progress.advance()
    return result


def _place(placement: Placement, folder: Path, link: bool) -> tuple[Placed, bool]:
    target = folder / placement.target
    try:
        source = placement.source.resolve(strict=True)
        linked = link and _hard_link(source, target)
        if not linked:
            shutil.copyfile(source, target)
    except FileNotFoundError as error:
        raise CocomineError(
            f"{placement.source}: no such file, though the subset counts on it",
            f"fetch it again with: {SYNC_IMAGES_AGAIN} (a mask: --forcerun rasterize_masks)",
        ) from error
    placed = Placed(placement.target, target.stat().st_size, sha256_of_file(target))
    if placement.sha256 and placed.sha256 != placement.sha256:
        raise CocomineError(
            f"{placement.source}: its SHA-256 is {placed.sha256}, but {placement.sha256} was fetched",
            f"the file was changed in the image store: delete it and run: {SYNC_IMAGES_AGAIN}",
        )
    return placed, linked


def _hard_link(source: Path, target: Path) -> bool:
    """Link, or say False where the file system, its borders or its owner forbid it."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        return False
    return True


def write_placed(folder: Path, path: str, text: str) -> Placed:
    """Write a small text file (UTF-8) at `path` inside `folder`; return its size and hash.

    The folder as a whole is renamed into its place when it is complete, so the file needs no temporary name.
    """
    content = text.encode("utf-8")
    target = folder / path
    try:
        target.write_bytes(content)
    except FileNotFoundError:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return Placed(path, len(content), hashlib.sha256(content).hexdigest())
