"""Other values in the text of a JSON record, without parsing the rest, however deep or odd that is."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]', re.DOTALL)


def spliced(text: bytes, values: Mapping[str, bytes]) -> bytes:
    """Return the text of an object with other values, given as JSON; keys that it lacks are added at its end."""
    pieces: list[bytes] = []
    done, lacking = 0, dict(values)
    for key, start, end in _parts(text):
        name = _key(key)
        if name in values:
            pieces += [text[done:start], b" ", values[name]]
            done = end
            lacking.pop(name, None)
    close = text.rindex(b"}")
    added = b", ".join(b'"%s": %s' % (key.encode(), value) for key, value in lacking.items())
    before = text[done:close].rstrip() if added else text[done:close]
    comma = b", " if added and (pieces or next(_parts(text), None)) else b""
    return b"".join([*pieces, before, comma, added, text[close:]])


def values_of(text: bytes, keys: Collection[str]) -> dict[str, bytes]:
    """Return the texts of some of an object's values, those that it has; the last where a key stands twice."""
    parts = ((_key(key), text[start:end].strip()) for key, start, end in _parts(text))
    return {key: value for key, value in parts if key in keys}


def items_of(text: bytes) -> list[bytes]:
    """Return the texts of an array's items."""
    return [text[start:end].strip() for _, start, end in _parts(text)]


def _parts(text: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the members of an object, or the items of an array: the key's text, and where the value lies."""
    depth, start, key = 0, 0, b""
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in b"{[":
            depth += 1
            start = match.end() if depth == 1 else start
        elif token in b"}]":
            depth -= 1
            if not depth and text[start : match.start()].strip():
                yield key, start, match.start()
        elif depth == 1 and token == b",":
            yield key, start, match.start()
            start, key = match.end(), b""
        elif depth == 1 and token == b":":
            start, key = match.end(), text[start : match.start()].strip()


def _key(text: bytes) -> str:
    return str(json.loads(text.decode("utf-8", "replace"), strict=False)) if text else ""
