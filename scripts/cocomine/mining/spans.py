"""Copying records out of annotation files by their byte spans, side by side ones as one block."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import numpy as np

from cocomine.annotations.writer import SEPARATOR
from cocomine.base.errors import CocomineError
from cocomine.mining.index import Array, Rows

# Blocks shorter than this are joined in memory before they are written; longer ones go out as they lie in the file.
LONG_BLOCK = 1 << 16
BLOCKS_A_JOIN = 2048


class SpanFile:
    """An annotation file opened for copying. A context manager."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        try:
            self._file = open(path, "rb")  # noqa: SIM115 - closed on exit
        except OSError as error:
            raise CocomineError(f"{path}: {error.strerror or error}", "run sync_annotations first") from error
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        self.view = memoryview(self._map)
        if len(self.view) != size:
            self._close()
            raise CocomineError(
                f"{path}: has {len(self.view) if size else 0} bytes, but the index was made of {size}",
                "the file changed after it was indexed: run index_annotations again",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        self.view.release()
        self._map.close()
        self._file.close()

    def raw(self, offset: int, length: int) -> bytes:
        """Return the bytes of one record."""
        return self._map[offset : offset + length]


def coalesce(rows: Rows, offsets: Array, lengths: Array) -> tuple[Array, Array]:
    """Merge the spans of records whose `rows` follow one another in the file into blocks.

    Between two records of one JSON array stand only a comma and white space, so the block of their bytes is itself a
    piece of a JSON array. Returns where each block begins and ends, in bytes.
    """
    if not len(rows):
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty
    last = np.append(np.flatnonzero(np.diff(rows) != 1), len(rows) - 1)
    first = np.append(0, last[:-1] + 1)
    return offsets[first], offsets[last] + lengths[last]


def copied(view: memoryview, begins: Array, ends: Array) -> Iterator[bytes]:
    """Yield blocks of a file as pieces of a JSON array, to be joined by separators: bytes, or views of its memory."""
    short: list[memoryview] = []
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        if end - begin < LONG_BLOCK:
            short.append(view[begin:end])
            if len(short) >= BLOCKS_A_JOIN:
                yield SEPARATOR.join(short)
                short = []
            continue
        if short:
            yield SEPARATOR.join(short)
            short = []
        # A view is as good as bytes to whoever writes it, and copies nothing.
        yield cast(bytes, view[begin:end])
    if short:
        yield SEPARATOR.join(short)
