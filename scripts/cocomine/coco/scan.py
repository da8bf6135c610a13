"""Finding where JSON values begin and end in a file of any size, without parsing them.

All positions are byte offsets in the file. Only a window of the file is in memory at a time.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from cocomine.base.errors import CocomineError
from cocomine.base.regular import changed_since

WINDOW: Final = 1 << 12
"""Bytes looked at first when a value's end is sought."""

BLOCK: Final = 1 << 18
"""Bytes read from the file at a time for short reads, which come one after another."""

MOST_BYTES: Final = 1 << 28
"""The longest text, and the longest record, that is read; a million points of an outline take an eighth of it."""

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

_SPACE = re.compile(rb"[ \t\n\r]*")
_SCALAR = re.compile(rb"[^ \t\n\r,\]}:\[{\"]+")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_STRUCTURE = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|\{|\}|\[|\]', re.DOTALL)
"""Each alternative begins with a letter of its own, which `re` skips to three times as fast as to a class of them."""

_CLOSED = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"\Z', re.DOTALL)


class Source:
    """A file that is read by position. A context manager; several processes may each open one on the same file."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            self._descriptor = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError as error:
            raise CocomineError(f"{path}: no such file", "sync the annotations first, or correct the path") from error
        except OSError as error:
            raise CocomineError(f"{path}: cannot be read: {error.strerror}", "give the path of a JSON file") from error
        self._state = os.fstat(self._descriptor)
        self.size = self._state.st_size
        self._block = b""
        self._block_start = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def changed(self) -> bool:
        """Tell whether the file was written, exchanged or removed since it was opened."""
        return changed_since(self._state, self.path)

    def read(self, start: int, length: int) -> bytes:
        """Return up to `length` bytes from `start`; fewer only at the end of the file."""
        if length > BLOCK // 4:
            return self._read(start, length)
        place = start - self._block_start
        if place < 0 or start + length > self._block_start + len(self._block):
            self._block_start, place = start, 0
            self._block = self._read(start, BLOCK)
        return self._block[place : place + length]

    def _read(self, start: int, length: int) -> bytes:
        try:
            pieces = [os.pread(self._descriptor, length, start)]
            done = len(pieces[0])
            while done < length and (piece := os.pread(self._descriptor, length - done, start + done)):
                pieces.append(piece)
                done += len(piece)
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        except OSError as error:
            raise CocomineError(
                f"{self.path}: cannot be read: {error.strerror}", "give the path of a JSON file"
            ) from error

    def fail(self, offset: int, message: str, hint: str = "") -> CocomineError:
        """Return the error that the file is malformed at `offset`, with the bytes around it."""
        return malformed(self, offset, message, hint)


def malformed(source: Source, offset: int, message: str, hint: str = "") -> CocomineError:
    """Return a CocomineError that names the file, the byte offset and an excerpt of 40 bytes on either side."""
    offset = max(0, min(offset, source.size))
    start = max(0, offset - 40)
    text = source.read(start, offset - start + 40)
    before = text[: offset - start].decode("utf-8", "backslashreplace")
    after = text[offset - start :].decode("utf-8", "backslashreplace")
    excerpt = f"{'…' if start else ''}{before} ⟨here⟩ {after}{'…' if offset + 40 < source.size else ''}"
    excerpt = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in excerpt)
    at = f"byte {offset} of {source.size}"
    return CocomineError(
        f"{source.path}: malformed JSON at {at}: {message}\n  {excerpt}",
        hint
        or (
            "the file is cut short: download it again"
            if offset >= source.size
            else "download the file again, or correct it at that byte"
        ),
    )


def skip_space(source: Source, position: int) -> int:
    """Return the first position from `position` on that is no JSON white space; the file's size at its end."""
    while True:
        window = source.read(position, 256)
        match = _SPACE.match(window)
        assert match is not None
        position += match.end()
        if match.end() < len(window) or not window:
            return position


def byte_at(source: Source, position: int) -> bytes:
    """Return the byte at `position`, b"" at the end of the file."""
    return source.read(position, 1)


def read_key(source: Source, position: int) -> tuple[str, int]:
    """Read the object key that starts at `position`; return it and the position of its value.

    Raises CocomineError when there is no key or no colon.
    """
    if byte_at(source, position) != b'"':
        raise source.fail(position, "a key in double quotes is expected" + _at_end(source, position))
    end = value_end(source, position)
    try:
        key = json.loads(source.read(position, end - position), strict=False)
    except ValueError as error:
        raise source.fail(position, f"the key cannot be read: {error}") from error
    colon = skip_space(source, end)
    if byte_at(source, colon) != b":":
        raise source.fail(colon, f"a colon is expected after the key {str(key)[:40]!r}" + _at_end(source, colon))
    return str(key), skip_space(source, colon + 1)


def value_end(source: Source, position: int) -> int:
    """Return the position after the JSON value that starts at `position`; brackets and strings are balanced only.

    Raises CocomineError when the file ends inside it, a bracket closes another kind, or no value starts there.
    """
    first = byte_at(source, position)
    if first in (b"{", b"["):
        return _container_end(source, position)
    window_size = WINDOW
    while True:
        window = source.read(position, window_size)
        whole = position + len(window) >= source.size
        match = (_STRING if first == b'"' else _SCALAR).match(window)
        if match is None:
            raise source.fail(position, "a value is expected" + _at_end(source, position))
        closed = match.end() < len(window) if first != b'"' else _CLOSED.match(window, 0, match.end()) is not None
        if closed or (whole and first != b'"'):
            return position + match.end()
        if whole:
            raise source.fail(source.size, f"the file ends in the text that starts at byte {position}")
        window_size = _wider(source, position, window_size)


def _container_end(source: Source, start: int) -> int:
    open_brackets = bytearray()
    position, window_size = start, WINDOW
    while True:
        window = source.read(position, window_size)
        if not window:
            raise source.fail(source.size, f"the file ends in the value that starts at byte {start}")
        consumed = len(window)
        for match in _STRUCTURE.finditer(window):
            letter = window[match.start()]
            if letter == 0x22:
                if match.end() == len(window) and _CLOSED.match(window, match.start()) is None:
                    consumed = match.start()
                    break
            elif letter in b"{[":
                open_brackets.append(letter)
            else:
                if open_brackets[-1] != letter - 2:
                    raise source.fail(
                        position + match.start(), f"{chr(letter)!r} closes what {chr(open_brackets[-1])!r} opened"
                    )
                open_brackets.pop()
                if not open_brackets:
                    return position + match.end()
        if consumed == 0 and position + len(window) >= source.size:
            raise source.fail(source.size, f"the file ends in the text that starts at byte {position}")
        window_size = min(window_size * 2, BLOCK) if consumed else _wider(source, position, window_size)
        position += consumed


def check_length(source: Source, start: int, length: int, what: str) -> None:
    """Raise CocomineError where a value is longer than MOST_BYTES."""
    if length > MOST_BYTES:
        most = f"{what} of more than {MOST_BYTES:,} bytes, the most that is read into memory"
        raise source.fail(start, most, "shorten it at the source, or leave it out of the file")


def _wider(source: Source, position: int, window_size: int) -> int:
    check_length(source, position, 2 * window_size, "a text or a number")
    return 2 * window_size


def _at_end(source: Source, position: int) -> str:
    return ", but the file ends" if position >= source.size else ""


def array_items(source: Source, position: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each value of the array whose first value, or whose "]", is at or after `position`.

    Raises CocomineError when it is malformed.
    """
    position = skip_space(source, position)
    if byte_at(source, position) == b"]":
        return
    while True:
        end = value_end(source, position)
        yield position, end
        following = next_item(source, end)
        if following is None:
            return
        position = following


def next_item(source: Source, end: int) -> int | None:
    """Return where the array's next value starts after one that ended at `end`; None when the array ends there."""
    comma = skip_space(source, end)
    letter = byte_at(source, comma)
    if letter == b"]":
        return None
    if letter != b",":
        raise source.fail(comma, "a comma or ']' is expected" + _at_end(source, comma))
    position = skip_space(source, comma + 1)
    if byte_at(source, position) in (b"]", b"}", b",", b""):
        raise source.fail(position, "a value is expected after the comma" + _at_end(source, position))
    return position
