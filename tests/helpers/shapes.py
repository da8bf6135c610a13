"""Small packed tensors of drawn shapes, as pack_tensors would write them, for tests of learning."""

import json
from pathlib import Path

import numpy as np

NAMES = ("background", "disc", "box")


def write_shapes(folder: Path, images: int = 24, size: int = 64, seed: int = 0, val_share: float = 0.25) -> Path:
    """Write images of one disc and one box each over noise, their masks, index and labels.json; return `folder`."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    pictures = generator.integers(0, 60, (images, size, size, 3), dtype=np.uint8)
    masks = np.zeros((images, size, size), np.uint8)
    for i in range(images):
        cy, cx = generator.integers(size // 4, 3 * size // 4, 2)
        r = generator.integers(size // 8, size // 4)
        disc = (y - cy) ** 2 + (x - cx) ** 2 < r * r
        top, left = generator.integers(0, size // 2, 2)
        box = (y >= top) & (y < top + size // 3) & (x >= left) & (x < left + size // 3)
        masks[i][box], masks[i][disc] = 2, 1
        pictures[i][box] = np.array((40, 60, 220)) + generator.integers(-20, 20, 3)
        pictures[i][disc] = np.array((220, 80, 40)) + generator.integers(-20, 20, 3)
    masks[:, :2] = 255
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", pictures)
    np.save(folder / "masks.npy", masks)
    held = round(images * val_share)
    lines = ["row\timage_id\tfile_name\tsplit\tfold"]
    lines += [f"{i}\t{100 + i}\t{100 + i:012d}.jpg\t{'val' if i < held else 'train'}\t0" for i in range(images)]
    (folder / "index.tsv").write_text("\n".join(lines) + "\n")
    (folder / "manifest.json").write_text(json.dumps({"size": [size, size]}))
    colours = [[0, 0, 0], [220, 80, 40], [40, 60, 220]]
    entries = [
        {"label": i, "name": n, "category_id": [None, 1, 3][i], "supercategory": None, "color": colours[i]}
        for i, n in enumerate(NAMES)
    ]
    (folder / "labels.json").write_text(json.dumps({"labels": entries, "void": 255}))
    return folder
