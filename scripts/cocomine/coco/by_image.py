"""A COCO document read image by image: only where its annotations lie in the file is kept in memory."""

from __future__ import annotations

import os
import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from cocomine.base.errors import CocomineError
from cocomine.coco.reader import Annotation, Image, annotations_of, images_of
from cocomine.coco.scan import Source, byte_at, next_item, read_key, skip_space, value_end

if TYPE_CHECKING:  # NumPy takes as long to import as a small export to write
    import numpy as np
    import numpy.typing as npt

PIECE: Final = 1 << 20
"""Bytes of records that are looked through at once."""

SIDE_BY_SIDE: Final = 8
"""Bytes between two records up to which the second follows the first."""

_BETWEEN = re.compile(rb'\}\s*,\s*\{\s*"[^"\\]*"')
"""From the end of a record to the first key of the next."""


class _Keys(msgspec.Struct, gc=False):
    image_id: int
    category_id: int = -1


_KEYS = msgspec.json.Decoder(list[_Keys])
_TEXTS = msgspec.json.Decoder(list[msgspec.Raw])


class RecordsByImage:
    """The annotations of a COCO document, found by image: only where they lie in the file is kept in memory.

    `raw` holds the JSON texts of its top-level values besides images and annotations; `categories`, `info` and
    `licenses` are parsed, the last two None where the document has none. `image_ids` and `category_ids` (-1 where
    there is none) have a cell an annotation, by image and within one in the order of the file.
    """

    def __init__(self, path: Path) -> None:
        """Scan `path`; raise CocomineError when it is missing, no COCO document, or an annotation has no image id."""
        self.path = path
        if not path.is_file():
            raise CocomineError(f"{path}: no such file", "run the step that writes it first")
        if path.stat().st_size == 0:
            raise CocomineError(f"{path}: the file is empty", "delete it and run snakemake again")
        try:
            with Source(path) as source:
                self._scan(source)
        except (CocomineError, msgspec.DecodeError, UnicodeDecodeError, OverflowError, RecursionError) as error:
            hint = "if it is one of cocomine's results, delete it and run snakemake again"
            raise CocomineError(f"{path}: not a COCO document: {error}", hint) from error
        # Read by position and not mapped: pages of a map that were touched count as this process's memory.
        self._file = os.open(path, os.O_RDONLY)

    def _scan(self, source: Source) -> None:
        """Find every value of the document, and every annotation in it."""
        self.raw: dict[str, bytes] = {}
        self._images = -1
        found: list[_Columns] | None = None
        position = skip_space(source, 0)
        while byte_at(source, position) in (b"{", b","):
            key, begin = read_key(source, skip_space(source, position + 1))
            if key == "annotations":
                found, end = _array(source, begin, _located)
            elif key == "images":
                self._images, (_, end) = begin, _array(source, begin, len)
            else:
                end = value_end(source, begin)
                self.raw[key] = source.read(begin, end - begin)
            position = skip_space(source, end)
        if byte_at(source, position) != b"}" or skip_space(source, position + 1) != source.size or found is None:
            raise source.fail(position, "it is no object that has `annotations`")
        self.categories: list[dict[str, Any]] = self._parsed("categories", list[dict[str, Any]]) or []
        self.info, self.licenses = self._parsed("info", Any), self._parsed("licenses", Any)
        none = (array("q"),) * 4
        image_ids, *others = map(_joined, zip(none, *found, strict=True))
        # A stable sort keeps the file's order within an image, which the overlap policy may ask for.
        order = sorted(range(len(image_ids)), key=image_ids.__getitem__)
        self._image_ids, self._category_ids, self._offsets, self._lengths = (
            array("q", map(column.__getitem__, order)) for column in (image_ids, *others)
        )

    def _parsed(self, key: str, kind: Any) -> Any:
        return msgspec.json.decode(self.raw[key], type=kind) if key in self.raw else None

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def __len__(self) -> int:
        """Return the number of annotations."""
        return len(self._image_ids)

    @cached_property
    def image_ids(self) -> npt.NDArray[np.int64]:
        """The image of each annotation. Shape (annotations,)."""
        return _as_numpy(self._image_ids)

    @cached_property
    def category_ids(self) -> npt.NDArray[np.int64]:
        """The category of each annotation, -1 where there is none. Shape (annotations,)."""
        return _as_numpy(self._category_ids)

    def of_image(self, image_id: int) -> list[bytes]:
        """Return the JSON texts of an image's annotations, in the order of the file."""
        rows = range(bisect_left(self._image_ids, image_id), bisect_right(self._image_ids, image_id))
        return list(self._at(rows))

    def texts(self) -> Iterator[bytes]:
        """Yield the JSON texts of all annotations, by image."""
        return self._at(range(len(self)))

    def texts_in_file_order(self, chosen: npt.NDArray[np.bool_]) -> Iterator[bytes]:
        """Yield the JSON texts of the annotations that are `chosen`, a cell an annotation as in `image_ids`."""
        return self._at(sorted(chosen.nonzero()[0].tolist(), key=self._offsets.__getitem__))

    def _at(self, rows: Iterable[int]) -> Iterator[bytes]:
        """Yield the texts of some annotations, of which the more are read ahead the more have lain side by side."""
        block, begin, end = b"", 0, 0
        for row in rows:
            offset, length = self._offsets[row], self._lengths[row]
            if not begin <= offset <= offset + length <= begin + len(block):
                ahead = min(2 * len(block), PIECE) if 0 <= offset - end <= SIDE_BY_SIDE else 0
                begin, block = offset, os.pread(self._file, max(length, ahead), offset)
            end = offset + length
            yield block[offset - begin : end - begin]

    def annotations(self, image_id: int) -> list[Annotation]:
        """Return an image's annotations, in the order of the file; their `raw` is empty."""
        return annotations_of(self.of_image(image_id))

    def images(self) -> Iterator[Image]:
        """Yield the document's images in its order; their `raw` is empty."""
        for piece in self._image_pieces():
            yield from images_of(piece.texts)

    def image_texts(self) -> Iterator[bytes]:
        """Yield the JSON texts of the document's images in its order."""
        for piece in self._image_pieces():
            yield from map(bytes, piece.texts)

    def _image_pieces(self) -> Iterator[_Stretch]:
        if self._images >= 0:
            with Source(self.path) as source:
                yield from _pieces(source, self._images)


_Columns = tuple["array[int]", "array[int]", "array[int]", "array[int]"]
"""Of annotations: image ids, category ids, places in the file, lengths."""


class _Stretch(NamedTuple):
    """Whole records side by side: where the first begins, the text of all as an array, and the text of each."""

    begin: int
    array: bytes
    texts: list[msgspec.Raw]

    @property
    def end(self) -> int:
        """The position after the last record."""
        return self.begin + len(self.array) - 2


def _pieces(source: Source, begin: int) -> Iterator[_Stretch]:
    """Yield the records of the array that begins at `begin`, a megabyte or so at a time."""
    if byte_at(source, begin) != b"[":
        raise source.fail(begin, "an array of records is expected")
    position: int | None = skip_space(source, begin + 1)
    if byte_at(source, skip_space(source, begin + 1)) == b"]":
        return
    while position is not None:
        piece = _stretch(source, position)
        yield piece
        position = next_item(source, piece.end)


def _stretch(source: Source, begin: int) -> _Stretch:
    """Read some records of the array that goes on at `begin`.

    They are cut where the text looks as between the first two of them. If that was inside a record, or the array ends
    before, the piece is no JSON, and they are walked through one by one.
    """
    end = value_end(source, begin)
    text = source.read(begin, PIECE)
    between = _BETWEEN.match(text, end - begin - 1)
    cut = text.rfind(between[0]) + 1 if between else 0
    if cut:
        try:
            return _Stretch(begin, array := b"[" + text[:cut] + b"]", _TEXTS.decode(array))
        except msgspec.DecodeError:
            pass
    while (following := next_item(source, end)) is not None and following < begin + PIECE:
        end = value_end(source, following)
    array = b"[" + source.read(begin, end - begin) + b"]"
    return _Stretch(begin, array, _TEXTS.decode(array))


def _array(source: Source, begin: int, look: Callable[[_Stretch], Any]) -> tuple[list[Any], int]:
    """Return what `look` says of each stretch of the array that begins at `begin`, and where the array ends."""
    found, end = [], begin + 1
    for piece in _pieces(source, begin):
        found.append(look(piece))
        end = piece.end
    return found, skip_space(source, end) + 1


def _located(piece: _Stretch) -> _Columns:
    """Return the image id, the category id, the place in the file and the length of each annotation."""
    try:
        keys = _KEYS.decode(piece.array)
    except msgspec.ValidationError:  # policy kept a category of another type than COCO's, or an image is lacking
        keys = [_Keys(record.image_id, record.category_id) for record in annotations_of(piece.texts)]
    offsets, lengths = array("q"), array("q")
    place, gap = 1, 0
    for text in piece.texts:
        record = bytes(text)
        if not piece.array.startswith(record, place + gap):  # which is soon known, where seeking takes its time
            gap = piece.array.find(record, place) - place
        place += gap
        offsets.append(piece.begin - 1 + place)
        lengths.append(len(record))
        place += len(record)
    return array("q", [key.image_id for key in keys]), array("q", [key.category_id for key in keys]), offsets, lengths


def _joined(columns: Iterable[array[int]]) -> array[int]:
    result = array("q")
    for column in columns:
        result.extend(column)
    return result


def _as_numpy(column: array[int]) -> npt.NDArray[np.int64]:
    import numpy as np  # not at the top: see above

    return np.frombuffer(column, dtype=np.int64)
