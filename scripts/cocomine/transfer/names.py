"""Names that came from outside, and the rule that none of them leads out of the folder it is meant for."""

import os
import unicodedata
from pathlib import Path

from cocomine.transfer.attempts import local_error, stops
from cocomine.transfer.records import Status

MOST_BYTES_OF_A_PART = 255 - 40  # file systems allow 255; a temporary name adds up to 40


def refusal(name: str) -> str | None:
    """Return why `name` must not be written below a folder, or None when it is safe there.

    `name` is relative, with forward slashes: an object's name, a zip member's or an image's `file_name`. Refused are
    empty names, absolute ones, `.` and `..` and empty parts, backslashes, drive letters, control characters, lone
    surrogates and parts that no file system takes.
    """
    if not name:
        return "empty name"
    try:
        encoded = name.encode("utf-8")
    except UnicodeEncodeError:
        return "not valid unicode"
    if len(encoded) > 1024:
        return "longer than 1024 bytes"
    if not name.isprintable() and any(unicodedata.category(letter) == "Cc" for letter in name):
        return "control character"
    if "\\" in name:
        return "backslash"
    if name.startswith("/"):
        return "absolute path"
    if len(name) > 1 and name[1] == ":" and name[0].isalpha() and name[0].isascii():
        return "drive letter"
    for part in name.split("/"):
        if part == "":
            return "empty path part"
        if part in (".", ".."):
            return f"path part {part!r}"
        if len(part.encode("utf-8")) > MOST_BYTES_OF_A_PART:
            return f"path part longer than {MOST_BYTES_OF_A_PART} bytes"
    return None


def unsafe(name: str) -> tuple[Status, str] | None:
    """Return the outcome of a file whose name is refused, with the reason, or None.

    A name that leads elsewhere is refused; one that is only too long is a file that cannot be taken.
    """
    reason = refusal(name)
    if not reason:
        return None
    return "unreadable" if "longer than" in reason else "refused", f"unsafe name: {reason}"


def folded(name: str) -> str:
    """Return the form of `name` under which a case-insensitive, unicode-normalising disk would know it."""
    return unicodedata.normalize("NFC", name).casefold()


class FolderGuard:
    """Makes folders below a root and refuses to pass through a symlink, so that nothing is written elsewhere.

    Remembers what it has seen, so a folder is looked at once a run.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[str, str | None] = {"": None}

    def prepare(self, name: str) -> str | None:
        """Make the folders that `name` needs; return why it is refused, or None. Raises LocalError."""
        return self._folder(name.rpartition("/")[0])

    def _folder(self, folder: str) -> str | None:
        if folder in self._known:
            return self._known[folder]
        reason = self._folder(folder.rpartition("/")[0])
        if reason is None:
            reason = self._make(folder)
        self._known[folder] = reason
        return reason

    def _make(self, folder: str) -> str | None:
        path = self.root / folder
        if path.is_symlink():
            return f"{folder} is a symlink"
        try:
            path.mkdir(exist_ok=True)
        except FileExistsError:
            return f"{folder} is a file where a folder is needed"
        except OSError as error:
            if stops(error, str(path)):
                raise local_error(error.errno, path) from error
            return f"cannot make {folder}: {os.strerror(error.errno or 0)}"
        return None


def plain(name: str) -> str:
    """Return a name as it may go to a terminal or a log: control characters escaped."""
    return name if name.isprintable() else repr(name)


class Taken:
    """The names met so far, as a case-insensitive disk would know them."""

    def __init__(self) -> None:
        self._files: set[int] = set()
        self._folders: set[int] = set()
        self._last = ""  # a folder known to be none of the files

    def clash(self, name: str) -> str | None:
        """Take a name; return why it cannot be a file beside those before, or None."""
        key = folded(name)
        number = hash(key)
        if number in self._files:
            return "the same as another on a case-insensitive disk"
        if number in self._folders:
            return "a folder of the file's name is there too"
        folder = key.rpartition("/")[0]
        if folder != self._last:
            above = [hash(folder[:end]) for end in range(1, len(folder) + 1) if folder[end : end + 1] in ("/", "")]
            if any(number in self._files for number in above):
                return "a file of the folder's name is there too"
            self._folders.update(above)
            self._last = folder
        self._files.add(number)
        return None


def collisions(names: list[str]) -> dict[str, str]:
    """Return name -> reason for each name that a case-insensitive disk could not hold beside an earlier one.

    The first of several names that fold to one keeps its place; the later ones are refused. So are names that need a
    folder where an earlier one is a file, and the other way round (`a` and `a/b`, `A` and `a/b`).
    """
    taken = Taken()
    reasons = {name: taken.clash(name) for name in dict.fromkeys(names)}
    return {name: reason for name, reason in reasons.items() if reason}
