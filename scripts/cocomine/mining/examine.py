"""The second look at the records that a subset writes: repairs by policy, and the checks that need the drawn mask.

Only the subset's records are looked at. What changes is written to a spill file, so that memory stays flat however
many records a policy repairs.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from cocomine.annotations.reasons import Reason, masks_by_policy, policies, reasons_of
from cocomine.annotations.writer import SEPARATOR
from cocomine.base.errors import CocomineError
from cocomine.base.files import canonical_json
from cocomine.base.progress import Progress
from cocomine.mining.index import Array, Mask, Rows, Source
from cocomine.mining.settings import SubsetSettings
from cocomine.mining.spans import SpanFile

log = logging.getLogger("cocomine")

DRAWN: Final = ("area-mismatch", "mask-empty")


class Repair(Protocol):
    """What mends one record: `annotations.repairs` has one for images and one for annotations.

    Returns the mended record, or None when it cannot be mended.
    """

    def __call__(self, record: dict[str, Any], reasons: Sequence[Reason], width: int, height: int) -> Any:
        """Mend a record of an image of `width` x `height` pixels."""


@dataclass(frozen=True)
class Quarantined:
    """One line of quarantine.tsv."""

    kind: str
    task: str
    source_split: str
    id: int
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
    id: int
    reason: str
    before: str
    after: str


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
    """The outcome for the rows examined: `keep` has a cell a row; `values` are the mended records by position."""

    spans: Spans
    keep: Mask
    repaired: Mask
    changed: dict[int, dict[str, Any]] = field(default_factory=dict)


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
        sequence=rows - table.starts[split],
        offset=table["offset"][rows].astype(np.int64),
        length=table["length"][rows].astype(np.int64),
    )


@dataclass
class Ledger:
    """The lines of quarantine.tsv and repairs.tsv, as they come up."""

    quarantined: list[Quarantined] = field(default_factory=list)
    repaired: list[Repaired] = field(default_factory=list)


def examine(
    kind: str,
    task: str,
    source: Source,
    rows: Rows,
    files: Sequence[SpanFile],
    query: SubsetSettings,
    spill: Spill,
    ledger: Ledger,
    repair: Repair,
    drawn_area: Callable[[Any, int, int], int | None] | None = None,
) -> Examined:
    """Repair the records at global `rows` as policy asks and, given `drawn_area`, check their masks.

    `kind` is "image", "annotation", "caption" or "segment". A record that policy repairs but that cannot be mended is
    quarantined. Raises CocomineError where policy says stop.
    """
    table = source.images if kind == "image" else source.annotations
    spans = spans_of(table, rows)
    chosen = policies(dict(query.policy))
    masks = masks_by_policy(chosen)
    facts = table["reasons"][rows]
    to_repair = (facts & np.uint64(masks["repair"])) != 0
    todo = to_repair if drawn_area is None else np.ones(len(rows), dtype=bool)
    keep, repaired = np.ones(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
    result = Examined(spans, keep, repaired)
    positions = np.flatnonzero(todo)
    if not len(positions):
        return result
    sizes = _image_sizes(kind, source, rows)
    what = f"check {task} {kind}s" if drawn_area else f"repair {task} {kind}s"
    with Progress(what, total=len(positions), unit=kind) as progress:
        for at in positions.tolist():
            progress.advance()
            raw = files[int(spans.file[at])].raw(int(spans.offset[at]), int(spans.length[at]))
            width, height = int(sizes[0][at]), int(sizes[1][at])
            row = int(rows[at])
            record = _parse(raw)
            reasons = reasons_of(int(facts[at]) & masks["repair"]) if to_repair[at] else []
            mended = _mend(record, reasons, repair, width, height) if reasons else record
            failed = reasons if mended is None else []
            if mended is not None and drawn_area is not None:
                found = _drawing_reasons(mended, drawn_area, width, height, query.area_tolerance)
                for reason, detail in found:
                    policy = chosen[reason]
                    if policy == "stop":
                        raise _stop(source, table, row, kind, reason, detail)
                    if policy == "quarantine":
                        mended, failed = None, [reason]
                        break
                    if policy == "repair":
                        reasons = [*reasons, reason]
                        mended = _mend(mended, [reason], repair, width, height)
                        failed = [reason] if mended is None else []
                        break
                    progress.count(f"{reason} (kept)")
            if mended is None:
                keep[at] = False
                detail = "" if failed and chosen[failed[0]] == "quarantine" else "cannot be repaired"
                ledger.quarantined.append(_quarantined(kind, task, source, row, failed[0], detail))
                progress.count("quarantined")
            elif reasons:
                sequence, offset, length = spill.add(canonical_bytes(mended))
                spans.file[at], spans.sequence[at], spans.offset[at], spans.length[at] = -1, sequence, offset, length
                repaired[at] = True
                result.changed[at] = mended
                before, after = difference(record, mended)
                split = source.splits[int(table.split_of(np.array([row]))[0])].name
                ledger.repaired.append(
                    Repaired(kind, task, split, int(table["id"][row]), ",".join(reasons), before, after)
                )
                progress.count("repaired")
            else:
                progress.count("in order")
    return result


def canonical_bytes(record: dict[str, Any]) -> bytes:
    """Re-serialise a repaired record: keys in their order, as the source writes them with a blank after each colon."""
    return json.dumps(record, ensure_ascii=False, allow_nan=False).encode("utf-8")


def difference(before: dict[str, Any], after: dict[str, Any]) -> tuple[str, str]:
    """Return the values that a repair changed, as two JSON objects: what they were and what they are.

    NaN and infinities, which JSON lacks, are written as text.
    """
    changed = [key for key in {**before, **after} if _differs(before, after, key)]
    return (
        canonical_json({key: _finite(before[key]) for key in changed if key in before}),
        canonical_json({key: _finite(after[key]) for key in changed if key in after}),
    )


def _differs(before: dict[str, Any], after: dict[str, Any], key: str) -> bool:
    if (key in before) != (key in after):
        return True
    return type(before[key]) is not type(after[key]) or before[key] != after[key]


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return value


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        record = json.loads(raw)
    except ValueError as error:
        raise CocomineError(
            f"a record of the annotation file is no JSON: {error}",
            "the file changed after it was indexed: index it again",
        ) from error
    assert isinstance(record, dict)
    return record


def _mend(record: dict[str, Any], reasons: Sequence[Reason], repair: Repair, width: int, height: int) -> Any:
    return repair(json.loads(json.dumps(record)), reasons, width, height)


def _drawing_reasons(
    record: dict[str, Any], drawn_area: Callable[[Any, int, int], int | None], width: int, height: int, tolerance: float
) -> Iterator[tuple[Reason, str]]:
    drawn = drawn_area(record.get("segmentation"), width, height)
    if drawn is None:
        return
    if drawn == 0:
        yield Reason.MASK_EMPTY, "no pixel is drawn"
        return
    stated = record.get("area")
    if isinstance(stated, int | float) and area_differs(float(stated), drawn, tolerance):
        yield Reason.AREA_MISMATCH, f"area {stated} stated, {drawn} drawn"


def area_differs(stated: float, drawn: int, tolerance: float) -> bool:
    """Whether a stated area disagrees with the drawn one: by more than `tolerance` times the larger of the two.

    COCO states the area of the polygon, a drawing counts pixels; an object of a few pixels may differ by the pixels of
    its border, so that up to 2 * sqrt(pi * drawn) pixels, the outline of a disc of that area, is never a mismatch.
    """
    outline = 2 * float(np.sqrt(np.pi * drawn))
    return abs(stated - drawn) > max(tolerance * max(stated, drawn), outline)


def _image_sizes(kind: str, source: Source, rows: Rows) -> tuple[Array, Array]:
    owners = rows if kind == "image" else source.image_row[rows]
    return source.images["width"][owners], source.images["height"][owners]


def _quarantined(kind: str, task: str, source: Source, row: int, reason: str, detail: str) -> Quarantined:
    table = source.images if kind == "image" else source.annotations
    split = source.splits[int(table.split_of(np.array([row]))[0])].name
    identity = int(table["id"][row])
    if kind == "image":
        return Quarantined(kind, task, split, identity, identity, None, reason, detail)
    category = int(table["category_id"][row])
    return Quarantined(
        kind, task, split, identity, int(table["image_id"][row]), category if category >= 0 else None, reason, detail
    )


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
        else:
            owner = int(source.image_row[row])
            of_image = reasons_of(int(source.images["reasons"][owner]) & bad) if image_mask is not None else []
            reason = of_image[0] if of_image else Reason.DUPLICATE_ID
            detail = "its image is quarantined"
        lines.append(_quarantined(kind, task, source, row, reason, detail))
    return lines


def _stop(source: Source, table: Any, row: int, kind: str, reason: str, detail: str) -> CocomineError:
    split = source.splits[int(table.split_of(np.array([row]))[0])]
    return CocomineError(
        f"{split.source_file}: {kind} {int(table['id'][row])} has the reason {reason} ({detail}), for which "
        "policy says stop",
        f"mend the file, or set policy: {{{reason}: quarantine}}",
    )
