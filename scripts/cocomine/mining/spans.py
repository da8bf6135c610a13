"""Copying records out of annotation files by their byte spans, side by side ones as one block."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from cocomine.annotations.writer import SEPARATOR
from cocomine.base.errors import CocomineError
from cocomine.mining.index import Array, Rows

# Blocks shorter than this are read and joined before they are written; longer ones are copied by the kernel.
LONG_BLOCK = 1 << 14
BLOCKS_A_JOIN = 2048
LARGEST_COPY = 1 << 30
WORTH_ALIGNING = 1 << 22
PAGE = 4096


class SpanFile:
    """An annotation file opened for copying. A context manager.

    Records are read by position: a map of the file would cost a page fault for nearly every one of them, and count as
    memory of the process.
    """

    def __init__(self, path: Path, size: int) -> None:
        """Open `path`. Raises CocomineError when it is not there or has not `size` bytes."""
        self.path = path
        try:
            self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed on exit
        except OSError as error:
            raise CocomineError(f"{path}: {error.strerror or error}", "run sync_annotations first") from error
        self.number = self._file.fileno()
        found = os.fstat(self.number).st_size
        if found != size:
            self._file.close()
            raise CocomineError(
                f"{path}: has {found} bytes, but its index was made of {size}",
                "the file changed after it was indexed: run index_annotations again",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def raw(self, offset: int, length: int) -> bytes:
        """Return the bytes of one record."""
        content = os.pread(self.number, length, offset)
        assert len(content) == length, f"{self.path}: cut short at byte {offset}"
        return content


@dataclass(frozen=True)
class FileBlock:
    """A long piece of a file, which is written without passing through this process if the system can do that."""

    number: int
    begin: int
    end: int

    def copy_to(self, out: BinaryIO) -> None:
        """Append the block to `out`, after blanks if it is long.

        The blanks (under 4,096, between two JSON values) bring it to the place in its page that it has in its source,
        which the kernel copies a quarter faster.
        """
        if self.end - self.begin >= WORTH_ALIGNING:
            out.write(b" " * ((self.begin - out.tell()) % PAGE))
        out.flush()
        begin = self.begin
        while begin < self.end:
            begin += self._copy_some(out, begin, min(self.end - begin, LARGEST_COPY))

    def _copy_some(self, out: BinaryIO, begin: int, count: int) -> int:
        try:
            copied = os.sendfile(out.fileno(), self.number, begin, count)
        except (AttributeError, OSError):
            # Not every system copies from file to file in the kernel.
            content = os.pread(self.number, min(count, 1 << 20), begin)
            out.write(content)
            out.flush()
            copied = len(content)
        if not copied:
            raise CocomineError("an annotation file was cut short while it was copied", "run index_annotations again")
        return copied


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


def copied(file: SpanFile, begins: Array, ends: Array) -> Iterator[bytes | FileBlock]:
    """Yield blocks of a file as pieces of a JSON array, to be joined by separators."""
    short: list[bytes] = []
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        if end - begin < LONG_BLOCK:
            short.append(file.raw(begin, end - begin))
            if len(short) >= BLOCKS_A_JOIN:
                yield SEPARATOR.join(short)
                short = []
            continue
        if short:
            yield SEPARATOR.join(short)
            short = []
        yield FileBlock(file.number, begin, end)
    if short:
        yield SEPARATOR.join(short)
