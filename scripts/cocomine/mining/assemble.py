"""From the selection and the measured images to the subset: the second half of mining.

Images that turned out to be missing or broken are quarantined (and replaced by spares if the query says refill), the
records are repaired and checked as policy asks, and every file of the subset is written. Each record of the source ends
as exactly one of kept, repaired, quarantined and left out by the query; the sums are asserted and printed per kind.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, Final, Self

import msgspec
import numpy as np
import pyarrow.parquet as pq

from cocomine.annotations.reasons import Reason, masks_by_policy, policies, reasons_of
from cocomine.annotations.records import Facts as RecordFacts
from cocomine.annotations.records import parse_leniently, read_object, replace_non_finite
from cocomine.annotations.repairs import repair
from cocomine.base.errors import CocomineError
from cocomine.base.files import canonical_json, read_json, read_table, write_json, write_table
from cocomine.base.staging import INCOMPLETE, staging
from cocomine.coco.orientation import fits_turned
from cocomine.coco.writer import write_document
from cocomine.mining import clauses, interference
from cocomine.mining.drawn import INSTANCES, Drawn, drawn_categories
from cocomine.mining.examine import (
    KEPT,
    QUARANTINED,
    REPAIRED,
    Examined,
    Ledger,
    Outcomes,
    Quarantined,
    Repaired,
    Spans,
    Spill,
    examine,
    facts_of_records,
    quarantined_line,
    quarantined_lines,
)
from cocomine.mining.funnel import Funnel
from cocomine.mining.index import Array, Mask, Rows, Source, licence_names, licences_of, read_source, splits_of
from cocomine.mining.mine import query_values, read_source_of
from cocomine.mining.outputs import (
    check_stems,
    write_attribution,
    write_dictionary,
    write_images,
    write_labels,
)
from cocomine.mining.resolve import Wanted, resolve
from cocomine.mining.select import (
    NEGATIVE,
    SPARE,
    WANTED,
    Objects,
    judge_objects,
    quarantined_by_policy,
    stop_at_repeated,
)
from cocomine.mining.settings import SubsetSettings
from cocomine.mining.spans import FileBlock, SpanFile, coalesce, copied
from cocomine.mining.statistics import Facts, describe

log = logging.getLogger("cocomine")

OTHER_TASKS: Final = ("captions", "person_keypoints", "stuff", "panoptic")
DRAWN_TASKS: Final = ("person_keypoints", "stuff")
KIND_OF_TASK: Final = {"captions": "caption", "panoptic": "segment"}


@dataclass(frozen=True)
class Picked:
    """The rows of selection.tsv found in the index: global image rows, with role, rank and what a spare replaces."""

    rows: Rows
    roles: tuple[str, ...]
    ranks: tuple[int, ...]
    replaces: tuple[str, ...]


def assemble(
    query: SubsetSettings,
    index_dir: Path,
    annotations_dir: Path,
    selection_path: Path,
    funnel_path: Path,
    measures_path: Path | None,
    out_dir: Path,
    threads: int = 1,
    drawn: Drawn = INSTANCES,
) -> dict[str, Any]:
    """Write every file of a subset to `out_dir`; return its statistics.

    `threads` processes draw the masks that are checked, and nothing depends on how many. `measures_path` is the table
    of measured images; without it no image is judged. `drawn` says which categories get a label for the masks. Raises
    CocomineError when the selection was made by another query, an image was not measured, or policy says stop.
    """
    funnel_before = read_json(funnel_path)
    if funnel_before.get("query") != query_values(query):
        raise CocomineError(
            f"{funnel_path}: was made by another query than the settings given", "run mine_subset again first"
        )
    source = read_source_of(query, index_dir, funnel_before["splits"])
    with ExitStack() as stack:
        beside = stack.enter_context(staging(out_dir / INCOMPLETE))
        spill = Spill(beside / "repaired")
        stack.callback(spill.close)
        ledger = Ledger(beside / "repairs")
        stack.callback(ledger.close)
        return _Assembly(
            query, index_dir, annotations_dir, out_dir, source, funnel_before, spill, ledger, stack, drawn
        ).run(find_rows(source, selection_path), measures_path, threads)


def find_rows(source: Source, selection_path: Path) -> Picked:
    """Find the rows of selection.tsv in the index. Raises CocomineError for a row that is not there."""
    rows_wanted = list(read_table(selection_path))
    keys = [
        (row["source_split"], int(row["image_id"]), row["file_name"], int(row["width"]), int(row["height"]))
        for row in rows_wanted
    ]
    ids = np.array(sorted({key[1] for key in keys}), dtype=np.int64)
    candidates = np.flatnonzero(np.isin(source.images["id"], ids))
    splits = [source.splits[number].name for number in source.images.split_of(candidates).tolist()]
    names = source.images.texts("file_name", candidates)
    place: dict[tuple[str, int, str, int, int], list[int]] = {}
    sides = (source.images[name][candidates].tolist() for name in ("id", "width", "height"))
    for row, split, name, identity, width, height in zip(candidates.tolist(), splits, names, *sides, strict=True):
        place.setdefault((split, identity, name or "", width, height), []).append(row)
    found = []
    for key in keys:
        if not place.get(key):
            raise CocomineError(
                f"{selection_path}: image {key[1]} ({key[2]}) is not in the index",
                "the index was built again since: run mine_subset again",
            )
        found.append(place[key].pop(0))  # records that policy keeps beside an equal one come in the file's order
    return Picked(
        rows=np.array(found, dtype=np.int64),
        roles=tuple(row["role"] for row in rows_wanted),
        ranks=tuple(int(row["rank"]) for row in rows_wanted),
        replaces=tuple(row.get("replaces", "") for row in rows_wanted),
    )


def image_facts(source: Source, rows: Rows, measures_path: Path) -> dict[int, list[tuple[Reason, str]]]:
    """Return what the measured images say against them: global row to reasons with details.

    Raises CocomineError for an image that was not measured.
    """
    columns = ["image_id", "source_split", "file_name", "status", "detail", "width", "height", "exif_orientation"]
    table = pq.read_table(measures_path, columns=columns).to_pydict()
    measured = {
        (split, identity, name): (status, detail, width, height, orientation)
        for identity, split, name, status, detail, width, height, orientation in zip(
            *(table[name] for name in columns), strict=True
        )
    }
    images = source.images
    result: dict[int, list[tuple[Reason, str]]] = {}
    splits = [source.splits[number].name for number in images.split_of(rows).tolist()]
    stated = [images[name][rows].tolist() for name in ("id", "width", "height")]
    names = images.texts("file_name", rows)
    for row, split, name, identity, width, height in zip(rows.tolist(), splits, names, *stated, strict=True):
        found = measured.get((split, identity, name or ""))
        if found is None:
            raise CocomineError(
                f"{measures_path}: image {identity} of {split} was not measured", "run measure_images again"
            )
        status, detail, real_width, real_height, orientation = found
        orientation = orientation or 0
        facts: list[tuple[Reason, str]] = []
        if status != "ok":
            try:
                facts.append((Reason(status), detail or ""))
            except ValueError as error:
                raise CocomineError(
                    f"{measures_path}: image {identity} has the unknown status {status!r}", "run measure_images again"
                ) from error
        else:
            sizes = f"{width} x {height} stated, {real_width} x {real_height} decoded"
            if fits_turned((real_width, real_height), (width, height), orientation):
                facts.append((Reason.IMAGE_SIZE_TURNED, f"{sizes}, EXIF orientation {orientation}"))
            elif (real_width, real_height) != (width, height):
                facts.append((Reason.IMAGE_SIZE_DIFFERS, f"{sizes}, EXIF orientation {orientation or 'not stated'}"))
            elif orientation > 1:
                facts.append((Reason.IMAGE_EXIF_ROTATED, f"orientation {orientation}"))
        if facts:
            result[row] = facts
    return result


class _Assembly:
    """One subset being assembled; the steps are methods, in the order in which `run` calls them."""

    def __init__(
        self,
        query: SubsetSettings,
        index_dir: Path,
        annotations_dir: Path,
        out_dir: Path,
        source: Source,
        funnel_before: dict[str, Any],
        spill: Spill,
        ledger: Ledger,
        stack: ExitStack,
        drawn: Drawn,
    ) -> None:
        self.query, self.index_dir, self.annotations_dir, self.out_dir = query, index_dir, annotations_dir, out_dir
        self.source, self.funnel_before, self.spill, self.stack = source, funnel_before, spill, stack
        self.drawn = drawn
        self.wanted: Wanted = resolve(query, source)
        self.images_quarantined, self.annotations_quarantined = quarantined_by_policy(source, query)
        self.objects: Objects = judge_objects(source, query, self.wanted, self.annotations_quarantined)
        self.names = [category.name for category in source.categories]
        self.ledger, self.threads = ledger, 1
        self.conservation: dict[str, dict[str, dict[str, int]]] = {}
        self.outcomes = {
            "image": Outcomes("image", "instances", source.images.rows),
            "annotation": Outcomes("annotation", "instances", source.annotations.rows),
        }
        self.outcomes["image"].decide(self.images_quarantined, QUARANTINED)
        self.outcomes["annotation"].decide(self.annotations_quarantined, QUARANTINED)

    def run(self, picked: Picked, measures_path: Path | None, threads: int = 1) -> dict[str, Any]:
        source, self.threads = self.source, threads
        self.ledger.quarantined += quarantined_lines("image", "instances", source, self.images_quarantined, self.query)
        self.ledger.quarantined += quarantined_lines(
            "annotation", "instances", source, self.annotations_quarantined, self.query, self.images_quarantined
        )
        funnel = Funnel(source.image_row, source.class_of, source.images.rows, self.names)
        chosen = {row: role for row, role in zip(picked.rows.tolist(), picked.roles, strict=True) if role != SPARE}
        rows = np.array(sorted(chosen), dtype=np.int64)
        mask = clauses.marked(rows, source.images.rows)
        funnel.apply("selected", "as mine_subset selected them", images=mask, annotations=self.objects.written)
        broken = self._broken(picked, measures_path)
        if broken:
            bad = clauses.marked(np.array(sorted(broken), dtype=np.int64), source.images.rows)
            funnel.apply("images", "whose image is there and in order", images=~bad)
            lost = [role for row, role in sorted(chosen.items()) if row in broken]
            chosen = {row: role for row, role in chosen.items() if row not in broken}
            if self.query.refill and lost:
                refilled = self._refill(picked, broken, chosen, lost)
                chosen |= refilled
                add = clauses.marked(np.array(sorted(refilled), dtype=np.int64), source.images.rows)
                words = f"{len(refilled)} spare images for {len(lost)} lost ones"
                funnel.apply("refill", words, add=add)
                log.info("assemble_subset: %s", words)
        annotation_rows = np.flatnonzero(funnel.annotation_alive)
        repeated = source.repeated_annotations(annotation_rows)
        if repeated.any() and policies(dict(self.query.policy))[Reason.DUPLICATE_ID] != "keep":
            stop_at_repeated(source, self.query, "annotation", annotation_rows[repeated])
            self._quarantine_rows(
                "annotation", annotation_rows[repeated], Reason.DUPLICATE_ID, "an earlier split has it"
            )
            annotation_rows = annotation_rows[~repeated]
        files = self._files("instances", source)
        self.values = _Values.read(source, annotation_rows)
        examined_annotations = examine(
            "annotation",
            "instances",
            source,
            annotation_rows,
            files,
            self.query,
            self.spill,
            self.ledger,
            draw=self.query.check_areas,
            threads=threads,
            on_repaired=self.values.replace,
        )
        image_rows = np.array(sorted(chosen), dtype=np.int64)
        examined_images = examine("image", "instances", source, image_rows, files, self.query, self.spill, self.ledger)
        self.outcomes["annotation"].decide(annotation_rows[~examined_annotations.keep], QUARANTINED)
        self.outcomes["image"].decide(image_rows[~examined_images.keep], QUARANTINED)
        keep_image = self._with_objects(chosen, image_rows, examined_images.keep, annotation_rows, examined_annotations)
        alive = clauses.marked(image_rows[keep_image], source.images.rows)
        keep_annotation = examined_annotations.keep & alive[source.image_row[annotation_rows]]
        self._follow_images(annotation_rows[examined_annotations.keep & ~keep_annotation])
        usable = clauses.marked(annotation_rows[keep_annotation], source.annotations.rows)
        funnel.apply("records", "records that could be repaired, or were in order", images=alive, annotations=usable)
        if not alive.any():
            raise CocomineError(
                "subset: no image is left after the images were measured and the records checked",
                "see why in the messages above; check that the store has the source's images",
            )
        return self._write(
            funnel,
            image_rows[keep_image],
            chosen,
            annotation_rows[keep_annotation],
            _Part(examined_images, keep_image),
            _Part(examined_annotations, keep_annotation),
        )

    # -- images ---------------------------------------------------------------------------------------------------

    def _broken(self, picked: Picked, measures_path: Path | None) -> set[int]:
        if measures_path is None:
            return set()
        chosen = policies(dict(self.query.policy))
        roles = dict(zip(picked.rows.tolist(), picked.roles, strict=True))
        broken: set[int] = set()
        lost: list[int] = []
        for row, facts in sorted(image_facts(self.source, picked.rows, measures_path).items()):
            for reason, detail in facts:
                policy = chosen[reason]
                identity = int(self.source.images["id"][row])
                if policy == "stop" and roles[row] != SPARE:
                    raise CocomineError(
                        f"image {identity} has the reason {reason} ({detail or 'as measured'}), for which policy "
                        "says stop",
                        f"mend the image, or set policy: {{{reason}: quarantine}}",
                    )
                if policy in ("quarantine", "stop"):
                    broken.add(row)
                    if roles[row] != SPARE:
                        self._quarantine_rows("image", np.array([row]), reason, detail)
                        lost.append(row)
                    break
        of_lost = clauses.marked(np.array(lost, dtype=np.int64), self.source.images.rows)[self.source.image_row]
        self._follow_images(np.flatnonzero(self.objects.written & of_lost & (self.source.image_row >= 0)))
        return broken

    def _quarantine_rows(self, kind: str, rows: Rows, reason: str, detail: str, task: str = "instances") -> None:
        source = self.source
        self.outcomes[kind].decide(rows, QUARANTINED)
        lines = (quarantined_line(kind, task, source, row, reason, detail) for row in rows.tolist())
        self.ledger.quarantined += lines

    def _follow_images(self, rows: Rows) -> None:
        """Quarantine annotations whose image was, under the reason of the image."""
        reasons = {
            (line.source_split, line.id): line.reason for line in self.ledger.quarantined if line.kind == "image"
        }
        splits = self.source.annotations.split_of(rows).tolist()
        for row, split in zip(rows.tolist(), splits, strict=True):
            image = int(self.source.annotations["image_id"][row])
            reason = reasons.get((self.source.splits[split].name, image), Reason.MISSING_IMAGE)
            self._quarantine_rows("annotation", np.array([row]), reason, "its image is quarantined")

    def _refill(self, picked: Picked, broken: set[int], chosen: dict[int, str], lost: Sequence[str]) -> dict[int, str]:
        """Choose spares for lost images: survivors stay, spares come in the order of drawing while caps allow."""
        source = self.source
        spares = sorted(
            (rank, row, replaces)
            for row, role, rank, replaces in zip(
                picked.rows.tolist(), picked.roles, picked.ranks, picked.replaces, strict=True
            )
            if role == SPARE and row not in broken
        )
        counted = self.objects.counted
        pairs = clauses.pairs_of(
            source.image_row[counted], source.class_of[counted], source.images.rows, len(self.names)
        )
        by_id = {category.id: cls for cls, category in enumerate(source.categories)}
        caps = {by_id[int(identity)]: cap for identity, cap in self.funnel_before["caps"].items()}
        survivors = clauses.marked(
            np.array(sorted(row for row, role in chosen.items() if role == WANTED), dtype=np.int64), source.images.rows
        )
        taken = np.bincount(pairs.cls[survivors[pairs.image]], minlength=len(self.names))
        order = np.array([row for _, row, replaces in spares if replaces == WANTED], dtype=np.int64)
        room = {cls: int(taken[cls]) for cls in caps}
        drawn = clauses.draw_under_caps(order, pairs, caps, room, limit=lost.count(WANTED))
        result = dict.fromkeys(order[drawn].tolist(), WANTED)
        negatives = [row for _, row, replaces in spares if replaces == NEGATIVE]
        return result | dict.fromkeys(negatives[: lost.count(NEGATIVE)], NEGATIVE)

    def _with_objects(
        self, chosen: dict[int, str], image_rows: Rows, keep: Mask, annotation_rows: Rows, examined: Examined
    ) -> Mask:
        """Leave out wanted images that have lost every object, since as background they would be wrong."""
        source = self.source
        lost = annotation_rows[~examined.keep]
        if not len(lost):
            return keep
        still = clauses.marked(source.image_row[annotation_rows[examined.keep]], source.images.rows)
        suspects = np.unique(source.image_row[lost])
        reasons = {
            (line.source_split, line.id): line.reason for line in self.ledger.quarantined if line.kind != "image"
        }
        first = {int(source.image_row[row]): row for row in lost.tolist()[::-1]}
        result = keep.copy()
        for row in suspects.tolist():
            if still[row] or chosen[row] != WANTED:
                continue
            at = int(np.searchsorted(image_rows, row))
            if not keep[at]:
                continue
            result[at] = False
            split = source.splits[int(source.images.split_of(np.array([row]))[0])].name
            reason = reasons[(split, int(source.annotations["id"][first[row]]))]
            self._quarantine_rows("image", np.array([row]), reason, "all its objects are quarantined")
        return result

    # -- writing --------------------------------------------------------------------------------------------------

    def _files(self, task: str, source: Source) -> list[SpanFile]:
        return [
            self.stack.enter_context(
                SpanFile(
                    self.annotations_dir / f"{task}_{split.name}.json",
                    int(split.manifest["bytes"]),
                    str(split.manifest["sha256"]),
                )
            )
            for split in source.splits
        ]

    def _write(
        self,
        funnel: Funnel,
        image_rows: Rows,
        roles: dict[int, str],
        annotation_rows: Rows,
        images: _Part,
        labels: _Part,
    ) -> dict[str, Any]:
        source, out = self.source, self.out_dir
        by_id = image_rows[np.lexsort((image_rows, source.images["id"][image_rows]))]
        category_ids = self._category_ids(annotation_rows)
        self._document(out / "subset.json", "instances", source, images, labels, category_ids)
        check_stems(source, by_id)
        write_images(out / "images.tsv", source, by_id, [roles[row] for row in by_id.tolist()])
        kept = [category for category in source.categories if category.id in category_ids]
        write_labels(out / "labels.json", drawn_categories(self.drawn, source, self.index_dir, kept))
        values = self.values.select(labels.keep)
        write_dictionary(out / "dictionary.json", source, by_id, annotation_rows, values.box)
        write_attribution(out / "ATTRIBUTION.md", source, by_id, licences_of(source))
        (out / "tasks").mkdir(parents=True, exist_ok=True)
        for task in OTHER_TASKS:
            self._other_task(task, image_rows, annotation_rows)
        for kind, rows, part in (("image", image_rows, images), ("annotation", annotation_rows, labels)):
            self._conserve(self.outcomes[kind], rows, part.examined.repaired[part.keep])
        statistics = self._statistics(funnel, image_rows, annotation_rows, values)
        before, after = statistics["interference"]["before"], statistics["interference"]["after"]
        interference.draw(before, after, out / "interference.png")
        write_table(
            out / "quarantine.tsv",
            [item.name for item in fields(Quarantined)],
            map(astuple, _sorted_lines(self.ledger.quarantined)),
        )
        self.ledger.write_repairs(out / "repairs.tsv")
        write_json(out / "statistics.json", statistics)
        return statistics

    def _category_ids(self, annotation_rows: Rows) -> set[int]:
        wanted = {self.source.categories[cls].id for cls in self.wanted.classes}
        if self.query.categories and not self.query.keep_other_annotations:
            return wanted
        present = set(np.unique(self.source.annotations["category_id"][annotation_rows]).tolist())
        return wanted | present

    def _document(
        self,
        path: Path,
        task: str,
        source: Source,
        images: _Part,
        labels: _Part,
        category_ids: set[int] | None,
    ) -> None:
        files = self._files(task, source)
        self.spill.flush()
        spill = None
        if self.spill.count:
            spill = self.stack.enter_context(SpanFile(self.spill.path, self.spill.size))
        write_document(
            path,
            _info(source, files),
            _licences(source, files),
            _pieces(files, spill, images.spans()),
            _pieces(files, spill, labels.spans()),
            None if task == "captions" else self._categories(task, source, files, category_ids),
            extra=_other_keys(source, files),
        )

    def _categories(self, task: str, source: Source, files: Sequence[SpanFile], ids: set[int] | None) -> list[bytes]:
        """The category records of `ids` (all if None): byte for byte, in the files' order.

        Repaired and quarantined as policy says; one that repeats an earlier split's is left out.
        """
        masks = masks_by_policy(policies(dict(self.query.policy)))
        outcomes = Outcomes("category", task, len(source.category_records))
        result: list[bytes] = []
        written: list[int] = []
        repaired: list[bool] = []
        for number, record in enumerate(source.category_records):
            split = source.splits[record.split].name
            here = np.array([number])
            line = ("category", task, split, record.written_id)
            bad = reasons_of(record.reasons & source.bad_categories)
            if bad:
                detail = "also " + ", ".join(bad[1:]) if len(bad) > 1 else ""
                owner = record.id if record.id >= 0 else None
                self.ledger.quarantined.append(Quarantined(*line, None, owner, bad[0], detail, record.place))
                outcomes.decide(here, QUARANTINED)
                continue
            if record.repeats or (ids is not None and record.id not in ids):
                continue
            raw = files[record.split].raw(record.offset, record.length)
            mend = reasons_of(record.reasons & masks["repair"])
            if mend:
                outcome = repair("category", raw, mend)
                assert outcome.raw is not None, f"category {record.id}: {outcome.failed} {outcome.detail}"
                raw = outcome.raw
                texts = canonical_json(outcome.before), canonical_json(outcome.after)
                repaired_line = Repaired("category", task, split, record.id, ",".join(mend), *texts, record.place)
                self.ledger.repaired(repaired_line, mend)
            result.append(raw)
            repaired.append(bool(mend))
            written.append(number)
        self._conserve(outcomes, np.array(written, dtype=np.int64), np.array(repaired, dtype=bool))
        return result

    def _other_task(self, task: str, image_rows: Rows, annotation_rows: Rows) -> None:
        """Write another task's file restricted to the subset's images, if the source has that task."""
        there = splits_of(self.index_dir, task)
        names = [split.name for split in self.source.splits if split.name in there]
        if not names:
            return
        other = read_source(self.index_dir, names, task, self.source.bad_categories)
        images_bad, labels_bad = quarantined_by_policy(other, self.query)
        kind = KIND_OF_TASK.get(task, "annotation")
        in_subset = self._same_images(other, image_rows)
        concerned = in_subset[other.image_row] & (other.image_row >= 0)
        if task == "person_keypoints":
            concerned &= self._keypoints_of_subset(other, annotation_rows)
        files = self._files(task, other)
        arguments = (files, self.query, self.spill, self.ledger)

        image_outcomes = Outcomes("image", task, other.images.rows)
        image_outcomes.decide(in_subset & images_bad, QUARANTINED)
        self.ledger.quarantined += quarantined_lines("image", task, other, in_subset & images_bad, self.query)
        rows = np.flatnonzero(in_subset & ~images_bad)
        images = examine("image", task, other, rows, *arguments)
        image_outcomes.decide(rows[~images.keep], QUARANTINED)

        # A panoptic record has a row for each of its segments, and is written whole or not at all.
        lead = _lead_rows(other) if task == "panoptic" else np.arange(other.annotations.rows)
        outcomes = Outcomes(kind, task, other.annotations.rows)
        self.ledger.quarantined += quarantined_lines(kind, task, other, concerned & labels_bad, self.query, images_bad)
        outcomes.decide(concerned & labels_bad, QUARANTINED)
        rest = concerned & ~labels_bad
        alive = clauses.marked(rows[images.keep], other.images.rows)
        orphans = rest & ~alive[other.image_row]
        self._quarantine_more(outcomes, other, orphans, Reason.MISSING_IMAGE, "its image is quarantined")
        rest &= ~orphans
        if task != "panoptic" and policies(dict(self.query.policy))[Reason.DUPLICATE_ID] != "keep":
            every = np.flatnonzero(rest)
            repeated = clauses.marked(every[other.repeated_annotations(every)], len(rest))
            stop_at_repeated(other, self.query, kind, np.flatnonzero(repeated))
            self._quarantine_more(outcomes, other, repeated, Reason.DUPLICATE_ID, "an earlier split has it")
            rest &= ~repeated
        siblings = rest & clauses.marked(lead[concerned & ~rest], len(rest))[lead]
        self._quarantine_siblings(outcomes, other, siblings)
        rest &= ~siblings

        label_rows = np.unique(lead[rest])
        mends_areas = policies(dict(self.query.policy))[Reason.AREA_MISMATCH] != "keep"
        draw = self.query.check_areas and mends_areas and task in DRAWN_TASKS
        labels = examine(kind, task, other, label_rows, *arguments, draw=draw, threads=self.threads)
        failed = clauses.marked(label_rows[~labels.keep], len(rest))
        outcomes.decide(failed, QUARANTINED)
        siblings = rest & failed[lead] & ~failed
        self._quarantine_siblings(outcomes, other, siblings)
        if task == "panoptic":
            labels.spans.sequence = _renumbered(other, label_rows, labels)
        images_part, labels_part = _Part(images, images.keep), _Part(labels, labels.keep)
        self._document(self.out_dir / "tasks" / f"{task}.json", task, other, images_part, labels_part, None)
        self._conserve(image_outcomes, rows[images.keep], images.repaired[images.keep])
        written = np.flatnonzero(rest & ~failed[lead])
        repaired = clauses.marked(label_rows[labels.repaired], len(rest))[lead[written]]
        self._conserve(outcomes, written, repaired)

    def _quarantine_siblings(self, outcomes: Outcomes, source: Source, mask: Mask) -> None:
        """Quarantine panoptic segments whose record cannot be written, under the reason that another of its has."""
        rows = np.flatnonzero(mask)
        outcomes.decide(rows, QUARANTINED)
        masks = masks_by_policy(policies(dict(self.query.policy)))
        for row, facts in zip(rows.tolist(), facts_of_records(source, rows).tolist(), strict=True):
            reasons = reasons_of(facts & masks["quarantine"]) or reasons_of(facts & masks["repair"])
            detail = "another segment of its record is quarantined"
            line = quarantined_line(outcomes.kind, outcomes.task, source, row, reasons[0], detail)
            self.ledger.quarantined.append(line)

    def _quarantine_more(self, outcomes: Outcomes, source: Source, mask: Mask, reason: str, detail: str) -> None:
        """Quarantine rows of another task's annotations."""
        rows = np.flatnonzero(mask)
        outcomes.decide(rows, QUARANTINED)
        self.ledger.quarantined += [
            quarantined_line(outcomes.kind, outcomes.task, source, row, reason, detail) for row in rows.tolist()
        ]

    def _same_images(self, other: Source, image_rows: Rows) -> Mask:
        result = np.zeros(other.images.rows, dtype=bool)
        numbers = self.source.images.split_of(image_rows)
        position = {split.name: number for number, split in enumerate(self.source.splits)}
        for at, split in enumerate(other.splits):
            ids = self.source.images["id"][image_rows[numbers == position[split.name]]]
            begin, end = int(other.images.starts[at]), int(other.images.starts[at + 1])
            result[begin:end] = np.isin(other.images["id"][begin:end], ids)
        return result

    def _keypoints_of_subset(self, other: Source, annotation_rows: Rows) -> Mask:
        """Keypoints of objects that the subset holds; of unknown objects, those of a wanted category."""
        ids = other.annotations["id"]
        held = np.isin(ids, self.source.annotations["id"][annotation_rows])
        known = np.isin(ids, self.source.annotations["id"])
        if self.query.keep_other_annotations:
            wanted = np.ones(len(ids), dtype=bool)
        else:
            names = {self.source.categories[cls].stated for cls in self.wanted.classes}
            flags = np.array([category.stated in names for category in other.categories] + [False], dtype=bool)
            wanted = flags[other.class_of]
        return held | (~known & wanted)

    # -- counting -------------------------------------------------------------------------------------------------

    def _conserve(self, outcomes: Outcomes, written: Rows, repaired: Mask) -> None:
        """Decide the records that were written, and hold their sums."""
        outcomes.decide(written[~repaired], KEPT)
        outcomes.decide(written[repaired], REPAIRED)
        lines = sum(line.kind == outcomes.kind and line.task == outcomes.task for line in self.ledger.quarantined)
        self.conservation.setdefault(outcomes.kind, {})[outcomes.task] = outcomes.sums(len(written), lines)

    def _statistics(self, funnel: Funnel, image_rows: Rows, annotation_rows: Rows, values: _Values) -> dict[str, Any]:
        source, classes = self.source, len(self.names)
        names = licence_names(source)
        licence = source.images["license"]
        usable = np.flatnonzero(~self.annotations_quarantined & (source.class_of >= 0))
        table = source.annotations
        area = clauses.object_area(table["area"], table["bbox_w"], table["bbox_h"])
        facts_before = Facts(
            source.image_row[usable],
            source.class_of[usable],
            table["iscrowd"][usable],
            table["polygons"][usable],
            table["vertices"][usable],
            area[usable],
        )
        size = source.images.rows
        pairs_before = clauses.pairs_of(facts_before.image_row, facts_before.cls, size, classes)
        facts_after = Facts(
            source.image_row[annotation_rows],
            source.class_of[annotation_rows],
            values.iscrowd,
            values.polygons,
            values.vertices,
            clauses.object_area(values.area, values.box[:, 2], values.box[:, 3]),
        )
        pairs_after = clauses.pairs_of(facts_after.image_row, facts_after.cls, size, classes)
        images_after = clauses.marked(image_rows, size)
        images_before = ~self.images_quarantined
        rows = self.wanted.classes
        shared_before = interference.shared_images(pairs_before, images_before, rows, classes)
        shared_after = interference.shared_images(pairs_before, images_after, rows, classes)
        return {
            "before": describe(facts_before, pairs_before, images_before, licence, names, self.names),
            "after": describe(facts_after, pairs_after, images_after, licence, names, self.names),
            "interference": {
                "before": interference.document(shared_before, rows, self.names),
                "after": interference.document(shared_after, rows, self.names),
            },
            "funnel": self.funnel_before["funnel"],
            "funnel_after_images": funnel.as_dict(),
            "conservation": self.conservation,
            "quarantined": _count(line.reason for line in self.ledger.quarantined),
            "repaired": dict(sorted(self.ledger.repaired_reasons.items())),
            "query": self.funnel_before["query"],
            "words": self.funnel_before["words"],
            "wanted": [source.categories[cls].values() for cls in rows],
        }


@dataclass
class _Values:
    """The values of annotations as they are written: those of the index, but for repaired records the new ones.

    `box` has shape (n, 4): x, y, width, height in pixels; the others shape (n,).
    """

    box: Array
    area: Array
    iscrowd: Array
    polygons: Array
    vertices: Array

    @classmethod
    def read(cls, source: Source, rows: Rows) -> Self:
        table = source.annotations
        table.load("bbox_x", "bbox_y", "bbox_w", "bbox_h", "area", "iscrowd", "polygons", "vertices")
        box = np.stack([table[name][rows] for name in ("bbox_x", "bbox_y", "bbox_w", "bbox_h")], axis=1)
        return cls(box, *(table[name][rows] for name in ("area", "iscrowd", "polygons", "vertices")))

    def replace(self, at: int, text: bytes) -> None:
        """Take the values of a repaired record, read as the index reads records."""
        record, _ = read_object(text)
        polygons: Any = record.segmentation
        rings = polygons if isinstance(polygons, list) else []
        self.box[at], self.area[at], self.iscrowd[at] = record.bbox, record.area, record.iscrowd
        self.polygons[at], self.vertices[at] = len(rings), sum(len(ring) // 2 for ring in rings)

    def select(self, keep: Mask) -> Self:
        return type(self)(*(getattr(self, item.name)[keep] for item in fields(self)))


@dataclass(frozen=True)
class _Part:
    """Records examined, and which of them are written."""

    examined: Examined
    keep: Mask

    def spans(self) -> Spans:
        return self.examined.spans.select(self.keep)


def _pieces(files: Sequence[SpanFile], spill: SpanFile | None, spans: Spans) -> Iterator[bytes | FileBlock]:
    """Yield the bytes of records in their order, neighbours of one file as one block."""
    cuts = np.append(np.flatnonzero(np.diff(spans.file) != 0) + 1, len(spans.file))
    begin = 0
    for cut in cuts.tolist():
        if cut == begin:
            continue
        part = slice(begin, cut)
        number = int(spans.file[begin])
        file = files[number] if number >= 0 else spill
        assert file is not None
        yield from copied(file, *coalesce(spans.sequence[part], spans.offset[part], spans.length[part]))
        begin = cut


def _lead_rows(source: Source) -> Rows:
    """For each panoptic segment, the row of the first segment of its record. Shape (segments,)."""
    every = np.arange(source.annotations.rows)
    key = source.annotations.split_of(every) * (1 << 40) + source.annotations["record"]
    _, first, of = np.unique(key, return_index=True, return_inverse=True)
    result: Rows = first[of]
    return result


def _renumbered(source: Source, rows: Rows, labels: Examined) -> Array:
    """Sequence numbers of panoptic records, whose rows are those of their segments."""
    copied_as_is = labels.spans.file >= 0
    return np.where(copied_as_is, source.annotations["record"][rows], labels.spans.sequence)


def _info(source: Source, files: Sequence[SpanFile]) -> bytes | None:
    """The first split's `info` that there is; others that differ are told of, since a document has room for one."""
    texts = [
        (split.source_file, _as_json(file.raw(*map(int, split.manifest["info_span"]))))
        for split, file in zip(source.splits, files, strict=True)
        if split.manifest.get("info_span")
    ]
    for name, text in texts:
        if text != texts[0][1]:
            log.info("note: the subset has the `info` of %s; that of %s differs and is left out", texts[0][0], name)
    return texts[0][1] if texts else None


def _other_keys(source: Source, files: Sequence[SpanFile]) -> dict[str, bytes]:
    """The values of top-level keys that COCO does not define, each of the first split that has it."""
    result: dict[str, bytes] = {}
    for split, file in zip(source.splits, files, strict=True):
        for key, span in dict(split.manifest.get("unknown_top_level_keys") or {}).items():
            if key not in result:
                result[key] = _as_json(file.raw(*map(int, span)))
    return result


def _as_json(raw: bytes) -> bytes:
    """Return the bytes as they are or, where they are no strict JSON (NaN, bad text), the nearest that is."""
    try:
        msgspec.json.decode(raw, type=msgspec.Raw)
        raw.decode("utf-8")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = replace_non_finite(parse_leniently(raw, RecordFacts()), lambda _: None)
        return json.dumps(value, ensure_ascii=False).encode()
    return raw


def _licences(source: Source, files: Sequence[SpanFile]) -> bytes | None:
    """The licences byte for byte when the splits agree, else the union of their records."""
    texts = [
        _as_json(file.raw(*map(int, split.manifest["licenses_span"])))
        for split, file in zip(source.splits, files, strict=True)
        if split.manifest.get("licenses_span")
    ]
    if len(set(texts)) <= 1:
        return texts[0] if texts else None
    merged: dict[str, Any] = {}
    for split in source.splits:
        listed = split.manifest.get("licenses")
        for record in listed if isinstance(listed, list) else []:
            key = record.get("id") if isinstance(record, dict) else None
            merged.setdefault(canonical_json(key if key is not None else record), record)
    return canonical_json(list(merged.values())).encode("utf-8")


def _count(reasons: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for reason in reasons:
        counts[str(reason)] = counts.get(str(reason), 0) + 1
    return dict(sorted(counts.items()))


def _sorted_lines(lines: list[Any]) -> list[Any]:
    return sorted(lines, key=lambda line: (line.task, line.kind, line.source_split, line.record, str(line.id)))
