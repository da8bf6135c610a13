"""A COCO document read image by image: only where its annotations lie in the file is kept in memory."""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from cocomine.base.errors import CocomineError
from cocomine.coco.reader import Annotation, Image, annotations_of, images_of

Integers = npt.NDArray[np.int64]

PIECE = 1 << 21
"""Bytes of records that are looked through at once."""


class _ImageOf(msgspec.Struct, gc=False):
    image_id: int


class _Head(msgspec.Struct):
    annotations: msgspec.Raw
    images: msgspec.Raw = msgspec.Raw()
    categories: list[dict[str, Any]] = msgspec.field(default_factory=list)
    info: Any = None
    licenses: Any = None


class RecordsByImage:
    """The annotations of a COCO document, found by image: only where they lie in the file is kept in memory.

    `categories`, `info` and `licenses` are parsed; the last two are None where the document has none.
    """

    def __init__(self, path: Path) -> None:
        """Scan `path`; raise CocomineError when it is missing, no COCO document, or an annotation has no image id."""
        self.path = path
        image_ids, self._offsets, self._lengths, head, self._images = _scan(path)
        self.categories, self.info, self.licenses = head.categories, head.info, head.licenses
        # Read by position and not mapped: pages of a map that were touched count as this process's memory.
        self._file = os.open(path, os.O_RDONLY)
        # A stable sort keeps the file's order within an image, which the overlap policy may ask for.
        order = np.argsort(image_ids, kind="stable")
        self._image_ids, self._offsets, self._lengths = image_ids[order], self._offsets[order], self._lengths[order]

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def __len__(self) -> int:
        """Return the number of annotations."""
        return len(self._image_ids)

    def of_image(self, image_id: int) -> list[bytes]:
        """Return the JSON texts of an image's annotations, in the order of the file."""
        first, last = np.searchsorted(self._image_ids, [image_id, image_id + 1])
        spans = zip(self._offsets[first:last].tolist(), self._lengths[first:last].tolist(), strict=True)
        return [os.pread(self._file, length, offset) for offset, length in spans]

    def texts(self) -> Iterator[bytes]:
        """Yield the JSON texts of all annotations, by image."""
        for offset, length in zip(self._offsets.tolist(), self._lengths.tolist(), strict=True):
            yield os.pread(self._file, length, offset)

    def annotations(self, image_id: int) -> list[Annotation]:
        """Return an image's annotations, in the order of the file; their `raw` is empty."""
        return annotations_of(self.of_image(image_id))

    def images(self) -> Iterator[Image]:
        """Yield the document's images in its order, some megabytes of them at a time; their `raw` is empty."""
        for texts in self._image_texts():
            yield from images_of(texts)

    def image_texts(self) -> Iterator[bytes]:
        """Yield the JSON texts of the document's images in its order."""
        for texts in self._image_texts():
            yield from map(bytes, texts)

    def _image_texts(self) -> Iterator[list[msgspec.Raw]]:
        begin, end = self._images
        with open(self.path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for _, texts, _ in _pieces(content, begin, end):
                yield texts


Spans = tuple[Integers, Integers, Integers, _Head, tuple[int, int]]
"""Each annotation's image id, byte offset and length; the parsed head; where the image records begin and end."""


def _scan(path: Path) -> Spans:
    if not path.is_file():
        raise CocomineError(f"{path}: no such file", "run the step that writes it first")
    if path.stat().st_size == 0:
        raise CocomineError(f"{path}: the file is empty", "delete it and run snakemake again")
    with open(path, "rb") as file:
        # Not closed by hand: an error may still hold views of it. It goes when they do.
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return _scan_mapped(path, content)


def _scan_mapped(path: Path, content: mmap.mmap) -> Spans:
    try:
        head = msgspec.json.decode(content, type=_Head)
        begin, end = _inside(head.annotations, content)
        pieces = [_located(*piece) for piece in _pieces(content, begin, end)]
        images = _inside(head.images, content) if len(memoryview(head.images)) else (0, 0)
    except (msgspec.DecodeError, UnicodeDecodeError, OverflowError) as error:
        hint = "if it is one of cocomine's results, delete it and run snakemake again"
        raise CocomineError(f"{path}: not a COCO document: {error}", hint) from error
    none = np.zeros(0, np.int64)
    image_ids, offsets, lengths = (np.concatenate(column) for column in zip((none,) * 3, *pieces, strict=True))
    # The head's raw texts would keep the whole file mapped.
    head.annotations = head.images = msgspec.Raw()
    return image_ids, offsets, lengths, head, images


def _inside(array: msgspec.Raw, content: mmap.mmap) -> tuple[int, int]:
    """Return where the text between an array's brackets begins and ends: a Raw is a view of the map, by address."""
    begin = _address(array) - _address(content) + 1
    return begin, begin + len(memoryview(array)) - 2


def _pieces(content: mmap.mmap, begin: int, end: int) -> Iterator[tuple[bytes, list[msgspec.Raw], int]]:
    """Yield arrays of whole records between `begin` and `end`, some megabytes at a time: text, records, offset.

    A piece is cut where a record may end. If that was inside a record, the piece is no JSON, and the next such place is
    tried. So memory holds the records of one piece, not those of the file.
    """
    begin = _skipped(content, begin, end)
    while begin < end:
        cut = min(begin + PIECE, end)
        while True:
            found = content.find(b"},", cut, end)
            cut = end if found < 0 else found + 1
            piece = b"[" + content[begin:cut] + b"]"
            try:
                texts = msgspec.json.decode(piece, type=list[msgspec.Raw])
            except msgspec.DecodeError:
                if cut == end:
                    raise
            else:
                break
        yield piece, texts, begin - 1
        begin = _skipped(content, cut, end)


def _skipped(content: mmap.mmap, place: int, end: int) -> int:
    """Return the next place that holds neither a comma nor a space."""
    while place < end and content[place] in b", \t\r\n":
        place += 1
    return place


def _located(piece: bytes, texts: list[msgspec.Raw], start: int) -> tuple[Integers, Integers, Integers]:
    owners = msgspec.json.decode(piece, type=list[_ImageOf])
    image_ids = np.fromiter((owner.image_id for owner in owners), np.int64, len(owners))
    offsets, lengths = np.empty_like(image_ids), np.empty_like(image_ids)
    place = 0
    for number, text in enumerate(texts):
        record = bytes(text)
        place = piece.find(record, place)
        offsets[number], lengths[number] = start + place, len(record)
        place += len(record)
    return image_ids, offsets, lengths


def _address(buffer: Any) -> int:
    return int(np.frombuffer(buffer, np.uint8).ctypes.data)
