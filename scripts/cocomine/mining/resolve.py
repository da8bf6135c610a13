"""Turning what a query names (categories, licences, images) into numbers, with advice where a name is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cocomine.annotations.arrow import flags
from cocomine.annotations.records import FIRST_WORD_ID, LARGEST_ID, as_id, as_integer
from cocomine.base.errors import CocomineError
from cocomine.base.files import read_table
from cocomine.mining.arrays import Mask
from cocomine.mining.index import Source, licences_of_split, nearest
from cocomine.mining.settings import CategoryRef, Range, SubsetSettings


@dataclass(frozen=True)
class Wanted:
    """The query's categories as class numbers (positions in `Source.categories`).

    `groups` has the classes of each item of `categories`; `classes` is their union, ascending; `none` those of `none`.
    """

    groups: tuple[tuple[int, ...], ...]
    classes: tuple[int, ...]
    none: tuple[int, ...]
    ranges: tuple[tuple[tuple[int, ...], Range, str], ...]
    caps: dict[int, int]


def resolve(query: SubsetSettings, source: Source) -> Wanted:
    """Look up every category that the query names. Raises CocomineError, with the nearest names, for an unknown one."""
    groups = tuple(find_category(ref, source, "categories") for ref in query.categories)
    classes = sorted({cls for group in groups for cls in group}) if groups else range(len(source.categories))
    caps: dict[int, int] = {}
    if isinstance(query.max_per_class, int):
        caps = dict.fromkeys(classes, query.max_per_class)
    elif query.max_per_class is not None:
        for ref, cap in query.max_per_class:
            caps.update(dict.fromkeys(find_category(ref, source, "max_per_class"), cap))
    wanted = Wanted(
        groups=groups or tuple((cls,) for cls in classes),
        classes=tuple(classes),
        none=tuple(sorted({cls for ref in query.none for cls in find_category(ref, source, "none")})),
        ranges=tuple(
            (find_category(ref, source, "instances_per_class"), bounds, ref.words())
            for ref, bounds in query.instances_per_class
        ),
        caps=caps,
    )
    names = [category.name for category in source.categories]
    _refuse_others([cls for group, _, _ in wanted.ranges for cls in group], wanted, names, "instances_per_class")
    _refuse_others(list(caps), wanted, names, "max_per_class")
    if query.categories:
        both = set(wanted.classes) & set(wanted.none)
        if both:
            words = ", ".join(names[cls] for cls in sorted(both))
            raise CocomineError(
                f"subset: {words} stands both in categories and in none", "take it out of one of the two"
            )
    return wanted


def _refuse_others(classes: Sequence[int], wanted: Wanted, names: Sequence[str], key: str) -> None:
    strange = sorted(set(classes) - set(wanted.classes))
    if strange:
        raise CocomineError(
            f"subset: {key}: {names[strange[0]]} is none of the wanted categories",
            f"add it to categories, or remove it from {key}",
        )


def find_category(ref: CategoryRef, source: Source, key: str) -> tuple[int, ...]:
    """Return the class numbers that one item of a list of categories means.

    Two categories with one name are both meant by it; "cat (8)" means the one of them that has that id. Raises
    CocomineError when there is none.
    """
    categories = source.categories
    if ref.id is not None:
        found = [i for i, category in enumerate(categories) if category.id == ref.id]
        if not found:
            ids = ", ".join(str(category.id) for category in categories[:100])
            raise CocomineError(f"subset: {key}: the source has no category with id {ref.id}", f"its ids are {ids}")
        return tuple(found)
    names = [category.stated for category in categories]
    own = [category.name for category in categories]
    supers = sorted({category.supercategory for category in categories} - {""})
    if ref.supercategory is not None:
        word, found = ref.supercategory, _equal([category.supercategory for category in categories], ref.supercategory)
        known = supers
    elif ref.name is not None:
        word, found, known = ref.name, _equal(names, ref.name) or _equal(own, ref.name), own
    else:
        word = str(ref.text)
        found = _equal(names, word) or _equal(own, word)
        found = found or _equal([category.supercategory for category in categories], word)
        if not found and as_id(word)[0] >= FIRST_WORD_ID:
            found = [i for i, category in enumerate(categories) if category.id == as_id(word)[0]]
        known = own + [name for name in supers if name not in own]
    if not found:
        what = "supercategory" if ref.supercategory is not None else "category"
        raise CocomineError(f"subset: {key}: the source has no {what} '{word}'", nearest(word, known))
    return tuple(found)


def _equal(names: Sequence[str], word: str) -> list[int]:
    return [i for i, name in enumerate(names) if name == word] or [
        i for i, name in enumerate(names) if name.lower() == word.lower() and name
    ]


def licence_mask(source: Source, wanted: Sequence[int | str]) -> Mask:
    """Images whose licence is one of `wanted` (ids, or names as each split's file lists them)."""
    result = np.zeros(source.images.rows, dtype=bool)
    unknown = set(wanted)
    names: list[str] = []
    for number, split in enumerate(source.splits):
        listed = licences_of_split(split)
        names += [f"{licence.id} {licence.name}" for licence in listed]
        chosen = set()
        for item in wanted:
            # Several licences of one name are all meant by it.
            found = {one.id for one in listed if one.id == item or (one.name and one.name.lower() == str(item).lower())}
            if found:
                chosen |= found
                unknown.discard(item)
        begin, end = int(source.images.starts[number]), int(source.images.starts[number + 1])
        result[begin:end] = np.isin(source.images["license"][begin:end], np.array(sorted(chosen), dtype=np.int64))
    if unknown:
        word = sorted(map(str, unknown))[0]
        known = list(dict.fromkeys(names))
        hint = f"its licences are: {'; '.join(known)}" if known else "remove licenses: this source lists none"
        raise CocomineError(f"subset: licenses: the source has no licence {word!r}", hint)
    return result


def image_list_mask(source: Source, items: Sequence[int | str] | str, key: str, strict: bool) -> Mask:
    """Images that a list names, by id or by file name.

    A text is the path of a file with the list. With `strict`, raises CocomineError for an item that is no image of the
    source.
    """
    wanted = read_image_list(Path(items), key) if isinstance(items, str) else list(items)
    ids = {item for item in wanted if isinstance(item, int)}
    texts = {item for item in wanted if isinstance(item, str)}
    # A text of digits may be an id that was read from a file, or a name without its suffix; any other may be an id too.
    numbers = {text: as_id(text)[0] for text in texts if as_id(text)[0] >= 0}
    column = source.images["id"]
    possible = {number for number in ids | set(numbers.values()) if 0 <= number <= LARGEST_ID}  # no image has another
    result: Mask = np.isin(column, np.array(sorted(possible), dtype=np.int64))
    seen: set[int | str] = set(column[result].tolist())
    seen |= {text for text, number in numbers.items() if number in seen}
    names = texts - {text for text in numbers if as_integer(text)[0] >= 0}
    if names:
        value_set = pa.array(sorted(names), pa.string())
        parts = [part.arrow("file_name") for part in source.images.parts]
        by_name: Mask = np.concatenate([flags(pc.is_in(part, value_set=value_set)) for part in parts])
        result = result | by_name
        seen |= {name for name in source.images.texts("file_name", np.flatnonzero(by_name)) if name is not None}
    missing = sorted((item for item in wanted if item not in seen), key=str)
    if missing and strict:
        raise CocomineError(
            f"subset: {key}: {len(missing)} of {len(wanted)} are no image of the source, such as {missing[0]!r}",
            "give image ids or file names of the splits that the subset uses, or remove them from the list",
        )
    return result


def read_image_list(path: Path, key: str) -> list[int | str]:
    """Read a list of images: a .json array, a .tsv with a column image_id, or a text file with one a line.

    In a text file, blank lines and lines that open with # are passed over.
    """
    readers: dict[str, Callable[[Path], Iterable[int | str]]] = {
        ".json": lambda file: json.loads(file.read_text("utf-8")),
        ".tsv": lambda file: [int(row["image_id"]) for row in read_table(file)],
    }
    try:
        items = list(readers.get(path.suffix, _lines)(path))
        if not all(isinstance(item, int | str) and not isinstance(item, bool) for item in items):
            raise ValueError("its items are not all ids or names")
    except OSError as error:
        raise CocomineError(
            f"subset: {key}: {path}: cannot be read: {error.strerror or error}", "give the path from the folder of work"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise CocomineError(
            f"subset: {key}: {path}: not a list of images: {error}",
            "write one id or file name a line, a .tsv with a column image_id, or a .json array",
        ) from error
    return items


def _lines(file: Path) -> list[int | str]:
    lines = (line.strip() for line in file.read_text("utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]
