"""The index of one annotation file: the columns of its two Parquet tables, and how they are read back.

An index is a folder, `data/annotations/{source}/index/{task}_{split}/`, of `index.json`, `images.parquet` and
`annotations.parquet`. Rows stand in the order of the file. `offset` and `length` are in bytes and cover exactly the
record's JSON object in the annotation file, so that a record can be copied byte for byte.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json
from cocomine.base.parquet import read_columns

FORMAT: Final = 2
"""Raised when a column changes its meaning; `Index` refuses another."""

IMAGES: Final = pa.schema(
    [
        ("row", pa.int64()),  # order in the file, from 0
        ("id", pa.int64()),  # -1 when unusable
        ("id_text", pa.string()),  # the id's JSON text where it is not a plain integer, else null
        ("file_name", pa.string()),  # as in the record, or made from coco_url; null when there is neither
        ("store_path", pa.string()),  # path in the image store; null when unsafe
        ("width", pa.int32()),  # px; -1 when unusable
        ("height", pa.int32()),  # px; -1 when unusable
        ("license", pa.int32()),  # -1 when there is none
        ("coco_url", pa.string()),
        ("flickr_url", pa.string()),
        ("date_captured", pa.string()),
        ("offset", pa.int64()),
        ("length", pa.int32()),
        ("reasons", pa.uint64()),  # bits of cocomine.annotations.reasons
    ]
)

ANNOTATIONS: Final = pa.schema(
    [
        ("row", pa.int64()),  # order in the file, from 0; of panoptic segments, over all records
        ("record", pa.int32()),  # number of the enclosing record: of panoptic, the image's; else = row
        ("id", pa.int64()),  # -1 when unusable; made from its place when absent
        ("id_text", pa.string()),  # the id's JSON text where it is not a plain integer, else null
        ("image_id", pa.int64()),  # -1 when unusable
        ("category_id", pa.int64()),  # -1 when unusable, or of a caption
        ("image_row", pa.int32()),  # row of images.parquet, the first of its id; -1 when there is none
        ("iscrowd", pa.int8()),  # -1 when absent
        ("area", pa.float64()),  # px²; NaN when absent
        ("bbox_x", pa.float64()),  # px; NaN when absent
        ("bbox_y", pa.float64()),
        ("bbox_w", pa.float64()),
        ("bbox_h", pa.float64()),
        ("segmentation", pa.int8()),  # 0 none, 1 polygons, 2 uncompressed RLE, 3 compressed RLE, 4 other
        ("polygons", pa.int32()),  # number of polygons
        ("vertices", pa.int32()),  # numbers in all polygons, halved and rounded down a polygon
        ("num_keypoints", pa.int32()),  # -1 when absent
        ("caption", pa.string()),  # of captions, else null
        ("offset", pa.int64()),  # of a panoptic segment: those of the enclosing record
        ("length", pa.int32()),
        ("reasons", pa.uint64()),
    ]
)


@dataclass(frozen=True)
class Index:
    """An index on disk. `manifest` is index.json; the tables are read column by column, on demand."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def task(self) -> str:
        """The annotation task: instances, captions, person_keypoints, panoptic or stuff."""
        return str(self.manifest["task"])

    def images(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Read images.parquet, all columns or those named."""
        return _read(self.folder / "images.parquet", columns)

    def annotations(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Read annotations.parquet, all columns or those named."""
        return _read(self.folder / "annotations.parquet", columns)


def open_index(folder: Path) -> Index:
    """Open the index in `folder`.

    Raises CocomineError when it is absent or was written by another version of the format.
    """
    manifest = read_json(folder / "index.json")
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise CocomineError(
            f"{folder}: an index of another version of cocomine", "delete the folder and run snakemake again"
        )
    return Index(folder, manifest)


def _read(path: Path, columns: Sequence[str] | None) -> pa.Table:
    try:
        return read_columns(path, columns)
    except FileNotFoundError as error:
        raise CocomineError(f"{path}: no such file", "index the annotations first: index_annotations.py") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise CocomineError(
            f"{path}: not a readable table: {error}", "delete the index and run snakemake again"
        ) from error
