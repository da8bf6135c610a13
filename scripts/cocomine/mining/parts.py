"""The records of one task on their way into a subset: decided, examined, made to follow their images, written, counted.

Every task goes the same way; what differs is which of its records come into question, and that a panoptic record, which
is written whole or not at all, has a row for each of its segments.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from cocomine.annotations.reasons import Reason, masks_by_policy, reasons_of
from cocomine.annotations.repairs import made_category, repair
from cocomine.base.arrays import Array
from cocomine.base.files import canonical_json
from cocomine.mining import clauses
from cocomine.mining.arrays import Mask, Rows
from cocomine.mining.bench import Bench
from cocomine.mining.document import write_records
from cocomine.mining.examine import Examination, Examined, facts_of_records
from cocomine.mining.index import Source
from cocomine.mining.objects import lost_objects, quarantined_by_policy
from cocomine.mining.outcomes import (
    ITS_IMAGE,
    QUARANTINED,
    Early,
    Outcomes,
    Quarantined,
    Renumbered,
    Repaired,
    line_of,
)
from cocomine.mining.relabel import class_records, relabels_of

KIND_OF_TASK: Final = {"captions": "caption", "panoptic": "segment"}
DRAWN_TASKS: Final = ("instances", "person_keypoints", "stuff")


class Part:
    """One task's share of a subset; the methods are called in the order in which they stand."""

    def __init__(
        self,
        bench: Bench,
        task: str,
        source: Source,
        owner: Rows,
        image_ids: Array,
        label_ids: Array | None,
        new_names: Mapping[int, str],
    ) -> None:
        """`owner` is the row of the instances' image for each image of `source`, -1 where there is none.

        `image_ids` and `label_ids` are the ids under which images and annotations are written; None for panoptic
        segments, whose ids are colours. `new_names` are the names of image files that have another than is stated.
        """
        self.bench, self.task, self.source, self.owner = bench, task, source, owner
        self.image_ids, self.label_ids, self.new_names = image_ids, label_ids, new_names
        self.kind = KIND_OF_TASK.get(task, "annotation")
        self.files = bench.files_of(task, source)
        self.bad_images, self.bad_labels = quarantined_by_policy(source, bench.query)
        self.early = Early(source, bench.query, self.bad_images)
        self.image_outcomes = Outcomes("image", task, source.images.rows)
        self.label_outcomes = Outcomes(self.kind, task, source.annotations.rows)
        self.why_image: dict[int, str] = {}
        self.why_label: dict[int, str] = {}
        self.lead = _lead_rows(source) if label_ids is None else np.arange(source.annotations.rows)

    def decide(self, images: Mask, labels: Mask, everywhere: bool = False) -> None:
        """Take up `images` and `labels`, and quarantine what the index speaks against among them, or `everywhere`."""
        bad_images, bad_labels = self.bad_images, self.bad_labels
        self.set_aside("image", np.flatnonzero(bad_images if everywhere else bad_images & images), self.early.image)
        bad = bad_labels if everywhere else bad_labels & labels
        self.set_aside(self.kind, np.flatnonzero(bad), self.early.label)
        self.image_rows: Rows = np.flatnonzero(images & ~bad_images)
        siblings = self._set_siblings_aside(np.flatnonzero(labels & bad_labels))
        self.label_rows: Rows = np.flatnonzero(labels & ~bad_labels & ~siblings)

    def set_aside(self, kind: str, rows: Rows, why: Callable[[int], tuple[str, str]]) -> None:
        """Quarantine records, each for the reason and with the detail that `why` gives."""
        is_image = kind == "image"
        outcomes, reasons = (self.image_outcomes, self.why_image) if is_image else (self.label_outcomes, self.why_label)
        outcomes.decide(rows, QUARANTINED)
        for row in rows.tolist():
            reason, detail = why(row)
            reasons[row] = str(reason)
            self.bench.ledger.quarantine(line_of(kind, self.task, self.source, row, reason, detail))

    def examine(self, on_repaired: Callable[[int, bytes], None] | None = None) -> None:
        """Repair the records that are left as policy asks, and check those that are drawn."""
        bench, source, query = self.bench, self.source, self.bench.query
        at = (self.task, source, self.files)
        rows = self.image_rows
        self.images = Examination(bench, "image", *at, rows, {"id": self.image_ids[rows]}, self.new_names).run()
        self._note(self.image_outcomes, self.why_image, rows, self.images)
        self.label_rows = np.unique(self.lead[self.label_rows])
        rows = self.label_rows
        owners = source.image_row[rows]
        ids = {"image_id": np.where(owners >= 0, self.image_ids[owners], source.annotations["image_id"][rows])}
        if self.label_ids is not None:
            ids["id"] = self.label_ids[rows]
        draw = query.check_areas and self.task in DRAWN_TASKS
        if self.task != "instances":
            draw = draw and query.policies[Reason.AREA_MISMATCH] != "keep"
        self.labels = Examination(bench, self.kind, *at, rows, ids).run(draw, on_repaired)
        self._note(self.label_outcomes, self.why_label, rows, self.labels)
        self._set_siblings_aside(rows[~self.labels.keep])
        self.keep_images, self.keep_labels = self.images.keep, self.labels.keep

    def lost(self, labelled: Mask) -> Rows:
        """The `labelled` annotations of images that are taken up that were quarantined and leave a gap, by row."""
        quarantined = self.bad_labels.copy()
        quarantined[self.label_rows[~self.labels.keep]] = True
        lost = lost_objects(self.source, labelled, quarantined)
        here = clauses.marked(self.image_rows[self.images.keep], self.source.images.rows)
        rows = np.flatnonzero(lost)
        return rows[here[self.source.identity.original[self.source.image_row[rows]]]]

    def follow(self, gone: Mapping[int, tuple[str, str]]) -> None:
        """Quarantine the images of `gone` (rows of the instances' images, with reason and detail) and what is in them.

        So are the labels of an image whose own record could not be repaired.
        """
        source = self.source
        leaving = np.isin(self.owner[self.image_rows], np.array(sorted(gone), dtype=np.int64)) & self.keep_images
        self.set_aside("image", self.image_rows[leaving], lambda row: gone[int(self.owner[row])])
        self.keep_images = self.keep_images & ~leaving
        alive = clauses.marked(self.image_rows[self.keep_images], source.images.rows)
        rows = self._all_of(self.label_rows[self.keep_labels])
        orphans = rows[~alive[source.image_row[rows]]]
        self.set_aside(self.kind, orphans, lambda row: (self._why_owner(row), ITS_IMAGE))
        self.keep_labels = self.keep_labels & alive[source.image_row[self.label_rows]]

    def write(self, path: Path, categories: Sequence[bytes] | None) -> None:
        """Write the document, and hold the sums of images and labels."""
        images, labels = self.images, self.labels
        if self.label_ids is None:  # the rows of panoptic records are those of their segments
            as_they_are = labels.spans.file >= 0
            record = self.source.annotations["record"][self.label_rows]
            labels.spans.sequence = np.where(as_they_are, record, labels.spans.sequence)
        spans = images.spans.select(self.keep_images), labels.spans.select(self.keep_labels)
        relabels = relabels_of(self.source, self.task)
        write_records(path, self.source, self.files, self.bench.spilled(), *spans, categories, relabels)
        kept = self.kept_images
        self._renumbered("image", kept, self.image_ids)
        names = self.source.split_names
        of_images, of_labels = self.source.images.starts, self.source.annotations.starts
        self.bench.conserve(self.image_outcomes, kept, images.repaired[self.keep_images], of_images, names)
        written = self._all_of(self.kept_labels)
        repaired = clauses.marked(self.label_rows[labels.repaired], len(self.lead))[self.lead[written]]
        if self.label_ids is not None:
            self._renumbered(self.kind, written, self.label_ids)
        self.bench.conserve(self.label_outcomes, written, repaired, of_labels, names)

    @property
    def kept_images(self) -> Rows:
        """The rows of the images that are written, ascending."""
        return self.image_rows[self.keep_images]

    @property
    def kept_labels(self) -> Rows:
        """The rows of the annotations that are written, ascending; of panoptic records, those of their first."""
        return self.label_rows[self.keep_labels]

    def record(self, row: int) -> bytes:
        """The text of an annotation, as its file has it."""
        table = self.source.annotations
        table.load("offset", "length")
        split = int(table.split_of(np.array([row]))[0])
        return self.files[split].raw(int(table["offset"][row]), int(table["length"][row]))

    def _note(self, outcomes: Outcomes, why: dict[int, str], rows: Rows, examined: Examined) -> None:
        outcomes.decide(rows[~examined.keep], QUARANTINED)
        why |= {int(rows[at]): reason for at, reason in examined.failed.items()}

    def _why_owner(self, row: int) -> str:
        return self.why_image.get(int(self.source.image_row[row]), str(Reason.MISSING_IMAGE))

    def _all_of(self, leads: Rows) -> Rows:
        """The rows of whole records, given those of their first."""
        if self.label_ids is not None:
            return leads
        return np.flatnonzero(clauses.marked(leads, len(self.lead))[self.lead])

    def _set_siblings_aside(self, bad: Rows) -> Mask:
        """Quarantine the other segments of panoptic records that have a `bad` one, and return which those are."""
        siblings = np.zeros(len(self.lead), dtype=bool)
        if self.label_ids is not None or not len(bad):
            return siblings
        siblings = clauses.marked(self.lead[bad], len(self.lead))[self.lead] & ~self.bad_labels
        siblings[bad] = False
        rows = np.flatnonzero(siblings)
        masks = masks_by_policy(self.bench.query.policies)
        first_bad = {int(self.lead[row]): row for row in bad[::-1].tolist()}
        facts = dict(zip(rows.tolist(), facts_of_records(self.source, rows).tolist(), strict=True))

        def why(row: int) -> tuple[str, str]:
            reasons = reasons_of(facts[row] & masks["quarantine"]) or reasons_of(facts[row] & masks["repair"])
            cause = reasons[0] if reasons else self.early.label(first_bad[int(self.lead[row])])[0]
            return cause, "another segment of its record is quarantined"

        self.set_aside(self.kind, rows, why)
        return siblings

    def _renumbered(self, kind: str, rows: Rows, ids: Array) -> None:
        table = self.source.images if kind == "image" else self.source.annotations
        changed = rows[ids[rows] != table["id"][rows]]
        splits = table.split_of(changed)
        places = np.array([table.place(row) for row in changed.tolist()], dtype=np.int64)
        images = table["id" if kind == "image" else "image_id"][changed]
        columns = (splits, images, table["id"][changed], ids[changed], places)
        names = self.source.split_names
        for split, image, old, new, place in zip(*(column.tolist() for column in columns), strict=True):
            self.bench.ledger.renumbered.append(Renumbered(kind, self.task, names[split], place, image, old, new))


def categories_of(part: Part, ids: set[int] | None) -> list[bytes]:
    """The category records of `ids` (all if None): byte for byte, in the files' order, or those of the classes by id.

    Repaired and quarantined as policy says; one that repeats an earlier split's is left out.
    """
    source, bench = part.source, part.bench
    masks = masks_by_policy(bench.query.policies)
    outcomes = Outcomes("category", part.task, len(source.category_records))
    result: list[tuple[int, bytes]] = []
    written: list[int] = []
    repaired: list[bool] = []
    for number, record in enumerate(source.category_records):
        split = source.splits[record.split].name
        line = ("category", part.task, split, record.place)
        bad = reasons_of(record.reasons & source.bad_categories)
        if bad:
            detail = "also " + ", ".join(bad[1:]) if len(bad) > 1 else ""
            owner = record.id if record.id >= 0 else None
            bench.ledger.quarantine(Quarantined(*line, record.written_id, None, owner, bad[0], detail))
            outcomes.decide(np.array([number]), QUARANTINED)
            continue
        category = source.category_of(record.id)
        if record.repeats or (ids is not None and (category is None or category.id not in ids)):
            continue
        raw = part.files[record.split].raw(record.offset, record.length)
        faults = reasons_of(record.reasons & masks["repair"])
        if faults:
            outcome = made_category(record.id, record.name) if record.made else repair("category", raw, faults)
            assert outcome.raw is not None, f"category {record.id}: {outcome.failed} {outcome.detail}"
            raw = outcome.raw
            texts = canonical_json(outcome.before), canonical_json(outcome.after)
            bench.ledger.repaired(Repaired(*line, record.id, ",".join(faults), *texts), faults)
        result.append((record.id, raw))
        repaired.append(bool(faults))
        written.append(number)
    of_split = np.bincount([record.split for record in source.category_records], minlength=len(source.splits))
    starts = np.append(0, np.cumsum(of_split))
    rows = np.array(written, dtype=np.int64)
    bench.conserve(outcomes, rows, np.array(repaired, dtype=bool), starts, source.split_names)
    return [raw for _, raw in result] if source.crosswalk is None else class_records(source, result)


def images_in(source: Source, other: Source) -> Rows:
    """For each image of another task, the row of the same image among those of `source`; -1 where there is none."""
    result = np.full(other.images.rows, -1, dtype=np.int64)
    number = {name: at for at, name in enumerate(source.split_names)}
    for at, name in enumerate(other.split_names):
        begin, end = (int(source.images.starts[number[name] + step]) for step in (0, 1))
        ids = source.images["id"][begin:end]
        order = np.argsort(ids, kind="stable")
        first, last = int(other.images.starts[at]), int(other.images.starts[at + 1])
        asked = other.images["id"][first:last]
        if len(ids):
            found = order[np.minimum(np.searchsorted(ids[order], asked), len(ids) - 1)]
            result[first:last] = np.where((ids[found] == asked) & (asked >= 0), begin + found, -1)
    return result


def objects_in(source: Source, other: Source) -> Rows:
    """For each annotation of another task, the row of the object with its id in `source`; -1 where there is none.

    Where ids restart, split, image and category have to agree too.
    """
    ids, asked = source.annotations["id"], other.annotations["id"]
    if not source.restarted.any() and not other.restarted.any():
        order = np.argsort(ids, kind="stable")
        if not len(ids):
            return np.full(len(asked), -1, dtype=np.int64)
        found = order[np.minimum(np.searchsorted(ids[order], asked), len(ids) - 1)]
        return np.where((ids[found] == asked) & (asked >= 0), found, -1)
    known = {key: row for row, key in _keys(source, np.flatnonzero(np.isin(ids, asked) & (ids >= 0)))}
    result = np.full(len(asked), -1, dtype=np.int64)
    for row, key in _keys(other, np.flatnonzero(asked >= 0)):
        result[row] = known.get(key, -1)
    return result


def _keys(source: Source, rows: Rows) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yield rows with what names each: split, image, category, id, and how many before it have all of these."""
    names, table = source.split_names, source.annotations
    columns = [table[name][rows].tolist() for name in ("image_id", "category_id", "id")]
    splits = [names[split] for split in table.split_of(rows).tolist()]
    times: Counter[tuple[Any, ...]] = Counter()
    for row, key in zip(rows.tolist(), zip(splits, *columns, strict=True), strict=True):
        yield row, (*key, times[key])
        times[key] += 1


def _lead_rows(source: Source) -> Rows:
    """For each panoptic segment, the row of the first segment of its record. Shape (segments,)."""
    every = np.arange(source.annotations.rows)
    key = source.annotations.split_of(every) * (1 << 40) + source.annotations["record"]
    _, first, of = np.unique(key, return_index=True, return_inverse=True)
    result: Rows = first[of]
    return result
