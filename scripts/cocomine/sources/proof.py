"""Files of a store or of a source that are not those that were locked: noticed by their bytes, or by size and time."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from msgspec import structs

from cocomine.base.commands import commands
from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json
from cocomine.transfer.lacking import shown
from cocomine.transfer.ledger import FOLDER, Entry, Ledger

LEDGER = Path(FOLDER) / "ledger.jsonl"
KEPT = Path(FOLDER) / "kept"
"""Where a source's fetched annotation files stay, below the folder in which they are used."""

CHANGED_MEANWHILE = "it changed while it was read"

NAMES_SHOWN = 5
THREADS, ASKED_AT_ONCE = 8, 1024
"""Asking for a file's size and time is waiting, on a disk of the network above all."""


def changed_images(store_dir: Path, names: Sequence[str]) -> CocomineError:
    """Return the error that names images whose bytes are not those locked."""
    doubt(store_dir / LEDGER, names)
    return CocomineError(
        f"{store_dir}: {len(names)} {'image is' if len(names) == 1 else 'images are'} not as locked "
        f"(SHA-256 differs): {shown(names, NAMES_SHOWN)}",
        f"put the files back as they were, then have them checked, or fetched again: {commands().again('sync_images')}",
    )


def changed_annotations(path: Path, difference: str) -> CocomineError:
    """Return the error that names an annotation file which is not the one locked, or not the one indexed."""
    for ledger in (LEDGER, KEPT / LEDGER):
        doubt(path.parent / ledger, [path.name])
    return CocomineError(
        f"{path}: not as locked: {difference}",
        f"put the file back as it was, then have it checked, or fetched again: {commands().again('sync_annotations')}",
    )


def locked_sha256(lock: Path, name: str) -> str:
    """Return the SHA-256 that a source's sync.lock.json gives of a file. Raises CocomineError when it has no such."""
    rows = read_json(lock).get("files", {})
    if name not in rows:
        raise CocomineError(f"{lock}: does not lock {name}", f"bring it first: {commands().again('sync_annotations')}")
    return str(rows[name]["sha256"])


def doubt(ledger: Path, names: Sequence[str]) -> None:
    """Let the next sync read these files, whatever their size and time say.

    A copy that is not as locked is then fetched anew, and a changed file of a folder used in place is refused. Of a
    store that is somebody else's the owner's next sync decides.
    """
    if ledger.exists() and not os.access(ledger, os.W_OK):
        return
    known = Ledger(ledger).read() if ledger.exists() else {}
    memory = Ledger(ledger)
    memory.append([structs.replace(known[name], bytes=-1, mtime_ns=0) for name in names if name in known])
    memory.close()


def images_unlike(lock: Path, store_dir: Path) -> str:
    """Name the first images of an images.lock.tsv whose file is gone or has another size or time; "" where all hold.

    A quick look that reads no image: one of the same size and time passes. Without a lock nothing is promised. The text
    ends with a digest of what differs, so that it is another for every change.
    """
    if not lock.exists():
        return ""
    with open(lock, encoding="utf-8") as lines:
        next(lines)
        names = [cells[1] for line in lines if (cells := line.split("\t", 3))[2] == "ok"]
    return _said(_differing(store_dir, names, store_dir / LEDGER))


def annotations_unlike(lock: Path) -> str:
    """Name, in the same way, the annotation files of a sync.lock.json whose size or time is another."""
    if not lock.exists():
        return ""
    names = read_json(lock)["files"]
    ledgers = (lock.parent / LEDGER, lock.parent / KEPT / LEDGER)
    return _said(found for ledger in ledgers for found in _differing(lock.parent, names, ledger))


class Differing(NamedTuple):
    """A file that is not as remembered: what a ledger says of its size and time, and what is found; -1 where gone."""

    name: str
    remembered: tuple[int, int]
    found: tuple[int, int]


def _said(differing: Iterable[Differing]) -> str:
    found = sorted(differing)
    digest = hashlib.sha256(repr(found).encode()).hexdigest()[:16]
    return f"{shown((one.name for one in found), NAMES_SHOWN)} ({digest})" if found else ""


def _differing(folder: Path, names: Iterable[str], ledger: Path) -> Iterator[Differing]:
    """Yield those of `names` whose file in `folder` is not as the ledger remembers it, if it does."""
    entries = _remembered(ledger, ledger.stat().st_mtime_ns) if ledger.exists() else {}
    known = [entry for name in names if (entry := entries.get(name)) is not None]
    pieces = [known[start : start + ASKED_AT_ONCE] for start in range(0, len(known), ASKED_AT_ONCE)]
    with ThreadPoolExecutor(THREADS) as pool:
        for differing in pool.map(lambda piece: list(_compared(str(folder), piece)), pieces):
            yield from differing


@lru_cache(maxsize=4)  # several subsets of one store ask in turn
def _remembered(ledger: Path, _time: int) -> dict[str, Entry]:
    return Ledger(ledger).read()


def _compared(folder: str, entries: Sequence[Entry]) -> Iterator[Differing]:
    for entry in entries:
        try:
            status = os.stat(f"{folder}/{entry.name}")  # noqa: PTH116 - a Path each would take twice as long
            found = (status.st_size, status.st_mtime_ns)
        except OSError:
            found = (-1, -1)
        if found != (entry.bytes, entry.mtime_ns):
            yield Differing(entry.name, (entry.bytes, entry.mtime_ns), found)
