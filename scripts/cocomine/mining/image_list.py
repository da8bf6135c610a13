"""Lists of images, as people's editors write them: which images they name, and which entries name none."""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cocomine.annotations.lenient import LARGEST_ID, as_id
from cocomine.base.errors import CocomineError

COLUMNS: Final = ("image_id", "file_name")
"""The columns of a table that name images, the first that is there being taken."""

NAMED: Final = 5
"""How many entries are named before the rest is only counted."""

FORMS: Final = (
    "write one id or file name a line, a .tsv or .csv with a column image_id or file_name, or a .json array, in UTF-8"
)


@dataclass(frozen=True)
class ImageList:
    """The entries of a list: ids, and texts that are file names, paths in the store or ids."""

    entries: tuple[int | str, ...]

    @property
    def ids(self) -> set[int]:
        """The ids that the entries may mean; a text of digits may be an id, and so may any word."""
        found = {entry if isinstance(entry, int) else as_id(entry)[0] for entry in self.entries}
        return {number for number in found if 0 <= number <= LARGEST_ID}

    @property
    def names(self) -> set[str]:
        """The file names and paths that the entries may mean, with slashes."""
        return {plain_name(entry) for entry in self.entries if isinstance(entry, str)}

    def unmatched(self, ids: Collection[int], names: Collection[str]) -> list[int | str]:
        """The entries that mean none of the images that have these ids and names, each once, in their order."""
        return [
            entry
            for entry in dict.fromkeys(self.entries)
            if (entry if isinstance(entry, int) else as_id(entry)[0]) not in ids
            and not (isinstance(entry, str) and plain_name(entry) in names)
        ]

    def told(self, unmatched: Sequence[int | str], where: str) -> str:
        """Say how many entries name no image `where`, and which: "2 of 5 entries name no image of the source: …"."""
        count, total = len(unmatched), len(dict.fromkeys(self.entries))
        more = f" and {count - NAMED} more" if count > NAMED else ""
        verb = "names" if count == 1 else "name"
        return f"{count} of {total} entries {verb} no image {where}: {', '.join(map(repr, unmatched[:NAMED]))}{more}"


def plain_name(name: str) -> str:
    """Return a file name or path with slashes, whatever machine wrote it, and without "./" before it."""
    return name.replace("\\", "/").removeprefix("./")


def image_list(value: Sequence[int | str] | str, key: str) -> ImageList:
    """Return a list of the config's `key`: its own items or, of a text, those of the file that it names.

    The file is a .json array, a .tsv or .csv with a column image_id or file_name, or else text with an entry a line
    (blank lines and those that open with # are passed over). Raises CocomineError for a file that is none of these.
    """
    if not isinstance(value, str):
        return ImageList(tuple(value))
    path = Path(value)
    try:
        return ImageList(tuple(_entries(path)))
    except OSError as error:
        raise CocomineError(
            f"{key}: {path}: cannot be read: {error.strerror or error}", "give the path from the working directory"
        ) from error
    except (ValueError, csv.Error, RecursionError) as error:
        raise CocomineError(f"{key}: {path}: not a list of images: {error}", FORMS) from error


def _entries(path: Path) -> Iterable[int | str]:
    lines = re.split(r"\r\n|\n|\r", _text(path.read_bytes()))
    kind = path.suffix.lower()
    if kind == ".json":
        items = json.loads("\n".join(lines))
        if not isinstance(items, list) or not all(
            isinstance(item, int | str) and not isinstance(item, bool) for item in items
        ):
            raise ValueError("it is no array of ids and names")
        return items
    lines = [line.strip() for line in lines] if kind not in (".tsv", ".csv") else [line for line in lines if line]
    if kind in (".tsv", ".csv"):
        rows = list(csv.reader(lines)) if kind == ".csv" else [line.split("\t") for line in lines]
        header = [cell.strip() for cell in rows[0]] if rows else []
        column = next((header.index(name) for name in COLUMNS if name in header), None)
        if column is None:
            raise ValueError(f"its first line, {', '.join(header) or 'which is empty'}, has no column image_id")
        return [cell for row in rows[1:] if len(row) > column and (cell := row[column].strip())]
    return [line for line in lines if line and not line.startswith("#")]


def _text(content: bytes) -> str:
    """Decode a file by its byte order mark; without one it is UTF-8."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    return content.decode("utf-8-sig")
