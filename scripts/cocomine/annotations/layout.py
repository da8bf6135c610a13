"""Walking through a COCO document: which top-level values it has, where they are, and all records of its arrays.

The arrays may come in any order. The walk reads the file once from front to back; the arrays of records, which are
nearly all of it, are handed out in stretches of a few megabytes to worker processes.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cocomine.annotations.chunks import decode_stretch
from cocomine.annotations.columns import Columns
from cocomine.annotations.lenient import MalformedRecordError
from cocomine.base.files import sha256_of_file
from cocomine.base.pool import worker_pool
from cocomine.coco.scan import (
    BLOCK,
    BYTE_ORDER_MARK,
    Source,
    array_items,
    byte_at,
    next_item,
    read_key,
    skip_space,
    value_end,
)

STRETCH: Final = 1 << 22
"""Bytes of records handed to a worker at a time."""

AHEAD: Final = 14
"""Stretches handed out beyond one for each worker: enough for them not to wait while the images are looked at."""

WORTH_PROCESSES: Final = 1 << 24
"""Files below this size are read in one process: starting others costs more than it saves."""

TASKS: Final = {
    "instances": "object",
    "person_keypoints": "object",
    "stuff": "object",
    "captions": "caption",
    "panoptic": "panoptic",
}
"""The kind of record in `annotations`, by task."""

ARCHIVES: Final = (b"PK\x03\x04", b"BZh", b"\xfd7zX", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf", b"\x1f\x8b")
"""How files of zip, bzip2, xz, zstd, 7z and gzip begin."""

Span = tuple[int, int]

_BOUNDARY = re.compile(rb'\}[ \t\n\r]*,[ \t\n\r]*\{[ \t\n\r]*"[^"\\]*"')


@dataclass
class Layout:
    """What a document holds: spans are (offset, length) in bytes; parts hold the records in the file's order."""

    byte_order_mark: bool = False
    values: dict[str, Span] = field(default_factory=dict)
    """Every top-level key's value."""
    images: list[Columns] = field(default_factory=list)
    annotations: list[Columns] = field(default_factory=list)
    categories: list[Span] = field(default_factory=list)
    sha256: str = ""


Submit = Callable[..., Future[Any]]


def walk(
    path: Path,
    task: str,
    threads: int = 1,
    advance: Callable[[int], None] = lambda _: None,
    meanwhile: Callable[[list[Columns]], None] = lambda _: None,
) -> tuple[Layout, Source]:
    """Read the whole document at `path` and return its layout and the opened source, which the caller closes.

    `advance` is told how many bytes more are done. `meanwhile` is called once with the images' parts if the images come
    first, while the annotations are being read in other processes. Raises CocomineError for malformed JSON, with the
    byte offset, and for a document that is no COCO document.
    """
    source = Source(path)
    try:
        with _workers(threads if source.size >= WORTH_PROCESSES else 1) as (submit, ahead):
            return _Walk(source, TASKS[task], submit, ahead, advance, meanwhile).run(), source
    except BaseException:
        source.close()
        raise


@contextmanager
def _workers(threads: int) -> Iterator[tuple[Submit, int]]:
    """Yield a function that runs a call, and how many calls may be ahead: in processes, or at once in this one."""
    if threads < 2:
        yield _at_once, 1
        return
    with worker_pool(threads) as pool:
        yield pool.submit, threads + AHEAD


def _at_once(function: Callable[..., Columns], *arguments: Any) -> "Future[Columns]":
    future: Future[Columns] = Future()
    future.set_result(function(*arguments))
    return future


class _Walk:
    def __init__(
        self,
        source: Source,
        kind: str,
        submit: Submit,
        ahead: int,
        advance: Callable[[int], None],
        meanwhile: Callable[[list[Columns]], None],
    ) -> None:
        self.source = source
        self.meanwhile = meanwhile
        self.kind = kind
        self.submit = submit
        self.ahead = ahead
        self.advance = advance
        self.layout = Layout()

    def run(self) -> Layout:
        source, layout = self.source, self.layout
        digest = self.submit(sha256_of_file, source.path)
        position = self._start()
        position = skip_space(source, position + 1)
        if byte_at(source, position) == b"}":
            position += 1
        else:
            while True:
                position = self._member(position)
                position = skip_space(source, position)
                letter = byte_at(source, position)
                position += 1
                if letter == b"}":
                    break
                if letter != b",":
                    raise source.fail(position - 1, "a comma or '}' is expected" + self._cut(position - 1))
                position = skip_space(source, position)
        position = skip_space(source, position)
        if position < source.size:
            hint = "COCO is one document: if each line is a record (JSON Lines), put them into lists under their keys"
            raise source.fail(position, "text follows the end of the document", hint)
        layout.sha256 = digest.result()
        return layout

    def _cut(self, position: int) -> str:
        return ", but the file ends" if position >= self.source.size else ""

    def _start(self) -> int:
        """Return where the document's "{" is."""
        source = self.source
        head = source.read(0, 4)
        if head.startswith(ARCHIVES):
            raise source.fail(
                0, "this is a compressed archive, not JSON", "unpack it first; only gzip is read as it is"
            )
        if head[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in head:
            raise source.fail(0, "the text is not UTF-8", "convert it: iconv -f UTF-16 -t UTF-8 OLD > NEW")
        position = 0
        if head[:3] == BYTE_ORDER_MARK:
            self.layout.byte_order_mark = True
            position = 3
        position = skip_space(source, position)
        letter = byte_at(source, position)
        if letter == b"[":
            raise source.fail(
                position,
                "a list stands at the top, as in a file of detection results, not a COCO document",
                'give an annotation file: an object with "images", "annotations" and "categories"',
            )
        if letter != b"{":
            raise source.fail(position, "a COCO document starts with '{'" + self._cut(position))
        return position

    def _member(self, position: int) -> int:
        """Read one key and its value; return the position after it."""
        source, layout = self.source, self.layout
        start = position
        key, position = read_key(source, position)
        if key in layout.values:
            raise source.fail(
                start,
                f"the document has {key!r} twice, first at byte {layout.values[key][0]}",
                "remove or merge one of them: readers differ in which they take",
            )
        is_absent = key == "categories" and source.read(position, 4) == b"null"
        if key in ("images", "annotations", "categories") and not is_absent:
            if byte_at(source, position) != b"[":
                keyed = byte_at(source, position) == b"{"
                hint = f'COCO wants a list of records: "{key}": [{{…}}, {{…}}]' if keyed else ""
                raise source.fail(position, f"{key!r} is no array" + self._cut(position), hint)
            if key == "categories":
                end = position + 1
                for item in array_items(source, position + 1):
                    layout.categories.append((item[0], item[1] - item[0]))
                    end = item[1]
                end = skip_space(source, end) + 1
            else:
                parts = layout.images if key == "images" else layout.annotations
                end = self._records("image" if key == "images" else self.kind, position + 1, parts)
        else:
            end = value_end(source, position)
        layout.values[key] = (position, end - position)
        return end

    def _records(self, kind: str, position: int, parts: list[Columns]) -> int:
        """Read an array's records into `parts`; return the position after its "]"."""
        source = self.source
        cursor: int | None = skip_space(source, position)
        assert cursor is not None
        if byte_at(source, cursor) == b"]":
            return cursor + 1
        boundary = self._boundary(cursor)
        # Behind the images the annotations may follow: what is begun on them as if they were images is wasted work.
        ahead = min(self.ahead, 2) if kind == "image" else self.ahead
        stop = cursor
        pending: deque[tuple[int, Future[Columns]]] = deque()
        while True:
            while cursor is not None and len(pending) < ahead:
                end, following = self._cut_stretch(cursor, boundary)
                pending.append((end, self.submit(decode_stretch, source.path, kind, cursor, end, boundary)))
                cursor = following
            if self.layout.images and kind != "image":
                self.meanwhile(self.layout.images)
                self.meanwhile = lambda _: None
            end, future = pending.popleft()
            part = future.result()
            parts.append(part)
            self.advance(part.stop - stop)
            stop = part.stop
            if stop == end and (pending or cursor is not None):
                continue
            for _, surplus in pending:  # they started where no record starts
                surplus.cancel()
            pending.clear()
            cursor = next_item(source, stop)
            if cursor is None:
                return skip_space(source, stop) + 1

    def _boundary(self, first: int) -> bytes:
        """Return the text between the first two records up to the second's first key, as a hint where records part."""
        end = value_end(self.source, first)
        match = _BOUNDARY.match(self.source.read(end - 1, 400))
        return match.group() if match else b"}, {"

    def _cut_stretch(self, start: int, boundary: bytes) -> tuple[int, int | None]:
        """Return where a stretch from `start` ends and where the next one starts; None where that must be awaited."""
        end = min(start + STRETCH, self.source.size)
        for begin in (max(start, end - BLOCK), start):
            cut = self.source.read(begin, end - begin).rfind(boundary)
            if cut >= 0 and end < self.source.size:
                return begin + cut + 1, begin + cut + boundary.index(b"{", 1)
        return end, None


def parse_value(source: Source, span: Span, read: Callable[[bytes], Any]) -> Any:
    """Read a top-level value, or an item of one, with `read`; raises CocomineError when it is no JSON."""
    try:
        return read(source.read(*span))
    except MalformedRecordError as error:
        raise source.fail(span[0] + error.position, str(error)) from error
