"""The attributes of evaluated images, read from the subset's own files, as slices."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from cocomine.base.files import read_table
from cocomine.coco.by_image import RecordsByImage
from cocomine.coco.sizes import LARGE, SMALL
from cocomine.evaluation.slices import Attribute, by_ranges, by_thirds, by_value


def attributes_of_file(annotations: Path, image_ids: list[int]) -> list[Attribute]:
    """Return object size, crowd, objects, classes and licence of the images, from an annotation file alone."""
    licences = {image.id: image.license for image in RecordsByImage(annotations).images()}
    values = [licences.get(image) for image in image_ids]
    licence = by_value("licence", [None if value is None else str(value) for value in values])
    return [*_of_objects(annotations, image_ids), licence]


def read_attributes(subset_dir: Path, image_ids: list[int]) -> list[Attribute]:
    """Return object size, crowd, objects, classes, licence, brightness, contrast, blur and source split of the images.

    Read from subset.json, images.tsv and images.parquet of `subset_dir`; what a missing file would say is left out.
    Object size is COCO's size class of the image's median object.
    """
    result: list[Attribute] = []
    if (subset_dir / "subset.json").exists():
        result += _of_objects(subset_dir / "subset.json", image_ids)
    if (subset_dir / "images.tsv").exists():
        rows = {int(row["image_id"]): row for row in read_table(subset_dir / "images.tsv")}
        for name, column in (("licence", "license"), ("source split", "source_split")):
            values = [rows[image].get(column) if image in rows else None for image in image_ids]
            result.append(by_value(name, [value or None for value in values]))
    if (subset_dir / "images.parquet").exists():
        present = set(pq.read_schema(subset_dir / "images.parquet").names)
        measured = [name for name in ("brightness", "contrast", "blur") if name in present]
        table = pq.read_table(subset_dir / "images.parquet", columns=["image_id", *measured]).to_pydict()
        place = {int(image): i for i, image in enumerate(table["image_id"])}
        for name in measured:
            values = [table[name][place[image]] if image in place else None for image in image_ids]
            result.append(by_thirds(name, np.array([np.nan if v is None else v for v in values], dtype=np.float64)))
    return result


def _of_objects(path: Path, image_ids: list[int]) -> list[Attribute]:
    areas: dict[int, list[float]] = {image: [] for image in image_ids}
    classes: dict[int, set[int]] = {image: set() for image in image_ids}
    crowded: set[int] = set()
    document = RecordsByImage(path)
    for image in image_ids:
        for annotation in document.annotations(image):
            classes[image].add(annotation.category_id)
            if annotation.iscrowd:
                crowded.add(image)
            else:
                areas[image].append(float(annotation.area or 0.0))
    sizes: list[str | None] = []
    for image in image_ids:
        middle = float(np.median(areas[image])) if areas[image] else None
        size = None if middle is None else "small" if middle < SMALL else "medium" if middle < LARGE else "large"
        sizes.append(size)
    return [
        by_value("object size", sizes),
        by_value("crowd", ["yes" if image in crowded else "no" for image in image_ids]),
        by_ranges("objects", [len(areas[image]) for image in image_ids], (0, 1, 2, 4, 8)),
        by_ranges("classes", [len(classes[image]) for image in image_ids], (0, 1, 2, 3)),
    ]
