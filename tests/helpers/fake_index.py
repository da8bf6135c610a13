"""A plain stand-in for index_annotations: it makes the index of a small COCO document, record by record.

The real indexer has tests of its own; the miner's unit tests need an index in which reasons can be set at will.
"""

import hashlib
import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from cocomine.annotations.reasons import Reason, mask_of
from cocomine.annotations.schema import ANNOTATIONS, FORMAT, IMAGES


def spans(text: str, key: str) -> list[tuple[int, int]]:
    """Byte spans of the records of a top-level array; the text must be ASCII, so that letters are bytes."""
    at = text.index(f'"{key}": [') + len(f'"{key}": [')
    decoder = json.JSONDecoder()
    found: list[tuple[int, int]] = []
    while True:
        while text[at] in ", \n":
            at += 1
        if text[at] == "]":
            return found
        _, end = decoder.raw_decode(text, at)
        found.append((at, end - at))
        at = end


def make_index(index_dir: Path, task: str, split: str, annotation_file: Path, reasons=None) -> Path:
    """Write the index of `annotation_file`. `reasons` maps ("image" | "annotation", row) to a list of Reasons."""
    reasons = reasons or {}
    text = annotation_file.read_text("ascii")
    document = json.loads(text)
    images, annotations = document["images"], document["annotations"]
    first_row: dict[int, int] = {}
    image_rows, annotation_rows = [], []
    for row, (image, (offset, length)) in enumerate(zip(images, spans(text, "images"), strict=True)):
        found = list(reasons.get(("image", row), []))
        if image["id"] in first_row:
            found.append(Reason.DUPLICATE_ID)
        first_row.setdefault(image["id"], row)
        name = image.get("file_name")
        image_rows.append(
            {
                "row": row,
                "id": image["id"],
                "id_text": None,
                "file_name": name,
                "store_path": f"{split}/{name}",
                "width": image["width"],
                "height": image["height"],
                "license": image.get("license", -1),
                "coco_url": image.get("coco_url"),
                "flickr_url": image.get("flickr_url"),
                "date_captured": None,
                "offset": offset,
                "length": length,
                "reasons": mask_of(*set(found)),
            }
        )
    category_ids = {category["id"] for category in document.get("categories", [])}
    for row, (record, (offset, length)) in enumerate(zip(annotations, spans(text, "annotations"), strict=True)):
        found = list(reasons.get(("annotation", row), []))
        if record["image_id"] not in first_row:
            found.append(Reason.MISSING_IMAGE)
        if "category_id" in record and record["category_id"] not in category_ids:
            found.append(Reason.MISSING_CATEGORY)
        box = record.get("bbox") or [math.nan] * 4
        shape = record.get("segmentation")
        polygons = shape if isinstance(shape, list) else []
        annotation_rows.append(
            {
                "row": row,
                "record": row,
                "id": record["id"],
                "id_text": None,
                "image_id": record["image_id"],
                "category_id": record.get("category_id", -1),
                "image_row": first_row.get(record["image_id"], -1),
                "iscrowd": record.get("iscrowd", -1),
                "area": record.get("area", math.nan),
                "bbox_x": box[0],
                "bbox_y": box[1],
                "bbox_w": box[2],
                "bbox_h": box[3],
                "segmentation": 1 if polygons else 2 if shape else 0,
                "polygons": len(polygons),
                "vertices": sum(len(polygon) // 2 for polygon in polygons),
                "num_keypoints": record.get("num_keypoints", -1),
                "caption": record.get("caption"),
                "offset": offset,
                "length": length,
                "reasons": mask_of(*set(found)),
            }
        )
    folder = index_dir / f"{task}_{split}"
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(image_rows, schema=IMAGES), folder / "images.parquet")
    pq.write_table(pa.Table.from_pylist(annotation_rows, schema=ANNOTATIONS), folder / "annotations.parquet")
    manifest = {
        "format": FORMAT,
        "task": task,
        "source_file": annotation_file.name,
        "bytes": len(text),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "info_span": _value_span(text, "info"),
        "licenses_span": _value_span(text, "licenses"),
        "categories": document.get("categories", []),
        "categories_spans": [list(span) for span in spans(text, "categories")] if "categories" in document else [],
        "licenses": document.get("licenses"),
        "counts": {"images": len(images), "annotations": len(annotations), "categories": len(category_ids)},
        "reasons": {},
        "unknown_top_level_keys": [],
    }
    (folder / "index.json").write_text(json.dumps(manifest))
    return folder


def _value_span(text: str, key: str):
    marker = f'"{key}": '
    if marker not in text:
        return None
    at = text.index(marker) + len(marker)
    _, end = json.JSONDecoder().raw_decode(text, at)
    return [at, end - at]
