"""Small COCO documents for tests, and the index of one read back."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cocomine.annotations.build import build_index
from cocomine.annotations.reasons import Reason, reasons_of
from cocomine.annotations.schema import open_index


def image(number: int = 1, **changes: Any) -> dict[str, Any]:
    """An image of 100 x 80 px; a change to None takes the key out."""
    record = {"id": number, "file_name": f"{number:012d}.jpg", "width": 100, "height": 80, "license": 1}
    return _changed(record, changes)


def thing(number: int = 1, **changes: Any) -> dict[str, Any]:
    """An annotation of image 1: a square of 10 x 10 px at (10, 10)."""
    record = {
        "segmentation": [[10, 10, 20, 10, 20, 20, 10, 20]],
        "area": 100.5,
        "iscrowd": 0,
        "image_id": 1,
        "bbox": [10, 10, 10, 10],
        "category_id": 7,
        "id": number,
    }
    return _changed(record, changes)


def _changed(record: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**record, **changes}.items() if value is not None}


def document(*annotations: Any, images: Any = None, categories: Any = None, **top: Any) -> dict[str, Any]:
    """A document of one image and one category (7, cat) unless others are given."""
    return {
        "info": {"year": 2017},
        "licenses": [{"id": 1, "name": "by", "url": "u"}],
        "images": [image()] if images is None else images,
        "annotations": list(annotations),
        "categories": [{"id": 7, "name": "cat", "supercategory": "animal"}] if categories is None else categories,
        **top,
    }


@dataclass
class Read:
    """An index read back: the manifest and the rows of both tables as dicts, with `reasons` as a set of codes."""

    manifest: dict[str, Any]
    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    path: Path

    def raw(self, row: dict[str, Any]) -> bytes:
        """The bytes of a row's span."""
        return self.path.read_bytes()[row["offset"] : row["offset"] + row["length"]]


def indexed(folder: Path, content: Any, task: str = "instances", threads: int = 1) -> Read:
    """Index `content` (a document, text or bytes) as a file in `folder`."""
    if not isinstance(content, str | bytes):
        content = json.dumps(content)
    path = folder / f"{task}_val2017.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    build_index(path, task, "val2017", folder / "index", threads)
    index = open_index(folder / "index")
    return Read(index.manifest, _rows(index.images()), _rows(index.annotations()), path)


def _rows(table: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.to_pylist()
    for row in rows:
        row["reasons"] = {str(reason) for reason in reasons_of(row["reasons"])}
    return rows


def codes(*reasons: Reason) -> set[str]:
    """The codes of reasons."""
    return {str(reason) for reason in reasons}
