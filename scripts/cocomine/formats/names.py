"""Names of classes where a format cannot hold every text: written otherwise, by a rule that leads back."""

from collections import Counter
from collections.abc import Callable, Sequence
from urllib.parse import quote

PLAIN = " -_.,+()"
LONGEST = 120
"""Bytes of a name; what names a file gets a split and a suffix besides."""


def writable_names(names: Sequence[str], category_ids: Sequence[int | None]) -> list[str]:
    """Return the classes' names as a file name or an XML text can hold them, no two of them equal, case aside.

    Letters and digits of any script, spaces inside, and `-_.,+()` stand for themselves; every other character, and a
    space or full stop at either end, is written as %XX of its UTF-8 bytes, as in a URL, which `urllib.parse.unquote`
    reads. Of classes whose names are then equal, case aside, and of one whose name is too long or empty, each gets
    ` (id N)` with the id of its category.
    """
    written = [_escaped(name) for name in names]
    cut = [name.encode()[:LONGEST].decode(errors="ignore") for name in written]
    named = [
        new if new == name and new else f"{new} (id {category})"
        for name, new, category in zip(written, cut, category_ids, strict=True)
    ]
    return _apart([name.strip(" .") for name in named], category_ids, str.casefold)


def distinct_names(names: Sequence[str], category_ids: Sequence[int | None]) -> list[str]:
    """Return the names with ` (id N)` behind those that are equal, for formats that tell classes by any text."""
    return _apart(list(names), category_ids, str)


def _apart(names: list[str], category_ids: Sequence[int | None], key: Callable[[str], str]) -> list[str]:
    """Put its id behind each name that equals another, until none does."""
    counts = Counter(map(key, names))
    while len(counts) < len(names):
        rows = zip(names, category_ids, strict=True)
        names = [f"{name} (id {category})" if counts[key(name)] > 1 else name for name, category in rows]
        counts = Counter(map(key, names))
    return names


def changed(names: Sequence[str], written: Sequence[str]) -> dict[str, str]:
    """Return, of the names that are written otherwise, what is written for what."""
    return {new: old for old, new in zip(names, written, strict=True) if new != old}


def _escaped(name: str) -> str:
    inner = name.strip(" .")
    start = name.find(inner) if inner else len(name)
    kept = range(start, start + len(inner))
    return "".join(
        letter
        if place in kept and (letter.isalnum() or letter in PLAIN)
        else quote(letter, safe="").replace(".", "%2E")
        for place, letter in enumerate(name)
    )
