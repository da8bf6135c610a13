"""Decoding each selected image once, and writing down what it is: the table images.parquet."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cocomine.base.commands import sync_images_again
from cocomine.base.errors import CocomineError
from cocomine.base.files import atomic_path, read_table
from cocomine.base.folder import replaced_folder
from cocomine.base.pool import in_order
from cocomine.base.progress import Progress
from cocomine.coco.orientation import fits_turned
from cocomine.images.descriptors import describe
from cocomine.images.jpeg import is_whole, structure
from cocomine.images.opening import (
    GIANT,
    MISSING,
    TOO_LARGE,
    TRUNCATED,
    UNDECODABLE,
    UNREADABLE,
    UPRIGHT,
    ImageError,
    is_grey,
    opened,
    orientation_of,
    prepare_halving,
    read_file,
    to_luma,
    to_rgb,
)
from cocomine.images.settings import ImageSettings
from cocomine.images.thumbnails import Sheets, sheet_name, thumbnail
from cocomine.sources.proof import changed_images

OK = "ok"
LATER = "later"
"""The status of a giant among the images of a worker process: it is never written."""

STATUSES = {OK: OK, "unreadable": UNREADABLE}
"""The statuses of the images lock; every other one is image-missing."""

BYTES_A_PIXEL = 4
"""A file is read if it has no more bytes than this for each pixel that an image may have."""

DEFAULTS = ImageSettings()
JPEG_START = b"\xff\xd8"
BATCH = 16
ROW_GROUP = 4096

SCHEMA = pa.schema(
    [
        ("image_id", pa.int64()),
        ("source_split", pa.string()),
        ("file_name", pa.string()),
        ("store_path", pa.string()),
        ("status", pa.string()),  # ok, or the reason why not
        ("detail", pa.string()),  # that reason with its values, where there are any
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
        ("cell", pa.int32()),  # of its thumbnail on the sheets, a hundred to a sheet; null unless ok
    ]
)


@dataclass(frozen=True)
class Selected:
    """One row of the selection, and what the images lock says of its file: ok or a reason, why, and its SHA-256."""

    image_id: int
    source_split: str
    file_name: str
    store_path: str
    width: int
    height: int
    status: str
    detail: str
    sha256: str


def measure(
    selection: Path,
    images_lock: Path,
    store_dir: Path,
    out: Path,
    thumbnails: Path,
    threads: int,
    settings: ImageSettings = DEFAULTS,
) -> None:
    """Measure every image of `selection` in its order and write `out`, and the folder `thumbnails`: sheets of them.

    A row without a file (missing or refused in the lock, or a spare that was not fetched) has the status
    image-missing, one whose file cannot be taken the reason of that. Raises CocomineError for files that the lock
    promises and the store does not hold, or holds with other bytes.
    """
    rows = read_selection(selection, images_lock)
    size_differs = turned = rotated = 0
    changed: list[str] = []
    with (
        Progress("measure_images", len(rows), "image") as progress,
        replaced_folder(thumbnails, sheet_name(0)) as folder,
        atomic_path(out) as temporary,
        pq.ParquetWriter(temporary, SCHEMA, compression="zstd", store_schema=False) as writer,
    ):
        sheets = Sheets(folder)
        waiting: list[dict[str, Any]] = []
        for row, record in zip(rows, _measured(rows, store_dir, threads, settings), strict=True):
            progress.count(record["status"])
            if row.status == OK and row.sha256 and record["sha256"] not in (row.sha256, None):
                changed.append(row.store_path)
            if record["status"] == OK:
                record["cell"] = sheets.add(record.pop("thumb"))
                stored, stated = (record["width"], record["height"]), (row.width, row.height)
                fits = fits_turned(stored, stated, record["exif_orientation"])
                turned += fits
                size_differs += stored != stated and min(stated) > 0 and not fits
                rotated += record["exif_orientation"] > 1 and not fits
            progress.advance()
            waiting.append(record)
            if len(waiting) >= ROW_GROUP:
                _write(writer, waiting)
                waiting = []
        _write(writer, waiting)
        sheets.finish()
        if changed:
            raise changed_images(store_dir, changed)
        if size_differs:
            progress.count("of another size than stated", size_differs)
        if turned:
            progress.count("of the stated size once their EXIF orientation is applied, and turned", turned)
        if rotated:
            progress.count("with an EXIF rotation, not applied", rotated)


def _measured(rows: list[Selected], store_dir: Path, threads: int, settings: ImageSettings) -> Iterator[dict[str, Any]]:
    """Yield the columns of every image; giants are measured by this process, one after another."""
    batches: Iterable[list[Selected]] = (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))
    work = partial(_measure_all, store_dir, settings)
    place = 0
    for records in in_order(work, batches, threads):
        for record in records:
            yield measure_one(store_dir, rows[place], settings) if record["status"] == LATER else record
            place += 1


def read_selection(selection: Path, images_lock: Path) -> list[Selected]:
    """Read the selection and join it with the lock. Raises CocomineError when a file or a column is missing."""
    try:
        locked = {
            row["store_path"]: (
                STATUSES.get(row["status"], MISSING),
                row.get("reason", "") if row["status"] != OK else "",
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
                *locked.get(row["store_path"], (MISSING, "", "")),
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


def _measure_all(store_dir: Path, settings: ImageSettings, rows: list[Selected]) -> list[dict[str, Any]]:
    return [measure_one(store_dir, row, settings, giants=False) for row in rows]


def measure_one(
    store_dir: Path, row: Selected, settings: ImageSettings = DEFAULTS, giants: bool = True
) -> dict[str, Any]:
    """Return the columns of one image. Without `giants` one of more than GIANT pixels only gets the status LATER.

    Raises CocomineError when a fetched file is not in the store.
    """
    record: dict[str, Any] = dict.fromkeys(SCHEMA.names)
    record |= {"image_id": row.image_id, "source_split": row.source_split, "file_name": row.file_name}
    record |= {"store_path": row.store_path, "status": row.status, "detail": row.detail or None}
    if row.status != OK:
        return record
    path = store_dir / row.store_path
    try:
        content = read_file(path, settings.most_pixels * BYTES_A_PIXEL)
    except ImageError as error:
        if error.reason != MISSING:
            return record | {"status": error.reason, "detail": error.detail}
        raise CocomineError(
            f"{path}: the lock says that this image was fetched, but it is not there",
            f"fetch it again with: {sync_images_again()}",
        ) from error
    record |= {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    return record | examine(content, settings, giants, (row.width, row.height))


def examine(
    content: bytes, settings: ImageSettings = DEFAULTS, giants: bool = True, stated: tuple[int, int] = (0, 0)
) -> dict[str, Any]:
    """Decode an image file, once, and return its status, what was measured of it, and as `thumb` its thumbnail.

    The image is measured as stored, at half its width and height, whatever its EXIF orientation; its thumbnail is
    turned where only so it has the `stated` size. A file that ends early is image-truncated, one of
    more pixels than the settings allow image-too-large, anything else that cannot be decoded image-undecodable.
    """
    try:
        with opened(content) as image:
            mode, (width, height) = image.mode, image.size
            if width * height > settings.most_pixels:
                detail = f"{width} x {height} pixels, over images.max_megapixels: {settings.max_megapixels}"
                return {"status": TOO_LARGE, "detail": detail}
            if not giants and width * height > GIANT:
                return {"status": LATER}
            prepare_halving(image)
            colours = image if is_grey(image) or image.mode == "YCbCr" else to_rgb(image)
            luma = to_luma(colours)
            halved, own = luma.size != (width, height), image.mode in ("L", "YCbCr")
            # Only now: in a PNG it may stand behind the pixels, so Pillow would decode them to find it.
            orientation = orientation_of(image)
            turned = fits_turned((width, height), stated, orientation)
            small = thumbnail(luma if is_grey(image) else colours, UPRIGHT[orientation] if turned else None)
        del image, colours  # is_whole may take as much memory again
        if content[:2] == JPEG_START and not is_whole(content, luma, halved, own):
            return {"status": TRUNCATED}
        measured = describe(luma if halved else luma.reduce(2))
    except ImageError as error:
        return {"status": error.reason, "detail": error.detail}
    except Exception as error:  # noqa: BLE001 - Pillow's decoders let any error through that a damaged file makes
        cut = "truncated" in str(error) or (content[:2] == JPEG_START and structure(content).end is None)
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
        "thumb": small,
    }
