"""The second look at the records that a subset writes: repairs by policy, and the checks that need the drawn mask.

Only the subset's records are looked at. What changes is written to a spill file, so that memory stays flat however
many records a policy repairs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from cocomine.annotations.build import facts_beside_image
from cocomine.annotations.reasons import Reason, mask_of, masks_by_policy, reasons_of
from cocomine.annotations.records import Facts, parse_leniently, replace_non_finite
from cocomine.annotations.repairs import drawn_facts, repair
from cocomine.base.errors import CocomineError
from cocomine.base.files import canonical_json
from cocomine.base.pool import in_order
from cocomine.base.progress import Progress
from cocomine.coco.writer import SEPARATOR
from cocomine.mining.arrays import Array, Mask, Rows
from cocomine.mining.index import Source
from cocomine.mining.outcomes import Ledger, Repaired, line_of
from cocomine.mining.settings import SubsetSettings
from cocomine.mining.spans import SpanFile
from cocomine.mining.splice import spliced

RECORDS_A_PIECE = 256

Findings = list[tuple[Reason, str]]
"""What drawing finds against a record: reasons, each with a detail."""


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
    ids: Mapping[str, Array],
    new_names: Mapping[int, str] | None = None,
    draw: bool = False,
    threads: int = 1,
    on_repaired: Callable[[int, bytes], None] | None = None,
    pool: ProcessPoolExecutor | None = None,
) -> Examined:
    """Repair the records at global `rows` as policy asks and, with `draw`, check their masks in `threads` processes
    (those of `pool`, where it is given).

    `kind` is "image", "annotation", "caption" or "segment" (a panoptic record, by the row of its first segment). `ids`
    holds, by key of the record, the ids that it shall have, a cell a row, and `new_names` the file names of images that
    shall have another, by row. A record that policy repairs but that cannot be repaired is quarantined. `on_repaired`
    is told the position in `rows` of every repaired record, and its text. Raises CocomineError where policy says stop.
    """
    table = source.images if kind == "image" else source.annotations
    chosen = query.policies
    repairable = masks_by_policy(chosen)["repair"]
    if kind != "segment":
        repairable &= ~mask_of(Reason.DUPLICATE_ID)  # the new ids are its repair
    facts = facts_of_records(source, rows) if kind == "segment" else table["reasons"][rows]
    size = len(rows)
    other_ids = np.zeros(size, dtype=bool)
    for key, values in ids.items():
        other_ids |= values != table[key][rows]
    owners = rows if kind == "image" else source.image_row[rows]
    late = source.sized_late[owners] & (kind == "annotation")
    faulty = ((facts & np.uint64(repairable)) != 0) | late
    other_names = np.isin(rows, np.array(sorted(new_names or ()), dtype=np.int64)) & (kind == "image")
    changed = other_ids | other_names
    to_repair = faulty | changed
    result = Examined(spans_of(table, rows), np.ones(size, dtype=bool), np.zeros(size, dtype=bool))
    positions = np.flatnonzero(to_repair) if not draw else np.arange(size)
    if not len(positions):
        return result
    widths, heights = source.images["width"][owners], source.images["height"][owners]
    split_names = source.split_names
    splits = table.split_of(rows)
    repair_kind = "panoptic" if kind == "segment" else kind
    names = source.images.texts("file_name", rows) if kind == "image" else [None] * size
    spans = result.spans
    with Progress(f"{'check' if draw else 'repair'} {task} {kind}s", total=len(positions), unit=kind) as progress:
        drawn: Iterable[Findings] = repeat([])
        if draw:
            sizes = np.stack([widths, heights], axis=1)
            drawn = _drawn(files, spans, sizes, ~faulty, query.area_tolerance, threads, pool)
        for at, findings in zip(map(int, positions), drawn, strict=draw):
            progress.advance()
            if not to_repair[at] and not findings:
                progress.count("valid")
                continue
            raw = files[int(spans.file[at])].raw(int(spans.offset[at]), int(spans.length[at]))
            image_size = (int(widths[at]), int(heights[at]))
            reasons = reasons_of(int(facts[at]) & repairable)
            refused = None
            for reason in facts_beside_image(raw, *image_size) if late[at] else ():
                if chosen[reason] == "stop":
                    raise _stop(source, table, int(rows[at]), kind, reason, _LATE)
                if chosen[reason] == "quarantine":
                    refused = reason
                elif chosen[reason] == "repair":
                    reasons.append(reason)
            number = int(table["id"][rows[at]])
            outcome = repair(repair_kind, raw, reasons, image_size, number, names[at]) if reasons else None
            text = raw if outcome is None else outcome.raw
            failed, detail = (None, "") if outcome is None else (outcome.failed, outcome.detail)
            if refused is not None:
                text, failed, detail = None, refused, _LATE
            if text is not None and draw:
                if outcome is not None or late[at]:
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
                result.failed[at] = str(failed)
                ledger.quarantine(line_of(kind, task, source, int(rows[at]), str(failed), detail))
                progress.count("quarantined")
            elif reasons or changed[at]:
                before, after = ({}, {}) if outcome is None else (outcome.before, outcome.after)
                given: dict[str, Any] = {key: int(table[key][rows[at]]) for key in ids}
                new: dict[str, Any] = {key: int(ids[key][at]) for key in ids if ids[key][at] != given[key]}
                reasons += [Reason.DUPLICATE_ID] * bool(new)
                if new_names and other_names[at]:
                    given["file_name"], new["file_name"] = names[at], new_names[int(rows[at])]
                    reasons.append(Reason.DUPLICATE_FILE_NAME)
                if new:
                    text = with_values(text, new)
                    before, after = {key: given[key] for key in new} | before, after | new
                sequence, offset, length = spill.add(text)
                spans.file[at], spans.sequence[at], spans.offset[at], spans.length[at] = -1, sequence, offset, length
                result.repaired[at] = True
                texts = [canonical_json(replace_non_finite(values, str)) for values in (before, after)]
                where = (kind, task, split_names[int(splits[at])], table.place(int(rows[at])), number)
                ledger.repaired(Repaired(*where, ",".join(reasons), *texts), reasons)
                if on_repaired is not None:
                    on_repaired(at, text)
                progress.count("repaired")
            else:
                progress.count("valid")
    return result


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


def _drawn(
    files: Sequence[SpanFile],
    spans: Spans,
    sizes: Array,
    wanted: Mask,
    tolerance: float,
    threads: int,
    pool: ProcessPoolExecutor | None,
) -> Iterator[Findings]:
    """Draw the masks of the records at `spans`, those not `wanted` excepted, and yield what is found, in order.

    `sizes` has shape (n, 2): width and height in pixels.
    """
    columns = (spans.file, spans.offset, spans.length, sizes, wanted)
    cuts = range(0, len(wanted), RECORDS_A_PIECE)
    pieces = ([values[cut : cut + RECORDS_A_PIECE].tolist() for values in columns] for cut in cuts)
    opened = [(file.path, file.size) for file in files]
    return chain.from_iterable(in_order(partial(_draw_piece, opened, tolerance), pieces, threads, pool=pool))


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


def _stop(source: Source, table: Any, row: int, kind: str, reason: str, detail: str) -> CocomineError:
    split = source.splits[int(table.split_of(np.array([row]))[0])]
    return CocomineError(
        f"{split.source_file}: {kind} {int(table['id'][row])} has the reason {reason} ({detail}), for which "
        "policy says stop",
        f"correct the file, or set policy: {{{reason}: quarantine}}",
    )
