"""Annotation files that are compressed by gzip, whatever their names: read as the JSON that is in them."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cocomine.base.errors import CocomineError
from cocomine.base.staging import INCOMPLETE, staging

MAGIC: Final = b"\x1f\x8b"

PIECE: Final = 1 << 20

MOST_BYTES: Final = 1 << 36
"""Text of which more than this would be unpacked is refused: 64 GiB, a hundred times COCO's largest file."""


def is_compressed(path: Path) -> bool:
    """Return whether a file is compressed by gzip; False where it cannot be read, which its reader says better."""
    try:
        with open(path, "rb") as file:
            return file.read(2) == MAGIC
    except OSError:
        return False


@contextmanager
def unpacked(path: Path, folder: Path) -> Iterator[Path]:
    """Yield `path` or, where that is compressed, a text file in `folder` that is removed afterwards.

    Raises CocomineError when the compressed data is damaged. Errors about the text file speak of `path`.
    """
    if not is_compressed(path):
        yield path
        return
    with staging(folder / INCOMPLETE) as place:
        text = place / path.name
        _unpack(path, text)
        try:
            yield text
        except CocomineError as error:
            raise CocomineError(error.message.replace(str(text), f"{path} (unpacked)"), error.hint) from error


def _unpack(path: Path, text: Path) -> None:
    try:
        with gzip.open(path) as packed, open(text, "wb") as out:
            while piece := packed.read(PIECE):
                out.write(piece)
                if out.tell() > MOST_BYTES:
                    raise CocomineError(f"{path}: holds more than {MOST_BYTES} bytes", "unpack and look at it by hand")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise CocomineError(
            f"{path}: the compressed data is damaged: {error}", "download or export the file again"
        ) from error
