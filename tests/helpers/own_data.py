"""A small dataset of somebody's own, drawn: images in any folders, and a COCO file for them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 64, 48


def draw_image(path: Path, seed: int) -> None:
    """Draw a JPEG (or what the suffix says) that looks like no other of another seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(np.kron(blocks, np.ones((8, 8, 1), np.uint8))).save(path)


def coco(names: Sequence[str], first_id: int = 1, category: str = "leaf", **of_image: Any) -> dict[str, Any]:
    """A COCO document with an image of each name and one object in each; ids count from `first_id`."""
    numbers = range(first_id, first_id + len(names))
    return {
        "images": [
            {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT, **of_image}
            for number, name in zip(numbers, names, strict=True)
        ],
        "annotations": [
            {
                "id": number, "image_id": number, "category_id": 1, "iscrowd": 0, "area": 360, "bbox": [6, 6, 20, 18],
                "segmentation": [[6, 6, 26, 6, 26, 24, 6, 24]],
            }
            for number in numbers
        ],
        "categories": [{"id": 1, "name": category}],
    }  # fmt: skip


def lay(root: Path, documents: Mapping[str, Any], images: Sequence[str]) -> Path:
    """Write the documents (path: content) and draw the images below `root`; return it."""
    for path, document in documents.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(json.dumps(document), encoding="utf-8")
    for seed, name in enumerate(images):
        draw_image(root / name, seed)
    return root
