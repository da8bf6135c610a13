"""Mirroring a bucket into a folder, and publishing a folder into a bucket: `gsutil rsync`, and better."""

import base64
import itertools
import logging
import mimetypes
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cocomine.base.errors import CocomineError
from cocomine.base.files import write_json
from cocomine.base.progress import Progress
from cocomine.sources.behaviour import Behaviour
from cocomine.sources.compare import Filter, LocalFile, side_by_side, walk
from cocomine.sources.digests import base64_of_hex
from cocomine.sources.gcs import MTIME_KEY, Bucket
from cocomine.sources.ledger import FOLDER, Entry, Ledger, worth_compacting
from cocomine.sources.names import FolderGuard, folded, refusal
from cocomine.sources.origins import public_label
from cocomine.sources.records import Facts, Outcome, Want
from cocomine.sources.settings import OriginSettings
from cocomine.sources.staging import staging
from cocomine.sources.store import report_lacking, size
from cocomine.sources.transfer import Target, digest_of_file, free_bytes, in_threads
from cocomine.sources.web import AgainError, NotServedError, persist, verdict

log = logging.getLogger("cocomine")

LAST = ("manifest.json", "sync.lock.json", "build.lock.json")  # who sees one of these may expect all else to be there
UPLOAD_THREADS = 16
FIRST_FILES = 500  # by whose size the disk is judged before the listing has ended


@dataclass(frozen=True)
class Options:
    """How to sync; the names and meanings are those of gsutil's rsync where it has them.

    `checksum` compares by checksum alone; `delete` removes what the source has not; `dry_run` only says what would be
    done; `no_clobber` leaves files that exist; `update` leaves files that are newer at the destination; `links` follows
    symlinks to files; `allow_empty` lets `delete` empty a destination whose source is empty; `locked` fails on whatever
    the lock does not hold; `manifest` names an object with the checksums of everything, published last.
    """

    behaviour: Behaviour = field(default_factory=Behaviour)
    checksum: bool = False
    delete: bool = False
    dry_run: bool = False
    no_clobber: bool = False
    update: bool = False
    links: bool = True
    allow_empty: bool = False
    names: Filter = field(default_factory=Filter)
    lock: Path | None = None
    locked: bool = False
    manifest: str = ""


class Known:
    """What a ledger says of many files, in little memory: about 250 bytes a file."""

    _PACK = struct.Struct("<qq4s16s??")

    def __init__(self, ledger: Ledger) -> None:
        self._packed: dict[str, bytes] = {}
        self._gzipped: dict[str, str] = {}
        lines = 0
        for entry in ledger.entries():
            lines += 1
            crc, md5 = bytes.fromhex(entry.crc32c), bytes.fromhex(entry.md5)
            self._packed[entry.name] = self._PACK.pack(entry.bytes, entry.mtime_ns, crc, md5, bool(crc), bool(md5))
            if entry.etag.startswith("gzip:"):
                self._gzipped[entry.name] = entry.etag
        if worth_compacting(lines, len(self._packed)):
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
        return _agree(md5.hex() if has_md5 else "", crc.hex() if has_crc else "", remote)


def _agree(md5: str, crc32c: str, remote: Facts) -> bool:
    """Say whether checksums are the bucket's: at least one is known of both, and none differs."""
    of_md5, of_crc = bool(md5 and remote.md5), bool(crc32c and remote.crc32c)
    if (of_md5 and md5 != remote.md5) or (of_crc and crc32c != remote.crc32c):
        return False
    return of_md5 or of_crc


class Tally:
    """Counts what is done and keeps what went wrong."""

    def __init__(self) -> None:
        self.lacking: list[Outcome] = []
        self.removed: list[str] = []
        self.copied = 0

    def refuse(self, name: str, reason: str) -> None:
        """Note a name that takes no part because it must not."""
        self.lacking.append(Outcome(name, "refused", reason))

    def finish(self) -> None:
        """Raise CocomineError, after naming each, when anything could not be had."""
        if self.lacking:
            report_lacking(self.lacking)
            first = self.lacking[0]
            raise CocomineError(
                f"{len(self.lacking)} files could not be synced (named above), the first: {first.name}: {first.reason}",
                "everything else is done; run it again for those that failed, rename or --exclude those refused",
            )


# -- from a bucket into a folder


def download(settings: OriginSettings, root: Path, options: Options) -> None:
    """Make `root` hold what the prefix holds. Raises CocomineError when anything could not be had."""
    bucket = Bucket(settings, options.behaviour)
    if root.exists() and not root.is_dir():
        raise CocomineError(f"{root}: not a folder", "give a folder to sync into")
    if not options.dry_run:
        root.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(root / FOLDER / "ledger.jsonl")
    tally = Tally()
    pins = _read_pins(options)
    with Progress(f"sync from {public_label(settings.url)}", None, "file") as progress:
        wants = _wanted(bucket, root, options, ledger, tally, progress, pins)
        if options.dry_run:
            for want in wants:
                log.info("Would copy %s (%s)", want.name, size(want.bytes))
        else:
            _fetch(bucket, root, options, ledger, tally, progress, wants)
        _remove_extras(root, options, tally, progress)
    ledger.close()
    failed = any(outcome.status != "refused" for outcome in tally.lacking)
    if options.lock is not None and not (options.locked or options.dry_run or failed):
        _write_lock(options.lock, root, ledger, options)
    tally.finish()


def _wanted(
    bucket: Bucket,
    root: Path,
    options: Options,
    ledger: Ledger,
    tally: Tally,
    progress: Progress,
    pins: dict[str, Entry],
) -> Iterator[Want]:
    """Yield what must be fetched, while the listing goes on."""
    known = Known(ledger)
    guard = FolderGuard(root)
    seen: set[int] = set()
    above: list[str] = []  # objects whose names begin the present one's: it cannot be a file in a folder of their name
    local = walk(root) if root.is_dir() else iter(())
    held = 0
    for name, remote, ours in side_by_side(bucket.listing(), local):
        if remote is not None:
            held += 1
        if not options.names(name):
            progress.count("left out")
            continue
        if remote is None:
            tally.removed.append(name)
            continue
        if name.endswith("/") and not remote.bytes:
            progress.count("folder placeholders passed over")
            continue
        reason = _refused(name, ours, seen, above) or (None if options.dry_run else guard.prepare(name))
        if reason:
            tally.refuse(name, reason)
            continue
        difference = _breaks_lock(options, pins, remote)
        if difference:
            tally.lacking.append(Outcome(name, "failed", difference))
            continue
        if ours is not None and not _replace(ours, remote, known, root, options, ledger, bucket):
            progress.advance()
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
    if options.delete and tally.removed and not held and not options.allow_empty:
        raise CocomineError(
            f"gs://{bucket.name}/{bucket.prefix} holds nothing, and --delete would empty {root.name}/",
            "check the URL; if it is meant, add --allow-empty",
        )
    for name in sorted(pins):  # what the listing met has been taken out
        tally.lacking.append(Outcome(name, "failed", "changed at the origin: no longer there"))


def _refused(name: str, ours: LocalFile | None, seen: set[int], above: list[str]) -> str | None:
    reason = refusal(name)
    if reason:
        return f"unsafe name: {reason}"
    if name.partition("/")[0].casefold() == FOLDER:
        return "unsafe name: a reserved name"
    while above and not name.startswith(above[-1]):
        above.pop()
    if any(name.startswith(other + "/") for other in above):
        return "a file of the folder's name is in the bucket too"
    above.append(name)
    key = hash(folded(name))
    if key in seen:
        return "unsafe name: the same as another on a case-insensitive disk"
    seen.add(key)
    if ours is not None and ours.problem:
        return f"in the way: {ours.problem}"
    return None


def _replace(
    ours: LocalFile,
    remote: Facts,
    known: Known,
    root: Path,
    options: Options,
    ledger: Ledger,
    bucket: Bucket,
) -> bool:
    """Say whether the file must be fetched anew."""
    if options.no_clobber:
        return False
    if options.update and remote.mtime_ns and ours.mtime_ns > remote.mtime_ns:
        return False
    if not options.checksum and known.same(ours, remote):
        return False
    if remote.gzipped or ours.bytes != remote.bytes:
        return True
    digest = digest_of_file(root / ours.name)
    if not _agree(digest.md5, digest.crc32c, remote):
        return True
    if not options.dry_run:
        mtime_ns = ours.mtime_ns
        if remote.mtime_ns and remote.mtime_ns != mtime_ns:
            os.utime(root / ours.name, ns=(remote.mtime_ns, remote.mtime_ns))
            mtime_ns = remote.mtime_ns
        sums = (digest.md5, digest.sha256, digest.crc32c, remote.generation, remote.etag)
        ledger.append([Entry(ours.name, ours.bytes, mtime_ns, *sums, f"gs://{bucket.name}/{bucket.prefix}")])
    return False


def _fetch(
    bucket: Bucket,
    root: Path,
    options: Options,
    ledger: Ledger,
    tally: Tally,
    progress: Progress,
    wants: Iterator[Want],
) -> None:
    moved = 0

    def count(amount: int) -> None:
        nonlocal moved
        moved += amount

    checked = _that_fit(root, wants, lambda: moved)
    with staging(root) as folder:
        target = Target(
            root,
            folder,
            count,
            options.behaviour,
            ledger=ledger,
            origin=f"gs://{bucket.name}/{bucket.prefix}",
            sha256=options.lock is not None,
        )
        for outcome in bucket.fetch(checked, target):
            if outcome.status == "ok":
                tally.copied += 1
                progress.advance(1, size(moved))
                progress.count("copied")
            else:
                tally.lacking.append(outcome)
    progress.count("bytes", moved)


def _that_fit(root: Path, wants: Iterator[Want], moved: Callable[[], int]) -> Iterator[Want]:
    """Yield the wanted files as long as the disk has room for them; raises CocomineError when it has not.

    Where the first files take more than a hundredth of what is free, all are listed before the first byte moves;
    elsewhere they are counted while the listing goes on.
    """
    free = free_bytes(root)
    ahead = list(itertools.islice(wants, FIRST_FILES))
    if sum(want.bytes for want in ahead) > free // 100:
        ahead += wants
        needed = sum(want.bytes for want in ahead)
        if needed > free:
            raise _too_full(root, needed, free)
        yield from ahead
        return
    planned = 0
    for want in itertools.chain(ahead, wants):
        planned += want.bytes
        if planned > free // 2 and planned - moved() > free_bytes(root):
            raise _too_full(root, planned - moved(), free_bytes(root))
        yield want


def _too_full(root: Path, needed: int, free: int) -> CocomineError:
    return CocomineError(
        f"{root}: {size(needed)} are needed and {size(free)} are free",
        "make room, or leave something out with --exclude",
    )


def _remove_extras(root: Path, options: Options, tally: Tally, progress: Progress) -> None:
    if not options.delete:
        return
    for name in tally.removed:
        if options.dry_run:
            log.info("Would remove %s", name)
            continue
        (root / name).unlink(missing_ok=True)
        progress.count("removed")


# -- from a folder into a bucket


def upload(root: Path, settings: OriginSettings, options: Options) -> None:
    """Make the prefix hold what the folder holds, manifests last. Raises CocomineError when anything failed."""
    if not root.is_dir():
        raise CocomineError(f"{root}: no such folder", "give the folder to publish")
    bucket = Bucket(settings, options.behaviour)
    tally = Tally()
    ledger = Ledger(root / FOLDER / "ledger.jsonl") if os.access(root, os.W_OK) else None
    with Progress(f"publish to {public_label(settings.url)}", None, "file") as progress:
        plan = list(_to_publish(root, bucket, options, tally, progress))
        if options.delete and tally.removed and not progress.done + len(plan) and not options.allow_empty:
            raise CocomineError(
                f"{root.name}/ holds nothing, and --delete would empty gs://{bucket.name}/{bucket.prefix}",
                "check the folder; if it is meant, add --allow-empty",
            )
        first = [item for item in plan if item[0].name.rpartition("/")[2] not in LAST]
        last = [item for item in plan if item[0].name.rpartition("/")[2] in LAST]
        published: dict[str, Outcome] = {}
        for stage in (first, last):
            if stage is last and tally.lacking:
                for file, _ in last:
                    tally.lacking.append(Outcome(file.name, "failed", "held back, since other files failed"))
                break
            for outcome in _publish(stage, root, bucket, options, progress):
                published[outcome.name] = outcome
                if outcome.status != "ok":
                    tally.lacking.append(outcome)
            if stage is first and not tally.lacking:
                _delete_objects(bucket, options, tally, progress)
        if options.manifest and not options.dry_run and not tally.lacking:
            _publish_manifest(root, bucket, options)
    if ledger is not None:
        ledger.close()
    tally.finish()


def _to_publish(
    root: Path, bucket: Bucket, options: Options, tally: Tally, progress: Progress
) -> Iterator[tuple[LocalFile, Facts | None]]:
    for name, remote, ours in side_by_side(bucket.listing(), walk(root, options.links)):
        if not options.names(name):
            progress.count("left out")
            continue
        if ours is None:
            if name != options.manifest:
                tally.removed.append(name)
            continue
        reason = ours.problem or refusal(name)
        if reason:
            tally.refuse(name, reason)
            continue
        if remote is not None and _is_published(ours, remote, root, options):
            progress.advance()
            progress.count("unchanged")
            continue
        yield ours, remote


def _is_published(ours: LocalFile, remote: Facts, root: Path, options: Options) -> bool:
    if options.no_clobber:
        return True
    if options.update and remote.mtime_ns > ours.mtime_ns:
        return True
    if remote.gzipped or ours.bytes != remote.bytes:
        return False
    if not options.checksum and ours.mtime_ns // 10**9 == remote.mtime_ns // 10**9 and remote.mtime_ns:
        return True
    digest = digest_of_file(root / ours.name)
    return _agree(digest.md5, digest.crc32c, remote)


def _publish(
    items: Iterable[tuple[LocalFile, Facts | None]], root: Path, bucket: Bucket, options: Options, progress: Progress
) -> Iterator[Outcome]:
    if options.dry_run:
        for file, _ in items:
            log.info("Would copy %s (%s)", file.name, size(file.bytes))
        return
    threads = min(UPLOAD_THREADS, options.behaviour.connections)
    for outcome in in_threads(lambda item: _put(item[0], item[1], root, bucket, options), items, threads):
        if outcome.status == "ok":
            progress.advance()
            progress.count("copied")
        yield outcome


def _put(file: LocalFile, remote: Facts | None, root: Path, bucket: Bucket, options: Options) -> Outcome:
    """Publish one file: the bucket is told its MD5 and refuses other bytes, and replaces only the version we saw."""
    from google.api_core import exceptions as api_exceptions

    path = root / file.name

    def attempt() -> Outcome:
        before = path.stat()
        digest = digest_of_file(path)
        blob = bucket.writable.blob(bucket.prefix + file.name)
        blob.md5_hash = base64_of_hex(digest.md5)
        blob.metadata = {MTIME_KEY: str(before.st_mtime_ns // 10**9)}
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        expected = int(remote.generation) if remote is not None else 0
        try:
            blob.upload_from_filename(str(path), content_type=kind, if_generation_match=expected, checksum="crc32c")
        except api_exceptions.PreconditionFailed as error:
            if _agree_now(bucket, file.name, digest.md5, digest.crc32c):
                return Outcome(file.name, "ok", bytes=digest.bytes, md5=digest.md5, sha256=digest.sha256)
            raise NotServedError("failed", "the object was changed by someone else meanwhile") from error
        except api_exceptions.GoogleAPICallError as error:
            raise verdict(error.code or 0, "") from error
        except OSError as error:
            raise AgainError("the connection broke") from error
        after = path.stat()
        if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
            raise AgainError("the file changed while it was read")
        if (blob.crc32c or "") != base64.b64encode(bytes.fromhex(digest.crc32c)).decode():
            raise AgainError("the bucket holds other bytes than were sent")
        return Outcome(
            file.name, "ok", "", digest.bytes, digest.md5, digest.sha256, digest.crc32c, str(blob.generation or "")
        )

    try:
        return persist(options.behaviour, attempt)
    except NotServedError as error:
        return Outcome(file.name, error.status, str(error))  # type: ignore[arg-type]
    except OSError as error:
        return Outcome(file.name, "failed", error.strerror or str(error))


def _agree_now(bucket: Bucket, name: str, md5: str, crc32c: str) -> bool:
    """Say whether the object is already what we send: a try whose answer was lost had arrived."""
    facts = bucket.facts_of(name)
    return facts is not None and _agree(md5, crc32c, facts)


def _delete_objects(bucket: Bucket, options: Options, tally: Tally, progress: Progress) -> None:
    from google.api_core import exceptions as api_exceptions

    if not options.delete:
        return
    for name in tally.removed:
        if options.dry_run:
            log.info("Would remove %s", name)
            continue
        try:
            bucket.writable.blob(bucket.prefix + name).delete()
            progress.count("removed")
        except api_exceptions.NotFound:
            continue
        except api_exceptions.GoogleAPICallError as error:
            tally.lacking.append(Outcome(name, "failed", f"cannot be removed: HTTP {error.code}"))


def _publish_manifest(root: Path, bucket: Bucket, options: Options) -> None:
    """Publish the checksums of everything, when everything is there."""
    rows: dict[str, dict[str, Any]] = {}
    for file in walk(root, options.links):
        if not file.problem and options.names(file.name) and file.name != options.manifest:
            digest = digest_of_file(root / file.name)
            rows[file.name] = {"bytes": digest.bytes, "md5": digest.md5, "sha256": digest.sha256}
    with staging(root) as folder:
        path = folder / options.manifest
        write_json(path, {"files": rows})
        bucket.writable.blob(bucket.prefix + options.manifest).upload_from_filename(
            str(path), content_type="application/json", checksum="crc32c"
        )


# -- the lock


def _read_pins(options: Options) -> dict[str, Entry]:
    if options.lock is None or not options.locked:
        return {}
    if not options.lock.exists():
        raise CocomineError(f"--locked: {options.lock} is not there", "run once without --locked to write it")
    return Ledger(options.lock).read()


def _breaks_lock(options: Options, pins: dict[str, Entry], remote: Facts) -> str:
    if not options.locked:
        return ""
    pin = pins.pop(remote.name, None)
    if pin is None:
        return "new at the origin: not in the lock"
    if not remote.gzipped and (remote.bytes != pin.bytes or not _agree(pin.md5, pin.crc32c, remote)):
        return f"changed at the origin: generation {remote.generation} instead of {pin.generation}"
    return ""


def _write_lock(path: Path, root: Path, ledger: Ledger, options: Options) -> None:
    """Write the lock: a line a file that is there, sorted by name, without the local time."""
    entries = ledger.read()
    lines = []
    for file in walk(root):
        entry = entries.get(file.name)
        if entry is not None and options.names(file.name) and entry.bytes == file.bytes:
            lines.append(entry)
    Ledger.write(path, lines)
