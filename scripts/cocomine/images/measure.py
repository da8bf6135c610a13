"""Decoding each selected image once, and writing down what it is: the table images.parquet."""

import hashlib
import logging
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from cocomine.base.commands import sync_images_again
from cocomine.base.errors import CocomineError
from cocomine.base.files import atomic_path, read_table
from cocomine.base.pool import in_order
from cocomine.base.progress import Progress
from cocomine.images.descriptors import describe
from cocomine.sources.proof import changed_images

log = logging.getLogger("cocomine")

OK, MISSING, UNREADABLE = "ok", "image-missing", "image-unreadable"
UNDECODABLE, TRUNCATED = "image-undecodable", "image-truncated"
STATUSES = {OK: OK, "unreadable": UNREADABLE}  # of the lock; every other status of it is image-missing
ORIENTATION_TAG = 0x0112
BATCH = 16
ROW_GROUP = 4096

SCHEMA = pa.schema(
    [
        ("image_id", pa.int64()),
        ("source_split", pa.string()),
        ("file_name", pa.string()),
        ("store_path", pa.string()),
        (
            "status",
            pa.string(),
        ),  # ok, or the reason code: image-missing, image-unreadable, image-undecodable, image-truncated
        ("detail", pa.string()),  # what the sync says of a file that it did not take; null otherwise
        ("width", pa.int32()),  # as decoded, never rotated; null unless ok
        ("height", pa.int32()),
        ("mode", pa.string()),  # Pillow's: RGB, L, CMYK, ...
        ("exif_orientation", pa.int8()),  # 1 upright, 2..8 as in EXIF 2.32, 0 where the file says nothing
        ("sha256", pa.string()),  # of the file; null when missing
        ("bytes", pa.int64()),
        ("phash", pa.uint64()),
        ("thumbnail", pa.binary()),  # 32 x 32 luma, uint8, row by row
        ("brightness", pa.float64()),
        ("contrast", pa.float64()),
        ("blur", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Selected:
    """One row of the selection, and what the images lock says of its file: `status` is ok, or the reason code."""

    image_id: int
    source_split: str
    file_name: str
    store_path: str
    width: int
    height: int
    status: str
    detail: str | None
    sha256: str = ""  # as locked; empty where the lock has none


def measure(selection: Path, images_lock: Path, store_dir: Path, out: Path, threads: int) -> None:
    """Measure every image of `selection` in its order and write `out`.

    A row without a file (missing or refused in the lock, or a spare that was not fetched) has the status
    image-missing, one whose file is there and cannot be taken image-unreadable. Raises CocomineError for files that
    the lock promises and the store does not hold, or holds with other bytes: nothing is built on an image that is not
    the one that was locked.
    """
    rows = read_selection(selection, images_lock)
    size_differs = rotated = 0
    changed: list[str] = []
    with (
        Progress("measure_images", len(rows), "image") as progress,
        atomic_path(out) as temporary,
        pq.ParquetWriter(temporary, SCHEMA, compression="zstd", store_schema=False) as writer,
    ):
        batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
        waiting: list[dict[str, Any]] = []
        for batch, records in zip(batches, in_order(partial(_measure_all, store_dir), batches, threads), strict=True):
            for row, record in zip(batch, records, strict=True):
                progress.count(record["status"])
                if row.status == OK and row.sha256 not in ("", record["sha256"]):
                    changed.append(row.store_path)
                if record["status"] == OK:
                    size_differs += (record["width"], record["height"]) != (row.width, row.height)
                    rotated += record["exif_orientation"] > 1
            progress.advance(len(batch))
            waiting += records
            if len(waiting) >= ROW_GROUP:
                _write(writer, waiting)
                waiting = []
        _write(writer, waiting)
        if changed:
            raise changed_images(store_dir, changed)
        if size_differs:
            progress.count("of another size than stated", size_differs)
        if rotated:
            progress.count("with an EXIF rotation, not applied", rotated)


def read_selection(selection: Path, images_lock: Path) -> list[Selected]:
    """Read the selection and join it with the lock. Raises CocomineError when a file or a column is missing."""
    try:
        locked = {
            row["store_path"]: (
                STATUSES.get(row["status"], MISSING),
                row["reason"] if row["status"] != OK else None,
                row.get("sha256", ""),
            )
            for row in read_table(images_lock)
        }
        return [
            Selected(
                int(row["image_id"]),
                row["source_split"],
                row["file_name"],
                row["store_path"],
                int(row["width"]),
                int(row["height"]),
                *locked.get(row["store_path"], (MISSING, None, "")),
            )
            for row in read_table(selection)
        ]
    except FileNotFoundError as error:
        raise CocomineError(
            f"{error.filename}: no such file", "run mine_subset, then sync_images, before the images are measured"
        ) from error
    except KeyError as error:
        raise CocomineError(
            f"{selection} or {images_lock}: no column {error}", "they are written by mine_subset and sync_images"
        ) from error


def _write(writer: pq.ParquetWriter, records: list[dict[str, Any]]) -> None:
    if records:
        columns = {name: [record[name] for record in records] for name in SCHEMA.names}
        writer.write_table(pa.Table.from_pydict(columns, schema=SCHEMA), row_group_size=len(records))


def _measure_all(store_dir: Path, rows: list[Selected]) -> list[dict[str, Any]]:
    return [measure_one(store_dir, row) for row in rows]


def measure_one(store_dir: Path, row: Selected) -> dict[str, Any]:
    """Return the columns of one image. Raises CocomineError when a fetched file is not in the store."""
    record: dict[str, Any] = dict.fromkeys(SCHEMA.names)
    record |= {"image_id": row.image_id, "source_split": row.source_split, "file_name": row.file_name}
    record |= {"store_path": row.store_path, "status": row.status, "detail": row.detail}
    if row.status != OK:
        return record
    path = store_dir / row.store_path
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CocomineError(
            f"{path}: the lock says that this image was fetched, but it cannot be read: {error.strerror}",
            f"fetch it again with: {sync_images_again()}",
        ) from error
    record |= {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    return record | examine(content)


def examine(content: bytes) -> dict[str, Any]:
    """Decode an image file fully, once, and return its status and what was measured of it.

    The picture is never rotated: COCO's annotations are those of the pixels as stored. A file that ends early is
    image-truncated, anything else that cannot be decoded image-undecodable.
    """
    try:
        with Image.open(BytesIO(content)) as picture:
            orientation = _orientation(picture)
            picture.load()
            if picture.format == "JPEG" and not _has_end(content):
                return {"status": TRUNCATED}
            measured = describe(picture)
            mode, width, height = picture.mode, picture.width, picture.height
    except Exception as error:  # noqa: BLE001 - Pillow's decoders let any error through that a damaged file makes
        cut = "truncated" in str(error) or (content[:2] == b"\xff\xd8" and not _has_end(content))
        return {"status": TRUNCATED if cut else UNDECODABLE}
    return {
        "status": OK,
        "width": width,
        "height": height,
        "mode": mode,
        "exif_orientation": orientation,
        "phash": measured.phash,
        "thumbnail": measured.thumbnail,
        "brightness": measured.brightness,
        "contrast": measured.contrast,
        "blur": measured.blur,
    }


def _has_end(content: bytes) -> bool:
    """Tell whether a JPEG holds its end marker after its last scan; bytes behind the marker do no harm.

    libjpeg fills up a picture whose data ends early with grey and only warns, and Pillow keeps no warning, so a file
    that was cut and then padded would pass as whole.
    """
    scan = content.rfind(b"\xff\xda")
    return scan >= 0 and content.find(b"\xff\xd9", scan) >= 0


def _orientation(picture: Image.Image) -> int:
    try:
        value = picture.getexif().get(ORIENTATION_TAG, 0)
    except Exception:  # noqa: BLE001 - as above
        return 0  # a damaged EXIF block says nothing, and harms no pixel
    return int(value) if isinstance(value, int) and 1 <= value <= 8 else 0
