"""The licences that annotation files list."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from cocomine.annotations.lenient import LARGEST_SIDE, as_integer
from cocomine.mining.index import Source
from cocomine.mining.tables import Split


@dataclass(frozen=True)
class Licence:
    """A licence as an annotation file lists it."""

    id: int
    name: str
    url: str


def licences_of_split(split: Split) -> list[Licence]:
    """Return the licences that an annotation file lists; whatever else stands in its list is passed over.

    An id that is written as text or as a float stands for its number, as in the images.
    """
    listed = split.manifest.get("licenses")
    records = [record for record in listed if isinstance(record, dict)] if isinstance(listed, list) else []
    numbers = [as_integer(record.get("id"), LARGEST_SIDE)[0] for record in records]
    return [
        Licence(number, str(record.get("name") or ""), str(record.get("url") or ""))
        for number, record in zip(numbers, records, strict=True)
        if number >= 0
    ]


def licences_of(source: Source) -> dict[int, Licence]:
    """Return the licences that the splits list, by id; where two splits differ, the first counts."""
    found: dict[int, Licence] = {}
    for split in source.splits:
        for licence in licences_of_split(split):
            found.setdefault(licence.id, licence)
    return found


def licence_names(source: Source) -> dict[int, str]:
    """Return a name for each licence id, -1 (not stated) too, that no other has."""
    known = {number: licence.name or str(number) for number, licence in licences_of(source).items()}
    times = Counter([*known.values(), "not stated"])
    return {number: f"{name} ({number})" if times[name] > 1 else name for number, name in known.items()} | {
        -1: "not stated"
    }
