"""Which categories the masks of a subset tell apart: those of the annotation files that its masks are drawn from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cocomine.base.errors import CocomineError
from cocomine.coco.tasks import TASK_OF
from cocomine.mining.categories import Category
from cocomine.mining.index import Source, nearest
from cocomine.mining.tables import splits_of


@dataclass(frozen=True)
class Drawn:
    """What a subset's masks are drawn from, as its masks settings say it.

    `stuff` names the stuff categories that get a label, by name or id; with none, all of them do.
    """

    draw_from: str = "instances"
    stuff: tuple[int | str, ...] = ()

    def __post_init__(self) -> None:
        if self.draw_from not in TASK_OF:
            raise CocomineError(
                f"masks.draw_from: {self.draw_from!r} is not known", f"write one of: {', '.join(TASK_OF)}"
            )


INSTANCES: Final = Drawn()


def drawn_categories(drawn: Drawn, source: Source, index_dir: Path, things: Collection[Category]) -> list[Category]:
    """Return the categories that get a label in the subset's masks.

    `things` are the categories of objects that the subset holds, those of `source` that the query wants. Objects of a
    panoptic file have a label if the query wants their category, by id, or names none; its stuff, and the categories of
    a stuff file, as `drawn.stuff` says. Raises CocomineError when a split has no annotation file of that task, when
    `drawn.stuff` names what is not there, or when an id means two categories.
    """
    task = TASK_OF[drawn.draw_from]
    if task is None:
        return list(things)
    there = splits_of(index_dir, task)
    lacking = [split.name for split in source.splits if split.name not in there]
    if lacking:
        raise CocomineError(
            f"masks.draw_from: {drawn.draw_from}: the source has no {task} file for the split '{lacking[0]}'",
            f"leave the split out by source_splits (those with one: {', '.join(there) or 'none'}), or draw instances",
        )
    other = source.of_task(index_dir, task, [split.name for split in source.splits])
    is_thing = _things_of(other, source)
    stuff = [category for category in other.categories if category.id not in is_thing]
    if drawn.stuff:
        stuff = _named(drawn.stuff, stuff, task)
    if drawn.draw_from == "stuff":
        return stuff
    if drawn.draw_from == "instances+stuff":
        labelled = list(things)
    else:
        wanted, known = {category.id for category in things}, {category.id for category in source.categories}
        everything = wanted == known
        objects = (category for category in other.categories if category.id in is_thing)
        labelled = [one for one in objects if one.id in wanted or (everything and one.id not in known)]
    return _joined(labelled, stuff)


def _things_of(other: Source, source: Source) -> set[int]:
    """Return the ids of the categories of objects: by the file's `isthing`, else those that the instances have too.

    A file of stuff has none, unless it says so.
    """
    stated = {
        record["id"]: record["isthing"]
        for split in other.splits
        for record in split.manifest["categories"]
        if isinstance(record, dict) and isinstance(record.get("id"), int) and record.get("isthing") in (0, 1)
    }
    shared = (
        {category.id for category in source.categories}
        if other.splits[0].folder.name.startswith("panoptic_")
        else set()
    )
    return {
        one.id for one in other.categories if all(stated.get(member.id, one.id in shared) for member in one.of_source)
    }


def _named(names: Sequence[int | str], stuff: Sequence[Category], task: str) -> list[Category]:
    found: list[Category] = []
    for name in names:
        exact = [one for one in stuff if name in (one.of_source[0].id, one.name)]
        chosen = exact or [one for one in stuff if isinstance(name, str) and one.name.lower() == name.lower()]
        if not chosen:
            known = [one.name for one in stuff]
            hint = (
                nearest(name, known)
                if isinstance(name, str)
                else f"its ids are {', '.join(str(one.of_source[0].id) for one in stuff)}"
            )
            raise CocomineError(f"masks.stuff_categories: the {task} file has no stuff category {name!r}", hint)
        found += [one for one in chosen if one not in found]
    return found


def _joined(things: Sequence[Category], stuff: Sequence[Category]) -> list[Category]:
    result = {category.id: category for category in things}
    for category in stuff:
        known = result.setdefault(category.id, category)
        if known.name != category.name:
            raise CocomineError(
                f"masks.draw_from: the id {category.id} is '{known.name}' among the objects and '{category.name}' "
                "among the stuff",
                "draw from one of the two, or give the source's stuff categories ids of their own",
            )
    return list(result.values())
