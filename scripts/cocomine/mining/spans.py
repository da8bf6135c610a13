"""Copying records out of annotation files by their byte spans, side by side ones as one block."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from cocomine.base.arrays import Array
from cocomine.base.errors import CocomineError
from cocomine.base.regular import changed_since
from cocomine.coco.writer import SEPARATOR
from cocomine.mining.arrays import Rows
from cocomine.sources.proof import CHANGED_MEANWHILE, changed_annotations

# Blocks shorter than this are joined before they are written; longer ones are written piece by piece.
LONG_BLOCK = 1 << 14
BLOCKS_A_JOIN = 2048
# A piece stays in the processor's cache between being read and being written. Copying within the kernel (sendfile,
# copy_file_range) takes half as long again for blocks that begin anywhere in a page.
PIECE = 1 << 19


class SpanFile:
    """An annotation file opened for copying. A context manager.

    Records are read by position: a map of the file would cost a page fault for nearly every one of them, and count as
    memory of the process.
    """

    def __init__(self, path: Path, size: int, sha256: str = "") -> None:
        """Open `path`.

        Raises CocomineError when it is not there, has not `size` bytes, or where `sha256` is given not that hash. With
        `sha256` it is raised on leaving too, where the file has changed meanwhile.
        """
        self.path = path
        try:
            self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed on exit
        except OSError as error:
            raise CocomineError(f"{path}: {error.strerror or error}", "run sync_annotations first") from error
        self.number = self._file.fileno()
        self.size = size
        self._held = os.fstat(self.number) if sha256 else None
        found = os.fstat(self.number).st_size
        try:
            if found != size:
                raise changed_annotations(path, f"it has {found} bytes, and its index was made of {size}")
            if sha256 and (digest := hashlib.file_digest(self._file, "sha256").hexdigest()) != sha256:
                raise changed_annotations(path, f"its SHA-256 is {digest}, and its index was made of {sha256}")
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if kind is None and self._held is not None and changed_since(self._held, self.path):
            raise changed_annotations(self.path, CHANGED_MEANWHILE)

    def raw(self, offset: int, length: int) -> bytes:
        """Return the bytes of one record."""
        content = os.pread(self.number, length, offset)
        if len(content) != length:
            raise changed_annotations(self.path, CHANGED_MEANWHILE)
        return content


@dataclass(frozen=True)
class FileBlock:
    """A long piece of a file, which is never in memory as a whole."""

    number: int
    begin: int
    end: int
    buffer: memoryview
    """Of PIECE bytes, lent to every block of a file: a new one each would cost more than the copying."""

    def copy_to(self, out: BinaryIO) -> None:
        """Append the block to `out`."""
        out.flush()
        target, buffer = out.fileno(), self.buffer
        begin = self.begin
        while begin < self.end:
            found = os.preadv(self.number, [buffer[: self.end - begin]], begin)
            if not found:
                raise CocomineError(
                    "an annotation file was cut short while it was copied", "run index_annotations again"
                )
            written = 0
            while written < found:
                written += os.write(target, buffer[written:found])
            begin += found


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
    buffer = memoryview(bytearray(PIECE))
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
        yield FileBlock(file.number, begin, end, buffer)
    if short:
        yield SEPARATOR.join(short)
