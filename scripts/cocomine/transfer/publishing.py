"""Publishing a folder into a bucket, as `gsutil rsync` does, and better: manifests last, nothing overwritten unseen."""

import base64
import contextlib
import logging
import mimetypes
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cocomine.base.errors import CocomineError
from cocomine.base.files import write_json
from cocomine.base.progress import Progress
from cocomine.base.space import size
from cocomine.transfer.attempts import AgainError, NotServedError, tried, words
from cocomine.transfer.bucket_sync import Known, Moved, SyncOptions, Tally, is_placeholder
from cocomine.transfer.digests import base64_of_hex
from cocomine.transfer.gcs import MTIME_KEY, Bucket
from cocomine.transfer.ledger import FOLDER, Entry, Ledger
from cocomine.transfer.listing import FOLDER_LINK, LocalFile, side_by_side, walk
from cocomine.transfer.names import plain, refusal
from cocomine.transfer.places import public_label
from cocomine.transfer.prefix_lock import agree
from cocomine.transfer.receiving import digest_of_file, in_threads
from cocomine.transfer.records import Facts, Outcome
from cocomine.transfer.settings import OriginSettings
from cocomine.transfer.web import verdict

log = logging.getLogger("cocomine")

# Who sees one of these may expect all else to be there.
LAST = ("manifest.json", "sync.lock.json", "build.lock.json", "images.lock.tsv")
IN_ONE_PIECE = 8 << 20  # bytes up to which the library sends a file as one request, which we try again ourselves


def upload(root: Path, settings: OriginSettings, options: SyncOptions) -> None:
    """Make the prefix hold what the folder holds, manifests last. Raises CocomineError when anything failed."""
    if not root.is_dir():
        raise CocomineError(f"{root}: no such folder", "give the folder to publish")
    if options.lock is not None:
        raise CocomineError(
            "--lock goes with fetching a prefix", "to publish the checksums of everything, give --manifest NAME"
        )
    _check_manifest_name(root, options)
    publication = _Publication(root, Bucket(settings, options.behaviour), options)
    with publication.tally.naming(), contextlib.closing(publication.ledger):
        publication.run(public_label(settings.url))


def _check_manifest_name(root: Path, options: SyncOptions) -> None:
    if not options.manifest:
        return
    reason = refusal(options.manifest)
    if reason:
        raise CocomineError(f"--manifest {plain(options.manifest)}: {reason}", "give an object's name below the prefix")
    if options.names(options.manifest) and os.path.lexists(root / options.manifest):
        raise CocomineError(
            f"--manifest {options.manifest}: the folder has a file of that name, which it would replace",
            "give another name, or leave the file out with --exclude",
        )


class _Publication:
    """One run: what is there, what must be sent, and what the bucket is known to hold in the end."""

    def __init__(self, root: Path, bucket: Bucket, options: SyncOptions) -> None:
        self.root = root
        self.bucket = bucket
        self.options = options
        self.tally = Tally()
        self.ledger = Ledger(root / FOLDER / "ledger.jsonl")
        self.remembers = os.access(root, os.W_OK) and not options.only_looks  # else files are read anew each time
        self.origin = f"gs://{bucket.name}/{bucket.prefix}"
        self.extras: list[Facts] = []
        self.rows: dict[str, dict[str, Any]] = {}  # of the manifest: what the bucket holds, as we know it
        self.manifest_generation = 0
        self.unchanged = 0

    def run(self, label: str) -> None:
        """Publish."""
        options = self.options
        with Progress(f"compare with {label}", None, "file") as progress:
            plan = list(self._plan(progress))
        if options.delete and self.extras and not self.unchanged + len(plan) and not options.allow_empty:
            raise CocomineError(
                f"{self.root.name}/ holds nothing, and --delete would empty {self.origin}",
                "check the folder; if it is meant, add --allow-empty",
            )
        if options.only_looks:
            self._say(plan)
            return
        first = [item for item in plan if item[0].name.rpartition("/")[2] not in LAST]
        last = [item for item in plan if item[0].name.rpartition("/")[2] in LAST]
        moved = Moved(sum(file.bytes for file, _ in plan))
        with Progress(f"publish to {label}", len(plan), "file") as progress:
            self._send(first, progress, moved)
            if not self.tally.lacking and options.delete:
                self._remove(progress)
            if not self.tally.lacking:
                self._send(last, progress, moved)
            else:
                for file, _ in last:
                    self.tally.fail(file.name, "held back, since other files failed")
            progress.count("bytes", moved.bytes)
        if options.manifest and not self.tally.lacking:
            self._publish_manifest()

    def _say(self, plan: list[tuple[LocalFile, Facts | None]]) -> None:
        needed = sum(file.bytes for file, _ in plan)
        if self.options.dry_run:
            for file, _ in plan:
                log.info("Would copy %s (%s)", plain(file.name), size(file.bytes))
            for extra in self.extras if self.options.delete else ():
                log.info("Would remove %s", plain(extra.name))
        removed = f", {len(self.extras)} to remove" if self.options.delete else ""
        there = f"{self.unchanged} there already{removed}"
        log.info("Plan: %d files to publish, %s (%d bytes); %s", len(plan), size(needed), needed, there)

    # -- what must be sent

    def _plan(self, progress: Progress) -> Iterator[tuple[LocalFile, Facts | None]]:
        options = self.options
        known = Known(self.ledger, compact=self.remembers)
        entries = self.ledger.read() if options.manifest else {}
        for name, remote, ours in side_by_side(self._objects(), walk(self.root, options.links)):
            if not options.names(name):
                progress.count("left out")
                continue
            if ours is None:
                assert remote is not None
                if name != options.manifest:
                    self.extras.append(remote)
                continue
            progress.advance()
            if ours.problem == FOLDER_LINK:
                log.info("Passed over, a symlink to a folder: %s", plain(name))
                progress.count("symlinks to folders passed over")
                continue
            reason = ours.problem or refusal(name)
            if reason:
                self.tally.refuse(name, reason)
                continue
            try:
                published = remote is not None and self._is_published(ours, remote, known, entries)
            except OSError as error:
                self.tally.fail(name, f"cannot be read: {words(error)}")
                continue
            if published:
                self.unchanged += 1
                progress.count("unchanged")
                continue
            yield ours, remote

    def _objects(self) -> Iterator[Facts]:
        for facts in self.bucket.listing():
            if facts.name == self.options.manifest:
                self.manifest_generation = int(facts.generation or 0)
            if not is_placeholder(facts):
                yield facts

    def _is_published(self, ours: LocalFile, remote: Facts, known: Known, entries: dict[str, Entry]) -> bool:
        options = self.options
        newer = remote.dated and remote.mtime_ns // 10**9 > ours.mtime_ns // 10**9
        left = options.no_clobber or (options.update and newer)
        if left:
            self._note(remote.name, remote.bytes, remote.md5, "", remote.crc32c)
            return True
        if remote.gzipped or ours.bytes != remote.bytes:
            return False
        if not options.checksum and known.same(ours, remote):
            entry = entries.get(ours.name)
            if not options.manifest or (entry is not None and entry.sha256):
                if entry is not None:
                    self._note(entry.name, entry.bytes, entry.md5, entry.sha256)
                return True
        digest = digest_of_file(self.root / ours.name)
        if not agree(digest.md5, digest.crc32c, remote):
            return False
        self._note(ours.name, digest.bytes, digest.md5, digest.sha256)
        self._remember(ours, digest.md5, digest.sha256, digest.crc32c, remote.generation, remote.etag)
        return True

    def _note(self, name: str, count: int, md5: str, sha256: str, crc32c: str = "") -> None:
        if self.options.manifest:
            row = {"bytes": count, "md5": md5, "sha256": sha256, "crc32c": "" if md5 else crc32c}
            self.rows[name] = {key: value for key, value in row.items() if value != ""}

    def _remember(self, file: LocalFile, md5: str, sha256: str, crc32c: str, generation: str, etag: str) -> None:
        if self.remembers:
            sums = (md5, sha256, crc32c, generation, etag)
            self.ledger.append([Entry(file.name, file.bytes, file.mtime_ns, *sums, self.origin)])

    # -- sending

    def _send(self, items: Iterable[tuple[LocalFile, Facts | None]], progress: Progress, moved: Moved) -> None:
        threads = self.options.behaviour.threads
        for outcome in in_threads(lambda item: self._put(*item), items, threads):
            if outcome.status != "ok":
                self.tally.lacking.append(outcome)
                continue
            moved.add(outcome.bytes)
            progress.advance(1, moved)
            progress.count("copied")
            self._note(outcome.name, outcome.bytes, outcome.md5, outcome.sha256)
            file = LocalFile(outcome.name, outcome.bytes, outcome.mtime_ns)
            self._remember(file, outcome.md5, outcome.sha256, outcome.crc32c, outcome.generation, outcome.etag)

    def _put(self, file: LocalFile, remote: Facts | None) -> Outcome:
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        generation = int(remote.generation) if remote is not None else 0
        attempt = lambda: self._put_once(self.root / file.name, file.name, generation, kind)  # noqa: E731
        return tried(file.name, attempt, self.options.behaviour)

    def _put_once(self, path: Path, name: str, generation: int, kind: str) -> Outcome:
        """Send one file: the bucket is told its MD5 and refuses other bytes, and replaces only the version we saw."""
        before = path.stat()
        digest = digest_of_file(path)
        blob = self.bucket.writable.blob(self.bucket.prefix + name)
        blob.md5_hash = base64_of_hex(digest.md5)
        blob.metadata = {MTIME_KEY: str(before.st_mtime_ns // 10**9)}
        done = Outcome(
            name, "ok", "", digest.bytes, digest.md5, digest.sha256, digest.crc32c, mtime_ns=before.st_mtime_ns
        )
        stall = self.options.behaviour.stall_seconds
        options: dict[str, Any] = {"if_generation_match": generation, "checksum": "crc32c", "timeout": stall}
        if before.st_size <= IN_ONE_PIECE:
            options["retry"] = None
        try:
            with _in_our_words():
                blob.upload_from_filename(str(path), content_type=kind, **options)
        except _ChangedError:
            facts = self.bucket.facts_now(name)  # a try whose answer was lost may have arrived
            if facts is not None and agree(digest.md5, digest.crc32c, facts):
                done.generation, done.etag = facts.generation, facts.etag
                return done
            raise
        after = path.stat()
        if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
            raise AgainError("the file changed while it was read")
        if (blob.crc32c or "") != base64.b64encode(bytes.fromhex(digest.crc32c)).decode():
            raise AgainError("the bucket holds other bytes than were sent")
        done.generation, done.etag = str(blob.generation or ""), str(blob.etag or "")
        return done

    # -- removing

    def _remove(self, progress: Progress) -> None:
        threads = self.options.behaviour.threads
        for outcome in in_threads(
            lambda facts: tried(facts.name, lambda: self._delete(facts), self.options.behaviour), self.extras, threads
        ):
            if outcome.status in ("ok", "missing"):
                progress.count("removed")
            else:
                self.tally.fail(outcome.name, f"cannot be removed: {outcome.reason}")

    def _delete(self, facts: Facts) -> Outcome:
        with _in_our_words():
            blob = self.bucket.writable.blob(self.bucket.prefix + facts.name)
            stall = self.options.behaviour.stall_seconds
            blob.delete(if_generation_match=int(facts.generation or 0) or None, retry=None, timeout=stall)
        return Outcome(facts.name, "ok")

    # -- the manifest

    def _publish_manifest(self) -> None:
        """Publish what the bucket was seen to hold: what was sent in this run, and what was found equal."""
        name = self.options.manifest
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "manifest"
            write_json(path, {"files": self.rows})
            attempt = lambda: self._put_once(path, name, self.manifest_generation, "application/json")  # noqa: E731
            outcome = tried(name, attempt, self.options.behaviour)
        if outcome.status != "ok":
            self.tally.lacking.append(outcome)


class _ChangedError(NotServedError):
    """The object is not the version that we saw."""


@contextlib.contextmanager
def _in_our_words() -> Iterator[None]:
    """Turn what the client library raises into AgainError or NotServedError."""
    import requests.exceptions
    from google.api_core import exceptions as api_exceptions
    from google.auth import exceptions as auth_exceptions
    from google.cloud.storage.exceptions import DataCorruption

    try:
        yield
    except api_exceptions.PreconditionFailed as error:
        raise _ChangedError("failed", "the object was changed by someone else meanwhile") from error
    except api_exceptions.GoogleAPICallError as error:
        wait = getattr(error.response, "headers", {}).get("Retry-After", "")
        raise verdict(int(error.code or 0), wait) from error
    except (api_exceptions.RetryError, auth_exceptions.TransportError) as error:
        raise AgainError("the connection broke") from error
    except DataCorruption as error:
        raise AgainError("corrupted on the way") from error
    except auth_exceptions.GoogleAuthError as error:
        raise NotServedError("refused", "the credentials were refused") from error
    except (requests.exceptions.RequestException, ConnectionError, TimeoutError) as error:
        raise AgainError("the connection broke") from error
