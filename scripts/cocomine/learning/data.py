"""The packed tensors as a training set: memory-mapped arrays, the rows of a split, batches in a counter-based order."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cocomine.base.arrays import Bytes
from cocomine.base.errors import CocomineError
from cocomine.base.files import rank, read_json, read_table, sha256_of_file
from cocomine.coco.labels import Labels, read_labels
from cocomine.coco.tasks import VOID
from cocomine.images.grid import place_of
from cocomine.splits.names import judged

log = logging.getLogger("cocomine")


Rows = npt.NDArray[np.int64]


def read_trained_labels(path: Path) -> Labels:
    """Read labels.json. Raises CocomineError when it is broken, holds the background only, or more than 255 labels."""
    labels = read_labels(path)
    if len(labels) < 2:
        raise CocomineError(f"{path} holds the background only", "a model needs at least one category to learn")
    if len(labels) > VOID:
        raise CocomineError(f"{path}: {len(labels)} labels", f"at most {VOID} labels can be trained: void is {VOID}")
    return labels


@dataclass(frozen=True)
class TensorSet:
    """Images (m, h, w, 3) and masks (m, h, w), both uint8 and memory-mapped, and what each row is."""

    path: Path
    images: Bytes
    masks: Bytes
    image_ids: Rows
    file_names: tuple[str, ...]
    splits: tuple[str, ...]
    manifest: dict[str, Any]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.images.shape[1]), int(self.images.shape[2])

    def within(self, square: Any, height: int, width: int) -> Any:
        """Return the part of `square` (an array or tensor (…, side, side)) in which an image of that size lies."""
        fit = self.manifest.get("settings", {}).get("fit", "stretch")
        return square[(..., *place_of(height, width, square.shape[-1], fit).slices)]

    def rows_of(self, split: str) -> Rows:
        """Return the rows of `split` ("all" for every row), ascending."""
        return np.array([i for i, name in enumerate(self.splits) if split in ("all", name)], dtype=np.int64)


def read_tensors(path: Path) -> TensorSet:
    """Open the tensors that pack_tensors wrote. Raises CocomineError when a file is missing or they do not agree."""
    arrays = {}
    for name in ("images", "masks"):
        try:
            arrays[name] = np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        except FileNotFoundError as error:
            raise CocomineError(f"{path / name}.npy: no such file", "run pack_tensors first") from error
        except (ValueError, EOFError) as error:
            raise CocomineError(
                f"{path / name}.npy: not an array: {error}", "delete it and run pack_tensors again"
            ) from error
    try:
        table = list(read_table(path / "index.tsv"))
    except FileNotFoundError as error:
        raise CocomineError(f"{path / 'index.tsv'}: no such file", "run pack_tensors first") from error
    images, masks = arrays["images"], arrays["masks"]
    shaped = images.ndim == 4 and images.shape[3] == 3 and masks.shape == images.shape[:3]
    if not shaped or images.dtype != np.uint8 or masks.dtype != np.uint8 or len(table) != len(images):
        raise CocomineError(
            f"{path}: images {images.shape} {images.dtype}, masks {masks.shape} {masks.dtype}, "
            f"{len(table)} rows in index.tsv",
            "expected (m, h, w, 3), (m, h, w), both uint8, and m rows; delete the folder and run pack_tensors again",
        )
    manifest = read_json(path / "manifest.json") if (path / "manifest.json").exists() else {}
    return TensorSet(
        path,
        images,
        masks,
        np.array([int(row["image_id"]) for row in table], dtype=np.int64),
        tuple(row["file_name"] for row in table),
        tuple(row["split"] for row in table),
        manifest,
    )


def withheld(evaluated: Sequence[TensorSet], split: str | None) -> tuple[frozenset[int], frozenset[int]]:
    """Return the image ids that may not be trained on, and those among them that may not choose weights either.

    `evaluated` are other subsets that a run is judged on, by `split` or, for None, by test or val. What is judged is
    not trained on, nor are test images; only val, which is there for it, may choose weights.
    """
    held_out: set[int] = set()
    tested: set[int] = set()
    for tensors in evaluated:
        name = judged(split, tensors.splits)
        test = set(tensors.image_ids[tensors.rows_of("test")].tolist())
        own = set(tensors.image_ids[tensors.rows_of(name)].tolist())
        held_out |= own | test
        tested |= test if name in ("train", "val", "all") else own | test
    return frozenset(held_out), frozenset(tested)


def training_rows(tensors: TensorSet, held_out: frozenset[int], limit: int | None, salt: str) -> Rows:
    """Return the rows to train on: those of split `train`, without the image ids in `held_out`, at most `limit`.

    The ones kept under a limit are those of lowest salted hash rank, so that the choice depends on ids alone. Raises
    CocomineError when fewer than `limit` are there (an experiment that compares equal counts would not be one), or
    fewer than 2: batch normalisation has no variance of one image, and nothing is learnt from it.
    """
    rows = [int(row) for row in tensors.rows_of("train") if int(tensors.image_ids[row]) not in held_out]
    if limit is not None and len(rows) < limit:
        raise CocomineError(
            f"{tensors.path}: train.images asks for {limit} images, and {len(rows)} can be trained on",
            "lower train.images in every arm alike, or widen the subset",
        )
    if limit is not None:
        rows = sorted(sorted(rows, key=lambda row: rank(salt, int(tensors.image_ids[row])))[:limit])
    if len(rows) < 2:
        raise CocomineError(
            f"{tensors.path}: {len(rows)} image(s) to train on",
            "a model needs at least two; widen the subset's query or its training share",
        )
    return np.array(rows, dtype=np.int64)


def sampled_rows(tensors: TensorSet, split: str, held_out: frozenset[int], limit: int, salt: str) -> Rows:
    """Return at most `limit` rows of `split` without the image ids in `held_out`, of lowest salted rank, ascending."""
    there = [row for row in tensors.rows_of(split).tolist() if int(tensors.image_ids[row]) not in held_out]
    rows = sorted(there, key=lambda row: rank(salt, int(tensors.image_ids[row])))
    return np.array(sorted(rows[:limit]), dtype=np.int64)


def pixel_counts(tensors: TensorSet, rows: Rows, labels: Labels) -> Rows:
    """Count the pixels of each label over `rows`; void is left out.

    Raises CocomineError, naming the image, when a mask holds a value that is neither a label nor void.
    """
    counts = np.zeros(256, dtype=np.int64)
    for start in range(0, len(rows), 256):
        part = rows[start : start + 256]
        counts += np.bincount(tensors.masks[part].ravel(), minlength=256)
    if counts[len(labels) : VOID].any():
        wrong = [int(value) for value in np.flatnonzero(counts[:VOID]) if value >= len(labels)]
        first = next(int(row) for row in rows if np.isin(tensors.masks[row], wrong).any())
        raise CocomineError(
            f"{tensors.path}: masks hold the values {wrong[:8]}, but there are only {len(labels)} labels "
            f"(first in {tensors.file_names[first]})",
            "masks and labels.json come from different builds; run rasterize_masks and pack_tensors again",
        )
    return counts[: len(labels)]


@lru_cache(maxsize=4)
def permutation(seed: int, epoch: int, count: int) -> Rows:
    """Return the order in which epoch number `epoch` visits `count` images.

    It is the rank order of Philox's raw output, a counter-based generator: any epoch is had without the ones before
    it, and the raw stream is fixed for good, unlike the methods built upon it.
    """
    raw = np.random.Philox(key=np.array([seed % 2**64, epoch], dtype=np.uint64)).random_raw(count)
    return np.argsort(raw, kind="stable").astype(np.int64)


def batch_of(seed: int, step: int, batch: int, count: int) -> Rows:
    """Return the positions (in [0, count)) of the batch of iteration `step`, of exactly `batch` images.

    Iterations walk over the endless row of epochs' permutations: each image is seen once an epoch, and an epoch's end
    may lie inside a batch.
    """
    first, last = step * batch, (step + 1) * batch
    parts = []
    for epoch in range(first // count, (last - 1) // count + 1):
        start, stop = max(first - epoch * count, 0), min(last - epoch * count, count)
        parts.append(permutation(seed, epoch, count)[start:stop])
    return np.concatenate(parts)


def digest_of(tensors: TensorSet, rows: Rows) -> str:
    """Return a SHA-256 of everything that training reads of the tensors: both arrays, the index and the chosen rows."""
    whole = hashlib.sha256()
    for name in ("images.npy", "masks.npy", "index.tsv"):
        whole.update(sha256_of_file(tensors.path / name).encode())
    whole.update(rows.astype("<i8").tobytes())
    return whole.hexdigest()
