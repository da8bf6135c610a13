"""What becomes of every record, and the tables that say so: quarantine.tsv, repairs.tsv and ids.tsv."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from cocomine.annotations.reasons import Reason, masks_by_policy, reasons_of
from cocomine.base.arrays import Array
from cocomine.base.files import write_table
from cocomine.base.words import plural
from cocomine.mining.arrays import Mask, Rows
from cocomine.mining.index import Source
from cocomine.mining.losses import Loss
from cocomine.mining.settings import SubsetSettings

log = logging.getLogger("cocomine")

LEFT_OUT, KEPT, REPAIRED, QUARANTINED = range(4)

ITS_IMAGE = "its image is quarantined"
"""The detail of an annotation that is quarantined on account of its image alone."""


@dataclass(frozen=True)
class Quarantined:
    """One line of quarantine.tsv.

    `record` is the record's number in its array of its file, from 0; `id` is as written where it is no usable one.
    """

    kind: str
    task: str
    source_split: str
    record: int
    id: int | str
    image_id: int | None
    category_id: int | None
    reason: str
    detail: str


@dataclass(frozen=True)
class Repaired:
    """One line of repairs.tsv; `before` and `after` are JSON objects of the values that changed."""

    kind: str
    task: str
    source_split: str
    record: int
    id: int
    reason: str
    before: str
    after: str


@dataclass(frozen=True)
class Renumbered:
    """One line of ids.tsv: a record of the subset that has another id than its file states.

    `image_id` is the id that the file states of its image.
    """

    kind: str
    task: str
    source_split: str
    record: int
    image_id: int
    old: int
    new: int


class Outcomes:
    """What becomes of every record of one kind: each is decided at most once, and those never decided are left out."""

    def __init__(self, kind: str, task: str, records: int) -> None:
        self.kind, self.task = kind, task
        self._state = np.full(records, LEFT_OUT, dtype=np.int8)

    def decide(self, rows: Rows | Mask, outcome: int) -> None:
        """Note the outcome of records. It is a fault of the program to decide one twice."""
        before = self._state[rows]
        assert not before.any(), f"{self.task}: a {self.kind} was decided twice"
        self._state[rows] = outcome

    def sums(self, written: int, lines: int) -> dict[str, int]:
        """Return and print how many records were kept, repaired, quarantined and left out.

        Asserts that they make up the file, that as many were `written` as kept and repaired, and that every
        quarantined one has its line.
        """
        counts = np.bincount(self._state, minlength=4).tolist()
        left_out, kept, repaired, quarantined = counts[LEFT_OUT], counts[KEPT], counts[REPAIRED], counts[QUARANTINED]
        assert kept + repaired + quarantined + left_out == len(self._state)
        assert written == kept + repaired, f"{self.task}: {written} {self.kind}s written, {kept + repaired} decided so"
        assert lines == quarantined, f"{self.task}: {lines} lines for {quarantined} quarantined {self.kind}s"
        log.info(
            "assemble_subset: %s, %s: %d in = %d kept + %d repaired + %d quarantined + %d left out by the query",
            self.task,
            plural(self.kind),
            len(self._state),
            kept,
            repaired,
            quarantined,
            left_out,
        )
        return _counted(self._state)

    def by_split(self, starts: Rows, names: Iterable[str]) -> dict[str, dict[str, int]]:
        """Return the same sums split by split; `starts` are where each split's records begin, and the last end."""
        ranges = zip(names, starts[:-1].tolist(), starts[1:].tolist(), strict=True)
        return {name: _counted(self._state[begin:end]) for name, begin, end in ranges}


def _counted(states: Array) -> dict[str, int]:
    left_out, kept, repaired, quarantined = np.bincount(states, minlength=4).tolist()
    sums = {"kept": kept, "repaired": repaired, "quarantined": quarantined, "left_out": left_out}
    return {"in": len(states), **sums}


class Ledger:
    """The lines of quarantine.tsv, repairs.tsv and ids.tsv, as they come up.

    Repairs go through a temporary file, since a policy may repair every record of a file.
    """

    def __init__(self, path: Path) -> None:
        self.quarantined: list[Quarantined] = []
        self.renumbered: list[Renumbered] = []
        self.lines: Counter[tuple[str, str]] = Counter()
        self.repaired_reasons: dict[str, int] = {}
        self._path = path
        self._repairs = open(path, "w+", encoding="utf-8")  # noqa: SIM115 - closed by close()

    def quarantine(self, line: Quarantined) -> None:
        """Note a record that is set aside."""
        self.quarantined.append(line)
        self.lines[line.kind, line.task] += 1

    def repaired(self, line: Repaired, reasons: Iterable[str]) -> None:
        """Note a repair."""
        self._repairs.write(json.dumps(astuple(line)) + "\n")
        for reason in reasons:
            self.repaired_reasons[str(reason)] = self.repaired_reasons.get(str(reason), 0) + 1

    def quarantined_reasons(self) -> dict[str, int]:
        """How many records were set aside for each reason, of every kind and task."""
        return dict(sorted(Counter(str(line.reason) for line in self.quarantined).items()))

    def write(self, folder: Path) -> None:
        """Write the three tables: set aside in order of task, kind, split and record; repairs as they were made."""
        set_aside = sorted(
            self.quarantined, key=lambda line: (line.task, line.kind, line.source_split, line.record, str(line.id))
        )
        write_table(folder / "quarantine.tsv", [item.name for item in fields(Quarantined)], map(astuple, set_aside))
        self._repairs.flush()
        self._repairs.seek(0)
        write_table(folder / "repairs.tsv", [item.name for item in fields(Repaired)], map(json.loads, self._repairs))
        write_table(folder / "ids.tsv", [item.name for item in fields(Renumbered)], map(astuple, self.renumbered))

    def close(self) -> None:
        """Close and remove the temporary file."""
        self._repairs.close()
        self._path.unlink(missing_ok=True)


def line_of(kind: str, task: str, source: Source, row: int, reason: str, detail: str) -> Quarantined:
    """Return the line of quarantine.tsv for the record at a global row."""
    table = source.images if kind == "image" else source.annotations
    split = source.splits[int(table.split_of(np.array([row]))[0])].name
    image, category = (
        int(table[name][row]) if name in table.parts[0].names else -1 for name in ("image_id", "category_id")
    )
    identity = table.written_id(row)
    if kind == "image" and isinstance(identity, int):
        image = identity
    owner, of = (number if number >= 0 else None for number in (image, category))
    return Quarantined(kind, task, split, table.place(row), identity, owner, of, str(reason), detail)


class Early:
    """Why records are quarantined for what the index says of them."""

    def __init__(self, source: Source, query: SubsetSettings, images: Mask) -> None:
        """`images` are the images that are quarantined, whose annotations go with them."""
        self.source, self.images = source, images
        self.bad = masks_by_policy(query.policies)["quarantine"]

    def image(self, row: int) -> tuple[str, str]:
        """Reason and detail of the image at a global row."""
        source, identity = self.source, self.source.identity
        found = reasons_of(int(source.images["reasons"][row]) & self.bad)
        if found:
            return found[0], _also(found)
        if identity.ambiguous[row]:
            return Reason.DUPLICATE_ID, "its file gives this id to another image too, so annotations may be of either"
        first = int(identity.original[row])
        if first != row:
            splits = source.images.split_of(np.array([first, row])).tolist()
            where = "an earlier record" if splits[0] == splits[1] else source.splits[splits[0]].name
            same_id = source.images["id"][first] == source.images["id"][row]
            return Reason.DUPLICATE_ID if same_id else Reason.DUPLICATE_FILE_NAME, f"{where} has the same file"
        return Reason.DUPLICATE_ID, "an earlier record has this id"

    def label(self, row: int) -> tuple[str, str]:
        """Reason and detail of the annotation, caption or segment at a global row."""
        source = self.source
        found = reasons_of(int(source.annotations["reasons"][row]) & self.bad)
        if found:
            return found[0], _also(found)
        owner = int(source.image_row[row])
        if owner < 0:
            return Reason.MISSING_IMAGE, "an annotation without an image cannot be kept"
        if source.categories and source.class_of[row] < 0:
            return Reason.MISSING_CATEGORY, "an annotation without a category cannot be kept"
        if self.images[owner]:
            return self.image(owner)[0], ITS_IMAGE
        return Reason.DUPLICATE_ID, "an earlier record has this id"

    def losses(self, labelled: Mask, quarantined: Mask) -> tuple[list[Loss], dict[str, int]]:
        """What is lost of the `labelled` annotations, by category, and of the images that hold one.

        Annotations that go with their image are those of the image's loss.
        `quarantined` says which annotations are. Returns the losses, and how many there are of each kind in all.
        """
        source = self.source
        there = np.bincount(source.class_of[labelled] + 1, minlength=len(source.categories) + 1)
        names = ["an unknown category", *(category.name for category in source.categories)]
        found: Counter[tuple[str, str, int]] = Counter()
        rows = np.flatnonzero(labelled & quarantined)
        owner = source.image_row[rows]
        facts = (source.class_of[rows], source.annotations["reasons"][rows] & np.uint64(self.bad), owner >= 0)
        for row, count in _alike(rows, *facts, *(np.append(fact, fact.dtype.type(0))[owner] for fact in self._facts())):
            reason, detail = self.label(row)
            if detail != ITS_IMAGE:
                found["annotation", str(reason), int(source.class_of[row]) + 1] += count
        losses = [
            Loss(kind, names[cls], reason, count, int(there[cls])) for (kind, reason, cls), count in found.items()
        ]
        holding = np.zeros(source.images.rows, dtype=bool)
        holding[source.image_row[labelled & (source.image_row >= 0)]] = True
        totals = {"annotation": int(there.sum()), "image": int(np.count_nonzero(holding))}
        rows = np.flatnonzero(self.images & holding)
        counts: Counter[str] = Counter()
        for row, count in _alike(rows, *(fact[rows] for fact in self._facts())):
            counts[str(self.image(row)[0])] += count
        losses += [Loss("image", "", reason, count, totals["image"]) for reason, count in counts.items()]
        return losses, totals

    def _facts(self) -> tuple[Array, ...]:
        """What decides on images, a cell each."""
        identity = self.source.identity
        same = self.source.images["id"][identity.original] == self.source.images["id"]
        reasons = self.source.images["reasons"] & np.uint64(self.bad)
        return reasons, self.images, identity.ambiguous, identity.repeats, same


def _alike(rows: Rows, *columns: Array) -> Iterator[tuple[int, int]]:
    """Yield a row of each kind of `rows` that agree in all columns, and how many of the kind there are."""
    if len(rows):
        table = np.stack([column.astype(np.int64) for column in columns], axis=1)
        _, first, counts = np.unique(table, axis=0, return_index=True, return_counts=True)
        yield from zip(rows[first].tolist(), counts.tolist(), strict=True)


def _also(found: list[Reason]) -> str:
    return "also " + ", ".join(found[1:]) if len(found) > 1 else ""
