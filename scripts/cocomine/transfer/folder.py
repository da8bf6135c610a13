"""COCO that is already on disk: used in place, hard-linked or copied."""

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cocomine.base.regular import NotRegularError, changed_between, why_not
from cocomine.transfer.attempts import ChangedError, CorruptedError, LocalError
from cocomine.transfer.digests import Digester
from cocomine.transfer.finding import Folder, Found
from cocomine.transfer.receiving import (
    Target,
    compare,
    digest_of_file,
    in_place,
    in_threads,
    pieces_of_file,
    receive,
)
from cocomine.transfer.records import Facts, Outcome, Want

THREADS = 4

CHANGED_MEANWHILE = "the file changed while it was read"


class FolderOrigin:
    """A folder on disk; `folder` knows where a file of a given name lies in it."""

    def __init__(self, folder: Folder, use: str, label: str = "folder") -> None:
        self.folder = folder
        self.use = use
        self.label = label

    def facts(self, names: Sequence[str]) -> dict[str, Facts]:
        """Return the sizes."""
        return {name: Facts(name, path.stat().st_size) for name, path in self._paths(names)}

    def facts_by_reading(self, names: Sequence[str]) -> dict[str, Facts]:
        """Return sizes and checksums, which a folder does not publish: every byte is read."""
        result: dict[str, Facts] = {}
        for name, path in self._paths(names):
            digest = digest_of_file(path)
            result[name] = Facts(name, digest.bytes, digest.md5, digest.crc32c)
        return result

    def _paths(self, names: Sequence[str]) -> Iterator[tuple[str, Path]]:
        self.folder.check()
        for name, found in self.folder.find(names).items():
            if found.path is not None:
                yield name, found.path

    def fetch(self, wants: Iterable[Want], target: Target) -> Iterator[Outcome]:
        """Copy or link the files, hashing them on the way."""
        self.folder.check()
        asked = list(wants)
        found = self.folder.find(want.remote for want in asked)
        return in_threads(lambda want: self._one(want, found[want.remote], target), asked, lambda: THREADS)

    def _one(self, want: Want, found: Found, target: Target) -> Outcome:
        if found.path is None:
            return Outcome(want.name, found.status, found.reason)
        try:
            before = found.path.stat()
            if self.use == "hardlink":
                outcome = self._link(want, found.path, target)
            else:
                outcome = receive(want, pieces_of_file(found.path), target, sure=True)
            after = found.path.stat()
        except (ChangedError, CorruptedError) as error:
            return Outcome(want.name, "refused", str(error))
        except LocalError:
            raise
        except OSError as error:
            return Outcome(want.name, "unreadable" if is_the_file_s(error) else "failed", why_not(error))
        if changed_between(before, after):
            return Outcome(want.name, "unreadable", CHANGED_MEANWHILE)
        outcome.reason = found.note
        return outcome

    def _link(self, want: Want, path: Path, target: Target) -> Outcome:
        staged = target.staged()
        try:
            os.link(os.path.realpath(path), staged)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
                raise
            return receive(want, pieces_of_file(path), target, sure=True)  # another disk: a link cannot be, a copy can
        try:
            digest = digest_of_file(staged)
            compare(want, digest, sure=True)
            return in_place(want, staged, digest, target)
        finally:
            staged.unlink(missing_ok=True)


def is_the_file_s(error: OSError) -> bool:
    """Tell whether an error of reading lies in the one file, and not in the disk or in the whole folder."""
    return isinstance(error, NotRegularError) or error.errno in (
        errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.ENXIO,
    )  # fmt: skip


def digests_in_place(files: Iterable[tuple[str, Path]]) -> Iterator[Outcome]:
    """Hash files where they lie; each comes as its name and its path."""
    return in_threads(lambda file: _digest(*file), files, lambda: THREADS)


def _digest(name: str, path: Path) -> Outcome:
    try:
        before = path.stat()
        digest: Digester = digest_of_file(path)
        after = path.stat()
    except FileNotFoundError:
        return Outcome(name, "missing", "no such file")
    except OSError as error:
        return Outcome(name, "unreadable" if is_the_file_s(error) else "failed", why_not(error))
    if changed_between(before, after):
        return Outcome(name, "unreadable", CHANGED_MEANWHILE)
    sums = (digest.md5, digest.sha256, digest.crc32c)
    return Outcome(name, "ok", "", digest.bytes, *sums, mtime_ns=after.st_mtime_ns, origin="folder")
