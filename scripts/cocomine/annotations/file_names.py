"""Images' file names: which are safe below a folder, what stands for those of another machine, and paths in a store."""

import re
import urllib.parse
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_PLAIN_NAMES: Final = re.compile(rf"{PLAIN_NAME.pattern}(?:\0{PLAIN_NAME.pattern})*+")
_FORBIDDEN: Final = re.compile(r"[\x00-\x1f\x7f\\]|[\ud800-\udfff]")
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_safe(name: str) -> bool:
    """Return whether `name` is a relative path that stays in its folder on every platform and holds no odd letter."""
    if PLAIN_NAME.fullmatch(name):
        return True
    if not name or _FORBIDDEN.search(name) or _DRIVE.match(name) or name.startswith("/") or len(name) > 500:
        return False
    return all(
        piece not in ("", ".", "..")
        and not piece.startswith("~")
        and piece.strip() == piece
        and len(piece.encode()) <= 250
        for piece in name.split("/")
    )


def all_plain(names: Sequence[str | None]) -> bool:
    """Return whether every name is ASCII letters, digits, `_`, `.` and `-` only: at once, since files have 100,000s."""
    return None not in names and _PLAIN_NAMES.fullmatch("\0".join(map(str, names))) is not None


def store_paths(names: Sequence[str | None], split: str, below_split: bool = False) -> list[str | None]:
    """Return each image's path in the store; None where the name is unsafe.

    It is the name itself where that has a folder, and the name below `split` where it has none, or with `below_split`.
    """
    if all_plain(names):
        return [f"{split}/{name}" for name in names]
    return [
        None if name is None or not is_safe(name) else name if "/" in name and not below_split else f"{split}/{name}"
        for name in names
    ]


def names_here(names: Sequence[str | None]) -> dict[int, str]:
    r"""Return row -> relative name for names that are URLs, absolute paths or have backslashes, as tools write them.

    What all full paths share (`/datasets/own/`) is left out, unless names would then be equal to others of the
    file. URLs lose host and query; `%20` is read. A name that would still not be safe, or leads upwards, is not in the
    result. Pure: the same names always give the same result, whatever is on disk.
    """
    relative: dict[int, str] = {}
    full: dict[int, str] = {}
    for row, name in enumerate(names):
        if name is None or is_safe(name):
            continue
        path, is_full = _path_of(name)
        path = "/".join(piece for piece in path.split("/") if piece not in ("", "."))
        if path != name and is_safe(path):
            (full if is_full else relative)[row] = path
    return relative | _without_shared_folders(full, [relative.get(row, name) for row, name in enumerate(names)])


def _path_of(name: str) -> tuple[str, bool]:
    """Return a name as a path with slashes, and whether it was a full one: of a URL, a drive or the root."""
    if _URL.match(name):
        try:
            parts = urllib.parse.urlsplit(name)
        except ValueError:
            return "", True
        return urllib.parse.unquote(parts.path), True
    if name.startswith("/") and "?d=" in name:  # Label Studio's own disk: /data/local-files/?d=x/1.jpg
        return urllib.parse.unquote(name.partition("?d=")[2]), False
    path = name.replace("\\", "/")
    if _DRIVE.match(path):
        return path[2:], True
    return path, path.startswith("/")


def _without_shared_folders(full: dict[int, str], names: Sequence[str | None]) -> dict[int, str]:
    if not full:
        return {}
    folders = [path.split("/")[:-1] for path in full.values()]
    shared = takewhile(lambda level: len(set(level)) == 1, zip(*folders, strict=False))
    start = sum(len(level[0]) + 1 for level in shared)
    short = {row: path[start:] for row, path in full.items()}
    others = {name.casefold() for row, name in enumerate(names) if name is not None and row not in full}
    return full if any(name.casefold() in others for name in short.values()) else short
