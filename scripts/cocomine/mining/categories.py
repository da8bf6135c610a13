"""The categories of a source and of a subset, and the crosswalk from one to the other: which class each becomes.

A subset without `classes` has the categories of its source, with their ids. With `classes`, each class has as its id
its place in the list, from 1; the categories that are in no class follow, by ascending id, since the images hold them
all the same. The tasks of a source share the ids of their categories: one that only another task has, such as stuff,
keeps its id, or where a class has that id gets the one that the word `category/ID` would have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cocomine.annotations.lenient import as_id


@dataclass(frozen=True)
class Category:
    """A category of the source, or a class of the subset.

    `name` tells it from every other, so that tables can go by it: of several with one name it is "cat (8)", with the
    id. `stated` is the name that the file, or `classes`, states. `members` are the source's categories that a class is
    made of; a category of the source has none.
    """

    id: int
    name: str
    supercategory: str
    stated: str
    members: tuple[Category, ...] = ()

    @property
    def of_source(self) -> tuple[Category, ...]:
        """The source's categories that it is made of: its members, or itself."""
        return self.members or (self,)

    def values(self) -> dict[str, Any]:
        """Return the category as plain values for JSON."""
        values = {"id": self.id, "name": self.name, "supercategory": self.supercategory}
        return values | ({"source_categories": source_values(self)} if self.members else {})


def source_values(category: Category) -> list[dict[str, Any]]:
    """Return the source's categories that a class is made of as plain values for JSON."""
    return [{"id": member.id, "name": member.stated} for member in category.of_source]


@dataclass(frozen=True)
class CategoryRecord:
    """One record of a file's `categories`: its place, what it says, and the bits of its reasons.

    `place` is its number in the array, from 0. `id` is -1 when it has no usable one; `written_id` is then its JSON
    text. `made` tells whether it is made from the ids in use, for a file that lists none; `repeats` whether an earlier
    split has its id, as every split of one release does.
    """

    split: int
    place: int
    offset: int
    length: int
    id: int
    written_id: int | str
    name: str
    supercategory: str
    reasons: int
    made: bool
    repeats: bool


def told_apart(categories: Sequence[Category]) -> tuple[Category, ...]:
    """Give categories that share a name names of their own, by adding the id."""
    names = [category.name for category in categories]
    while len(set(names)) < len(names):
        times = Counter(names)
        names = [
            f"{name} ({category.id})".strip() if times[name] > 1 else name
            for name, category in zip(names, categories, strict=True)
        ]
    return tuple(replace(category, name=name) for name, category in zip(names, categories, strict=True))


class Crosswalk:
    """Which class of a subset each category of its source becomes."""

    def __init__(self, classes: Mapping[str, Sequence[Category]], others: Iterable[Category]) -> None:
        """`classes` are the source's categories of each class, in the order of their ids; `others` are in none."""
        made = [
            Category(number, name, _shared([member.supercategory for member in members]), name, tuple(members))
            for number, (name, members) in enumerate(classes.items(), start=1)
        ]
        for number, other in enumerate(others, start=len(made) + 1):
            name = other.name
            while name in classes:
                name = f"{name} ({other.id})"
            made.append(Category(number, name, other.supercategory, name, (other,)))
        self.class_of = {member.id: category for category in made for member in category.members}
        self._taken = {category.id for category in made}

    def applied(self, category: Category) -> Category:
        """Return what a category of the source is in the subset; it may be one that only another task has."""
        if category.id in self.class_of:
            return self.class_of[category.id]
        identity = as_id(f"category/{category.id}")[0] if category.id in self._taken else category.id
        return replace(category, id=identity, members=(category,))


def _shared(values: Sequence[str]) -> str:
    return values[0] if len(set(values)) == 1 else ""


def in_label_order(categories: Iterable[Category], pinned: Sequence[str]) -> list[Category]:
    """Return categories in the order of their labels: those that are `pinned` by name, then the others by id."""
    place = {name: number for number, name in enumerate(pinned)}
    return sorted(categories, key=lambda category: (place.get(category.name, len(place)), category.id))
