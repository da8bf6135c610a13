"""The records of one source, image by image: only the columns of its index are kept in memory."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cocomine.base.arrays import Ints
from cocomine.coco.compressed import unpacked
from cocomine.mining.index import Source
from cocomine.mining.spans import SpanFile
from cocomine.mining.tables import read_split


class Record(NamedTuple):
    """An annotation record on its way to be drawn; `row` is its row among all of its source.

    `category` is the place of its class among the source's, -1 when it has none; `text` its JSON.
    """

    row: int
    id: int
    category: int
    crowd: bool
    vertices: int
    text: bytes


@dataclass(frozen=True)
class ImageOf:
    """An image as one source knows it; `width` and `height` in pixels, -1 when not stated."""

    row: int
    width: int
    height: int


class Side:
    """One source of a comparison: its classes, its images by id, and their records."""

    def __init__(
        self, name: str, annotations_dir: Path, splits: Sequence[str], task: str, stack: ExitStack, scratch: Path
    ) -> None:
        """Open the indexes and the annotation files of a source's splits, which `stack` closes.

        Compressed files are unpacked below `scratch`. Raises CocomineError when a file is not as it was indexed.
        """
        self.name = name
        self.source = Source([read_split(annotations_dir / "index", task, split) for split in splits])
        self._files = []
        for split in self.source.splits:
            path = stack.enter_context(unpacked(annotations_dir / f"{task}_{split.name}.json", scratch))
            self._files.append(stack.enter_context(SpanFile(path, int(split.manifest["bytes"]))))
        self.source.annotations.load(
            "id", "image_id", "image_row", "category_id", "iscrowd", "vertices", "offset", "length"
        )
        self.source.images.load("id", "width", "height")
        owner = self.source.image_row
        self._order = np.argsort(owner, kind="stable")
        self._owners = owner[self._order]
        self.images = self._images()

    def _images(self) -> Mapping[int, ImageOf | None]:
        """Return the images by id; None for an id that images of two splits have: nothing tells which is meant."""
        table = self.source.images
        ids, split = table["id"], table.split_of(np.arange(table.rows))
        found: dict[int, ImageOf | None] = {}
        first_split: dict[int, int] = {}
        columns = (ids.tolist(), split.tolist(), table["width"].tolist(), table["height"].tolist())
        for row, (identity, number, width, height) in enumerate(zip(*columns, strict=True)):
            if identity < 0:
                continue
            if first_split.setdefault(identity, number) != number:
                found[identity] = None
            else:
                # Within a file annotations belong to the first image of their id.
                found.setdefault(identity, ImageOf(row, width, height))
        return found

    @property
    def classes(self) -> list[str]:
        """The names of its classes."""
        return [category.name for category in self.source.categories]

    @property
    def objects(self) -> list[int]:
        """How many records each class has."""
        counted = np.bincount(self.source.class_of + 1, minlength=len(self.source.categories) + 1)
        return [int(number) for number in counted[1:]]

    def __len__(self) -> int:
        """Return the number of records."""
        return self.source.annotations.rows

    def rows_of(self, image: ImageOf) -> Ints:
        """Return the rows of an image's records, in the order of the file."""
        first, last = np.searchsorted(self._owners, [image.row, image.row + 1])
        return np.sort(self._order[first:last])

    def homeless(self) -> Ints:
        """Return the rows of records that no image above has: without one, or of an id that two images share."""
        known = np.zeros(self.source.images.rows + 1, bool)
        known[[image.row for image in self.images.values() if image is not None]] = True
        return np.flatnonzero(~known[self.source.image_row])

    def records(self, rows: Ints, with_text: bool = True) -> list[Record]:
        """Return records by their rows, ordered by id and then by row, so that the order of the file is no matter."""
        table = self.source.annotations
        split = table.split_of(rows).tolist()
        columns = [table[name][rows].tolist() for name in ("id", "iscrowd", "vertices", "offset", "length")]
        category = self.source.class_of[rows].tolist()
        found = [
            Record(row, identity, place, crowd == 1, vertices, self._files[number].raw(at, size) if with_text else b"")
            for row, number, place, identity, crowd, vertices, at, size in zip(
                rows.tolist(), split, category, *columns, strict=True
            )
        ]
        return sorted(found, key=lambda record: (record.id, record.row))

    def texts_of_images(self, name: str, rows: Sequence[int]) -> list[str]:
        """Return a text column of images, "" where there is none."""
        return [text or "" for text in self.source.images.texts(name, np.array(rows, np.int64))]
