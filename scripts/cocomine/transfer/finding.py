"""Finding files in a folder on disk that somebody else has laid out, and saying why a file there is not taken.

A file is asked for by the name that it has in a store: `{split}/{file_name}`. People keep their images in other ways
too: below `images/`, all splits in one folder, in sub-folders. So a name is looked for where it says; then, where no
folder is the split's, without the split; and at last by the longest end of it that one file alone has.
"""

import os
import re
import stat
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

from cocomine.base.errors import CocomineError
from cocomine.base.regular import refuse_others, why_not
from cocomine.transfer.names import folded, unsafe
from cocomine.transfer.records import Status

LAYOUTS = ("", "images")  # where people keep the split folders below the folder that they name

SPLIT_LIKE = re.compile(r"(train|training|val|valid|validation|test|testing|dev)(_?\d{4})?", re.IGNORECASE)
"""Names that a folder of another split has even when this config does not name that split."""

NOT_IMAGES = frozenset({"annotations", "labels", "masks", "segmentationclass", "segmentationobject", "visualization"})
"""Folders in which a file of an image's name is not the image but something drawn of it."""

FEW = 3


@dataclass(frozen=True)
class Found:
    """What a folder has under a name: the file, or why there is none that can be taken.

    `elsewhere` is the file's path below the folder where that is not what the name says, empty where it is.
    """

    status: Status
    path: Path | None = None
    reason: str = ""
    elsewhere: str = ""

    @property
    def note(self) -> str:
        """What an outcome says of a file that was taken from elsewhere."""
        return f"found at {self.elsewhere}" if self.elsewhere else ""


IMAGE_ENDINGS = (
    ".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".jfif", ".jp2", ".pgm", ".ppm",
)  # fmt: skip
NOTHING = Found("missing", None, "no such file")
OUTSIDE = "a link that leads out of the folder (follow_links is false)"


@dataclass(frozen=True)
class _Scope:
    """Where a file may lie: places that are looked at in turn, and the folder below which its name's end is sought."""

    exact: tuple[Path, ...]
    loose: tuple[Path, ...]
    below: Path
    said: bool = False


@dataclass
class Folder:
    """A folder whose files are asked for by their names in a store.

    `images` says for some splits where their files lie: below the folder, from the working directory, or absolute.
    `splits` are the splits that the annotations have, so that no image of one is ever taken for another's of the same
    name, and `split_of` says of which a file is whose name begins with another folder. A link that leads out of the
    folder is not followed, unless `follow_links`. Without `search` a file is only looked for where its name says.
    """

    root: Path
    images: Mapping[str, str] = field(default_factory=dict)
    splits: frozenset[str] = frozenset()
    split_of: Mapping[str, str] = field(default_factory=dict)
    follow_links: bool = False
    search: bool = True

    def check(self) -> None:
        """Raise CocomineError when a folder that the config names is not there."""
        for split in self.images:
            self._said(split)
        if not (self.images and self.root == Path()) and not self.root.is_dir():
            raise CocomineError(
                f"folder {self.root}: no such folder",
                "give the folder that holds the images (train2017/, val2017/ …), in full or from the working directory",
            )

    def find(self, names: Iterable[str]) -> dict[str, Found]:
        """Return what the folder has under each name; `names` are all that are asked for, since no file serves two."""
        return self._none_serves_two({name: self._find(name) for name in names})

    def whole_split(self, split: str) -> Path | None:
        """Return the folder in which the files of a split lie as they are named; None when there is no such folder."""
        scope = self._scope(f"{split}/x")
        place = next((path.parent for path in scope.exact if path.parent.is_dir()), None)
        return place if place is not None and self._inside(self._real(place), scope) else None

    def holds(self, folder: Path) -> bool:
        """Tell whether a folder lies inside this one, links followed, or may lie anywhere."""
        return self.follow_links or Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(self.root))

    # -- one name

    def _find(self, name: str) -> Found:
        wrong = unsafe(name)
        if wrong:
            return Found(wrong[0], None, wrong[1])
        scope = self._scope(name)
        for path in scope.exact:
            if (taken := self._taken(path, scope)) is not None:
                return taken
        if not self.search:
            return Found("missing", None, "no such file")
        for path in scope.loose:
            if (taken := self._taken(path, scope)) is not None:
                return self._moved(taken, scope)
        return self._by_its_end(name, scope)

    def _scope(self, name: str) -> _Scope:
        first, _, rest = name.partition("/")
        if first in self.images:
            base = self._said(first)
            return _Scope((base / rest,), (base / name, base / "images" / rest), base, said=True)
        exact = tuple(self.root / layout / name for layout in LAYOUTS)
        own = next((path for path in (self.root / layout / first for layout in LAYOUTS) if path.is_dir()), None)
        if own is not None:
            return _Scope(exact, (own / "images" / rest,), own)
        split = self.split_of.get(name, first)
        other = rest if split == first else f"{split}/{name}"
        return _Scope(exact, tuple(self.root / layout / other for layout in LAYOUTS), self.root)

    def _said(self, split: str) -> Path:
        given = self.images[split]
        places = [Path(given)] if Path(given).is_absolute() or self.root == Path() else [self.root / given, Path(given)]
        base = next((path for path in places if path.is_dir()), None)
        if base is None:
            where = f"the working directory, which is {Path.cwd()}"
            where = where if len(places) == 1 else f"{self.root} or from {where}"
            raise CocomineError(f"images of {split}: {given}: no such folder", f"give it from {where}, or in full")
        return base

    def _taken(self, path: Path, scope: _Scope) -> Found | None:
        """Return what lies at a path; None when nothing does."""
        try:
            mode = os.lstat(path).st_mode
            folder = self._real(path.parent)
            if stat.S_ISLNK(mode):
                folder = Path(os.path.realpath(path, strict=True)).parent
                mode = path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return Found("unreadable", None, "a link to nothing") if path.is_symlink() else None
        except OSError as error:
            return Found("unreadable", None, why_not(error))
        if not self._inside(folder, scope):
            return Found("unreadable", None, OUTSIDE)
        try:
            refuse_others(mode)
        except OSError as error:
            return Found("unreadable", None, why_not(error))
        return Found("ok", path)

    def _inside(self, real_folder: Path, scope: _Scope) -> bool:
        root = self._real(scope.below if scope.said else self.root)
        return self.follow_links or real_folder.is_relative_to(root)

    def _real(self, folder: Path) -> Path:
        if folder not in self._resolved:
            self._resolved[folder] = Path(os.path.realpath(folder))
        return self._resolved[folder]

    @cached_property
    def _resolved(self) -> dict[Path, Path]:
        return {}

    def _moved(self, found: Found, scope: _Scope) -> Found:
        if found.path is None:
            return found
        base = scope.below if scope.said else self.root
        return replace(found, elsewhere=found.path.relative_to(base).as_posix())

    def _without_split(self, name: str) -> str:
        first, _, rest = name.partition("/")
        return rest if first in self.images or self.split_of.get(name, first) == first else name

    def _none_serves_two(self, found: dict[str, Found]) -> dict[str, Found]:
        """Refuse a file that was found by the end of a name where it is another's own, or that of names that differ in
        more than the split.
        """
        owner = {item.path: name for name, item in found.items() if item.path is not None and not item.elsewhere}
        claims: dict[Path, set[str]] = {}
        for name, item in found.items():
            if item.path is not None and item.elsewhere:
                claims.setdefault(item.path, set()).add(self._without_split(name))
        result = dict(found)
        for name, item in found.items():
            if item.path is None or not item.elsewhere:
                continue
            if item.path in owner:
                result[name] = Found(
                    "missing", None, f"no such file ({item.elsewhere} is the image {owner[item.path]})"
                )
            elif len(claims[item.path]) > 1:
                result[name] = Found("missing", None, f"no such file ({item.elsewhere} is claimed by several images)")
        return result

    # -- by the end of the name

    def _by_its_end(self, name: str, scope: _Scope) -> Found:
        parts = PurePosixPath(name).parts
        split = self.split_of.get(name, parts[0])
        listing = self._listing(scope.below)
        for key in dict.fromkeys((folded(parts[-1]), folded(urllib.parse.unquote(parts[-1])))):
            paths = [
                path
                for path in listing.get(key, ())
                if not any(self._is_of_another(folder, split, parts) for folder in path.split("/")[:-1])
            ]
            most = max((_common_end(path.split("/"), parts) for path in paths), default=0)
            nearest = [path for path in paths if _common_end(path.split("/"), parts) == most]
            if len(nearest) == 1:
                taken = self._taken(scope.below / nearest[0], scope)
                return NOTHING if taken is None else self._moved(taken, scope)
            if nearest:
                shown = ", ".join(nearest[:FEW]) + (" …" if len(nearest) > FEW else "")
                return Found("missing", None, f"no such file, and {len(nearest)} whose names end like it: {shown}")
        return self._of_another_ending(parts[-1], scope)

    def _of_another_ending(self, name: str, scope: _Scope) -> Found:
        """Say which image has this name but for its ending: it may be the one that is meant, or a copy of it."""
        stem = folded(PurePosixPath(name).stem)
        alike = [f"{stem}{ending}" for ending in IMAGE_ENDINGS if f"{stem}{ending}" in self._listing(scope.below)]
        if not alike:
            return NOTHING
        there = self._listing(scope.below)[alike[0]][0]
        return Found("missing", None, f"no such file, but {there} is there: write its ending into file_name")

    def _is_of_another(self, folder: str, split: str, parts: Sequence[str]) -> bool:
        """Tell whether a folder holds another split's images: its file of the same name is another image."""
        if folder == split or folder in parts:
            return False
        return folder in self.splits or bool(SPLIT_LIKE.fullmatch(folder) and SPLIT_LIKE.fullmatch(split))

    def _listing(self, below: Path) -> dict[str, list[str]]:
        """Return the files below a folder, by their names as a case-insensitive disk would know them."""
        if below not in self._listings:
            listing: dict[str, list[str]] = {}
            for folder, folders, files in os.walk(below):
                folders[:] = sorted(f for f in folders if not f.startswith(".") and f.casefold() not in NOT_IMAGES)
                for file in files:
                    path = Path(folder, file).relative_to(below).as_posix()
                    listing.setdefault(folded(file), []).append(path)
            self._listings[below] = {key: sorted(paths) for key, paths in listing.items()}
        return self._listings[below]

    @cached_property
    def _listings(self) -> dict[Path, dict[str, list[str]]]:
        return {}


def _common_end(path: Sequence[str], name: Sequence[str]) -> int:
    """Return how many parts two paths share at their ends; the last parts are taken as equal."""
    length = 1
    while length < min(len(path), len(name)) and path[-length - 1] == name[-length - 1]:
        length += 1
    return length
