"""Thumbnails of a subset's images, a hundred in one file."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from io import BytesIO
from pathlib import Path

from PIL import Image

from cocomine.base.pool import in_order
from cocomine.base.progress import Progress
from cocomine.images.opening import ImageError, read_locked, rgb_of

WIDTH, HEIGHT, COLUMNS, ROWS = 160, 120, 10, 10
"""Pixels of a thumbnail's cell, and cells of a sheet."""

PAPER = (226, 229, 233)


def draw_sheets(
    store: Path,
    images: Sequence[Mapping[str, str]],
    sha256_of: Mapping[str, str],
    threads: int,
    pool: ProcessPoolExecutor | None,
) -> Iterator[bytes]:
    """Yield sheets of thumbnails as JPEGs, drawn by so many processes, those of `pool`.

    `images` are rows of images.tsv, `sha256_of` what their paths in the store are held to. An image that cannot be read
    leaves its cell empty. Raises CocomineError for one that is not as locked.
    """
    size = COLUMNS * ROWS
    pieces = (
        [
            (row["store_path"], int(row["width"]), int(row["height"]), sha256_of[row["store_path"]])
            for row in images[begin : begin + size]
        ]
        for begin in range(0, len(images), size)
    )
    with Progress("draw thumbnails", len(images), "image") as progress:
        for number, content in enumerate(in_order(partial(_sheet, store), pieces, threads, pool=pool)):
            yield content
            progress.advance(min(size, len(images) - number * size))


def _sheet(store: Path, rows: Sequence[tuple[str, int, int, str]]) -> bytes:
    sheet = Image.new("RGB", (WIDTH * COLUMNS, HEIGHT * ROWS), PAPER)
    for place, (path, width, height, sha256) in enumerate(rows):
        try:
            small = rgb_of(read_locked(store, path, sha256), (width, height), (WIDTH, HEIGHT))
        except ImageError:
            continue
        small.thumbnail((WIDTH, HEIGHT), Image.Resampling.LANCZOS, reducing_gap=2.0)
        x = place % COLUMNS * WIDTH + (WIDTH - small.width) // 2
        y = place // COLUMNS * HEIGHT + (HEIGHT - small.height) // 2
        sheet.paste(small, (x, y))
    buffer = BytesIO()
    sheet.save(buffer, "JPEG", quality=76, optimize=True)
    return buffer.getvalue()
