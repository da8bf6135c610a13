"""Decoding a stretch of an array of records to columns: the part of indexing that runs in several processes.

A stretch is read a chunk at a time. A chunk is cut behind the last record that ends in it, as far as its text shows;
that the cut was right is proved by decoding, since only whole records decode. A chunk that does not decode is read
record by record instead, which settles what is in it: an odd record, the end of the array, or malformed JSON.

Chunks are small enough for what is decoded to stay in the processor's cache, and the garbage collector is off, as
records form no cycles.
"""

import gc
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from cocomine.annotations.outlines import SEGMENTATION, mark, segmentation_columns
from cocomine.annotations.reasons import Reason, mask_of
from cocomine.annotations.records import (
    KINDS,
    Facts,
    Kind,
    MalformedRecordError,
    SegmentRecord,
    parse_leniently,
)
from cocomine.base.errors import CocomineError
from cocomine.coco.scan import Source, next_item, value_end

CHUNK: Final = 1 << 19

Array = npt.NDArray[Any]


@dataclass
class Texts:
    """A column of texts as bytes: `lengths` (int32, in bytes of UTF-8; -1 for none) and all texts one after another."""

    lengths: Array
    data: bytes

    @classmethod
    def of(cls, values: Sequence[str | None]) -> "Texts":
        """Put texts together."""
        if None not in values:
            data = "".join(values).encode()  # type: ignore[arg-type]
            lengths = np.fromiter(map(len, values), np.int32, len(values))  # type: ignore[arg-type]
            if data.isascii():
                return cls(lengths, data)
        encoded = [None if value is None else value.encode() for value in values]
        lengths = np.array([-1 if text is None else len(text) for text in encoded], np.int32)
        return cls(lengths, b"".join([text for text in encoded if text]))

    @classmethod
    def sparse(cls, size: int, values: Mapping[int, str]) -> "Texts":
        """Return a column of `size` with few values, given by place in ascending order."""
        lengths = np.full(size, -1, np.int32)
        encoded = {place: text.encode() for place, text in values.items()}
        lengths[list(encoded)] = [len(text) for text in encoded.values()]
        return cls(lengths, b"".join(encoded.values()))

    @classmethod
    def join(cls, parts: Sequence["Texts"]) -> "Texts":
        """Put columns one after another."""
        if not parts:
            return cls(np.zeros(0, np.int32), b"")
        return cls(np.concatenate([part.lengths for part in parts]), b"".join([part.data for part in parts]))

    def __len__(self) -> int:
        return len(self.lengths)

    def values(self) -> list[str | None]:
        """Return the texts."""
        ends = np.cumsum(np.maximum(self.lengths, 0)).tolist()
        data = self.data
        return [
            None if length < 0 else data[end - length : end].decode()
            for length, end in zip(self.lengths.tolist(), ends, strict=True)
        ]


@dataclass
class Part:
    """The records of one stretch, as columns.

    `stop` is the position after the last record. `columns` and `texts` have a value a row.
    `error` is (message, hint) when the JSON is malformed after `stop`. `records` counts the array's items, `unknown`
    the keys that COCO does not define.
    """

    stop: int
    records: int = 0
    columns: dict[str, Array] = field(default_factory=dict)
    texts: dict[str, Texts] = field(default_factory=dict)
    unknown: Counter[str] = field(default_factory=Counter)
    error: tuple[str, str] | None = None

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.columns["offset"]) if self.columns else 0


@dataclass
class _Chunk:
    """Decoded records with their spans and columns; `facts` holds what lenient reading found, by place."""

    rows: list[Any]
    offsets: Array
    lengths: Array
    facts: dict[int, Facts]
    columns: dict[str, Array] = field(default_factory=dict)
    texts: dict[str, Texts] = field(default_factory=dict)


@contextmanager
def _without_collector() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def decode_stretch(path: Path, kind_name: str, start: int, end: int, boundary: bytes) -> Part:
    """Decode the records from `start`, where one begins, to `end`, where one is thought to end.

    `boundary` is the text that stands between two records, from the "}" of one to the first key of the next; it is a
    hint for cutting only. The result's `stop` is `end` when a record did end there; it is less when the array ended
    before, and more when a record went on behind it.
    """
    kind = KINDS[kind_name]
    chunks: list[_Chunk] = []
    part = Part(stop=start)
    with _without_collector(), Source(path) as source:
        position: int | None = start
        try:
            while position is not None and position < end:
                chunk, position = _next_chunk(source, kind, position, end, boundary, part.unknown)
                chunk.columns["record"] += np.int32(part.records)
                chunks.append(chunk)
                part.records += len(chunk.rows)
                chunk.rows = []
                part.stop = int(chunk.offsets[-1] + chunk.lengths[-1])
        except CocomineError as error:
            part.error = (error.message, error.hint)
    if chunks:
        part.columns = {name: np.concatenate([c.columns[name] for c in chunks]) for name in chunks[0].columns}
        part.texts = {name: Texts.join([c.texts[name] for c in chunks]) for name in chunks[0].texts}
    return part


def _next_chunk(
    source: Source, kind: Kind, position: int, end: int, boundary: bytes, unknown: Counter[str]
) -> tuple[_Chunk, int | None]:
    """Decode the chunk at `position`; return it and where the next record starts, None at the array's end."""
    size = CHUNK
    while True:
        last = end - position <= size + size // 4
        text = source.read(position, end - position if last else size)
        cut = len(text) if last else text.rfind(boundary) + 1
        if cut or size >= 64 * CHUNK:
            break
        size *= 2
    if cut:
        text = text[:cut]
        chunk = _decode(text, kind, position, unknown)
        if chunk is not None:
            following = position + cut
            return chunk, following if following >= end else next_item(source, following)
    return _decode_one_by_one(source, kind, position, position + CHUNK, end, unknown)


def _decode(text: bytes, kind: Kind, position: int, unknown: Counter[str]) -> _Chunk | None:
    """Decode whole records at once; None when one of them is odd, or these are no whole records."""
    try:
        rows = kind.decoder.decode(b"[" + text + b"]")
        if not text.isascii():
            text.decode("utf-8")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    spans = _spans(text, len(rows))
    if spans is None:
        return None
    starts, ends = spans
    chunk = _Chunk(rows, starts + position, ends - starts, {})
    try:
        chunk.columns, chunk.texts, quotes = _COLUMNS[kind.name](chunk)
    except msgspec.ValidationError:
        return None
    if np.count_nonzero(np.frombuffer(text, np.uint8) == 0x22) != quotes:
        for place, (a, b) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            if not _keys_are_unique(text[a:b], kind, unknown):
                chunk.rows[place], chunk.facts[place] = kind.read(text[a:b])
        if chunk.facts:
            chunk.columns, chunk.texts, _ = _COLUMNS[kind.name](chunk)
    return chunk


_RAW_RECORDS = msgspec.json.Decoder(list[msgspec.Raw])
_RAW_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_BETWEEN = re.compile(rb"[ \t\n\r]*,?[ \t\n\r]*")
_IS_SPACE = np.zeros(256, bool)
_IS_SPACE[list(b" \t\n\r")] = True


def _spans(text: bytes, count: int) -> tuple[Array, Array] | None:
    """Return where each of `count` objects starts and ends in `text`, which is known to decode as that many records.

    Each pair of neighbours has a "}", white space, a comma, white space and a "{" between. If the text has exactly
    count - 1 such places, they are the boundaries. If it has more, some lie in strings or nested values, and the
    records are looked up one by one.
    """
    letters = np.frombuffer(text + b"\0", np.uint8)
    closings = np.flatnonzero(letters == 0x7D)
    after = _skip_spaces(letters, closings + 1)
    is_comma = letters[after] == 0x2C
    closings, after = closings[is_comma], _skip_spaces(letters, after[is_comma] + 1)
    is_opening = letters[after] == 0x7B
    ends, starts = closings[is_opening] + 1, after[is_opening]
    if len(ends) == count - 1:
        first = _skip_spaces(letters, np.zeros(1, np.int64))
        last = len(text.rstrip(b" \t\n\r"))
        return np.concatenate([first, starts]), np.append(ends, last)
    spans, place = [], 0
    for raw in _RAW_RECORDS.decode(b"[" + text + b"]"):
        between = _BETWEEN.match(text, place)
        assert between is not None
        record = bytes(raw)
        spans.append((between.end(), between.end() + len(record)))
        place = between.end() + len(record)
    result = np.array(spans, np.int64).reshape(-1, 2)
    return (result[:, 0], result[:, 1]) if len(result) == count else None


def _skip_spaces(letters: Array, places: Array) -> Array:
    while True:
        spaces = _IS_SPACE[letters[places]]
        if not spaces.any():
            return places
        places = places + spaces


def _keys_are_unique(text: bytes, kind: Kind, unknown: Counter[str]) -> bool:
    """Return whether no key of the record comes twice, and count its unknown keys.

    Every double quote of the text belongs to a key or to a value; a key that comes twice leaves quotes over, since
    decoding keeps only one of them.
    """
    fields = _RAW_FIELDS.decode(text)
    quotes = 2 * len(fields)
    unique = True
    for key, raw in fields.items():
        value = bytes(raw)
        quotes += value.count(b'"')
        if key not in kind.known:
            unknown[key] += 1
        if b"{" in value:
            unique = unique and _nested_keys_are_unique(value)
    return unique and quotes == text.count(b'"')


def _nested_keys_are_unique(value: bytes) -> bool:
    facts = Facts()
    parse_leniently(value, facts)
    return facts.mask == 0


def _decode_one_by_one(
    source: Source, kind: Kind, position: int, enough: int, end: int, unknown: Counter[str]
) -> tuple[_Chunk, int | None]:
    """Decode the records that start from `position` to before `enough`; also stop behind one that reaches `end`.

    Returns them and where the next record starts, `end` or more when that is reached, None at the array's end.
    """
    rows: list[Any] = []
    spans: list[tuple[int, int]] = []
    found: dict[int, Facts] = {}
    following: int | None = position
    while following is not None and following < enough:
        start = following
        stop = value_end(source, start)
        text = source.read(start, stop - start)
        row, facts = _decode_one(source, kind, start, text, unknown)
        if facts is not None:
            found[len(rows)] = facts
        rows.append(row)
        spans.append((start, stop - start))
        if stop >= end:
            following = stop
            break
        following = next_item(source, stop)
    array = np.array(spans, np.int64)
    chunk = _Chunk(rows, array[:, 0], array[:, 1], found)
    chunk.columns, chunk.texts, _ = _COLUMNS[kind.name](chunk)
    return chunk, following


def _decode_one(source: Source, kind: Kind, start: int, text: bytes, unknown: Counter[str]) -> tuple[Any, Facts | None]:
    try:
        row = kind.decoder.decode(b"[" + text + b"]")[0]
        text.decode("utf-8")
        if _keys_are_unique(text, kind, unknown):
            if kind.name == "object" and len(row.segmentation):
                row.segmentation = SEGMENTATION.decode(row.segmentation)
            return row, None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, IndexError):
        pass
    try:
        return kind.read(text)
    except MalformedRecordError as error:
        raise source.fail(start + error.position, str(error)) from error


# Columns of each kind: arrays, texts, and how many double quotes the known keys and their values account for -------


_Columns = tuple[dict[str, Array], dict[str, Texts], int]


def _span_columns(chunk: _Chunk) -> dict[str, Array]:
    n = len(chunk.rows)
    reasons = np.zeros(n, np.uint64)
    for place, facts in chunk.facts.items():
        reasons[place] |= np.uint64(facts.mask)
    return {
        "record": np.arange(n, dtype=np.int32),
        "offset": chunk.offsets.astype(np.int64),
        "length": chunk.lengths.astype(np.int32),
        "reasons": reasons,
    }


def _bit(reason: Reason) -> Any:
    return np.uint64(mask_of(reason))


def _image_columns(chunk: _Chunk) -> _Columns:
    rows = chunk.rows
    columns = _span_columns(chunk)
    columns["id"] = np.array([r.id for r in rows], np.int64)
    columns["width"] = np.array([r.width for r in rows], np.int32)
    columns["height"] = np.array([r.height for r in rows], np.int32)
    columns["license"] = np.array([r.license for r in rows], np.int32)
    texts: dict[str, list[str | None]] = {
        "file_name": [r.file_name for r in rows],
        "coco_url": [r.coco_url for r in rows],
        "flickr_url": [r.flickr_url for r in rows],
        "date_captured": [r.date_captured for r in rows],
    }
    given = 4 * len(rows) - sum(values.count(None) for values in texts.values())
    quotes = 2 * (3 * len(rows) + int((columns["license"] >= 0).sum())) + 4 * given
    return columns, {name: Texts.of(values) for name, values in texts.items()} | _id_texts(chunk), quotes


def _id_texts(chunk: _Chunk) -> dict[str, Texts]:
    """The column of ids that are no plain integers, as they are written."""
    found = {place: facts.id_text for place, facts in chunk.facts.items() if facts.id_text is not None}
    return {"id_text": Texts.sparse(len(chunk.rows), found)}


def _caption_columns(chunk: _Chunk) -> _Columns:
    rows = chunk.rows
    columns = _span_columns(chunk)
    columns["id"] = np.array([r.id for r in rows], np.int64)
    columns["image_id"] = np.array([r.image_id for r in rows], np.int64)
    blank = np.array([not r.caption.strip() for r in rows], bool)
    mark(columns["reasons"], blank & _is_fast(chunk), Reason.NO_CAPTION)
    return columns, {"caption": Texts.of([r.caption for r in rows])} | _id_texts(chunk), 8 * len(rows)


def _object_fields(rows: Sequence[Any]) -> dict[str, Array]:
    """The columns that objects and panoptic segments share."""
    n = len(rows)
    box = np.fromiter(chain.from_iterable([r.bbox for r in rows]), np.float64, 4 * n).reshape(n, 4)
    return {
        "id": np.array([r.id for r in rows], np.int64),
        "category_id": np.array([r.category_id for r in rows], np.int64),
        "iscrowd": np.array([r.iscrowd for r in rows], np.int8),
        "area": np.array([r.area for r in rows], np.float64),
        "bbox_x": box[:, 0],
        "bbox_y": box[:, 1],
        "bbox_w": box[:, 2],
        "bbox_h": box[:, 3],
    }


def _is_fast(chunk: _Chunk) -> Array:
    """Return which records were decoded straight away: of those alone no fact of an absent field is noted yet."""
    result = np.ones(len(chunk.rows), bool)
    result[list(chunk.facts)] = False
    return result


def _mark_object(columns: dict[str, Array], is_fast: Array) -> None:
    """Note what the shared fields show by themselves: absent crowd flag, box and area, sides of zero, negative area."""
    reasons = columns["reasons"]
    mark(reasons, is_fast & (columns["iscrowd"] < 0), Reason.NO_ISCROWD)
    mark(reasons, is_fast & np.isnan(columns["bbox_x"]), Reason.NO_BOX)
    mark(reasons, (columns["bbox_w"] <= 0) | (columns["bbox_h"] <= 0), Reason.BOX_ZERO_SIDE)
    mark(reasons, is_fast & np.isnan(columns["area"]), Reason.NO_AREA)
    mark(reasons, columns["area"] < 0, Reason.BAD_AREA)


def _object_columns(chunk: _Chunk) -> _Columns:
    rows = chunk.rows
    columns = _span_columns(chunk) | _object_fields(rows)
    columns["image_id"] = np.array([r.image_id for r in rows], np.int64)
    columns["num_keypoints"] = np.array([r.num_keypoints for r in rows], np.int32)
    _mark_object(columns, _is_fast(chunk))
    columns |= segmentation_columns([r.segmentation for r in rows], columns["iscrowd"], columns["reasons"])
    keypoints = [r.keypoints for r in rows]
    with_keypoints = len(rows) - keypoints.count(None)
    if with_keypoints:
        _mark_keypoints(keypoints, columns["num_keypoints"], columns["reasons"])
    keys = len(rows) + with_keypoints + int((columns["num_keypoints"] >= 0).sum()) + _shared_keys(columns)
    keys += int(_RLE_QUOTES[columns["segmentation"]].sum())
    return columns, _id_texts(chunk), 2 * keys


_RLE_QUOTES = np.array([0, 1, 3, 4, 0])
"""By kind of segmentation: pairs of quotes of the key `segmentation`, of `size` and `counts`, and of text counts."""


def _shared_keys(columns: dict[str, Array]) -> int:
    """Return how many of the keys that objects and segments share are there."""
    keys = 2 * len(columns["id"]) + np.count_nonzero(columns["iscrowd"] >= 0)
    keys += np.count_nonzero(columns["area"] == columns["area"])
    return int(keys + np.count_nonzero(columns["bbox_x"] == columns["bbox_x"]))


def _mark_keypoints(keypoints: list[list[float] | None], counts: Array, reasons: Array) -> None:
    known = mask_of(Reason.BAD_KEYPOINTS, Reason.NOT_AN_OBJECT)
    for place, points in enumerate(keypoints):
        if points is None or int(reasons[place]) & known:
            continue
        seen = points[2::3]
        if len(points) % 3 or not all(visibility in (0, 1, 2) for visibility in seen):
            reasons[place] |= _bit(Reason.BAD_KEYPOINTS)
        elif counts[place] >= 0 and counts[place] != sum(visibility > 0 for visibility in seen):
            reasons[place] |= _bit(Reason.KEYPOINTS_COUNT_DIFFERS)


def _panoptic_columns(chunk: _Chunk) -> _Columns:
    whole = _span_columns(chunk)
    nothing = [SegmentRecord(-1, -1)]
    segments_of = [r.segments_info or nothing for r in chunk.rows]
    counts = np.fromiter(map(len, segments_of), np.int64, len(segments_of))
    columns = {name: np.repeat(values, counts) for name, values in whole.items()}
    columns |= _object_fields(list(chain.from_iterable(segments_of)))
    columns["image_id"] = np.repeat(np.array([r.image_id for r in chunk.rows], np.int64), counts)
    first = np.cumsum(counts) - counts
    no_object = np.uint64(mask_of(Reason.NO_SEGMENTS, Reason.NOT_AN_OBJECT))
    for place, row in enumerate(chunk.rows):
        if not row.segments_info:
            columns["reasons"][first[place]] |= _bit(Reason.NO_SEGMENTS)
    id_texts: dict[int, str] = {}
    for place, facts in chunk.facts.items():
        for segment, own in facts.segments.items():
            columns["reasons"][first[place] + segment] |= np.uint64(own.mask)
            if own.id_text is not None:
                id_texts[int(first[place]) + segment] = own.id_text
    empty = columns["reasons"] & no_object != 0
    held = columns["reasons"][empty]
    _mark_object(columns, np.repeat(_is_fast(chunk), counts))
    columns["reasons"][empty] = held
    absent = sum(not r.segments_info for r in chunk.rows)
    texts = {"id_text": Texts.sparse(int(counts.sum()), id_texts)}
    return columns, texts, 8 * len(chunk.rows) + 2 * (_shared_keys(columns) - 2 * absent)


_COLUMNS: Final[dict[str, Callable[[_Chunk], _Columns]]] = {
    "image": _image_columns,
    "object": _object_columns,
    "caption": _caption_columns,
    "panoptic": _panoptic_columns,
}
