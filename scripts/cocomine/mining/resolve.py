"""Turning what a query names (categories, licences, images) into numbers, with advice where a name is wrong."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cocomine.annotations.arrow import flags
from cocomine.annotations.lenient import FIRST_WORD_ID, as_id
from cocomine.base.errors import CocomineError
from cocomine.coco.labels import read_labels
from cocomine.mining.arrays import Mask
from cocomine.mining.categories import Crosswalk
from cocomine.mining.image_list import image_list, plain_name
from cocomine.mining.index import Source, nearest
from cocomine.mining.licences import licences_of_split
from cocomine.mining.settings import (
    ONE_OF_TWO,
    Category,
    NamedCategory,
    Range,
    SubsetSettings,
    category_words,
    in_two_classes,
)


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
    groups = tuple(find_category(ref, source, "categories") for ref in query.wanted)
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
    if query.wanted:
        both = set(wanted.classes) & set(wanted.none)
        if both:
            words = ", ".join(names[cls] for cls in sorted(both))
            key = "classes" if query.classes else "categories"
            raise CocomineError(f"subset: {words} stands both in {key} and in exclude_categories", ONE_OF_TWO)
    return wanted


def crosswalk_of(query: SubsetSettings, source: Source, pinned: Sequence[str] = ()) -> Crosswalk | None:
    """Return which class each of the source's categories becomes; None where the query names no classes.

    Classes that are `pinned` by name come first, in that order. Raises CocomineError, with the nearest names, for a
    category that the source does not have, and for one in two classes.
    """
    if not query.classes:
        return None
    place = {name: number for number, name in enumerate(pinned)}
    found: dict[int, str] = {}
    for one in query.named_classes:
        for ref in one.categories:
            for number in find_category(ref, source, f"classes.{one.name}"):
                other = found.setdefault(number, one.name)
                if other != one.name:
                    words = in_two_classes(source.categories[number].name, other, one.name)
                    raise CocomineError(f"subset: classes: {words}", ONE_OF_TWO)
    names = sorted((one.name for one in query.named_classes), key=lambda name: place.get(name, len(place)))
    classes = {name: [source.categories[cls] for cls, of in sorted(found.items()) if of == name] for name in names}
    return Crosswalk(classes, (other for cls, other in enumerate(source.categories) if cls not in found))


def pinned_labels(query: SubsetSettings) -> tuple[str, ...]:
    """Return the names of the classes of `labels_from`, in the order of their labels; none where it is not given.

    Raises CocomineError when the file is not there or no labels.json.
    """
    if query.labels_from is None:
        return ()
    try:
        return read_labels(Path(query.labels_from)).names[1:]
    except CocomineError as error:
        raise CocomineError(
            f"subset: labels_from: {error.message}", "name the labels.json of an earlier build, or a copy of it"
        ) from error


def refuse_lost_labels(query: SubsetSettings, pinned: Sequence[str], names: Collection[str]) -> None:
    """Raise CocomineError when a class of `labels_from` is none of `names`: its label would be another class's."""
    lost = [f"{label} ('{name}')" for label, name in enumerate(pinned, start=1) if name not in names]
    if lost:
        raise CocomineError(
            f"subset: labels_from: {query.labels_from} gives the label {lost[0]} to a class that the subset has not"
            + f", and so {', '.join(lost[1:])}" * (len(lost) > 1),
            f"keep it among the {'classes' if query.classes else 'categories'}: a class without an object keeps its "
            "label. Or remove labels_from, and train anew",
        )


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
