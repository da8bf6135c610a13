"""The second look at the records that a subset writes: repairs by policy, and the checks that need the drawn mask.

Only the subset's records are looked at. What changes is written to a spill file, so that memory stays flat however
many records a policy repairs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from cocomine.annotations.drawing import drawn_fact, facts_beside_image
from cocomine.annotations.lenient import Facts, parse_leniently, replace_non_finite
from cocomine.annotations.reasons import Reason, mask_of, masks_by_policy, reasons_of
from cocomine.annotations.repairs import repair
from cocomine.base.arrays import Array
from cocomine.base.errors import CocomineError
from cocomine.base.files import canonical_json
from cocomine.base.pool import in_order
from cocomine.base.progress import Progress
from cocomine.mining.arrays import Mask, Rows
from cocomine.mining.bench import Bench
from cocomine.mining.index import Source
from cocomine.mining.outcomes import Repaired, line_of
from cocomine.mining.spans import SpanFile
from cocomine.mining.splice import spliced

RECORDS_A_PIECE = 256

Finding = tuple[Reason, str]
"""What drawing finds against a record: a reason, with a detail."""


@dataclass
class Spans:
    """Where the bytes of records lie: columns of equal length, in the order in which they are to be written.

    `file` is the number of a split's annotation file, or -1 for the spill; `sequence` numbers records within it, so
    that neighbours can be copied as one block.
    """

    file: Array
    sequence: Array
    offset: Array
    length: Array

    def select(self, keep: Mask) -> Spans:
        """Return the spans where `keep` is true."""
        return Spans(self.file[keep], self.sequence[keep], self.offset[keep], self.length[keep])


@dataclass
class Examined:
    """The outcome for the rows examined; `keep` and `repaired` have a cell a row.

    `failed` says for which reason those not kept were quarantined, by position.
    """

    spans: Spans
    keep: Mask
    repaired: Mask
    failed: dict[int, str] = field(default_factory=dict)


def spans_of(table: Any, rows: Rows) -> Spans:
    """Return the spans of the records at global `rows` of a table of the index, as they lie in their source files."""
    table.load("offset", "length")
    split = table.split_of(rows)
    return Spans(
        file=split,
        # a copy, since repaired records are given places of their own in it
        sequence=rows.copy() if len(table.parts) == 1 else rows - table.starts[split],
        offset=table["offset"][rows].astype(np.int64, copy=False),
        length=table["length"][rows].astype(np.int64, copy=False),
    )


class _Shape(msgspec.Struct):
    """What drawing needs of an annotation."""

    segmentation: Any = None
    area: Any = None


_SHAPE = msgspec.json.Decoder(_Shape)


@dataclass
class _Verdict:
    """What becomes of one record: its text, None if it is quarantined for `failed`, and what was repaired of it."""

    text: bytes | None
    reasons: list[Reason] = field(default_factory=list)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    failed: str = ""
    detail: str = ""


class Examination:
    """The second look at records of one kind of one task."""

    def __init__(
        self,
        bench: Bench,
        kind: str,
        task: str,
        source: Source,
        files: Sequence[SpanFile],
        rows: Rows,
        ids: Mapping[str, Array],
        new_names: Mapping[int, str] | None = None,
    ) -> None:
        """Look at the records at global `rows`, whose text lies in `files`.

        `kind` is "image", "annotation", "caption" or "segment" (a panoptic record, by the row of its first segment).
        `ids` holds, by key of the record, the ids that it shall have, a cell a row, and `new_names` the file names of
        images that shall have another, by row.
        """
        self.bench, self.kind, self.task, self.source, self.files = bench, kind, task, source, files
        self.rows, self.ids, self.new_names = rows, ids, new_names or {}
        self.policies = bench.query.policies
        self.table = source.images if kind == "image" else source.annotations
        self.owners = rows if kind == "image" else source.image_row[rows]
        repairable = masks_by_policy(self.policies)["repair"]
        if kind != "segment":
            repairable &= ~mask_of(Reason.DUPLICATE_ID)  # the new ids are its repair
        facts = facts_of_records(source, rows) if kind == "segment" else self.table["reasons"][rows]
        self.repairable = facts & np.uint64(repairable)
        self.late = source.sized_late[self.owners] & (kind == "annotation")
        self.changed = np.isin(rows, np.array(sorted(self.new_names), dtype=np.int64))
        for key, values in ids.items():
            self.changed |= values != self.table[key][rows]
        self.faulty = (self.repairable != 0) | self.late
        self.names: dict[int, str | None] = {}
        self.result = Examined(spans_of(self.table, rows), np.ones(len(rows), bool), np.zeros(len(rows), bool))

    def run(self, draw: bool = False, on_repaired: Callable[[int, bytes], None] | None = None) -> Examined:
        """Repair the records as policy asks and, with `draw`, check their masks in the bench's processes.

        A record that policy repairs but that cannot be repaired is quarantined. `on_repaired` is told the position in
        `rows` of every repaired record, and its text. Raises CocomineError where policy says stop.
        """
        touched = self.faulty | self.changed
        positions = np.arange(len(touched)) if draw else np.flatnonzero(touched)
        if not len(positions):
            return self.result
        if self.kind == "image":
            texts = self.table.texts("file_name", self.rows[positions])
            self.names = dict(zip(positions.tolist(), texts, strict=True))
        title = f"{'check' if draw else 'repair'} {self.task} {self.kind}s"
        with Progress(title, total=len(positions), unit=self.kind) as progress:
            found: Iterable[Finding | None] = self._drawn() if draw else repeat(None)
            for at, finding in zip(map(int, positions), found, strict=draw):
                progress.advance()
                if not touched[at] and finding is None:
                    progress.count("valid")
                else:
                    progress.count(self._note(at, self._judge(at, finding, draw, progress), on_repaired))
        return self.result

    def _size(self, at: int) -> tuple[int, int]:
        """Width and height in pixels of the image of a record."""
        images, owner = self.source.images, self.owners[at]
        return int(images["width"][owner]), int(images["height"][owner])

    def _judge(self, at: int, finding: Finding | None, draw: bool, progress: Progress) -> _Verdict:
        """Decide on the record at a position of `rows`; `finding` is what drawing found of it as it is written."""
        spans, size = self.result.spans, self._size(at)
        raw = self.files[int(spans.file[at])].raw(int(spans.offset[at]), int(spans.length[at]))
        reasons = reasons_of(int(self.repairable[at]))
        late = facts_beside_image(raw, *size) if self.late[at] else []
        asked = {reason: self._policy(at, reason, _LATE) for reason in late}
        refused = [reason for reason, policy in asked.items() if policy == "quarantine"]
        if refused:
            return _Verdict(None, failed=refused[-1], detail=_LATE)
        reasons += [reason for reason, policy in asked.items() if policy == "repair"]
        verdict = self._repaired(at, raw, reasons) if reasons else _Verdict(raw)
        if not draw or verdict.text is None:
            return verdict
        if reasons or self.late[at]:
            finding = _drawing_reason(verdict.text, size, self.bench.query.area_tolerance)
        if finding is None:
            return verdict
        reason, detail = finding
        policy = self._policy(at, reason, detail)
        if policy == "quarantine":
            return _Verdict(None, failed=reason, detail=detail)
        if policy == "repair":
            return self._repaired(at, raw, [*reasons, reason])
        progress.count(f"{reason}, kept")
        return verdict

    def _policy(self, at: int, reason: Reason, detail: str) -> str:
        """Return what is to be done about a reason; raises CocomineError where that is to stop."""
        if self.policies[reason] != "stop":
            return self.policies[reason]
        row = int(self.rows[at])
        split = self.source.splits[int(self.table.split_of(np.array([row]))[0])]
        raise CocomineError(
            f"{split.source_file}: {self.kind} {int(self.table['id'][row])} has the reason {reason} ({detail}), for "
            "which policy says stop",
            f"correct the file, or set policy: {{{reason}: quarantine}}",
        )

    def _repaired(self, at: int, raw: bytes, reasons: list[Reason]) -> _Verdict:
        kind = "panoptic" if self.kind == "segment" else self.kind
        outcome = repair(kind, raw, reasons, self._size(at), int(self.table["id"][self.rows[at]]), self.names.get(at))
        return _Verdict(outcome.raw, reasons, outcome.before, outcome.after, str(outcome.failed or ""), outcome.detail)

    def _note(self, at: int, verdict: _Verdict, on_repaired: Callable[[int, bytes], None] | None) -> str:
        """Put what becomes of a record into the result and the books, and return it in a word."""
        result, row = self.result, int(self.rows[at])
        if verdict.text is None:
            result.keep[at] = False
            result.failed[at] = str(verdict.failed)
            line = line_of(self.kind, self.task, self.source, row, str(verdict.failed), verdict.detail)
            self.bench.ledger.quarantine(line)
            return "quarantined"
        if not verdict.reasons and not self.changed[at]:
            return "valid"
        text = self._renumbered(at, verdict) if self.changed[at] else verdict.text
        place = self.bench.spill.add(text)
        spans = result.spans
        spans.file[at], (spans.sequence[at], spans.offset[at], spans.length[at]) = -1, place
        result.repaired[at] = True
        split = self.source.split_names[int(self.table.split_of(np.array([row]))[0])]
        values = [canonical_json(replace_non_finite(values, str)) for values in (verdict.before, verdict.after)]
        where = (self.kind, self.task, split, self.table.place(row), int(self.table["id"][row]))
        self.bench.ledger.repaired(Repaired(*where, ",".join(verdict.reasons), *values), verdict.reasons)
        if on_repaired is not None:
            on_repaired(at, text)
        return "repaired"

    def _renumbered(self, at: int, verdict: _Verdict) -> bytes:
        """Give a record its new ids and file name, note them in the verdict, and return its text."""
        assert verdict.text is not None
        row = int(self.rows[at])
        given: dict[str, Any] = {key: int(self.table[key][row]) for key in self.ids}
        new: dict[str, Any] = {key: int(self.ids[key][at]) for key in self.ids if self.ids[key][at] != given[key]}
        verdict.reasons += [Reason.DUPLICATE_ID] * bool(new)
        if row in self.new_names:
            given["file_name"], new["file_name"] = self.names.get(at), self.new_names[row]
            verdict.reasons.append(Reason.DUPLICATE_FILE_NAME)
        verdict.before = {key: given[key] for key in new} | verdict.before
        verdict.after |= new
        return with_values(verdict.text, new)

    def _drawn(self) -> Iterator[Finding | None]:
        """Draw the masks of the records that are as they should be, and yield what is found, in order."""
        images, spans, query, wanted = self.source.images, self.result.spans, self.bench.query, ~self.faulty
        sizes = np.stack([images["width"][self.owners], images["height"][self.owners]], axis=1)
        columns = (spans.file, spans.offset, spans.length, sizes, wanted)
        cuts = range(0, len(wanted), RECORDS_A_PIECE)
        pieces = ([values[cut : cut + RECORDS_A_PIECE].tolist() for values in columns] for cut in cuts)
        draw = partial(_draw_piece, [(file.path, file.size) for file in self.files], query.area_tolerance)
        return chain.from_iterable(in_order(draw, pieces, self.bench.threads, pool=self.bench.pool))


_LATE = "seen once the image was measured, since its record states no size"


def with_values(text: bytes, values: Mapping[str, Any]) -> bytes:
    """Return the text of a record with other values, written as COCO's own files are."""
    record = parse_leniently(text, Facts())
    if record is None:  # it holds what is nested too deeply to be read
        return spliced(text, {key: json.dumps(value).encode() for key, value in values.items()})
    return json.dumps(record | values, ensure_ascii=False, allow_nan=False).encode()


def facts_of_records(source: Source, rows: Rows) -> Array:
    """The reasons of whole panoptic records: those of all their segments, at the row of each one's first segment."""
    reasons, record = source.annotations["reasons"], source.annotations["record"]
    every = np.arange(source.annotations.rows)
    split = source.annotations.split_of(every)
    starts = np.flatnonzero(np.append(True, (np.diff(record) != 0) | (np.diff(split) != 0))[: len(record)])
    if not len(starts):
        return reasons[rows]
    joined = np.bitwise_or.reduceat(reasons, starts)
    return joined[np.searchsorted(starts, rows, side="right") - 1]


def _draw_piece(files: list[tuple[Path, int]], tolerance: float, piece: list[list[Any]]) -> list[Finding | None]:
    with ExitStack() as stack:
        opened = [stack.enter_context(SpanFile(path, size)) for path, size in files]
        return [
            _drawing_reason(opened[number].raw(offset, length), size, tolerance) if wanted else None
            for number, offset, length, size, wanted in zip(*piece, strict=True)
        ]


def _drawing_reason(text: bytes, size: Sequence[int], tolerance: float) -> Finding | None:
    try:
        shape = _SHAPE.decode(text)
        segmentation, stated = shape.segmentation, shape.area
    except (msgspec.DecodeError, UnicodeDecodeError):
        record = parse_leniently(text, Facts())
        segmentation, stated = record.get("segmentation"), record.get("area")
    return drawn_fact(segmentation, stated, size[0], size[1], tolerance)
