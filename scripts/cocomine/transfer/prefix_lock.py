"""The lock of a bucket's prefix: what each of its objects was, so that a later run proves that it is so still."""

from collections.abc import Callable, Iterator
from pathlib import Path

from cocomine.base.errors import CocomineError
from cocomine.transfer.ledger import Entry, Ledger
from cocomine.transfer.receiving import digest_of_file
from cocomine.transfer.records import Facts


def agree(md5: str, crc32c: str, remote: Facts) -> bool:
    """Say whether checksums are the bucket's: at least one is known of both, and none differs."""
    of_md5, of_crc = bool(md5 and remote.md5), bool(crc32c and remote.crc32c)
    if (of_md5 and md5 != remote.md5) or (of_crc and crc32c != remote.crc32c):
        return False
    return of_md5 or of_crc


class PrefixLock:
    """A lock file, or none. With `locked` it is read and held to; else it is written when all has been fetched.

    Its lines are those of a ledger: an object each, in the order of the listing, with the checksums of the file that it
    became. SHA-256 is missing for files that the run left alone although they are not the bucket's.
    """

    def __init__(self, path: Path | None, locked: bool) -> None:
        self.path = path
        self._locked = locked
        self._held: list[Facts] = []
        self._pins: dict[str, Entry] = {}
        if path is not None and locked:
            if not path.exists():
                raise CocomineError(f"--locked: {path} is not there", "run once without --locked to write it")
            self._pins = Ledger(path).read()

    def difference(self, remote: Facts) -> str:
        """Take an object of the listing; return how it breaks the lock, empty when it does not."""
        if not self._locked:
            if self.path is not None:
                self._held.append(remote)
            return ""
        pin = self._pins.pop(remote.name, None)
        if pin is None:
            return "new at the origin: not in the lock"
        if remote.gzipped:
            same = pin.etag == _packed(remote)
        else:
            same = remote.bytes == pin.bytes and agree(pin.md5, pin.crc32c, remote)
        return "" if same else f"changed at the origin: generation {remote.generation} instead of {pin.generation}"

    def gone(self, takes_part: Callable[[str], bool]) -> Iterator[str]:
        """Yield the locked names that the listing did not hold."""
        return (name for name in sorted(self._pins) if takes_part(name))

    def write(self, root: Path, ledger: Ledger, origin: str) -> None:
        """Write the lock, if one was asked for."""
        if self.path is None:
            return
        entries = ledger.read()
        rows = (_row(remote, entries.get(remote.name), root, ledger, origin) for remote in self._held)
        Ledger.write(self.path, rows)


def _packed(remote: Facts) -> str:
    """Return how a ledger marks a file that came of a gzip-compressed object: its own checksums are of other bytes."""
    return f"gzip:{remote.md5 or remote.crc32c}"


def _row(remote: Facts, entry: Entry | None, root: Path, ledger: Ledger, origin: str) -> Entry:
    etag = _packed(remote) if remote.gzipped else remote.etag
    now = (remote.generation, etag, origin)
    if entry is None or not _is_of(entry, remote):
        sums = ("", "", "") if remote.gzipped else (remote.md5, "", remote.crc32c)
        return Entry(remote.name, remote.bytes, remote.mtime_ns, *sums, *now)
    sha256 = entry.sha256 or _sha256(root, entry, ledger)
    return Entry(entry.name, entry.bytes, remote.mtime_ns, entry.md5, sha256, entry.crc32c or remote.crc32c, *now)


def _is_of(entry: Entry, remote: Facts) -> bool:
    if remote.gzipped:
        return entry.etag == _packed(remote)
    return entry.bytes == remote.bytes and agree(entry.md5, entry.crc32c, remote)


def _sha256(root: Path, entry: Entry, ledger: Ledger) -> str:
    """Return the SHA-256 of a file that was fetched when no lock was asked for, empty when it is another by now."""
    try:
        digest = digest_of_file(root / entry.name)
    except OSError:
        return ""
    if digest.md5 != entry.md5:
        return ""
    sums = (digest.md5, digest.sha256, digest.crc32c)
    ledger.append([Entry(entry.name, entry.bytes, entry.mtime_ns, *sums, entry.generation, entry.etag, entry.origin)])
    return digest.sha256
