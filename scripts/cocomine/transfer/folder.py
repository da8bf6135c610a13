"""COCO that is already on disk: used in place, hard-linked or copied."""

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cocomine.base.errors import CocomineError
from cocomine.transfer.digests import Digester
from cocomine.transfer.names import refusal
from cocomine.transfer.receiving import (
    ChangedError,
    CorruptedError,
    Target,
    compare,
    digest_of_file,
    in_place,
    in_threads,
    pieces_of_file,
    receive,
)
from cocomine.transfer.records import Facts, Outcome, Want

LAYOUTS = ("", "images")  # where people keep the split folders below the folder that they name
THREADS = 4


class FolderOrigin:
    """A folder whose files are named as the store's are: `{split}/{file_name}`, or `images/{split}/{file_name}`."""

    def __init__(self, folder: Path, use: str, label: str = "folder") -> None:
        self.folder = folder
        self.use = use
        self.label = label

    def path_of(self, name: str) -> Path | None:
        """Return the file of that name, or None."""
        if refusal(name):
            return None
        for layout in LAYOUTS:
            path = self.folder / layout / name
            if path.is_file():
                return path
        return None

    def check(self) -> None:
        """Raise CocomineError when there is no such folder."""
        if not self.folder.is_dir():
            raise CocomineError(
                f"folder {self.folder}: no such folder", "give the folder that holds train2017/, val2017/ …"
            )

    def facts(self, names: Sequence[str]) -> dict[str, Facts]:
        """Return the sizes."""
        self.check()
        found = ((name, self.path_of(name)) for name in names)
        return {name: Facts(name, path.stat().st_size) for name, path in found if path is not None}

    def facts_by_reading(self, names: Sequence[str]) -> dict[str, Facts]:
        """Return sizes and checksums, which a folder does not publish: every byte is read."""
        self.check()
        result: dict[str, Facts] = {}
        for name in names:
            path = self.path_of(name)
            if path is not None:
                digest = digest_of_file(path)
                result[name] = Facts(name, digest.bytes, digest.md5, digest.crc32c)
        return result

    def fetch(self, wants: Iterable[Want], target: Target) -> Iterator[Outcome]:
        """Copy or link the files, hashing them on the way."""
        self.check()
        return in_threads(lambda want: self._one(want, target), wants, THREADS)

    def _one(self, want: Want, target: Target) -> Outcome:
        path = self.path_of(want.remote)
        if path is None:
            return Outcome(want.name, "missing", "no such file in the folder")
        try:
            before = path.stat()
            if self.use == "hardlink":
                outcome = self._link(want, path, target)
            else:
                outcome = receive(want, pieces_of_file(path), target, sure=True)
            after = path.stat()
        except (ChangedError, CorruptedError) as error:
            return Outcome(want.name, "refused", str(error))
        except OSError as error:
            status = "refused" if error.errno in (errno.EACCES, errno.EPERM) else "failed"
            return Outcome(want.name, status, os.strerror(error.errno or 0).lower())  # type: ignore[arg-type]
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            return Outcome(want.name, "failed", "the file changed while it was read")
        return outcome

    def _link(self, want: Want, path: Path, target: Target) -> Outcome:
        staged = target.staged()
        try:
            os.link(path.resolve(), staged)
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


def link_splits(folder: Path, store: Path, names: Iterable[str]) -> None:
    """Make `store/{split}` a symlink to the folder's split, for each first folder of `names`. Writes nothing else.

    Raises CocomineError when the folder has no such split, or the store holds something else under its name.
    """
    if not folder.is_dir():
        raise CocomineError(f"folder {folder}: no such folder", "give the folder that holds train2017/, val2017/ …")
    for split in sorted({name.partition("/")[0] for name in names}):
        found = next((path for layout in LAYOUTS if (path := folder / layout / split).is_dir()), None)
        if found is None:
            raise CocomineError(
                f"folder {folder}: neither {split}/ nor images/{split}/ in it", "give the folder that holds them"
            )
        _link(store / split, Path(os.path.relpath(found.resolve(), store.resolve())))


def _link(link: Path, destination: Path) -> None:
    if link.is_symlink() and link.readlink() == destination:
        return
    try:
        link.symlink_to(destination)
    except FileExistsError as error:
        if link.is_symlink() and link.resolve() == (link.parent / destination).resolve():
            return
        what = "points elsewhere" if link.is_symlink() else "already holds files of its own"
        raise CocomineError(
            f"{link} {what}, and use: in-place needs it for a link",
            "name the store differently, remove it, or choose use: copy",
        ) from error


def digests_in_place(root: Path, names: Iterable[str]) -> Iterator[Outcome]:
    """Hash files where they lie."""
    return in_threads(lambda name: _digest(root, name), names, THREADS)


def _digest(root: Path, name: str) -> Outcome:
    path = root / name
    try:
        before = path.stat()
        digest: Digester = digest_of_file(path)
        after = path.stat()
    except FileNotFoundError:
        return Outcome(name, "missing", "no such file")
    except OSError as error:
        return Outcome(name, "refused", os.strerror(error.errno or 0).lower())
    if before.st_mtime_ns != after.st_mtime_ns:
        return Outcome(name, "failed", "the file changed while it was read")
    return Outcome(
        name,
        "ok",
        "",
        digest.bytes,
        digest.md5,
        digest.sha256,
        digest.crc32c,
        mtime_ns=after.st_mtime_ns,
        origin="folder",
    )
