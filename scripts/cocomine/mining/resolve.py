"""Turning what a query names (categories, licences, images) into numbers, with advice where a name is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cocomine.annotations.arrow import flags
from cocomine.annotations.records import FIRST_WORD_ID, as_id
from cocomine.base.errors import CocomineError
from cocomine.mining.arrays import Mask
from cocomine.mining.image_list import image_list, plain_name
from cocomine.mining.index import Source, licences_of_split, nearest
from cocomine.mining.settings import Category, NamedCategory, Range, SubsetSettings, category_words


@dataclass(frozen=True)
class Wanted:
    """The query's categories as class numbers (positions in `Source.categories`).

    `groups` has the classes of each item of `categories`; `classes` is their union, ascending; `none` those of
    `exclude_categories`.
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
        for ref, cap in query.max_per_class.items():
            caps.update(dict.fromkeys(find_category(ref, source, "max_per_class"), cap))
    wanted = Wanted(
        groups=groups or tuple((cls,) for cls in classes),
        classes=tuple(classes),
        none=tuple(
            sorted(
                {cls for ref in query.exclude_categories for cls in find_category(ref, source, "exclude_categories")}
            )
        ),
        ranges=tuple(
            (find_category(ref, source, "instances_per_class"), bounds, category_words(ref))
            for ref, bounds in query.instances_per_class.items()
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


def find_category(wanted: Category, source: Source, key: str) -> tuple[int, ...]:
    """Return the class numbers that one item of a list of categories means.

    Two categories with one name are both meant by it; "cat (8)" means the one of them that has that id. Raises
    CocomineError when there is none.
    """
    categories = source.categories
    ref = wanted if isinstance(wanted, NamedCategory) else NamedCategory(id=None if isinstance(wanted, str) else wanted)
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
        word = str(wanted)
        found = _equal(names, word) or _equal(own, word)
        found = found or _equal([category.supercategory for category in categories], word)
        if not found and as_id(word)[0] >= FIRST_WORD_ID:
            found = [i for i, category in enumerate(categories) if category.id == as_id(word)[0]]
        # Where a mapping is by category, its keys are texts: no category is called "25", so the id is meant.
        if not found and word.isascii() and word.isdigit():
            found = [i for i, category in enumerate(categories) if category.id == int(word)]
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


def image_list_mask(source: Source, items: Sequence[int | str] | str, key: str) -> tuple[Mask, str]:
    """Images that a list names, by id, file name or path in the store; and what to tell of entries that name none.

    `items` are the entries, or the path of a file of them. An id is that of a file or a new one.
    """
    wanted = image_list(items, f"subset: {key}")
    ids, names = np.array(sorted(wanted.ids), dtype=np.int64), pa.array(sorted(wanted.names), pa.string())
    stated, own = source.images["id"], source.image_ids
    result: Mask = np.isin(stated, ids) | np.isin(own, ids)
    seen_ids = set(stated[result].tolist()) | set(own[result].tolist())
    seen_names: set[str] = set()
    for column in ("file_name", "store_path") if len(names) else ():
        by_name: Mask = np.concatenate(
            [flags(pc.is_in(_slashes(part.arrow(column)), value_set=names)) for part in source.images.parts]
        )
        result = result | by_name
        found = source.images.texts(column, np.flatnonzero(by_name))
        seen_names |= {plain_name(name) for name in found if name is not None}
    unmatched = wanted.unmatched(seen_ids, seen_names)
    return result, f"{key}: {wanted.told(unmatched, 'of the source')}" if unmatched else ""


def _slashes(names: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.replace_substring(names, pattern="\\", replacement="/")
