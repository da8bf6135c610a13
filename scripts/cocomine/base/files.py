"""Writing files so that a file is complete or absent, and reading what proves it."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cocomine.base.errors import CocomineError
from cocomine.base.space import writing
from cocomine.base.staging import INCOMPLETE, staging


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` on a clean exit and is removed otherwise.

    It lies in the staging place beside `path`, under the same name, and is swept by the next writer there if this one
    is killed. An error of writing that names no file names `path`.
    """
    path = Path(path)
    with writing(path), staging(path.parent / INCOMPLETE) as folder:
        yield folder / path.name
        os.replace(folder / path.name, path)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` atomically, as UTF-8 with the line ends it has."""
    write_bytes(path, content.encode("utf-8"))


def canonical_json(value: Any, indent: int | None = None) -> str:
    """Return `value` as JSON whose bytes depend on the value alone: keys sorted, no NaN, UTF-8 unescaped.

    Raises ValueError for NaN and infinity, which JSON does not have.
    """
    return _encoder(indent).encode(value)


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` atomically as canonical, indented JSON, whose text is never in memory as a whole."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as out:
        out.writelines(_encoder(1).iterencode(value))
        out.write("\n")


def _encoder(indent: int | None) -> json.JSONEncoder:
    separators = (",", ":") if indent is None else (",", ": ")
    return json.JSONEncoder(sort_keys=True, ensure_ascii=False, allow_nan=False, indent=indent, separators=separators)


def read_json(path: Path) -> Any:
    """Read one of the project's own JSON files.

    Raises CocomineError when the file is missing or is no JSON. COCO's annotation files have a reader of their own.
    """
    try:
        return json.loads(Path(path).read_bytes())
    except FileNotFoundError as error:
        raise CocomineError(f"{path}: no such file", "run the step that writes it first") from error
    except (ValueError, RecursionError) as error:
        raise CocomineError(f"{path}: not a JSON file: {error}", "delete it and run snakemake again") from error


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object] | Mapping[str, object]]) -> None:
    r"""Write a tab-separated table atomically: a header line, then a line a row.

    Tabs, line breaks and backslashes inside a value are written as `\\t`, `\\n`, `\\r` and `\\\\`, so that a row is
    always one line; None is the empty string. Floats are written by `repr`.
    """
    with open_table(path, columns) as write:
        for row in rows:
            write([row.get(column) for column in columns] if isinstance(row, Mapping) else row)


@contextmanager
def open_table(path: Path, columns: Sequence[str]) -> Iterator[Callable[[Sequence[object]], object]]:
    """Yield a function that appends a row to a table as `write_table` writes it, for rows that come one by one."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as out:
        out.write("\t".join(columns) + "\n")
        yield lambda values: out.write("\t".join(map(_cell, values)) + "\n")


def read_table(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a table that `write_table` wrote, as column name to text."""
    with open(path, encoding="utf-8", newline="\n") as lines:
        columns = lines.readline().rstrip("\n").split("\t")
        for line in lines:
            yield row_of(columns, line)


def row_of(columns: Sequence[str], line: str) -> dict[str, str]:
    """Return one line of a table that `write_table` wrote, as column name to text."""
    return dict(zip(columns, map(_uncell, line.rstrip("\n").split("\t")), strict=True))


_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_UNESCAPES = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r"}


_NUMBERS = (int, float)
_escape = re.compile(r"[\\\t\n\r]").sub


def _cell(value: object) -> str:
    if isinstance(value, _NUMBERS):
        return str(value)
    # One call of a compiled pattern, since tables of millions of cells pass here.
    return "" if value is None else _escape(_escaped, str(value))


def _escaped(found: re.Match[str]) -> str:
    return _ESCAPES[found[0]]


def _uncell(text: str) -> str:
    if "\\" not in text:
        return text
    letters = iter(text)
    return "".join(_UNESCAPES[next(letters)] if letter == "\\" else letter for letter in letters)


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as lower-case hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def rank(salt: str, identity: int | str) -> int:
    """Return a number in [0, 2**64) that depends on `salt` and `identity` alone: the first 8 bytes of a SHA-256.

    Splits and samples order things by it, so that neither a file's order, the platform nor a library's generator
    matters.
    """
    return int.from_bytes(hashlib.sha256(f"{salt}:{identity}".encode()).digest()[:8], "big")
