"""An export's folder while it is filled: files are placed or written, each is hashed, and none may leave the folder."""

import hashlib
import os
import random
import stat
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import NamedTuple, Self

from cocomine.base.commands import commands, sync_images_again
from cocomine.base.errors import CocomineError
from cocomine.base.files import sha256_of_file
from cocomine.base.progress import Progress
from cocomine.base.staging import INCOMPLETE, staging
from cocomine.formats.subset import Item

BLOCK = 1 << 20
IMAGE_MODES = ("hardlink", "symlink", "copy", "none")


@dataclass(frozen=True)
class Options:
    """How files are placed.

    `images` is one of IMAGE_MODES. `copies` is a folder of copies that exports share: with it, `hardlink` links to a
    copy there and never to the image store, which may be somebody else's. `panoptic_pngs` are the folders in which the
    panoptic PNGs of the source lie, tried in order.
    """

    images: str = "hardlink"
    copies: Path | None = None
    panoptic_pngs: tuple[Path, ...] = ()


DEFAULT = Options()


@dataclass(frozen=True, slots=True)
class Placed:
    """One file of the export: its path inside it, its size in bytes and its SHA-256 as hex."""

    path: str
    bytes: int
    sha256: str


class State(NamedTuple):
    """By what a file is known to be the same, and not written into since."""

    inode: int
    bytes: int
    modified: int


class Output:
    """The folder of an export. `files` lists what is in it. A context manager.

    `final` is where the folder will lie when it is complete, which relative links need to know.
    """

    def __init__(self, folder: Path, final: Path, options: Options = DEFAULT) -> None:
        self.folder = folder
        self.final = final
        self.options = options
        self.files: list[Placed] = []
        self.counts: Counter[str] = Counter()
        self._made: set[str] = set()
        self._real_folders: dict[Path, Path] = {}
        self._copied: dict[Path, State] = {}
        """What is known of the shared copies that this export made: what was just written is not read again."""
        self._left: list[str] = []
        self._stack = ExitStack()
        self._staged: Path | None = None

    def __enter__(self) -> Self:
        if self.options.copies is not None:
            self._staged = self._stack.enter_context(staging(self.options.copies / INCOMPLETE))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def share(self, images: Sequence[tuple[Path, str]], progress: Progress) -> None:
        """Make the copies of `images`, files and their SHA-256, that exports share and that are still absent.

        Exports that start together would make each copy twice if they took them in the same order.
        """
        assert self.options.copies is not None
        assert self._staged is not None
        own = self._staged / "copy"
        for source, sha256 in random.Random(str(self.final)).sample(images, len(images)):  # noqa: S311
            # What is missing or another file by now is named when its turn comes.
            with suppress(FileNotFoundError):
                real = self._real(source)
                shared = shared_copy(self.options.copies, sha256, real)
                if not shared.exists() and copy_hashed(real, own)[1] == sha256:
                    self._copied[shared] = _state(own)
                    _keep(own, shared)
            progress.advance()

    def image(self, item: Item, target: str) -> None:
        """Place an image's file, as the options say. Raises CocomineError when it is missing, or not what was fetched.

        With `images: none` nothing is placed; `image_list` writes where the files lie instead.
        """
        if self.options.images == "none":
            path = os.path.relpath(item.source, self.final)
            if path.splitlines() != [path]:
                raise CocomineError(
                    f"{path!r}: a list of files cannot hold its line break", "use export_images: hardlink"
                )
            self._left.append(path)
        else:
            self._place(item.source, target, item.sha256, self.options.images)

    def content(self, item: Item) -> bytes:
        """Return the bytes of an image's file, for formats that hold it. Raises CocomineError as `image` does."""
        try:
            data = item.source.read_bytes()
        except FileNotFoundError as error:
            raise _missing(item.source, sync_images_again()) from error
        _check_digest(item.source, hashlib.sha256(data).hexdigest(), item.sha256)
        self.counts["held"] += 1
        return data

    def own(self, source: Path) -> bytes:
        """Return the bytes of a file that the subset made, as a mask. Raises CocomineError when it is missing."""
        try:
            return source.read_bytes()
        except FileNotFoundError as error:
            raise _missing(source, commands().again("rasterize_masks")) from error

    def image_list(self, split: str) -> None:
        """With `images: none`, write images/{split}.txt: a line an image, its path as seen from the export's folder."""
        if self.options.images == "none":
            self.write(f"images/{split}.txt", "".join(path + "\n" for path in self._left))
            self._left = []

    def copy(self, source: Path, target: str) -> None:
        """Copy a file of the subset."""
        self._place(source, target, "", "copy")

    def link(self, source: Path, target: str) -> None:
        """Hard-link a file of the subset, or copy it where the options ask for copies."""
        self._place(source, target, "", "copy" if self.options.images == "copy" else "hardlink", own=True)

    def write(self, path: str, content: str | bytes) -> None:
        """Write a small file, text as UTF-8.

        The folder as a whole is renamed into its place when it is complete, so the file needs no temporary name.
        """
        data = content.encode("utf-8") if isinstance(content, str) else content
        self.path(path).write_bytes(data)
        self.files.append(Placed(path, len(data), hashlib.sha256(data).hexdigest()))

    def path(self, path: str) -> Path:
        """Return where a file of the export is to be written, its folder being there; `written` then lists it."""
        check_inside(path)
        target = self.folder / path
        parent = path.rpartition("/")[0]
        if parent not in self._made:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(parent)
        return target

    def written(self, path: str) -> None:
        """List a file that was written at `path(path)`."""
        target = self.folder / path
        self.files.append(Placed(path, target.stat().st_size, sha256_of_file(target)))

    def _place(self, source: Path, target: str, sha256: str, how: str, own: bool = False) -> None:
        placed, done = self._placed(source, target, self.path(target), sha256, how, own)
        self.files.append(placed)
        self.counts[done] += 1

    def _placed(self, source: Path, path: str, target: Path, sha256: str, how: str, own: bool) -> tuple[Placed, str]:
        try:
            real = self._real(source)
            if how == "symlink":
                target.symlink_to(os.path.relpath(real, (self.final / path).parent.resolve()))
                size, digest, done = real.stat().st_size, sha256_of_file(real), "linked by name"
            elif how == "hardlink":
                if own or self.options.copies is None or self._staged is None:
                    size, digest, done = _linked(real, target)
                else:
                    size, digest, done = _shared(real, target, self.options.copies, self._staged, sha256, self._copied)
            else:
                size, digest = copy_hashed(real, target)
                done = "copied"
        except FileNotFoundError as error:
            again = commands().again("rasterize_masks") if own else sync_images_again()
            raise _missing(source, again) from error
        _check_digest(source, digest, sha256)
        return Placed(path, size, digest), done

    def _real(self, source: Path) -> Path:
        """Return the file that a path leads to, following the links of a folder once for all of its files."""
        folder = self._real_folders.get(source.parent)
        if folder is None:
            folder = self._real_folders[source.parent] = source.parent.resolve(strict=True)
        real = folder / source.name
        return real.resolve(strict=True) if stat.S_ISLNK(real.lstat().st_mode) else real


def _missing(source: Path, again: str) -> CocomineError:
    return CocomineError(f"{source}: no such file, though the subset counts on it", f"make it again with: {again}")


def _check_digest(source: Path, found: str, wanted: str) -> None:
    if wanted and found != wanted:
        raise CocomineError(
            f"{source}: its SHA-256 is {found}, but {wanted} was fetched",
            f"the file was changed in the image store: delete it and run: {sync_images_again()}",
        )


def _linked(source: Path, target: Path) -> tuple[int, str, str]:
    """Hard-link, or copy where that cannot be done."""
    if _link(source, target):
        return target.stat().st_size, sha256_of_file(target), "linked"
    return (*copy_hashed(source, target), "copied")


def _link(source: Path, target: Path) -> bool:
    """Hard-link; return False where the file system, its borders or its owner forbid a link."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        return False
    return True


def _shared(
    source: Path, target: Path, copies: Path, staged: Path, sha256: str, known: Mapping[Path, State]
) -> tuple[int, str, str]:
    """Hard-link to the copy of `source` below `copies`, making it first, in `staged`, where it is absent or damaged.

    A copy is named by its content, so that whoever makes it first serves all. A sound one is never replaced: another
    export may be linking to it, which fails in the moment in which a name changes hands. One of the `known`, which this
    export made itself, is not read again while it is the same file and nobody wrote into it.
    """
    digest = sha256 or sha256_of_file(source)
    shared = shared_copy(copies, digest, source)
    with suppress(FileNotFoundError):
        if shared in known and _link(shared, target):
            if _state(target) == known[shared]:
                return known[shared].bytes, digest, "linked"
            target.unlink()
        size, found, done = _linked(shared, target)
        if found == digest:
            return size, found, done
        # Somebody wrote into an export, and so into the copy that it shared.
        target.unlink()
        shared.unlink()
    own = staged / "copy"
    size, found = copy_hashed(source, own)
    _check_digest(source, found, digest)
    done = "linked" if _link(own, target) else "copied"
    if done == "copied":
        copy_hashed(own, target)
    _keep(own, shared)
    return size, digest, done


def _state(path: Path) -> State:
    found = path.stat()
    return State(found.st_ino, found.st_size, found.st_mtime_ns)


def _keep(own: Path, shared: Path) -> None:
    """Put a copy where exports share it, unless another export was faster."""
    shared.parent.mkdir(parents=True, exist_ok=True)
    if not _link(own, shared) and not shared.exists():
        own.replace(shared)
    own.unlink(missing_ok=True)


def shared_copy(copies: Path, sha256: str, source: Path) -> Path:
    """Return where the copy of `source` that exports share lies below `copies`, or will lie."""
    return copies / sha256[:2] / f"{sha256}{source.suffix.lower()}"


def copy_hashed(source: Path, target: Path) -> tuple[int, str]:
    """Copy a file's bytes; return their number and their SHA-256, reading them once."""
    digest, size = hashlib.sha256(), 0
    with open(source, "rb") as read, open(target, "wb") as write:
        while block := read.read(BLOCK):
            digest.update(block)
            write.write(block)
            size += len(block)
    return size, digest.hexdigest()


def check_inside(path: str) -> None:
    """Raise CocomineError when a path inside the export would leave it."""
    if path.startswith("/") or ".." in path.split("/") or "\\" in path or "\0" in path:
        raise CocomineError(
            f"file name {path!r} would leave the export's folder",
            "set the policy of `unsafe-file-name` to quarantine",
        )


def check_names(split: str, names: Iterable[str], by_stem: bool) -> None:
    """Raise CocomineError when two images of a split would share a file of the export, or one would leave its folder.

    With `by_stem` two names that differ only in the suffix count as one, since labels and masks are named by their
    image's stem; two that differ only in case always do, since some file systems ignore it.
    """
    seen: dict[str, str] = {}
    for name in names:
        check_inside(name)
        path = PurePosixPath(name)
        key = str(path.with_suffix("") if by_stem else path).casefold()
        if key in seen:
            raise CocomineError(
                f"{split}: two images would both be written as {name}: {seen[key]!r} and {name!r}",
                "set the policy of `duplicate-file-name` to quarantine, or build a subset per source split",
            )
        seen[key] = name
