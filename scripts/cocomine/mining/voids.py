"""The regions of quarantined objects, which are neither an object nor background: void.json, for the masks to draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from cocomine.annotations.drawing import as_rle
from cocomine.annotations.lenient import Facts, MalformedRecordError, as_numbers, parse_leniently
from cocomine.base.files import canonical_json
from cocomine.coco.writer import write_document


def region_of(raw: bytes, width: int, height: int) -> dict[str, Any] | None:
    """Return what an annotation covers as COCO's compressed run lengths: its outline or, if that is unusable, its box.

    `width` and `height` are the image's, in pixels. None when nothing tells where the object is.
    """
    try:
        record = parse_leniently(raw, Facts())
    except MalformedRecordError:
        return None
    if not isinstance(record, dict) or min(width, height) <= 0:
        return None
    outline = as_rle(record.get("segmentation"), width, height)
    if outline is not None and coco_mask.area(outline):
        return _as_text(outline)
    box = as_numbers(record.get("bbox"))
    if box is None or len(box) != 4 or not all(map(math.isfinite, box)) or min(box[2:]) <= 0:
        return None
    left, top = max(0, math.floor(box[0])), max(0, math.floor(box[1]))
    right, bottom = min(width, math.ceil(box[0] + box[2])), min(height, math.ceil(box[1] + box[3]))
    if right <= left or bottom <= top:
        return None
    corners = np.array([[left, top, right - left, bottom - top]], dtype=np.float64)
    (rle,) = coco_mask.frPyObjects(corners, height, width)
    return _as_text(rle)


def _as_text(rle: dict[str, Any]) -> dict[str, Any]:
    counts = rle["counts"]
    return {"size": list(rle["size"]), "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts}


def write_voids(path: Path, regions: Sequence[dict[str, Any]]) -> None:
    """Write void.json: a COCO document with an annotation for each region."""
    write_document(path, None, None, (), (canonical_json(region).encode() for region in regions), ())
