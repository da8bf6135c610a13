"""What is said of a source before anything is selected: ids that restart, classes of crowds, doubled objects."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cocomine.annotations.reasons import Reason, mask_of
from cocomine.base.words import counted
from cocomine.mining.index import Source
from cocomine.mining.objects import bits
from cocomine.mining.resolve import Wanted
from cocomine.mining.settings import SubsetSettings


def notices(source: Source, query: SubsetSettings, wanted: Wanted) -> Iterator[str]:
    """Yield a sentence for each thing in the source that a user should know before trusting the subset."""
    yield from _of_new_ids(source, query)
    yield from _of_crowds(source, query, wanted)
    yield from _of_doubles(source)


def _of_new_ids(source: Source, query: SubsetSettings) -> Iterator[str]:
    """Note how many records have the id of another one; where policy says repair, they get new ones."""
    if query.policies[Reason.DUPLICATE_ID] != "repair":
        return
    told = []
    for number, name in enumerate(source.split_names):
        counts = []
        for kind, table, ids in (
            ("image", source.images, source.image_ids),
            ("annotation", source.annotations, source.annotation_ids),
        ):
            part = slice(int(table.starts[number]), int(table.starts[number + 1]))
            count = int(np.count_nonzero(ids[part] != table["id"][part]))
            counts += [counted(count, kind)] if count else []
        told += [f"{' and '.join(counts)} of {name}"] if counts else []
    if told:
        yield (f"ids restart: {', '.join(told)} have the id of another record and get a new one (see ids.tsv)")


def _of_crowds(source: Source, query: SubsetSettings, wanted: Wanted) -> Iterator[str]:
    """Note which wanted categories consist of crowds, as tools export masks that were drawn with a brush."""
    if query.policies[Reason.MOSTLY_CROWDS] != "keep":
        return
    names = [category.name for category in source.categories]
    mostly = bits(source.annotations["reasons"], mask_of(Reason.MOSTLY_CROWDS))
    known = source.class_of >= 0
    crowds, objects = (np.bincount(source.class_of[chosen], minlength=len(names)) for chosen in (mostly & known, known))
    for cls in wanted.classes:
        if crowds[cls]:
            share = f"all {crowds[cls]}" if crowds[cls] == objects[cls] else f"{crowds[cls]} of {objects[cls]}"
            yield (
                f"{share} objects of '{names[cls]}' are crowds (iscrowd 1), as tools export masks that were "
                "drawn with a brush: masks show them as void, YOLO formats leave them out. "
                "policy: {mostly-crowds: repair} makes objects of them; masks: {crowds: class} only draws them"
            )


def _of_doubles(source: Source) -> Iterator[str]:
    """Note which classes hold objects twice: under two of the categories that they are made of."""
    names = [category.name for category in source.categories]
    table, merged = source.annotations, [len(one.members) > 1 for one in source.categories]
    rows = np.flatnonzero(np.array([*merged, False])[source.class_of])
    columns = [table[name][rows] for name in ("bbox_x", "bbox_y", "bbox_w", "bbox_h", "vertices")]
    columns.append(source.image_row[rows])
    stated, classes = table["category_id"][rows], source.class_of[rows]
    order = np.lexsort((stated, classes, *columns))
    equal = [np.diff(column[order]) == 0 for column in (classes, *columns)]
    doubled = np.logical_and.reduce([*equal, np.diff(stated[order]) != 0])
    counts = np.bincount(classes[order][1:][doubled], minlength=len(names))
    for cls in np.flatnonzero(counts).tolist():
        yield (
            f"{counted(int(counts[cls]), 'object')} of '{names[cls]}' "
            f"{'stands' if counts[cls] == 1 else 'stand'} there twice, under two of its categories, with one box: "
            "both records are kept"
        )
