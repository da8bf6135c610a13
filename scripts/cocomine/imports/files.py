"""A folder of labels that somebody else laid out: which files lie in it, their text, and the size of an image.

Nothing outside of the folder is read, unless links out of it are followed by the user's own word; what is no regular
file is never waited for.
"""

import os
import posixpath
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final

from cocomine.base.regular import open_regular, why_not
from cocomine.transfer.finding import IMAGE_ENDINGS, NOT_IMAGES, Folder
from cocomine.transfer.names import refusal

IMAGE_SUFFIXES: Final = frozenset(IMAGE_ENDINGS)
MOST_BYTES: Final = 64 << 20
"""No file of labels is larger: one of a million objects has a fifth of it."""


class FileProblem(Exception):  # noqa: N818 - it is a problem of the file, counted and named
    """A file that cannot be used: `str` says why."""


class Files:
    """The files below a folder, as paths with slashes, sorted; hidden ones are none of them."""

    def __init__(self, root: Path, follow_links: bool = False) -> None:
        self.root = root
        self._finder = Folder(root, follow_links=follow_links, search=False)
        self.follow_links = follow_links

    @cached_property
    def all(self) -> list[str]:
        """Every file below the folder; links to folders are entered where links are followed, each folder once."""
        found: list[str] = []
        seen: set[str] = set()
        for folder, folders, files in os.walk(self.root, followlinks=self.follow_links):
            real = os.path.realpath(folder)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            below = os.path.relpath(folder, self.root)
            before = "" if below == "." else f"{below}/"
            found += [before + name for name in files if not name.startswith(".")]
        return sorted(found)

    @cached_property
    def images(self) -> list[str]:
        """Every file whose name ends like an image's, but in folders of masks and of pictures drawn of labels."""
        return [path for path in self.all if is_image(path) and NOT_IMAGES.isdisjoint(path.casefold().split("/")[:-1])]

    def below(self, folder: str, paths: Iterable[str]) -> Iterator[str]:
        """Yield those of `paths` that lie below a folder; `.` is the root."""
        return (path for path in paths if folder in (".", "") or path.startswith(f"{folder}/"))

    def within(self, *parts: str) -> str | None:
        """Return what a path leads to, as a path below the folder; None where it leads out of it or to nothing."""
        root = posixpath.abspath(self.root)
        below = posixpath.relpath(posixpath.join(root, *parts), root)
        return below if not below.startswith("..") and (self.root / below).exists() else None

    def _found(self, path: str) -> Path:
        """Return where a file lies. Raises FileProblem for one that lies outside, is no regular file, or is none."""
        if path in self._known and refusal(path) is None:
            file = self.root / path
            with suppress(OSError):
                if stat.S_ISREG(file.lstat().st_mode):
                    return file  # met on the walk, which enters no folder outside: what remains are links
        found = self._finder.find([path])[path]
        if found.path is None:
            raise FileProblem(found.reason)
        return found.path

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.all)

    def content(self, path: str) -> bytes:
        """Return the bytes of a file. Raises FileProblem where it may not be read or is too large."""
        found = self._found(path)
        try:
            with open_regular(found) as file:
                content = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise FileProblem(why_not(error)) from error
        if len(content) > MOST_BYTES:
            raise FileProblem(f"larger than {MOST_BYTES >> 20} MB")
        return content

    def text(self, path: str) -> str:
        """Return the text of a file, without a byte order mark. Raises FileProblem as `content`, or for no UTF-8."""
        try:
            return self.content(path).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise FileProblem(f"not UTF-8: {error.reason} at byte {error.start}") from error

    def size(self, path: str) -> tuple[int, int]:
        """Return (width, height) of an image in pixels, as viewers show it, from its header. Raises FileProblem."""
        from cocomine.images.opening import ImageError, shown_size  # not at the top: planning does without Pillow

        try:
            return shown_size(self._found(path))
        except ImageError as error:
            raise FileProblem(str(error)) from error


def is_image(path: str) -> bool:
    """Tell whether a file's name ends like that of an image."""
    return PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES


def stem_of(path: str) -> str:
    """Return a path without its ending."""
    folder, slash, name = path.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)
