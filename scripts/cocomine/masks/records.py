"""Annotation records by image, read from disk only when their image is drawn, so that memory does not hold them all."""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from cocomine.base.errors import CocomineError
from cocomine.coco.reader import RecordFile
from cocomine.masks.boundaries import Integers


class ObjectRecord(msgspec.Struct, gc=False):
    """What drawing needs of an annotation of an object or of a stuff region."""

    id: int = -1
    category_id: int = -1
    iscrowd: int | None = 0
    segmentation: list[list[float]] | dict[str, Any] | None = None
    bbox: Any = None


class SegmentRecord(msgspec.Struct, gc=False):
    """What drawing needs of a segment of a panoptic image."""

    id: int
    category_id: int
    iscrowd: int | None = 0


class PanopticRecord(msgspec.Struct, gc=False):
    """What drawing needs of a panoptic annotation."""

    file_name: str
    segments_info: list[SegmentRecord]


class _ImageOf(msgspec.Struct, gc=False):
    image_id: int


class _Head(msgspec.Struct):
    annotations: msgspec.Raw
    categories: list[dict[str, Any]] = msgspec.field(default_factory=list)


PIECE = 1 << 21
"""Bytes of records that are looked through at once."""

OBJECTS = msgspec.json.Decoder(list[ObjectRecord])
PANOPTIC = msgspec.json.Decoder(list[PanopticRecord])


class RecordsByImage:
    """The annotations of a COCO document, found by image: only where they lie in the file is kept in memory."""

    def __init__(self, path: Path) -> None:
        """Scan `path`; raise CocomineError when it is missing, no COCO document, or an annotation has no image id."""
        self.path = path
        image_ids, self._offsets, self._lengths, self.categories = _scan(path)
        self._file = RecordFile(path)
        # A stable sort keeps the file's order within an image, which the overlap policy may ask for.
        order = np.argsort(image_ids, kind="stable")
        self._image_ids, self._offsets, self._lengths = image_ids[order], self._offsets[order], self._lengths[order]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __len__(self) -> int:
        """Return the number of annotations."""
        return len(self._image_ids)

    def of_image(self, image_id: int) -> list[bytes]:
        """Return the JSON texts of an image's annotations, in the order of the file."""
        first, last = np.searchsorted(self._image_ids, [image_id, image_id + 1])
        spans = zip(self._offsets[first:last].tolist(), self._lengths[first:last].tolist(), strict=True)
        return [self._file.raw(offset, length) for offset, length in spans]


def _scan(path: Path) -> tuple[Integers, Integers, Integers, list[dict[str, Any]]]:
    """Return each annotation's image id, byte offset and length, and the parsed categories."""
    if not path.is_file():
        raise CocomineError(f"{path}: no such file", "run the step that writes it first")
    if path.stat().st_size == 0:
        raise CocomineError(f"{path}: the file is empty", "delete it and run snakemake again")
    with open(path, "rb") as file:
        # Not closed by hand: an error may still hold views of it. It goes when they do.
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return _scan_mapped(path, content)


def _scan_mapped(path: Path, content: mmap.mmap) -> tuple[Integers, Integers, Integers, list[dict[str, Any]]]:
    try:
        head = msgspec.json.decode(content, type=_Head)
        # A Raw is a view of the map, so addresses say where it lies; between its brackets stand the records.
        begin = _address(head.annotations) - _address(content) + 1
        pieces = list(_pieces(content, begin, begin + len(memoryview(head.annotations)) - 2))
    except (msgspec.DecodeError, UnicodeDecodeError, OverflowError) as error:
        hint = "if it is one of cocomine's results, delete it and run snakemake again"
        raise CocomineError(f"{path}: not a COCO document: {error}", hint) from error
    none = np.zeros(0, np.int64)
    image_ids, offsets, lengths = (np.concatenate(column) for column in zip((none,) * 3, *pieces, strict=True))
    return image_ids, offsets, lengths, head.categories


def _pieces(content: mmap.mmap, begin: int, end: int) -> Iterator[tuple[Integers, Integers, Integers]]:
    """Yield image ids, offsets and lengths of the records between `begin` and `end`, some megabytes at a time.

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
        yield _located(piece, texts, begin - 1)
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
