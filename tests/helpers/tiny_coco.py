"""A COCO folder of a few drawn images, and a config that builds it in place: the smallest whole build."""

import json
import random
from pathlib import Path

from PIL import Image

SPLIT = "train2017"


def write_tiny_coco(folder: Path, images: int = 8, seed: int = 1) -> Path:
    """Write `images` JPEGs of 64 x 48 pixels with a rectangle each, in COCO's own layout; return `folder`."""
    draw = random.Random(seed)
    (folder / SPLIT).mkdir(parents=True)
    (folder / "annotations").mkdir()
    records, annotations = [], []
    for number in range(1, images + 1):
        name = f"{number:012}.jpg"
        picture = Image.frombytes("L", (64, 48), draw.randbytes(64 * 48)).convert("RGB")
        picture.paste(tuple(draw.randrange(256) for _ in range(3)), (number, number, number + 20, number + 10))
        picture.save(folder / SPLIT / name)
        records.append({"id": number, "file_name": name, "width": 64, "height": 48, "license": 1})
        outline = [number, number, number + 20, number, number + 20, number + 10, number, number + 10]
        annotations.append(
            {"id": number, "image_id": number, "category_id": 1 + number % 2, "iscrowd": 0, "area": 200,
             "bbox": [number, number, 20, 10], "segmentation": [outline]}
        )  # fmt: skip
    document = {
        "info": {}, "licenses": [{"id": 1, "name": "free", "url": "http://licence.test"}], "images": records,
        "annotations": annotations,
        "categories": [{"id": i, "name": name, "supercategory": "animal"} for i, name in ((1, "cat"), (2, "dog"))],
    }  # fmt: skip
    (folder / "annotations" / f"instances_{SPLIT}.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


def write_config(path: Path, folder: Path, **more: object) -> Path:
    """Write a config of one subset, `pets`, of the tiny COCO at `folder`; return its path."""
    config = {
        "stores": {"coco": {"folder": str(folder)}},
        "sources": {"coco": {"splits": [SPLIT]}},
        "subsets": {"pets": {"categories": ["cat", "dog"]}},
        **more,
    }
    path.write_text(json.dumps(config), encoding="utf-8")
    return path
