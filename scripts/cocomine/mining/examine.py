"""The second look at the records that a subset writes: repairs by policy, and the checks that need the drawn mask.

Only the subset's records are looked at. What changes is written to a spill file, so that memory stays flat however
many records a policy repairs.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from cocomine.annotations.reasons import Reason, masks_by_policy, policies, reasons_of
from cocomine.annotations.records import Facts, parse_leniently, replace_non_finite
from cocomine.annotations.repairs import drawn_facts, repair
from cocomine.base.errors import CocomineError
from cocomine.base.files import canonical_json, write_table
from cocomine.base.pool import in_order
from cocomine.base.progress import Progress
from cocomine.coco.writer import SEPARATOR
from cocomine.mining.index import Array, Mask, Rows, Source
from cocomine.mining.settings import SubsetSettings
from cocomine.mining.spans import SpanFile

log = logging.getLogger("cocomine")

LEFT_OUT, KEPT, REPAIRED, QUARANTINED = range(4)

RECORDS_A_PIECE = 256

Findings = list[tuple[Reason, str]]
"""What drawing finds against a record: reasons, each with a detail."""


@dataclass(frozen=True)
class Quarantined:
    """One line of quarantine.tsv.

    `id` is the id as it is written where it is no usable one; `record` the record's number in its array of its file,
    from 0.
    """

    kind: str
    task: str
    source_split: str
    id: int | str
    image_id: int | None
    category_id: int | None
    reason: str
    detail: str
    record: int


@dataclass(frozen=True)
class Repaired:
    """One line of repairs.tsv; `before` and `after` are JSON objects of the values that changed.

    `record` is the record's number in its array of its file, from 0.
    """

    kind: str
    task: str
    source_split: str
    id: int
    reason: str
    before: str
    after: str
    record: int


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
            "assemble_subset: %s, %ss: %d in = %d kept + %d repaired + %d quarantined + %d left out by the query",
            self.task,
            self.kind,
            len(self._state),
            kept,
            repaired,
            quarantined,
            left_out,
        )
        return {
            "in": len(self._state),
            "kept": kept,
            "repaired": repaired,
            "quarantined": quarantined,
            "left_out": left_out,
        }


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
    """The outcome for the rows examined; `keep` and `repaired` have a cell a row."""

    spans: Spans
    keep: Mask
    repaired: Mask


class Spill:
    """A temporary file of re-serialised records, each a sequence number after the last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._out = open(path, "wb")  # noqa: SIM115 - closed by close()
        self.count = 0
        self.size = 0

    def add(self, content: bytes) -> tuple[int, int, int]:
        """Append a record; return its sequence number, offset and length."""
        if self.size:
            self._out.write(SEPARATOR)
            self.size += len(SEPARATOR)
        place = (self.count, self.size, len(content))
        self._out.write(content)
        self.count += 1
        self.size += len(content)
        return place

    def flush(self) -> None:
        """Make what was added readable."""
        self._out.flush()

    def close(self) -> None:
        """Close and remove the file."""
        self._out.close()
        self.path.unlink(missing_ok=True)


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


class Ledger:
    """The lines of quarantine.tsv and repairs.tsv, as they come up.

    Repairs go through a temporary file, since a policy may repair every record of a file.
    """

    def __init__(self, path: Path) -> None:
        self.quarantined: list[Quarantined] = []
        self.repaired_reasons: dict[str, int] = {}
        self._path = path
        self._lines = open(path, "w+", encoding="utf-8")  # noqa: SIM115 - closed by close()

    def repaired(self, line: Repaired, reasons: Iterable[str]) -> None:
        """Note a repair."""
        self._lines.write(json.dumps([getattr(line, item.name) for item in fields(line)]) + "\n")
        for reason in reasons:
            self.repaired_reasons[str(reason)] = self.repaired_reasons.get(str(reason), 0) + 1

    def write_repairs(self, path: Path) -> None:
        """Write repairs.tsv, in the order in which the records were repaired: by task, then as in the files."""
        self._lines.flush()
        self._lines.seek(0)
        write_table(path, [item.name for item in fields(Repaired)], map(json.loads, self._lines))

    def close(self) -> None:
        """Close and remove the temporary file."""
        self._lines.close()
        self._path.unlink(missing_ok=True)


class _Shape(msgspec.Struct):
    """What drawing needs of an annotation."""

    segmentation: Any = None
    area: Any = None


_SHAPE = msgspec.json.Decoder(_Shape)


def examine(
    kind: str,
    task: str,
    source: Source,
    rows: Rows,
    files: Sequence[SpanFile],
    query: SubsetSettings,
    spill: Spill,
    ledger: Ledger,
    draw: bool = False,
    threads: int = 1,
    on_repaired: Callable[[int, bytes], None] | None = None,
) -> Examined:
    """Repair the records at global `rows` as policy asks and, with `draw`, check their masks in `threads` processes.

    `kind` is "image", "annotation", "caption" or "segment" (a panoptic record, by the row of its first segment). A
    record that policy repairs but that cannot be mended is quarantined. `on_repaired` is told the position in `rows` of
    every repaired record, and its text. Raises CocomineError where policy says stop.
    """
    table = source.images if kind == "image" else source.annotations
    chosen = policies(dict(query.policy))
    masks = masks_by_policy(chosen)
    facts = facts_of_records(source, rows) if kind == "segment" else table["reasons"][rows]
    to_repair = (facts & np.uint64(masks["repair"])) != 0
    size = len(rows)
    result = Examined(spans_of(table, rows), np.ones(size, dtype=bool), np.zeros(size, dtype=bool))
    positions = np.flatnonzero(to_repair) if not draw else np.arange(size)
    if not len(positions):
        return result
    owners = rows if kind == "image" else source.image_row[rows]
    widths, heights = source.images["width"][owners], source.images["height"][owners]
    split_names = [split.name for split in source.splits]
    splits = table.split_of(rows)
    repair_kind = "panoptic" if kind == "segment" else kind
    names = source.images.texts("file_name", rows) if kind == "image" else [None] * size
    spans = result.spans
    with Progress(f"{'check' if draw else 'repair'} {task} {kind}s", total=len(positions), unit=kind) as progress:
        drawn: Iterable[Findings] = repeat([])
        if draw:
            sizes = np.stack([widths, heights], axis=1)
            drawn = _drawn(files, spans, sizes, ~to_repair, query.area_tolerance, threads)
        for at, findings in zip(positions.tolist(), drawn, strict=draw):
            progress.advance()
            if not to_repair[at] and not findings:
                progress.count("in order")
                continue
            raw = files[int(spans.file[at])].raw(int(spans.offset[at]), int(spans.length[at]))
            image_size = (int(widths[at]), int(heights[at]))
            reasons = reasons_of(int(facts[at]) & masks["repair"]) if to_repair[at] else []
            number = int(table["id"][rows[at]])
            outcome = repair(repair_kind, raw, reasons, image_size, number, names[at]) if reasons else None
            text = raw if outcome is None else outcome.raw
            failed, detail = (None, "") if outcome is None else (outcome.failed, outcome.detail)
            if text is not None and draw:
                if outcome is not None:
                    findings = _drawing_reasons(text, image_size, query.area_tolerance)
                for reason, words in findings:
                    policy = chosen[reason]
                    if policy == "stop":
                        raise _stop(source, table, int(rows[at]), kind, reason, words)
                    if policy == "quarantine":
                        text, failed, detail = None, reason, words
                    elif policy == "repair":
                        reasons = [*reasons, reason]
                        outcome = repair(repair_kind, raw, reasons, image_size, number, names[at])
                        text, failed, detail = outcome.raw, outcome.failed, outcome.detail
                    else:
                        progress.count(f"{reason}, kept")
            if text is None:
                result.keep[at] = False
                line = quarantined_line(kind, task, source, int(rows[at]), str(failed), detail)
                ledger.quarantined.append(line)
                progress.count("quarantined")
            elif outcome is not None and reasons:
                sequence, offset, length = spill.add(text)
                spans.file[at], spans.sequence[at], spans.offset[at], spans.length[at] = -1, sequence, offset, length
                result.repaired[at] = True
                before, after = (
                    canonical_json(replace_non_finite(values, str)) for values in (outcome.before, outcome.after)
                )
                split = split_names[int(splits[at])]
                place = table.place(int(rows[at]))
                ledger.repaired(Repaired(kind, task, split, number, ",".join(reasons), before, after, place), reasons)
                if on_repaired is not None:
                    on_repaired(at, text)
                progress.count("repaired")
            else:
                progress.count("in order")
    return result


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


def _drawn(
    files: Sequence[SpanFile], spans: Spans, sizes: Array, wanted: Mask, tolerance: float, threads: int
) -> Iterator[Findings]:
    """Draw the masks of the records at `spans`, those not `wanted` excepted, and yield what is found, in order.

    `sizes` has shape (n, 2): width and height in pixels.
    """
    columns = (spans.file, spans.offset, spans.length, sizes, wanted)
    cuts = range(0, len(wanted), RECORDS_A_PIECE)
    pieces = ([values[cut : cut + RECORDS_A_PIECE].tolist() for values in columns] for cut in cuts)
    opened = [(file.path, file.size) for file in files]
    return chain.from_iterable(in_order(partial(_draw_piece, opened, tolerance), pieces, threads))


def _draw_piece(files: list[tuple[Path, int]], tolerance: float, piece: list[list[Any]]) -> list[Findings]:
    with ExitStack() as stack:
        opened = [stack.enter_context(SpanFile(path, size)) for path, size in files]
        return [
            _drawing_reasons(opened[number].raw(offset, length), size, tolerance) if wanted else []
            for number, offset, length, size, wanted in zip(*piece, strict=True)
        ]


def _drawing_reasons(text: bytes, size: Sequence[int], tolerance: float) -> Findings:
    try:
        shape = _SHAPE.decode(text)
        segmentation, stated = shape.segmentation, shape.area
    except (msgspec.DecodeError, UnicodeDecodeError):
        record = parse_leniently(text, Facts())
        segmentation, stated = record.get("segmentation"), record.get("area")
    return drawn_facts(segmentation, stated, size[0], size[1], tolerance)


def quarantined_line(kind: str, task: str, source: Source, row: int, reason: str, detail: str) -> Quarantined:
    """Return the line of quarantine.tsv for the record at a global row."""
    table = source.images if kind == "image" else source.annotations
    split = source.splits[int(table.split_of(np.array([row]))[0])].name
    image_id, category_id = (table[name][row] if name in table.parts[0].names else -1 for name in _OWNERS)
    return Quarantined(
        kind,
        task,
        split,
        identity := table.written_id(row),
        identity if kind == "image" and isinstance(identity, int) else _known(image_id),
        _known(category_id),
        reason,
        detail,
        table.place(row),
    )


_OWNERS = ("image_id", "category_id")


def _known(identity: int) -> int | None:
    return int(identity) if identity >= 0 else None


def quarantined_lines(
    kind: str, task: str, source: Source, mask: Mask, query: SubsetSettings, image_mask: Mask | None = None
) -> list[Quarantined]:
    """Return a line for every record that policy quarantines for what the index says of it.

    `image_mask` are the quarantined images, whose annotations go with them, under the image's reason.
    """
    bad = masks_by_policy(policies(dict(query.policy)))["quarantine"]
    table = source.images if kind == "image" else source.annotations
    lines = []
    for row in np.flatnonzero(mask).tolist():
        found = reasons_of(int(table["reasons"][row]) & bad)
        detail = "also " + ", ".join(found[1:]) if len(found) > 1 else ""
        if found:
            reason: str = found[0]
        elif kind == "image":
            reason, detail = Reason.DUPLICATE_ID, "an earlier split has this id"
        elif source.image_row[row] < 0:
            reason, detail = Reason.MISSING_IMAGE, "an annotation without an image cannot be kept"
        elif source.categories and source.class_of[row] < 0:
            reason, detail = Reason.MISSING_CATEGORY, "an annotation without a category cannot be kept"
        else:
            owner = int(source.image_row[row])
            of_image = reasons_of(int(source.images["reasons"][owner]) & bad) if image_mask is not None else []
            reason = of_image[0] if of_image else Reason.DUPLICATE_ID
            detail = "its image is quarantined"
        lines.append(quarantined_line(kind, task, source, row, reason, detail))
    return lines


def _stop(source: Source, table: Any, row: int, kind: str, reason: str, detail: str) -> CocomineError:
    split = source.splits[int(table.split_of(np.array([row]))[0])]
    return CocomineError(
        f"{split.source_file}: {kind} {int(table['id'][row])} has the reason {reason} ({detail}), for which "
        "policy says stop",
        f"mend the file, or set policy: {{{reason}: quarantine}}",
    )
