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
STUFF = [{"id": number, "name": f"stuff {number}", "supercategory": "stuff"} for number in (92, 183)]
TASKS = ("captions", "panoptic", "person_keypoints", "stuff")
"""The annotation files that a subset has besides its instances."""


def thumbnail(seed):
    """Return a smooth random picture, 32 x 32 uint8."""
    random = np.random.default_rng(seed)
    waves = random.normal(size=(7, 7)) * 60
    x = (np.arange(32) + 0.5) / 32
    rows = np.cos(np.pi * np.outer(np.arange(7), x))
    return np.clip(128 + rows.T @ waves @ rows / 3, 0, 255).astype(np.uint8)


def write_document(path: Path, document: dict) -> None:
    """Write COCO JSON with numbers that a writer of its own would spell otherwise: 3.50 for 3.5."""
    path.write_text(json.dumps(document, ensure_ascii=False).replace("3.5,", "3.50,"), encoding="utf-8")


def write_tasks(folder: Path, images: list[dict], objects: list[dict]) -> None:
    """Write the files of the other tasks, each of other images and keys, as their sources differ too."""
    captions = [{"id": k, "image_id": image["id"], "caption": f"é {k}"} for k, image in enumerate(images) if k % 2 == 0]
    write_document(folder / "captions.json", {"images": images[::2], "annotations": captions})
    persons = [
        person | {"num_keypoints": 1, "keypoints": [4, 5, 2] + [0] * 48}
        for person in objects
        if person["category_id"] == CATEGORIES[0]["id"]
    ]
    person = CATEGORIES[0] | {"keypoints": ["nose"], "skeleton": []}
    document = {"info": {"task": "keypoints"}, "images": images, "annotations": persons, "categories": [person]}
    write_document(folder / "person_keypoints.json", document)
    # Two regions of stuff in an image: ids beyond those of the objects, as COCO's own are.
    regions = [
        {"image_id": image["id"], "id": 10_000_000 + 2 * k + number, "category_id": kind["id"], "iscrowd": 0,
         "segmentation": {"size": [10, 10], "counts": [3, 97]}, "area": 97, "bbox": [0, 0, 3.5, 10]}
        for k, image in enumerate(images[1:])
        for number, kind in enumerate(STUFF)
    ]  # fmt: skip
    document = {"licenses": [{"id": 1}], "images": images[1:], "annotations": regions, "categories": STUFF}
    write_document(folder / "stuff.json", document | {"note": {"of": "stuff"}})
    # A panoptic record has no id and no category of its own; an image may have lost its record.
    segments = [
        {"image_id": image["id"], "file_name": f"{Path(image['file_name']).stem}.png", "segments_info": [
            {"id": 256 * k + number, "category_id": kind, "iscrowd": 0, "bbox": [0, 0, 3.5, 10], "area": 35}
            for number, kind in enumerate((CATEGORIES[1]["id"], STUFF[0]["id"]), 1)
        ]}
        for k, image in enumerate(images) if k % 3 == 0 and k != 3
    ]  # fmt: skip
    kinds = [kind | {"isthing": int(kind in CATEGORIES)} for kind in CATEGORIES + STUFF]
    document = {"images": images[::3], "annotations": segments, "categories": kinds}
    write_document(folder / "panoptic.json", document)


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
    (folder / "tasks").mkdir(parents=True, exist_ok=True)
    document = {"info": {"x": 1}, "licenses": [], "images": images, "annotations": annotations}
    write_document(folder / "subset.json", document | {"categories": CATEGORIES})
    write_tasks(folder / "tasks", images, annotations)
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
