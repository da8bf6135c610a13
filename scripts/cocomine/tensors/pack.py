"""Images and masks resized once into two flat arrays on disk, so that an epoch of training decodes no JPEG.

`images.npy` is m × size × size × 3 uint8 (RGB), `masks.npy` m × size × size uint8 (labels), both plain NumPy files
in row order of ascending image id; `np.load(path, mmap_mode="r")` opens them without reading. Their sizes are exactly
the header of 128 bytes plus the product of their shape, however many processes wrote them. Masks are never stored
one-hot, which would take as many bytes again for each class.
"""

import collections
import dataclasses
import functools
import itertools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cocomine.base.arrays import Bytes
from cocomine.base.errors import CocomineError
from cocomine.base.files import atomic_path, read_table, sha256_of_file, write_json, write_table
from cocomine.base.pool import in_order
from cocomine.base.progress import Progress
from cocomine.base.space import require_space
from cocomine.coco.labels import read_labels
from cocomine.coco.tasks import VOID
from cocomine.images.grid import nearest_indices, place_of
from cocomine.images.opening import GIANT, MISSING, ImageError, opened, read_file, read_locked, rgb_of
from cocomine.masks.inputs import ImageRow, read_images
from cocomine.sources.selection import read_lock
from cocomine.tensors.settings import TensorSettings

IMAGES_IN_A_PIECE = 16
FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}
AROUND = (124, 116, 104)  # ImageNet's mean colour: 0 once normalised, as convolutions pad
UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)
"""What Pillow raises for a file that is absent, cut short, no image, or implausibly large."""


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Why an image has no row in the tensors: a stable reason code and a sentence with the values."""

    image_id: int
    file_name: str
    reason: str
    detail: str


@dataclasses.dataclass(frozen=True)
class Job:
    """Everything that a working process needs besides the rows it packs."""

    store_dir: Path
    masks_dir: Path
    images_file: Path
    masks_file: Path
    header: int
    size: int
    image_filter: str
    largest_label: int = VOID - 1
    fit: str = "stretch"


def resize_mask(mask: Bytes, size: int, fit: str = "stretch") -> Bytes:
    """Return the h × w mask at size × size by taking the nearest pixel; void where no image lies (see `place_of`)."""
    place = place_of(mask.shape[0], mask.shape[1], size, fit)
    rows, columns = nearest_indices(mask.shape[0], place.height), nearest_indices(mask.shape[1], place.width)
    result = np.full((size, size), VOID, np.uint8)
    result[place.slices] = mask[rows[:, None], columns]
    return result


def resize_image(rgb: Image.Image, size: int, image_filter: str = "bilinear", fit: str = "stretch") -> Bytes:
    """Return the image (mode RGB) as size × size × 3 with an antialiased filter; AROUND where no image lies."""
    place = place_of(rgb.height, rgb.width, size, fit)
    result = np.full((size, size, 3), AROUND, np.uint8)
    result[place.slices] = np.asarray(rgb.resize((place.width, place.height), FILTERS[image_filter]))
    return result


def pack_tensors(
    settings: TensorSettings,
    images: Path,
    store_dir: Path,
    masks_dir: Path,
    split: Path | None,
    out_dir: Path,
    threads: int = 1,
    labels: Path | None = None,
    images_lock: Path | None = None,
) -> dict[str, Any]:
    """Write images.npy, masks.npy, index.tsv, refused.tsv and manifest.json to `out_dir`; return the manifest.

    `images` is the subset's images.tsv, `store_dir` holds its store paths, `masks_dir` the folder `semantic`, and
    `split` the split.tsv that names each image's split and fold. `labels` is labels.json: a mask that holds a label
    which it lacks is refused. Raises CocomineError when an image is in no split or not as `images_lock` has it, when
    every image is refused, or for the first refused one if the settings say stop.
    """
    rows = _rows(images, images_lock, masks_dir)
    split_of = _splits(split, rows)
    shape = (len(rows), settings.size, settings.size)
    require_space(out_dir, 4 * math.prod(shape), f"tensors of {len(rows)} images at {settings.size} pixels")
    with atomic_path(out_dir / "images.npy") as images_file, atomic_path(out_dir / "masks.npy") as masks_file:
        header = _create(images_file, (*shape, 3))
        assert header == _create(masks_file, shape)
        largest = VOID - 1 if labels is None else _largest_label(labels)
        job = Job(store_dir, masks_dir / "semantic", images_file, masks_file, header, settings.size,
                  settings.image_filter, largest, settings.fit)  # fmt: skip
        refused, pixels = _pack_all(rows, split_of, job, threads, settings.bad_images == "stop")
        kept = [number for number, row in enumerate(rows) if row.image_id not in refused]
        if not kept:
            first = next(iter(refused.values()))
            raise CocomineError(
                f"none of {len(rows)} images could be packed; the first: {first.file_name}: {first.detail}",
                "check that the store and the masks belong to this subset",
            )
        if refused:
            _drop_rows(images_file, kept, (settings.size, settings.size, 3), header)
            _drop_rows(masks_file, kept, (settings.size, settings.size), header)
        manifest = _manifest(settings, rows, kept, refused, split_of, pixels, images_file, masks_file)
    packed = [(number, rows[source]) for number, source in enumerate(kept)]
    write_table(
        out_dir / "index.tsv",
        ("row", "image_id", "file_name", "split", "fold"),
        ((number, row.image_id, row.file_name, *split_of[row.image_id]) for number, row in packed),
    )
    write_table(
        out_dir / "refused.tsv",
        ("image_id", "file_name", "reason", "detail"),
        (dataclasses.astuple(refusal) for refusal in refused.values()),
    )
    write_json(out_dir / "manifest.json", manifest)
    return manifest


def _rows(images: Path, images_lock: Path | None, masks_dir: Path) -> list[ImageRow]:
    """Return the images to pack, each with its locked SHA-256; raise CocomineError when there are none, or no masks."""
    rows = read_images(images)
    if images_lock is not None:
        locked = read_lock(images_lock)
        rows = [dataclasses.replace(row, sha256=locked[row.store_path].sha256) for row in rows]
    if not rows:
        raise CocomineError(f"{images}: no images to pack", "ask for more in the subset's query")
    if not (masks_dir / "semantic").is_dir():
        raise CocomineError(
            f"{masks_dir}: no semantic masks to train on",
            "set masks.outputs: [semantic], and masks.boxes: fill where objects have boxes only; then draw them again",
        )
    return rows


def _largest_label(labels: Path) -> int:
    """Return the largest label; raise CocomineError when there are more than the bytes of the tensors tell apart."""
    largest = len(read_labels(labels)) - 1
    if largest >= VOID:
        raise CocomineError(
            f"{labels}: {largest} classes, and tensors hold up to {VOID - 1}",
            f"train on a subset with at most {VOID - 1} categories; exports and masks hold more",
        )
    return largest


def _splits(split: Path | None, rows: Sequence[ImageRow]) -> dict[int, tuple[str, str]]:
    """Return (split, fold) by image id; both are empty texts when there is no split file."""
    if split is None:
        return {row.image_id: ("", "") for row in rows}
    try:
        split_of = {int(row["image_id"]): (row["split"], row.get("fold", "")) for row in read_table(split)}
    except FileNotFoundError as error:
        raise CocomineError(f"{split}: no such file", "run the step that splits the subset first") from error
    except (KeyError, ValueError) as error:
        raise CocomineError(f"{split}: not a split table: {error}", "delete it and run snakemake again") from error
    for row in rows:
        if row.image_id not in split_of:
            hint = "split the subset again: the list of its images has changed since"
            raise CocomineError(f"{split}: image {row.image_id} ({row.file_name}) is in no split", hint)
    return split_of


def _create(path: Path, shape: tuple[int, ...]) -> int:
    """Create an .npy file of uint8 zeros (sparse where the file system can) and return the length of its header."""
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        header = file.tell()
        file.truncate(header + int(np.prod(shape, dtype=np.int64)))
    return header


def _pack_all(
    rows: Sequence[ImageRow], split_of: Mapping[int, tuple[str, str]], job: Job, threads: int, stop: bool
) -> tuple[dict[int, Refusal], dict[str, npt.NDArray[np.int64]]]:
    """Write every row's tensors; return the refusals by image id and each split's pixels by label (256,)."""
    starts = range(0, len(rows), IMAGES_IN_A_PIECE)
    pieces: Iterator[tuple[int, Sequence[ImageRow]]] = (
        (start, rows[start : start + IMAGES_IN_A_PIECE]) for start in starts
    )
    refused: dict[int, Refusal] = {}
    pixels: dict[str, npt.NDArray[np.int64]] = {}
    with Progress("pack_tensors", len(rows), "image") as progress:
        for done in in_order(functools.partial(_pack_piece, job), pieces, threads, _has_giant):
            for outcome in done:
                if isinstance(outcome, Refusal):
                    if stop:
                        hint = "repair or leave out this image, or set tensors.bad_images: quarantine"
                        raise CocomineError(f"{outcome.file_name} (image {outcome.image_id}): {outcome.detail}", hint)
                    refused[outcome.image_id] = outcome
                    progress.count(f"refused: {outcome.reason}")
                else:
                    pixels.setdefault(split_of[outcome[0]][0], np.zeros(256, np.int64))[:] += outcome[1]
                    progress.count("packed")
            progress.advance(len(done))
    return refused, pixels


def _has_giant(piece: tuple[int, Sequence[ImageRow]]) -> bool:
    return any(row.width * row.height > GIANT for row in piece[1])


Packed = tuple[int, npt.NDArray[np.int64]]


def _pack_piece(job: Job, piece: tuple[int, Sequence[ImageRow]]) -> list[Refusal | Packed]:
    start, rows = piece
    images = np.zeros((len(rows), job.size, job.size, 3), np.uint8)
    masks = np.zeros((len(rows), job.size, job.size), np.uint8)
    outcomes = [_pack_one(job, row, images[i], masks[i]) for i, row in enumerate(rows)]
    for path, block in ((job.images_file, images), (job.masks_file, masks)):
        # Rows are disjoint, so processes write into one file; writing instead of mapping keeps memory flat.
        with open(path, "r+b", buffering=0) as file:
            file.seek(job.header + start * block[0].nbytes)
            _write_all(file.fileno(), block)
    return outcomes


def _write_all(descriptor: int, block: Bytes) -> None:
    left = block.data.cast("B")
    while left:
        left = left[os.write(descriptor, left) :]


def _pack_one(job: Job, row: ImageRow, image_out: Bytes, mask_out: Bytes) -> Refusal | Packed:
    def refuse(reason: str, detail: str) -> Refusal:
        return Refusal(row.image_id, row.file_name, reason, detail)

    try:
        content = read_locked(job.store_dir, row.store_path, row.sha256)
        rgb = rgb_of(content, (row.width, row.height))
    except ImageError as error:
        return refuse(error.reason, f"{row.store_path}: {error}")
    resized = resize_image(rgb, job.size, job.image_filter, job.fit)
    del content, rgb
    try:
        with opened(read_file(job.masks_dir / row.mask)) as stored:
            if stored.mode not in ("P", "L"):
                return refuse("mask-not-labels", f"{row.mask} has mode {stored.mode}, expected 8-bit labels")
            mask, counts = np.asarray(stored), stored.histogram()
            colors = len(stored.getpalette("RGB") or []) // 3
            if stored.mode == "P" and mask.max(initial=0) >= colors:
                return refuse("mask-palette-too-small", f"{row.mask} holds {mask.max()}, its palette {colors} colours")
    except ImageError as error:
        if error.reason == MISSING:
            return refuse("mask-missing", f"{row.mask} was not drawn")
        return refuse("mask-undecodable", f"{row.mask}: {error}")
    except UNREADABLE as error:
        return refuse("mask-undecodable", f"{row.mask}: {error}")
    largest = max(value for value, count in enumerate(counts) if not value or (count and value != VOID))
    if largest > job.largest_label:
        detail = f"{row.mask} holds {largest}, the largest label is {job.largest_label}"
        return refuse("mask-label-unknown", detail)
    if mask.shape != (row.height, row.width):
        found = f"{mask.shape[1]} × {mask.shape[0]}"
        return refuse("mask-size-differs", f"the mask is {found}, the image {row.width} × {row.height}")
    image_out[:] = resized
    mask_out[:] = resize_mask(mask, job.size, job.fit)
    return row.image_id, np.bincount(mask_out.ravel(), minlength=256)


def _drop_rows(path: Path, kept: Sequence[int], row_shape: tuple[int, ...], header: int) -> None:
    """Rewrite the .npy file in place so that it holds only the rows `kept` (ascending), and cut it to size."""
    length = int(np.prod(row_shape, dtype=np.int64))
    with open(path, "r+b") as file:
        for target, source in enumerate(kept):
            if target != source:
                file.seek(header + source * length)
                row = file.read(length)
                file.seek(header + target * length)
                file.write(row)
        file.seek(0)
        shape = (len(kept), *row_shape)
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        assert file.tell() == header
        file.truncate(header + len(kept) * length)


def _manifest(
    settings: TensorSettings,
    rows: Sequence[ImageRow],
    kept: Sequence[int],
    refused: Mapping[int, Refusal],
    split_of: Mapping[int, tuple[str, str]],
    pixels: Mapping[str, npt.NDArray[np.int64]],
    images_file: Path,
    masks_file: Path,
) -> dict[str, Any]:
    images = collections.Counter(split_of[rows[number].image_id][0] for number in kept)
    by_split = {
        split: {"images": images[split], "pixels": {str(label): int(n) for label, n in enumerate(pixels[split]) if n}}
        for split in images
    }
    reasons = sorted(refusal.reason for refusal in refused.values())
    return {
        "settings": settings.as_mapping(),
        "images": {"file": "images.npy", "shape": [len(kept), settings.size, settings.size, 3], "dtype": "uint8",
                   "interpolation": f"{settings.image_filter}, antialiased", "sha256": sha256_of_file(images_file)},
        "masks": {"file": "masks.npy", "shape": [len(kept), settings.size, settings.size], "dtype": "uint8",
                  "interpolation": "nearest", "sha256": sha256_of_file(masks_file)},
        "splits": by_split,
        "counts": {"in": len(rows), "packed": len(kept), "refused": len(refused)},
        "refused": {reason: len(list(same)) for reason, same in itertools.groupby(reasons)},
    }  # fmt: skip
