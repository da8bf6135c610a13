"""Decoding a stretch of an array of records to columns: the part of indexing that runs in several processes.

A stretch is read a chunk at a time. A chunk's records part where the text stands that is between the array's first two;
that they do is proved by decoding them. Where a chunk does not decode, less is tried, and then a little is read record
by record, which settles what is in it: an odd record, the end of the array, or malformed JSON.

Chunks are small enough for what is decoded to stay in the processor's cache, and the garbage collector is off, as
records form no cycles.
"""

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from cocomine.annotations.columns import Columns, Texts
from cocomine.annotations.lenient import Facts, MalformedRecordError, parse_leniently
from cocomine.annotations.outlines import mark, parsed, segmentation_columns
from cocomine.annotations.reasons import Reason, mask_of
from cocomine.annotations.records import KINDS, Kind, SegmentRecord
from cocomine.base.arrays import Array
from cocomine.coco.scan import Source, check_length, next_item, value_end

CHUNK: Final = 1 << 20


@dataclass
class _Chunk:
    """Records, where each starts and how many bytes it has; `facts` holds what lenient reading found, by place.

    `letters` (uint8) is the text from the first record to the last.
    """

    rows: list[Any]
    offsets: Array
    lengths: Array
    letters: Array
    facts: dict[int, Facts] = field(default_factory=dict)

    @property
    def stop(self) -> int:
        """The position after the last record."""
        return int(self.offsets[-1] + self.lengths[-1])

    def text(self, place: int) -> bytes:
        """Return a record's text."""
        start = self.offsets[place] - self.offsets[0]
        text: bytes = self.letters[start : start + self.lengths[place]].tobytes()
        return text


@contextmanager
def _without_collector() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def no_records(kind_name: str) -> Columns:
    """Return the columns of an array without records: no column of texts, which has nothing but nulls."""
    nothing = np.zeros(0, np.int64)
    arrays, _, _ = _COLUMNS[kind_name](_Chunk([], nothing, nothing, nothing))
    return Columns(arrays, {}, 0, Counter(), 0)


def decode_stretch(path: Path, kind_name: str, start: int, end: int, boundary: bytes) -> Columns:
    """Decode the records from `start`, where one begins, to `end`, where one is thought to end.

    `boundary` is the text that stands between two records, from the "}" of one to the first key of the next; it is a
    hint only. The result's `stop` is `end` when a record did end there; it is less when the array ended before, and
    more when a record went on behind it. Raises CocomineError for malformed JSON.
    """
    kind = KINDS[kind_name]
    chunks: list[Columns] = []
    with _without_collector(), Source(path) as source:
        position: int | None = start
        size = CHUNK
        while position is not None and position < end:
            stop = min(end, position + size)
            chunk = _read_together(source, kind, position, stop, boundary)
            if chunk is not None:
                position = chunk.stop - 1 + boundary.index(b"{", 1)
            elif size > CHUNK >> 4:
                size >>= 2
                continue
            else:
                chunk, position = _read_one_by_one(source, kind, position, stop)
            size = min(size << 2, CHUNK)
            chunks.append(_columns(kind, chunk))
    return Columns.join(chunks)


def _read_together(source: Source, kind: Kind, start: int, end: int, boundary: bytes) -> _Chunk | None:
    """Return the records from `start` to before `end`; None when one is odd or a guess was wrong.

    A line feed is put in place of each comma between records. That none of them stands within a record is proved by
    decoding, since there it would be malformed JSON; that no other comma parts records is, too.
    """
    block = bytearray(source.read(start, end - start + len(boundary)))
    letters = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(letters[: 1 - len(boundary)] == boundary[0]) + 1
    for place, letter in enumerate(boundary):
        ends = ends[letters[ends - 1 + place] == letter]
    if not len(ends):
        return None
    letters = letters[: ends[-1]]
    letters[ends[:-1] - 1 + boundary.index(b",")] = ord("\n")
    try:
        if not block.isascii():
            block[: ends[-1]].decode("utf-8")
        rows = kind.decoder.decode_lines(letters)
    except _NO_RECORD:
        return None
    starts = np.concatenate([[0], ends[:-1] - 1 + boundary.index(b"{", 1)])
    return _Chunk(rows, start + starts, ends - starts, letters) if len(rows) == len(ends) else None


def _read_one_by_one(source: Source, kind: Kind, start: int, end: int) -> tuple[_Chunk, int | None]:
    """Return the records that start before `end`, and where the next one starts; None at the array's end."""
    rows: list[Any] = []
    facts: dict[int, Facts] = {}
    spans: list[tuple[int, int]] = []
    position: int | None = start
    while position is not None and position < end:
        stop = value_end(source, position)
        check_length(source, position, stop - position, "a record")
        text = source.read(position, stop - position)
        try:
            text.decode("utf-8")
            row = kind.decoder.decode(text)
        except _NO_RECORD:
            row, facts[len(rows)] = _read_leniently(source, kind, position, text)
        rows.append(row)
        spans.append((position, stop - position))
        position = next_item(source, stop)
    offsets, lengths = np.array(spans).T
    letters = np.frombuffer(source.read(start, sum(spans[-1]) - start), np.uint8)
    return _Chunk(rows, offsets, lengths, letters, facts), position


_NO_RECORD: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def _read_leniently(source: Source, kind: Kind, start: int, text: bytes) -> tuple[Any, Facts]:
    try:
        return kind.read(text)
    except MalformedRecordError as error:
        raise source.fail(start + error.position, str(error)) from error


def _columns(kind: Kind, chunk: _Chunk) -> Columns:
    """Turn a chunk to columns; what has a key twice is read again, leniently."""
    unknown: Counter[str] = Counter()
    try:
        arrays, texts, quotes = _COLUMNS[kind.name](chunk)
    except msgspec.ValidationError:
        _read_odd_segmentations(kind, chunk)
        arrays, texts, quotes = _COLUMNS[kind.name](chunk)
    found = np.count_nonzero(chunk.letters == ord('"'))
    if chunk.facts or found != quotes:
        known = len(chunk.facts)
        for place in range(len(chunk.rows)):
            text = chunk.text(place)
            if place not in chunk.facts and not _keys_are_unique(text, kind, unknown):
                chunk.rows[place], chunk.facts[place] = kind.read(text)
        if len(chunk.facts) > known:
            arrays, texts, _ = _COLUMNS[kind.name](chunk)
        unknown.update(key for facts in chunk.facts.values() for key in facts.keys if key not in kind.known)
    return Columns(arrays, texts, len(chunk.rows), unknown, chunk.stop)


def _read_odd_segmentations(kind: Kind, chunk: _Chunk) -> None:
    for place, row in enumerate(chunk.rows):
        if place not in chunk.facts and type(row.segmentation) is list:
            try:
                parsed(row.segmentation)
            except msgspec.ValidationError:
                chunk.rows[place], chunk.facts[place] = kind.read(chunk.text(place))


_RAW_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _keys_are_unique(text: bytes, kind: Kind, unknown: Counter[str]) -> bool:
    """Return whether no key of the record comes twice; if so, count its unknown keys.

    Every double quote of the text belongs to a key or to a value; a key that comes twice leaves quotes over, since
    decoding keeps only one of them.
    """
    fields = _RAW_FIELDS.decode(text)
    quotes = 2 * len(fields)
    unique = True
    for raw in fields.values():
        value = bytes(raw)
        quotes += value.count(b'"')
        if b"{" in value:
            facts = Facts()
            parse_leniently(value, facts)
            unique = unique and facts.mask == 0
    unique = unique and quotes == text.count(b'"')
    if unique:
        unknown.update(key for key in fields if key not in kind.known)
    return unique


# Columns of each kind: arrays, texts, and how many double quotes the known keys and their values account for -------


_Made = tuple[dict[str, Array], dict[str, Texts], int]


def _bit(reason: Reason) -> Any:
    return np.uint64(mask_of(reason))


def _numbers(rows: Sequence[Any], **dtypes: Any) -> dict[str, Array]:
    return {name: np.fromiter(map(attrgetter(name), rows), dtype, len(rows)) for name, dtype in dtypes.items()}


def _span_columns(chunk: _Chunk) -> dict[str, Array]:
    n = len(chunk.rows)
    reasons = np.zeros(n, np.uint64)
    for place, facts in chunk.facts.items():
        reasons[place] |= np.uint64(facts.mask)
    return {
        "record": np.arange(n, dtype=np.int32),
        "offset": chunk.offsets,
        "length": chunk.lengths.astype(np.int32),
        "reasons": reasons,
    }


def _id_texts(chunk: _Chunk) -> dict[str, Texts]:
    """The column of ids that are no plain integers, as they are written."""
    found = {place: facts.id_text for place, facts in sorted(chunk.facts.items()) if facts.id_text is not None}
    return {"id_text": Texts.sparse(len(chunk.rows), found)}


def _image_columns(chunk: _Chunk) -> _Made:
    rows = chunk.rows
    columns = _span_columns(chunk)
    columns |= _numbers(rows, id=np.int64, width=np.int32, height=np.int32, license=np.int32)
    names = ("file_name", "coco_url", "flickr_url", "date_captured")
    texts = {name: Texts.of([*map(attrgetter(name), rows)]) for name in names}
    given = sum(np.count_nonzero(text.lengths >= 0) for text in texts.values())
    quotes = 2 * (3 * len(rows) + np.count_nonzero(columns["license"] >= 0)) + 4 * given
    return columns, texts | _id_texts(chunk), int(quotes)


def _caption_columns(chunk: _Chunk) -> _Made:
    rows = chunk.rows
    columns = _span_columns(chunk) | _numbers(rows, id=np.int64, image_id=np.int64)
    blank = np.array([not r.caption.strip() for r in rows], bool)
    mark(columns["reasons"], blank & _is_fast(chunk), Reason.NO_CAPTION)
    texts = {"caption": Texts.of([r.caption for r in rows])} | _id_texts(chunk)
    return columns, texts, 8 * len(rows)


def _object_fields(rows: Sequence[Any]) -> dict[str, Array]:
    """The columns that objects and panoptic segments share."""
    n = len(rows)
    box = np.fromiter(chain.from_iterable([r.bbox for r in rows]), np.float64, 4 * n).reshape(n, 4)
    return _numbers(rows, id=np.int64, category_id=np.int64, iscrowd=np.int8, area=np.float64) | {
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


def _shared_keys(columns: dict[str, Array]) -> int:
    """Return how many of the keys that objects and segments share are there."""
    given = [columns["iscrowd"] >= 0, ~np.isnan(columns["area"]), ~np.isnan(columns["bbox_x"])]
    return 2 * len(columns["id"]) + sum(map(np.count_nonzero, given))


_RLE_KEYS = np.array([0, 1, 3, 4, 0])
"""By kind of segmentation: pairs of quotes of the key `segmentation`, of `size` and `counts`, and of text counts."""


def _object_columns(chunk: _Chunk) -> _Made:
    rows = chunk.rows
    columns = _span_columns(chunk) | _object_fields(rows) | _numbers(rows, image_id=np.int64, num_keypoints=np.int32)
    _mark_object(columns, _is_fast(chunk))
    columns |= segmentation_columns([r.segmentation for r in rows], columns["iscrowd"], columns["reasons"])
    keypoints = {place: row.keypoints for place, row in enumerate(rows) if row.keypoints is not None}
    for place, points in keypoints.items():
        _mark_keypoints(points, place, columns)
    keys = len(rows) + len(keypoints) + np.count_nonzero(columns["num_keypoints"] >= 0) + _shared_keys(columns)
    return columns, _id_texts(chunk), 2 * int(keys + _RLE_KEYS[columns["segmentation"]].sum())


def _mark_keypoints(points: list[float], place: int, columns: dict[str, Array]) -> None:
    count, seen = columns["num_keypoints"][place], points[2::3]
    if len(points) % 3 or not all(visibility in (0, 1, 2) for visibility in seen):
        columns["reasons"][place] |= _bit(Reason.BAD_KEYPOINTS)
    elif count >= 0 and count != sum(visibility > 0 for visibility in seen):
        columns["reasons"][place] |= _bit(Reason.KEYPOINTS_COUNT_DIFFERS)


def _panoptic_columns(chunk: _Chunk) -> _Made:
    nothing = [SegmentRecord(-1, -1)]
    segments_of = [r.segments_info or nothing for r in chunk.rows]
    counts = np.fromiter(map(len, segments_of), np.int64, len(segments_of))
    whole = _span_columns(chunk) | _numbers(chunk.rows, image_id=np.int64)
    columns = {name: np.repeat(values, counts) for name, values in whole.items()}
    columns |= _object_fields(list(chain.from_iterable(segments_of)))
    first = np.cumsum(counts) - counts
    is_empty = np.array([not r.segments_info for r in chunk.rows], bool)
    columns["reasons"][first[is_empty]] |= _bit(Reason.NO_SEGMENTS)
    id_texts: dict[int, str] = {}
    for place, facts in sorted(chunk.facts.items()):
        for segment, own in facts.segments.items():
            columns["reasons"][first[place] + segment] |= np.uint64(own.mask)
            if own.id_text is not None:
                id_texts[int(first[place]) + segment] = own.id_text
    no_object = columns["reasons"] & np.uint64(mask_of(Reason.NO_SEGMENTS, Reason.NOT_AN_OBJECT)) != 0
    held = columns["reasons"][no_object]
    _mark_object(columns, np.repeat(_is_fast(chunk), counts))
    columns["reasons"][no_object] = held
    keys = 4 * len(chunk.rows) + _shared_keys(columns) - 2 * int(is_empty.sum())
    return columns, {"id_text": Texts.sparse(int(counts.sum()), id_texts)}, 2 * keys


_COLUMNS: Final[dict[str, Callable[[_Chunk], _Made]]] = {
    "image": _image_columns,
    "object": _object_columns,
    "caption": _caption_columns,
    "panoptic": _panoptic_columns,
}
