"""Who is who: records of a subset's splits that share an id, and the ids that tell them apart.

Labelling tools count ids from 0 in every export, in every image, or both, so an id alone names nothing. A record is
known by its split, its id and its content:

- An **image** that is the same file as an earlier one is a duplicate of it. An image of a later split that has the id
  of another file gets a new id. Where one annotation file gives an id to two files, nothing tells whose annotations
  name it: both are *ambiguous*.
- An **image file name** that an image of an earlier split has too, up to its ending, is preceded by the split's folder
  (its path in the store), since masks and exports are named by it.
- An **annotation** or caption whose id an earlier one has gets a new id. (What equals an earlier record in all else is
  the index's reason `exact-duplicate`.)

The rule of new ids: of the records that share an id, the first keeps it, in the order of the splits and then of the
file. Every later one gets the id that the word SPLIT/ID would have, or SPLIT/IMAGE/ID for an annotation, with "#2",
"#3" and so on behind it if that is taken: as any id that is a word (see `cocomine.annotations.records.as_id`). So the
id depends on no other record; `ids.tsv` holds the way back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cocomine.annotations.lenient import FIRST_WORD_ID, as_id
from cocomine.base.arrays import Array
from cocomine.mining.arrays import Mask, Rows


@dataclass(frozen=True)
class Images:
    """What the images of several splits are to one another; every array has a cell an image.

    `ids` are unique but for records that are quarantined. `original` is the row of the first record of the same file,
    its own where there is none before it. `ambiguous` images share their id, within one annotation file, with another
    file.
    """

    ids: Array
    original: Rows
    ambiguous: Mask

    @property
    def repeats(self) -> Mask:
        """Images whose file an earlier record has already."""
        result: Mask = self.original != np.arange(len(self.original))
        return result


def identify_images(ids: Array, starts: Rows, files: Array, names: list[str]) -> Images:
    """Tell the images of several splits apart.

    `ids` and `files` have a cell an image: its stated id (-1 when unusable) and a number for its path in the store (-1
    when it has none); `starts` is where each split begins, and `names` what the splits are called.
    """
    rows = np.arange(len(ids), dtype=np.int64)
    original = np.where(files >= 0, first_equal(files), rows)
    split = np.searchsorted(starts, rows, side="right") - 1
    # Records of one split that share an id must all be of one file; those without a file say nothing.
    known = rows[(files >= 0) & (ids >= 0)]
    order = known[np.lexsort((known, ids[known], split[known]))]
    same = (np.diff(ids[order]) == 0) & (np.diff(split[order]) == 0)
    group = np.concatenate([np.zeros(min(1, len(order)), dtype=np.int64), np.cumsum(~same)])
    differs = np.flatnonzero(same & (np.diff(original[order]) != 0))
    ambiguous = np.zeros(len(ids), dtype=bool)
    ambiguous[order[np.isin(group, group[differs])]] = True
    restarted = repeated(ids, starts) & (original == rows)
    return Images(new_ids(ids, restarted, lambda row: f"{names[split[row]]}/{ids[row]}"), original, ambiguous)


def repeated(ids: Array, starts: Rows) -> Mask:
    """Records whose id an earlier split has already. Shape (n,)."""
    result = np.zeros(len(ids), dtype=bool)
    for begin, end in pairwise(starts[1:].tolist()):
        part = ids[begin:end]
        result[begin:end] = np.isin(part, ids[:begin]) & (part >= 0)
    return result


def new_ids(ids: Array, restarted: Mask, word: Callable[[int], str]) -> Array:
    """Return `ids`, those of `restarted` rows made anew from a `word` for each."""
    if not restarted.any():
        return ids
    result = ids.copy()
    taken = set(ids[ids >= FIRST_WORD_ID].tolist())
    for row in np.flatnonzero(restarted).tolist():
        text, number = word(row), 1
        found, _ = as_id(text)
        while found in taken:
            number += 1
            found, _ = as_id(f"{text}#{number}")
        taken.add(found)
        result[row] = found
    return result


def first_equal(values: Array) -> Rows:
    """Return for each value the position of the first that equals it. Shape (n,)."""
    _, first, group = np.unique(values, return_index=True, return_inverse=True)
    result: Rows = first[group]
    return result
