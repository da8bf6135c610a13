"""A store's memory: each complete file's checksums, and the size and time by which "unchanged" is known cheaply."""

import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from cocomine.base.files import atomic_path
from cocomine.transfer.records import Outcome

FOLDER = ".cocomine"  # inside a store: the ledger and what is being written
WORTH_COMPACTING = 1000  # lines that a newer one has replaced


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """One file of the store as it was when its checksums were taken. Checksums are hex, `mtime_ns` nanoseconds."""

    name: str
    bytes: int
    mtime_ns: int
    md5: str
    sha256: str
    crc32c: str
    generation: str
    etag: str
    origin: str


def outcome_of(entry: Entry) -> Outcome:
    """Return what the ledger knows of a file, as the outcome of a sync."""
    return Outcome(status="ok", **msgspec.structs.asdict(entry))


def entry_of(outcome: Outcome) -> Entry:
    """Return what the ledger keeps of a file."""
    return msgspec.convert(outcome, Entry, from_attributes=True)


class Ledger:
    """An append-only file of entries; the last entry of a name counts.

    Each batch is one write to a file opened for appending, so that two syncs never tear each other's lines; a line torn
    by a crash or by a full disk is skipped when read, and its file is checked anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1
        self._opening = threading.Lock()
        self._encoder = msgspec.json.Encoder()

    def entries(self) -> Iterator[Entry]:
        """Yield the entries in the order in which they were added; a later one of a name replaces an earlier."""
        decoder = msgspec.json.Decoder(Entry)
        try:
            with open(self.path, "rb") as file:
                for line in file:
                    try:
                        yield decoder.decode(line)
                    except msgspec.DecodeError:
                        continue
        except FileNotFoundError:
            return

    def read(self) -> dict[str, Entry]:
        """Return name -> entry."""
        return {entry.name: entry for entry in self.entries()}

    def append(self, entries: list[Entry]) -> None:
        """Add entries. A line break goes first, so that a torn last line spoils only itself."""
        if not entries:
            return
        if self._descriptor < 0:
            self._open()
        os.write(self._descriptor, b"\n" + b"\n".join(map(self._encoder.encode, entries)) + b"\n")

    def _open(self) -> None:
        with self._opening:
            if self._descriptor >= 0:
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def compact(self) -> None:
        """Leave out replaced lines when they are many. What another sync adds meanwhile may be lost: it is only hashed
        again then.
        """
        names: set[int] = set()
        lines = 0
        for entry in self.entries():
            names.add(hash(entry.name))
            lines += 1
        if worth_compacting(lines, len(names)):
            self.write(self.path, self.read().values())

    @staticmethod
    def write(path: Path, entries: Iterable[Entry]) -> None:
        """Write a file of these entries, atomically."""
        encoder = msgspec.json.Encoder()
        with atomic_path(path) as temporary, open(temporary, "wb") as out:
            for entry in entries:
                out.write(encoder.encode(entry) + b"\n")

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def worth_compacting(lines: int, names: int) -> bool:
    """Say whether a ledger of so many lines about so many names has more replaced lines than it should."""
    return lines - names > max(WORTH_COMPACTING, names)
