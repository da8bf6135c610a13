"""Subsets made up for the tests of the split: the files that assemble_subset and measure_images write."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cocomine.base.files import write_table
from cocomine.images.descriptors import perceptual_hash
from cocomine.images.measure import SCHEMA

CATEGORIES = [{"id": number, "name": f"class {number}", "supercategory": "thing"} for number in (1, 3, 7, 20)]


def thumbnail(seed):
    """Return a smooth random picture, 32 x 32 uint8."""
    random = np.random.default_rng(seed)
    waves = random.normal(size=(7, 7)) * 60
    x = (np.arange(32) + 0.5) / 32
    rows = np.cos(np.pi * np.outer(np.arange(7), x))
    return np.clip(128 + rows.T @ waves @ rows / 3, 0, 255).astype(np.uint8)


def write_subset(folder: Path, count: int, twins=(), seed=0, splits=("train", "val"), names=None, start=1) -> list[int]:
    """Write a subset of `count` images; `twins` are pairs of places that share a thumbnail. Return the image ids."""
    random = np.random.default_rng(seed)
    ids = [start + 3 * place for place in range(count)]
    names = names or [f"{image:012d}.jpg" for image in ids]
    source = {place: place for place in range(count)}
    for one, other in twins:
        source[other] = source[one]
    labels = [sorted(random.choice([1, 3, 7, 20], size=random.integers(0, 4), replace=False)) for _ in ids]
    images = [
        {"id": image, "file_name": name, "width": 10, "height": 10, "note": 0.50}
        for image, name in zip(ids, names, strict=True)
    ]
    annotations = [
        {"id": 10 * place + k, "image_id": ids[place], "category_id": int(label), "iscrowd": 0, "bbox": [1, 2, 3.50, 4]}
        for place, own in enumerate(labels)
        for k, label in enumerate(own)
    ]
    captions = [{"id": place, "image_id": image, "caption": f"é {place}"} for place, image in enumerate(ids)]
    (folder / "tasks").mkdir(parents=True, exist_ok=True)
    document = {"info": {"x": 1}, "licenses": [], "images": images, "annotations": annotations}
    (folder / "subset.json").write_text(json.dumps(document | {"categories": CATEGORIES}))
    half = images[::2]
    kept = {image["id"] for image in half}
    document = {"images": half, "annotations": [c for c in captions if c["image_id"] in kept]}
    (folder / "tasks/captions.json").write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    of_split = [splits[0] if place % 4 else splits[-1] for place in range(count)]
    columns = ("image_id", "source_split", "file_name", "store_path", "width", "height", "license", "role")
    write_table(
        folder / "images.tsv",
        columns,
        ((i, s, n, f"{s}/{n}", 10, 10, 1, "wanted") for i, s, n in zip(ids, of_split, names, strict=True)),
    )
    pictures = [thumbnail(seed * 1_000_000 + source[place]) for place in range(count)]
    table = {name: [None] * count for name in SCHEMA.names} | {
        "image_id": ids,
        "source_split": of_split,
        "file_name": names,
        "status": ["ok"] * count,
        "sha256": [f"{place:064x}" for place in range(count)],
        "phash": [perceptual_hash(picture) for picture in pictures],
        "thumbnail": [picture.tobytes() for picture in pictures],
    }
    pq.write_table(pa.Table.from_pydict(table, schema=SCHEMA), folder / "images.parquet")
    return ids
