"""The streaming of a body into a file that is complete or absent."""

import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from cocomine.base.errors import CocomineError
from cocomine.base.regular import open_regular
from cocomine.base.space import advice, size
from cocomine.transfer.attempts import ChangedError, CorruptedError, Health, local_error, stops, tried
from cocomine.transfer.behaviour import FEW, Behaviour
from cocomine.transfer.digests import Digester, changed
from cocomine.transfer.ledger import Entry, Ledger
from cocomine.transfer.records import Facts, Outcome, Want, mismatch

T = TypeVar("T")
R = TypeVar("R")

LOOKED_AT = 0.05  # seconds between two looks at what threads have done: to be woken for each file costs as much as it


_numbers = itertools.count()


@dataclass(frozen=True)
class Target:
    """Where files go: complete ones below `root`, incomplete ones in `staging` on the same disk.

    `moved` is told of bytes as they arrive, for the progress line.
    """

    root: Path
    staging: Path
    moved: Callable[[int], None]
    behaviour: Behaviour
    sha256: bool = True
    ledger: Ledger | None = None
    origin: str = ""

    def staged(self) -> Path:
        """Return a fresh path for a file that is not complete yet."""
        return self.staging / str(next(_numbers))


def receive(want: Want, pieces: Iterable[bytes], target: Target, sure: bool = False) -> Outcome:
    """Write `pieces` to a temporary file, hash them on the way, compare, and put the file in place.

    `sure` says that what was read is what lies there, without a promise. Raises CorruptedError when the bytes are not
    those promised, ChangedError when they are and are not those pinned, LocalError when they cannot be written; the
    temporary file is then gone.
    """
    staged = target.staged()
    digest = Digester(target.sha256, crc32c=target.sha256 or not want.md5)
    try:
        with open(staged, "xb", buffering=0) as out:
            for piece in pieces:
                digest.update(piece)
                written = out.write(piece)
                while written < len(piece):  # a disk takes less at once only when it is nearly full
                    written += out.write(piece[written:])
                target.moved(written)
        compare(want, digest, sure)
        return in_place(want, staged, digest, target)
    except BaseException as error:
        staged.unlink(missing_ok=True)
        if isinstance(error, OSError) and stops(error, str(staged)):
            raise local_error(error.errno, target.root / want.name) from error
        raise


def compare(want: Want, digest: Digester, sure: bool = False) -> None:
    """Hold what arrived to what was promised, then to the SHA-256 that is pinned.

    Raises CorruptedError or ChangedError. Where the origin promised no checksum the two cannot be told apart, and
    another try may help.
    """
    unpinned = msgspec.structs.replace(want, sha256="") if want.sha256 else want
    if wrong := mismatch(unpinned, digest):
        raise CorruptedError(f"corrupted: {wrong}")
    if want.sha256 and digest.sha256 and want.sha256 != digest.sha256:
        promised = sure or want.md5 or want.crc32c or want.generation or want.etag.startswith("crc32:")
        said = changed(digest.sha256, want.sha256)
        raise ChangedError(said) if promised else CorruptedError(f"corrupted, or {said}")


def in_place(want: Want, staged: Path, digest: Digester, target: Target) -> Outcome:
    """Move a complete, verified file to its name."""
    if want.mtime_ns:
        os.utime(staged, ns=(want.mtime_ns, want.mtime_ns))
    mtime_ns = staged.stat().st_mtime_ns
    sums = (digest.md5, digest.sha256, digest.crc32c, want.generation, want.etag)
    if target.ledger is not None:  # before the rename: whoever finds the file finds its checksums
        target.ledger.append([Entry(want.name, digest.bytes, mtime_ns, *sums, target.origin)])
    os.replace(staged, f"{target.root}/{want.name}")
    return Outcome(want.name, "ok", "", digest.bytes, *sums, mtime_ns, target.origin)


def fetch_each(
    wants: Iterable[Want], attempt: Callable[[Want], Outcome], behaviour: Behaviour, threads: Callable[[], int]
) -> Iterator[Outcome]:
    """Yield an outcome of each file, `attempt` being tried as often as it is worth, in threads."""
    health = Health()
    return in_threads(lambda want: tried(want.name, lambda: attempt(want), behaviour, health), wants, threads)


def facts_of_each(names: Iterable[str], ask: Callable[[str], Facts | None]) -> dict[str, Facts]:
    """Return what `ask` says of each name, asked in threads, without those of which it says nothing."""
    with ThreadPoolExecutor(FEW) as pool:
        return {facts.name: facts for facts in pool.map(ask, names) if facts is not None}


@contextmanager
def room_for(needed: int, moved: Callable[[], int]) -> Iterator[None]:
    """Within it, an error of this machine also says how much of the `needed` bytes is still to come."""
    try:
        yield
    except OSError as error:
        told = advice(error)
        if told is None:
            raise
        left = size(max(0, needed - moved()))
        raise CocomineError(f"{told.message}; about {left} are still to be fetched", told.hint) from error


def pieces_of_file(path: Path, size: int = 1 << 20) -> Iterator[bytes]:
    """Yield a file's bytes. Raises NotRegularError where it is a FIFO, a device or a folder."""
    with open_regular(path) as file:
        while piece := file.read(size):
            yield piece


def digest_of_file(path: Path) -> Digester:
    """Return the checksums of a file."""
    digest = Digester()
    for piece in pieces_of_file(path):
        digest.update(piece)
    return digest


def in_threads(work: Callable[[T], R], items: Iterable[T], threads: Callable[[], int]) -> Iterator[R]:
    """Yield the results of `work` on `items`, done by so many threads, as they come; an item is taken when needed.

    How many is asked again with each item.

    What `work` or `items` raises is raised here, when the work that was begun has ended. Nothing is waited for when the
    caller goes away, as it does when the user interrupts it.
    """
    source = iter(items)
    taking = threading.Lock()
    done: deque[R] = deque()
    failures: list[BaseException] = []
    running, stopped = 0, False
    ended = threading.Event()

    def start() -> None:
        nonlocal running
        running += 1
        threading.Thread(target=run, daemon=True).start()

    def run() -> None:
        nonlocal running
        try:
            while not (stopped or failures):
                with taking:
                    item = next(source, None)
                    if item is not None and running < threads():
                        start()
                if item is None:
                    break
                done.append(work(item))
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that asked
            failures.append(error)
        with taking:
            running -= 1
            if not running:
                ended.set()

    start()
    try:
        while not ended.wait(LOOKED_AT) or done:
            while done:
                yield done.popleft()
    finally:
        stopped = True
    if failures:
        raise failures[0]
