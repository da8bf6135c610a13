"""A subset as PyTorch takes it: pairs of an image and its mask, from the files or from packed tensors."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_table
from cocomine.reader.subset import read_image, read_mask

Pair = tuple[Tensor, Tensor]
PACK = "write tensors: {{pack: true, size: {size}}} into the config and build it"


class MasksDataset(Dataset[Pair]):
    """Images and masks from their files, decoded one at a time."""

    def __init__(self, files: list[tuple[Path, Path, tuple[int, int]]], size: tuple[int, int] | None) -> None:
        self._files, self._size = files, size

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._files)

    def __getitem__(self, place: int) -> Pair:
        """Return image (3, h, w) in 0..1 and mask (h, w)."""
        path, mask_path, stated = self._files[place]
        image, mask = read_image(path, stated), Image.fromarray(read_mask(mask_path))
        if self._size is not None:
            height, width = self._size
            image = image.resize((width, height), Image.Resampling.BILINEAR)
            mask = mask.resize((width, height), Image.Resampling.NEAREST)
        return _pair(np.asarray(image), np.asarray(mask))


class PackedDataset(Dataset[Pair]):
    """Images and masks from the arrays of pack_tensors, which every process maps into memory for itself."""

    def __init__(self, folder: Path, rows: list[int]) -> None:
        self._folder, self._rows = folder, rows
        self._arrays: tuple[Any, Any] | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._rows)

    def __getitem__(self, place: int) -> Pair:
        """Return image (3, side, side) in 0..1 and mask (side, side)."""
        if self._arrays is None:
            images, masks = (np.load(self._folder / f"{name}.npy", mmap_mode="r") for name in ("images", "masks"))
            self._arrays = images, masks
        row = self._rows[place]
        return _pair(self._arrays[0][row], self._arrays[1][row])

    def __getstate__(self) -> dict[str, Any]:
        """Leave the arrays out, which would be copied whole to every worker."""
        return {**self.__dict__, "_arrays": None}


def masks_dataset(files: list[tuple[Path, Path, tuple[int, int]]], size: int | tuple[int, int] | None) -> MasksDataset:
    """Return the dataset of (image, mask, (width, height) of the record), at `size` (a side, or height and width)."""
    return MasksDataset(files, (size, size) if isinstance(size, int) else size)


def packed_dataset(folder: Path, split: str) -> PackedDataset:
    """Return the dataset of a split's rows. Raises CocomineError when the tensors are not there."""
    if not (folder / "index.tsv").is_file():
        raise CocomineError(f"{folder}: no tensors of this side", PACK.format(size=folder.name))
    rows = [number for number, row in enumerate(read_table(folder / "index.tsv")) if row["split"] == split]
    return PackedDataset(folder, rows)


def _pair(image: Any, mask: Any) -> Pair:
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    return pixels.float() / 255, torch.from_numpy(np.array(mask).astype(np.int64))
