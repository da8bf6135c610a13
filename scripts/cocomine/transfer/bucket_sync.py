"""Mirroring a bucket into a folder: `gsutil rsync`, and better. `publishing` is the other direction."""

import contextlib
import logging
import os
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cocomine.base.errors import CocomineError
from cocomine.base.progress import Progress
from cocomine.base.space import free_bytes, size
from cocomine.transfer.attempts import words
from cocomine.transfer.behaviour import Behaviour
from cocomine.transfer.gcs import Bucket
from cocomine.transfer.lacking import report_lacking
from cocomine.transfer.ledger import FOLDER, Entry, Ledger, worth_compacting
from cocomine.transfer.listing import Filter, LocalFile, side_by_side, walk
from cocomine.transfer.names import FolderGuard, Taken, plain, refusal
from cocomine.transfer.places import public_label
from cocomine.transfer.prefix_lock import PrefixLock, agree
from cocomine.transfer.receiving import Target, digest_of_file, room_for
from cocomine.transfer.records import Facts, Outcome, Want
from cocomine.transfer.settings import OriginSettings
from cocomine.transfer.staging import staging

log = logging.getLogger("cocomine")

LISTED = 1000  # names between two words to the progress line


@dataclass(frozen=True)
class SyncOptions:
    """How to sync; the names and meanings are those of gsutil's rsync where it has them.

    `checksum` compares by checksum alone; `delete` removes what the source has not; `dry_run` only says what would be
    done, `plan` only how much; `no_clobber` leaves files that exist; `update` leaves files that are newer at the
    destination; `links` follows symlinks to files; `allow_empty` lets `delete` empty a destination whose source is
    empty; `locked` fails on whatever the lock does not hold; `manifest` names an object with the checksums of
    everything, published last.
    """

    behaviour: Behaviour = field(default_factory=Behaviour)
    checksum: bool = False
    delete: bool = False
    dry_run: bool = False
    plan: bool = False
    no_clobber: bool = False
    update: bool = False
    links: bool = True
    allow_empty: bool = False
    names: Filter = field(default_factory=Filter)
    lock: Path | None = None
    locked: bool = False
    manifest: str = ""

    @property
    def only_looks(self) -> bool:
        """Whether nothing may be written anywhere."""
        return self.dry_run or self.plan


class Known:
    """What a ledger says of many files, in little memory: about 250 bytes a file."""

    _PACK = struct.Struct("<qq4s16s??")

    def __init__(self, ledger: Ledger, compact: bool) -> None:
        self._packed: dict[str, bytes] = {}
        self._gzipped: dict[str, str] = {}
        lines = 0
        for entry in ledger.entries():
            lines += 1
            crc, md5 = bytes.fromhex(entry.crc32c), bytes.fromhex(entry.md5)
            try:
                self._packed[entry.name] = self._PACK.pack(entry.bytes, entry.mtime_ns, crc, md5, bool(crc), bool(md5))
            except struct.error:  # no such file can be on a disk
                continue
            if entry.etag.startswith("gzip:"):
                self._gzipped[entry.name] = entry.etag
        if compact and worth_compacting(lines, len(self._packed)):
            ledger.compact()

    def same(self, local: LocalFile, remote: Facts) -> bool:
        """Say whether the file is untouched since its checksums were taken, and those are the bucket's of now."""
        packed = self._packed.get(local.name)
        if packed is None:
            return False
        count, mtime_ns, crc, md5, has_crc, has_md5 = self._PACK.unpack(packed)
        if (count, mtime_ns) != (local.bytes, local.mtime_ns):
            return False
        if remote.gzipped:
            return self._gzipped.get(local.name) == f"gzip:{remote.md5 or remote.crc32c}"
        if count != remote.bytes:
            return False
        return agree(md5.hex() if has_md5 else "", crc.hex() if has_crc else "", remote)


class Tally:
    """Keeps what went wrong, and what is no longer at the source."""

    def __init__(self, failures: Path | None = None) -> None:
        self.failures = failures  # where all of them are named; without it the log names all
        self.lacking: list[Outcome] = []
        self.removed: list[str] = []

    def refuse(self, name: str, reason: str) -> None:
        """Note a name that takes no part because it must not."""
        self.lacking.append(Outcome(name, "refused", reason))

    def fail(self, name: str, reason: str) -> None:
        """Note a file with which something went wrong."""
        self.lacking.append(Outcome(name, "failed", reason))

    @property
    def failed(self) -> bool:
        """Whether anything went wrong beside refused names."""
        return any(outcome.status != "refused" for outcome in self.lacking)

    @contextlib.contextmanager
    def naming(self) -> Iterator[None]:
        """Name what is lacking at the end, also when an error ends the sync; raise CocomineError for it if none did."""
        try:
            yield
        except BaseException:
            report_lacking(self.lacking, self.failures)
            raise
        where = report_lacking(self.lacking, self.failures)
        if self.lacking:
            first = self.lacking[0]
            raise CocomineError(
                f"{len(self.lacking)} files could not be synced (named {where}), the first: {plain(first.name)}: "
                f"{first.reason}",
                "everything else is done; run it again for those that failed, rename or --exclude those refused",
            )


class Moved:
    """Bytes moved, of so many, and their rate, as the progress line shows them."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.bytes = 0
        self._began = time.monotonic()
        self._adding = threading.Lock()

    def add(self, amount: int) -> None:
        """Count bytes, in any thread."""
        with self._adding:
            self.bytes += amount

    def __str__(self) -> str:
        rate = self.bytes / max(time.monotonic() - self._began, 0.001)
        return f"{size(self.bytes)} of {size(self.total)}, {size(rate)}/s"


def is_placeholder(remote: Facts) -> bool:
    """Say whether an object only stands for a folder, by gsutil's rule. Such objects take no part in a sync."""
    return remote.name.endswith("_$folder$") or (not remote.bytes and (not remote.name or remote.name.endswith("/")))


# -- from a bucket into a folder


def download(settings: OriginSettings, root: Path, options: SyncOptions) -> None:
    """Make `root` hold what the prefix holds. Raises CocomineError when anything could not be fetched.

    The listing ends before the first byte moves: only then is it known whether the disk has room for all of it.
    """
    if options.manifest:
        raise CocomineError("--manifest goes with publishing a folder", "to write what is fetched, give --lock FILE")
    bucket = Bucket(settings, options.behaviour)
    if root.exists() and not root.is_dir():
        raise CocomineError(f"{root}: not a folder", "give a folder to sync into")
    if not options.only_looks:
        root.mkdir(parents=True, exist_ok=True)
    tally = Tally(None if options.only_looks else root / FOLDER / "failures.tsv")
    lock = PrefixLock(options.lock, options.locked)
    label = public_label(settings.url)
    with contextlib.ExitStack() as stack:
        stack.enter_context(tally.naming())
        ledger = stack.enter_context(contextlib.closing(Ledger(root / FOLDER / "ledger.jsonl")))
        with Progress(f"list {label}", None, "object") as progress:
            wants = list(_wanted(bucket, root, options, ledger, tally, progress, lock))
        needed, free = sum(want.bytes for want in wants), free_bytes(root)
        if options.only_looks:
            _say(wants, needed, free, progress.counts.get("unchanged", 0), tally, options)
            return
        if needed > free:
            raise CocomineError(
                f"{root}: {size(needed)} are needed and {size(free)} are free",
                "make room, or leave something out with --exclude",
            )
        with Progress(f"sync from {label}", len(wants), "file") as progress:
            if wants:
                _fetch(bucket, root, options, ledger, tally, progress, wants, Moved(needed))
            _remove_extras(root, options, tally, progress)
        if not (options.locked or tally.failed):
            lock.write(root, ledger, f"gs://{bucket.name}/{bucket.prefix}")


def _say(wants: list[Want], needed: int, free: int, unchanged: int, tally: Tally, options: SyncOptions) -> None:
    if options.dry_run:
        for want in wants:
            log.info("Would copy %s (%s)", plain(want.name), size(want.bytes))
        for name in tally.removed if options.delete else ():
            log.info("Would remove %s", plain(name))
    removed = f", {len(tally.removed)} to remove" if options.delete else ""
    log.info(
        "Plan: %d files to fetch, %s (%d bytes); %d there already%s; %s free%s",
        len(wants),
        size(needed),
        needed,
        unchanged,
        removed,
        size(free),
        ": too little" if needed > free else "",
    )


def _wanted(
    bucket: Bucket, root: Path, options: SyncOptions, ledger: Ledger, tally: Tally, progress: Progress, lock: PrefixLock
) -> Iterator[Want]:
    """Yield what must be fetched."""
    known = Known(ledger, compact=not options.only_looks)
    taken = Taken()
    local = walk(root, options.links) if root.is_dir() else iter(())
    held = 0
    objects = (facts for facts in bucket.listing() if not is_placeholder(facts))
    for name, remote, ours in side_by_side(objects, local):
        if remote is not None:
            held += 1
            if not held % LISTED:
                progress.advance(LISTED)
        if not options.names(name):
            progress.count("left out")
            continue
        if remote is None:
            assert ours is not None
            if not ours.problem:  # links to folders, devices: none of ours
                tally.removed.append(name)
            continue
        reason = _refused(name, ours, taken)
        if reason:
            tally.refuse(name, reason)
            continue
        difference = lock.difference(remote)
        if difference:
            tally.fail(name, difference)
            continue
        if ours is not None and not _replace(ours, remote, known, root, options, ledger, bucket):
            progress.count("unchanged")
            continue
        yield Want(
            name,
            name,
            remote.bytes,
            remote.md5,
            remote.crc32c,
            generation=remote.generation,
            etag=remote.etag,
            mtime_ns=remote.mtime_ns,
            gzipped=remote.gzipped,
        )
    progress.advance(held % LISTED)
    if options.delete and tally.removed and not held and not options.allow_empty:
        raise CocomineError(
            f"gs://{bucket.name}/{bucket.prefix} holds nothing, and --delete would empty {root.name}/",
            "check the URL; if it is meant, add --allow-empty",
        )
    for name in lock.gone(options.names):
        tally.fail(name, "changed at the origin: no longer there")


def _refused(name: str, ours: LocalFile | None, taken: Taken) -> str | None:
    reason = refusal(name)
    if reason:
        return f"unsafe name: {reason}"
    if name.partition("/")[0].casefold() == FOLDER:
        return "unsafe name: a reserved name"
    reason = taken.clash(name)
    if reason:
        return f"unsafe name: {reason}"
    return f"in the way: {ours.problem}" if ours is not None and ours.problem else None


def _replace(
    ours: LocalFile,
    remote: Facts,
    known: Known,
    root: Path,
    options: SyncOptions,
    ledger: Ledger,
    bucket: Bucket,
) -> bool:
    """Say whether the file must be fetched anew."""
    if options.no_clobber:
        return False
    if options.update and remote.mtime_ns and ours.mtime_ns // 10**9 > remote.mtime_ns // 10**9:
        return False
    if not options.checksum and known.same(ours, remote):
        return False
    if remote.gzipped or ours.bytes != remote.bytes:
        return True
    try:
        digest = digest_of_file(root / ours.name)
    except OSError:  # it cannot be read, or is gone by now
        return True
    if not agree(digest.md5, digest.crc32c, remote):
        return True
    if not options.only_looks:
        mtime_ns = ours.mtime_ns
        if remote.mtime_ns and remote.mtime_ns != mtime_ns:
            with contextlib.suppress(OSError):  # another's file: its bytes are right, and its time stays
                os.utime(root / ours.name, ns=(remote.mtime_ns, remote.mtime_ns))
                mtime_ns = remote.mtime_ns
        sums = (digest.md5, digest.sha256, digest.crc32c, remote.generation, remote.etag)
        ledger.append([Entry(ours.name, ours.bytes, mtime_ns, *sums, f"gs://{bucket.name}/{bucket.prefix}")])
    return False


def _fetch(
    bucket: Bucket,
    root: Path,
    options: SyncOptions,
    ledger: Ledger,
    tally: Tally,
    progress: Progress,
    wants: Iterable[Want],
    moved: Moved,
) -> None:
    guard = FolderGuard(root)

    def prepared() -> Iterator[Want]:
        for want in wants:
            reason = guard.prepare(want.name)
            if reason:
                tally.refuse(want.name, reason)
            else:
                yield want

    with staging(root) as folder, room_for(moved.total, lambda: moved.bytes):
        target = Target(
            root,
            folder,
            moved.add,
            options.behaviour,
            ledger=ledger,
            origin=f"gs://{bucket.name}/{bucket.prefix}",
            sha256=options.lock is not None,
        )
        for outcome in bucket.fetch(prepared(), target):
            if outcome.status == "ok":
                progress.advance(1, moved)
                progress.count("copied")
            else:
                tally.lacking.append(outcome)
    progress.count("bytes", moved.bytes)


def _remove_extras(root: Path, options: SyncOptions, tally: Tally, progress: Progress) -> None:
    if not options.delete:
        return
    for name in tally.removed:
        try:
            (root / name).unlink(missing_ok=True)
        except OSError as error:
            tally.fail(name, f"cannot be removed: {words(error)}")
        else:
            progress.count("removed")
