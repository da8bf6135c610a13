"""Large files, zips, that are fetched whole and kept: where a server serves no ranges, or on demand."""

import fcntl
import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from cocomine.base.files import atomic_path, sha256_of_file, write_text
from cocomine.base.progress import Progress
from cocomine.base.space import require_space, writing
from cocomine.transfer.attempts import AgainError, CorruptedError, NotServedError, persist
from cocomine.transfer.byte_source import ByteSource, FileSource, LazySource
from cocomine.transfer.digests import Digester
from cocomine.transfer.places import public_label
from cocomine.transfer.promises import promised
from cocomine.transfer.receiving import digest_of_file
from cocomine.transfer.records import Want, mismatch
from cocomine.transfer.web import Web

log = logging.getLogger("cocomine")


def whole_file(web: Web, url: str, folder: Path, label: str, published: Want | None = None) -> LazySource:
    """Return a large file's bytes, which are fetched whole into `folder` on first use and kept there.

    A download goes on where an earlier run was killed, as long as the origin names the same version (ETag and size).
    Raises NotServedError when the file is not there, or has not the size that is published.
    """
    kept = KeptFile(web, url, folder, label, published)
    return LazySource(kept.size, kept.here, kept.bring, kept.discard)


class KeptFile:
    """A file of an origin, whole on disk: complete, with the checksums known of it, or absent.

    Runs at the same time take turns: one fetches, the others find it done.
    """

    def __init__(self, web: Web, url: str, folder: Path, label: str, published: Want | None) -> None:
        self.web = web
        self.url = url
        self.label = label
        key = hashlib.sha256(url.partition("?")[0].encode()).hexdigest()[:24]
        self.done, self.part, self.version, self.turn = (
            folder / f"{key}.{kind}" for kind in ("zip", "part", "version", "turn")
        )
        self.size, self.etag, known = persist(web.behaviour, self._head)
        hold_to_size(self.size, published)
        theirs = {kind: text for kind in ("md5", "sha256") if published and (text := getattr(published, kind))}
        self.promised = msgspec.structs.replace(Want(label, url, self.size), **(known | theirs))
        self._discarded: set[str] = set()

    def _head(self) -> tuple[int, str, dict[str, str]]:
        with self.web.ask("HEAD", self.url) as answer:
            length = answer.headers.get("content-length", "")
            return int(length) if length.isdigit() else -1, answer.headers.get("etag", ""), promised(answer)

    def here(self) -> bool:
        """Say whether the origin's version is on disk, complete."""
        try:
            return self.done.exists() and self.version.read_text("utf-8") == f"{self.size} {self.etag}"
        except FileNotFoundError:
            return False

    def bring(self) -> ByteSource:
        """Fetch it unless it is here."""
        with self._in_turn():
            if not self.here():
                self.part.parent.mkdir(parents=True, exist_ok=True)
                wanted = f"{self.size} {self.etag}"
                if not self.version.exists() or self.version.read_text("utf-8") != wanted:
                    self.part.unlink(missing_ok=True)
                    self.done.unlink(missing_ok=True)
                    write_text(self.version, wanted)
                there = self.part.stat().st_size if self.part.exists() else 0
                require_space(self.part.parent, self.size - there, f"{self.label}, fetched whole,")
                persist(self.web.behaviour, self._fetch)
                self.part.replace(self.done)
            return FileSource(self.done)

    def discard(self) -> bool:
        """Throw it away, unless the origin sent these very bytes again; say whether fetching it again may help."""
        with self._in_turn():
            if not self.done.exists():
                return True
            found = sha256_of_file(self.done)
            if found in self._discarded:
                return False
            log.warning("%s: damaged; it is fetched again", self.label)
            self._discarded.add(found)
            self.done.unlink()
            return True

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        self.turn.parent.mkdir(parents=True, exist_ok=True)
        with open(self.turn, "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _fetch(self) -> None:
        """Fetch what is lacking of the part, and hold the whole to its checksums."""
        start = self.part.stat().st_size if self.part.exists() else 0
        if 0 <= self.size < start:
            self.part.unlink()
            start = 0
        digest = digest_of_file(self.part) if start else Digester()
        if start != self.size:
            digest = self._append(start, digest)
        if 0 <= self.size != digest.bytes:
            raise AgainError(f"{digest.bytes} of {self.size} bytes arrived")
        wrong = mismatch(self.promised, digest)
        if wrong:
            self.part.unlink()
            raise CorruptedError(f"corrupted: {wrong}")

    def _append(self, start: int, digest: Digester) -> Digester:
        answer = self.web.ask("GET", self.url, {"Range": f"bytes={start}-"} if start else {})
        total = self.size if self.size >= 0 else None
        try:
            if answer.headers.get("etag", "") != self.etag:
                raise NotServedError("failed", "the file changed while it was read")
            if answer.status != 206:
                start, digest = 0, Digester()
            elif not answer.headers.get("content-range", "").startswith(f"bytes {start}-"):
                raise AgainError("another range than the one asked for")
            with (
                writing(self.part),
                open(self.part, "ab" if start else "wb") as out,
                Progress(f"fetch {self.label} whole", total, "B", scale=True) as progress,
            ):
                progress.advance(start)
                for piece in answer.stream():
                    out.write(piece)
                    digest.update(piece)
                    progress.advance(len(piece))
        finally:
            answer.close()
        return digest


def copied_whole(source: ByteSource, url: str, kept: Path) -> ByteSource:
    """Return a source's bytes, copied into `kept` on first use; they stay there, named by their version."""
    key = hashlib.sha256(f"{url} {source.validator} {source.size}".encode()).hexdigest()[:24]
    path = kept / f"{key}.zip"
    copied = 0

    def bring() -> ByteSource:
        nonlocal copied
        if not path.exists():
            copied += 1
            require_space(kept, source.size, f"{public_label(url)}, fetched whole,")
            with (
                atomic_path(path) as temporary,
                open(temporary, "wb") as out,
                Progress(f"fetch {public_label(url)} whole", source.size, "B", scale=True) as progress,
            ):
                for piece in source.stream(0, source.size):
                    out.write(piece)
                    progress.advance(len(piece))
        return FileSource(path)

    def discard() -> bool:
        path.unlink(missing_ok=True)
        return copied < 2

    return LazySource(source.size, path.exists, bring, discard)


def hold_to_size(found: int, published: Want | None) -> None:
    """Raise NotServedError when a file has another size than the one published for it."""
    if published is not None and published.bytes > 0 and found >= 0 and found != published.bytes:
        raise NotServedError("refused", f"{found} bytes, not the {published.bytes} that are published")
