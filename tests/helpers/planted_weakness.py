"""A subset whose every attribute is drawn by chance, and predictions that are wrong where a weakness was planted."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cocomine.base.files import write_json, write_table

SIDE = 200
CATEGORIES: list[dict[str, Any]] = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]

Weak = Callable[[dict[str, Any]], bool]
"""Whether an image is one that predictions do worse on, by its facts."""


def make_subset(folder: Path, seed: int, images: int = 400, training: Weak = lambda _: True) -> list[dict[str, Any]]:
    """Write subset.json, the tables and tags.tsv of a subset, half of it train where `training` says that an image may
    be; return the facts of each image.
    """
    random = np.random.default_rng(seed)
    facts: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(1, images + 1):
        fact = {
            "id": number,
            "name": f"{number:04}.jpg",
            "licence": int(random.integers(1, 5)),
            "brightness": float(random.random()),
            "blur": float(random.random()),
            "weather": str(random.choice(["sun", "rain", "fog"])),
            "near": bool(random.random() < 0.4),
        }
        category, size = int(random.integers(1, 3)), 20 + 60 * random.random()
        corner = random.integers(5, 60, 2).tolist()
        annotations.append(_object(len(annotations) + 1, number, category, corner, size))
        # The second object covers three tenths of the first, or stands apart from it.
        where = [corner[0] + size * 0.7, corner[1]] if fact["near"] else [corner[0] + size + 5, corner[1]]
        annotations.append(_object(len(annotations) + 1, number, 3 - category, where, size))
        fact["split"] = "train" if training(fact) and random.random() < 0.5 else "val"
        facts.append(fact)
    pictures = [{"id": f["id"], "file_name": f["name"], "width": SIDE, "height": SIDE} for f in facts]
    write_json(folder / "subset.json", {"images": pictures, "annotations": annotations, "categories": CATEGORIES})
    labels: list[dict[str, Any]] = [{"label": 0, "category_id": None, "name": "background", "color": [0, 0, 0]}]
    labels += [{"label": c["id"], "category_id": c["id"], "name": c["name"], "color": [9, 9, 9]} for c in CATEGORIES]
    write_json(folder / "labels.json", {"labels": labels})
    columns = ("image_id", "file_name", "split", "group", "store_path", "license", "source_split", "width", "height")
    rows = [(f["id"], f["name"], f["split"], f["id"], f["name"], f["licence"], "val", SIDE, SIDE) for f in facts]
    write_table(folder / "split.tsv", columns[:4], [row[:4] for row in rows])
    write_table(folder / "images.tsv", (*columns[:2], *columns[4:]), [(*row[:2], *row[4:]) for row in rows])
    write_table(folder / "tags.tsv", ("file_name", "weather"), [(f["name"], f["weather"]) for f in facts])
    table = {"image_id": [f["id"] for f in facts], **{k: [f[k] for f in facts] for k in ("brightness", "blur")}}
    pq.write_table(pa.table(table), folder / "images.parquet")
    return facts


def _object(number: int, image: int, category: int, corner: list[float], size: float) -> dict[str, Any]:
    x, y = map(float, corner)
    outline = [x, y, x + size, y, x + size, y + size, x, y + size]
    return {"id": number, "image_id": image, "category_id": category, "iscrowd": 0, "area": size**2,
            "bbox": [x, y, size, size], "segmentation": [outline]}  # fmt: skip


def write_results(folder: Path, facts: list[dict[str, Any]], weak: Weak, seed: int, skew: float = 0.0) -> Path:
    """Write boxes that find an object as often as their score says, less by `skew`, and by a half on weak images."""
    random = np.random.default_rng([seed, 1])
    by_id, results = {f["id"]: f for f in facts}, []
    for record in json.loads((folder / "subset.json").read_text())["annotations"]:
        score = float(random.uniform(0.3, 1))
        x, y, width, height = record["bbox"]
        if random.random() > (score - skew) * (0.5 if weak(by_id[record["image_id"]]) else 1.0):
            x += 2 * width
        results.append({key: record[key] for key in ("image_id", "category_id")}
                       | {"bbox": [x, y, width, height], "score": score})  # fmt: skip
    path = folder / "results.json"
    path.write_text(json.dumps(results))
    return path
