"""Something of known size whose bytes can be read anywhere: a local file, or one behind HTTP, GCS or S3."""

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from cocomine.base.space import size
from cocomine.transfer.attempts import AgainError, NotServedError, persist, words
from cocomine.transfer.unpacking import MOST_DIRECTORY
from cocomine.transfer.web import NO_RANGES, Web


class ByteSource(Protocol):
    """Bytes at an address. `validator` (an ETag or a generation) names the version that all reads are of."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        ...

    @property
    def validator(self) -> str:
        """The version, empty when the origin names none."""
        ...

    def stream(self, start: int, length: int) -> Iterator[bytes]:
        """Yield the bytes of a range. Raises NotServedError."""
        ...


class FileSource:
    """A local file."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = open(path, "rb")  # noqa: SIM115
        except FileNotFoundError as error:
            raise NotServedError("missing", f"{path.name}: no such file") from error
        self.size = os.fstat(self._file.fileno()).st_size
        self.validator = ""

    def stream(self, start: int, length: int) -> Iterator[bytes]:
        """Yield the bytes of a range."""
        end = start + length
        while start < end:
            try:
                piece = os.pread(self._file.fileno(), min(1 << 20, end - start), start)
            except OSError as error:
                raise NotServedError("failed", words(error)) from error
            if not piece:
                raise NotServedError("failed", "the file is shorter than it was")
            start += len(piece)
            yield piece


class WebSource:
    """A file behind HTTP that serves ranges. Its size and ETag are asked for once."""

    def __init__(self, web: Web, url: str) -> None:
        self.web = web
        self.url = url
        self._size = -1
        self._validator = ""

    @property
    def ranges(self) -> bool:
        """Whether the server serves ranges at all."""
        try:
            self._look()
        except NotServedError as error:
            if str(error) == NO_RANGES:
                return False
            raise
        return True

    def _look(self) -> None:
        if self._size >= 0:
            return

        def attempt() -> tuple[int, str]:
            # One byte by range says all at once: the size, the version, and whether ranges are served.
            with self.web.ask("GET", self.url, {"Range": "bytes=0-0"}) as answer:
                if answer.status != 206:
                    raise NotServedError("failed", NO_RANGES)
                total = answer.headers.get("content-range", "").rpartition("/")[2]
                answer.read()
                if not total.isdigit():
                    raise AgainError("the answer does not say how long the file is")
                return int(total), answer.headers.get("etag", "")

        self._size, self._validator = persist(self.web.behaviour, attempt)

    @property
    def size(self) -> int:
        """Bytes in all."""
        self._look()
        return self._size

    @property
    def validator(self) -> str:
        """The ETag."""
        self._look()
        return self._validator

    def stream(self, start: int, length: int) -> Iterator[bytes]:
        """Yield the bytes of a range."""
        return self.web.stream(self.url, start, length, self.validator)


class LazySource:
    """Bytes that have to be brought whole to the disk before any can be read: `bring` does so, on first use.

    `cost` is how many bytes that moves, `here` says whether it was done before. `discard` throws away what was brought,
    where it proved to be damaged, and says whether bringing it again may help.
    """

    validator = ""

    def __init__(
        self,
        cost: int,
        here: Callable[[], bool],
        bring: Callable[[], ByteSource],
        discard: Callable[[], bool],
    ) -> None:
        self._cost = cost
        self._here = here
        self._bring = bring
        self._discard = discard
        self._bytes: ByteSource | None = None

    @property
    def unseen(self) -> int:
        """Bytes that the first use will move: 0 once they are here."""
        return 0 if self._bytes is not None or self._here() else self._cost

    def _opened(self) -> ByteSource:
        if self._bytes is None:
            self._bytes = self._bring()
        return self._bytes

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self._opened().size

    def stream(self, start: int, length: int) -> Iterator[bytes]:
        """Yield the bytes of a range."""
        return self._opened().stream(start, length)

    def discard(self) -> bool:
        """Throw away what was brought; say whether bringing it again may help."""
        self._bytes = None
        return self._discard()


class PartSource:
    """A span of another source: a zip that lies uncompressed inside a zip."""

    def __init__(self, outer: ByteSource, start: int, length: int) -> None:
        self.outer = outer
        self.start = start
        self.size = length
        self.validator = outer.validator

    def stream(self, start: int, length: int) -> Iterator[bytes]:
        """Yield the bytes of a range."""
        return self.outer.stream(self.start + start, length)


class SeekableSource(io.RawIOBase):
    """A source as the seekable file that `zipfile` reads a directory from; keeps the end of it, which is read twice."""

    TAIL = 16 * 1024

    def __init__(self, source: ByteSource) -> None:
        super().__init__()
        self.source = source
        self.position = 0
        self._tail_start = max(0, source.size - self.TAIL)
        self._tail = b""

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be sought in."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position; before the start is an error, as it is for files."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.source.size}[whence]
        if base + offset < 0:
            raise OSError(22, "negative seek position")
        self.position = base + offset
        return self.position

    def read(self, size: int | None = -1) -> bytes:
        """Read from the position on."""
        end = self.source.size if size is None or size < 0 else min(self.source.size, self.position + size)
        data = self._between(self.position, end) if end > self.position else b""
        self.position += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _between(self, start: int, end: int) -> bytes:
        if not self._tail:
            self._tail = self._fetch(self._tail_start, self.source.size)
        if start >= self._tail_start:
            return self._tail[start - self._tail_start : end - self._tail_start]
        if end > self._tail_start:
            return self._fetch(start, self._tail_start) + self._tail[: end - self._tail_start]
        return self._fetch(start, end)

    def _fetch(self, start: int, end: int) -> bytes:
        if end - start > MOST_DIRECTORY:
            raise NotServedError(
                "refused", f"its directory of {size(end - start)} is larger than {size(MOST_DIRECTORY)}"
            )
        return b"".join(self.source.stream(start, end - start))
