"""Which classes of two sources mean the same: as their names say, as the user says, or as overlaps propose.

A crosswalk joins classes into *groups*: what is joined, directly or through others, is one class of the comparison. So
one class may answer to several, as LVIS's "mug" and "cup" both do to COCO's "cup".
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_table, write_table

Pairs = list[tuple[str, str]]

COLUMNS: Final = (
    "first", "second", "status", "first_objects", "second_objects", "pairs", "share_of_first", "share_of_second",
)  # fmt: skip

LEAST_PAIRS, LEAST_SHARE = 5, 0.5
"""Classes are proposed where so many objects of the two coincide, and these are that share of the rarer one's."""


@dataclass(frozen=True)
class Crosswalk:
    """The groups of two sources' classes.

    `first` and `second` give the group of each class by its place in its source, -1 where it has no counterpart;
    `names` are the groups' names; `pairs` the classes that are joined, as the places of both, and what joined them.
    """

    first: tuple[int, ...]
    second: tuple[int, ...]
    names: tuple[str, ...]
    pairs: tuple[tuple[int, int, str], ...]

    @property
    def is_whole(self) -> bool:
        """Whether every class has a counterpart."""
        return -1 not in self.first and -1 not in self.second


def given_pairs(given: str | Mapping[str, str | Sequence[str]]) -> Pairs:
    """Return what a config's `crosswalk` joins, a table read: names of both sources, "" for no counterpart."""
    if isinstance(given, str):
        return list(_read(Path(given))) if given else []
    return [
        (first, second)
        for first, several in given.items()
        for second in ([several] if isinstance(several, str) else several or [""])
    ]


def _read(path: Path) -> Iterator[tuple[str, str]]:
    try:
        for row in read_table(path):
            yield row["first"], row["second"]
    except (OSError, KeyError, ValueError) as error:
        raise CocomineError(
            f"crosswalk: {path}: no table of classes: {error}",
            "it is separated by tabs, with the columns first and second, as the crosswalk.tsv of a comparison",
        ) from error


def _key(name: str) -> str:
    return " ".join(name.split()).casefold()


def make_crosswalk(first: Sequence[str], second: Sequence[str], given: Pairs) -> Crosswalk:
    """Join the classes of two sources by `given` names, and all others by their names, letter case aside.

    Raises CocomineError for a given name that is no class.
    """
    places = [_places(names) for names in (first, second)]
    joined: list[tuple[int, int, str]] = []
    named: tuple[set[int], set[int]] = (set(), set())
    for pair in given:
        ends = [
            _found(name, known, names, which)
            for name, known, names, which in zip(pair, places, (first, second), ("first", "second"), strict=True)
        ]
        for end, of_side in zip(ends, named, strict=True):
            if end is not None:
                of_side.add(end)
        if ends[0] is not None and ends[1] is not None:
            joined.append((ends[0], ends[1], "given"))
    for key, place in places[0].items():
        other = places[1].get(key)
        if other is not None and place not in named[0] and other not in named[1]:
            joined.append((place, other, "same name"))
    return _grouped(first, second, sorted(joined))


def _places(names: Sequence[str]) -> dict[str, int]:
    """Return where each name stands; of equal ones the first."""
    found: dict[str, int] = {}
    for place, name in enumerate(names):
        found.setdefault(_key(name), place)
    return found


def _found(name: str, known: Mapping[str, int], names: Sequence[str], which: str) -> int | None:
    if not name.strip():
        return None
    if _key(name) not in known:
        raise CocomineError(
            f"crosswalk: the {which} source has no class {name!r}", f"it has: {', '.join(sorted(names)[:20])} …"
        )
    return known[_key(name)]


def _grouped(first: Sequence[str], second: Sequence[str], joined: Sequence[tuple[int, int, str]]) -> Crosswalk:
    count = len(first)
    size = count + len(second)
    ends = np.array([(a, count + b) for a, b, _ in joined], dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(size, size))
    label = connected_components(graph, directed=False)[1] if size else np.zeros(0, np.int64)
    groups = {number: place for place, number in enumerate(dict.fromkeys(label[ends[:, 0]].tolist()))}
    group = [groups.get(number, -1) for number in label.tolist()]
    names = [""] * len(groups)
    for place, number in enumerate(group[:count]):
        if number >= 0:
            names[number] = f"{names[number]} / {first[place]}" if names[number] else first[place]
    return Crosswalk(tuple(group[:count]), tuple(group[count:]), tuple(names), tuple(joined))


def write_crosswalk(
    path: Path,
    names: Sequence[Sequence[str]],
    objects: Sequence[Sequence[int]],
    walk: Crosswalk,
    overlaps: Counter[Any],
) -> int:
    """Write crosswalk.tsv: the classes that are joined, those that are proposed, and those without a counterpart.

    `overlaps` counts objects that coincide by the places of their classes. Returns how many pairs are proposed.
    """
    proposed = list(_proposed(objects, walk, overlaps))
    ends: tuple[set[int], set[int]] = (set(), set())
    rows: list[Sequence[object]] = []
    for one, other, status in [*walk.pairs, *((a, b, "proposed") for a, b in proposed)]:
        ends[0].add(one)
        ends[1].add(other)
        pairs, counts = overlaps[one, other], (objects[0][one], objects[1][other])
        shares = [round(pairs / count, 4) if count else None for count in counts]
        rows.append((names[0][one], names[1][other], status, *counts, pairs, *shares))
    for place, name in enumerate(names[0]):
        if place not in ends[0]:
            rows.append((name, "", "no counterpart", objects[0][place], None, None, None, None))
    for place, name in enumerate(names[1]):
        if place not in ends[1]:
            rows.append(("", name, "no counterpart", None, objects[1][place], None, None, None))
    write_table(path, COLUMNS, rows)
    return len(proposed)


def _proposed(objects: Sequence[Sequence[int]], walk: Crosswalk, overlaps: Counter[Any]) -> Iterable[tuple[int, int]]:
    """Return for each class without a counterpart the other source's with which most of its objects coincide."""
    found = set()
    for side, groups in enumerate((walk.first, walk.second)):
        for place in (place for place, group in enumerate(groups) if group < 0):
            pairs = {key: count for key, count in overlaps.items() if key[side] == place}
            if not pairs:
                continue
            best = min(pairs, key=lambda key: (-pairs[key], key))
            rarer = min(objects[0][best[0]], objects[1][best[1]])
            if pairs[best] >= LEAST_PAIRS and pairs[best] >= LEAST_SHARE * rarer:
                found.add(best)
    return sorted(found)
