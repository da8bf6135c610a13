"""The area of an object's drawn mask, by COCO's own rules."""

from __future__ import annotations

from typing import Any

from pycocotools import mask as coco_mask


def drawn_area(segmentation: Any, width: int, height: int) -> int | None:
    """Return the number of pixels that pycocotools draws for a segmentation in an image of `width` x `height`.

    Polygons are united before they are counted. None for what cannot be drawn without risk: no segmentation, polygons
    of fewer than 6 numbers only, run lengths of another size than the image's.
    """
    if isinstance(segmentation, list):
        polygons = [polygon for polygon in segmentation if isinstance(polygon, list) and len(polygon) >= 6]
        if not polygons or any(len(polygon) % 2 for polygon in polygons):
            return None
        rles = coco_mask.frPyObjects(polygons, height, width)
        return int(coco_mask.area(rles[0] if len(rles) == 1 else coco_mask.merge(rles)))
    if not isinstance(segmentation, dict) or segmentation.get("size") != [height, width]:
        return None
    counts = segmentation.get("counts")
    if isinstance(counts, list):
        if not all(isinstance(run, int) and run >= 0 for run in counts) or sum(counts) != width * height:
            return None
        # Every second run is of the object; the first is of the background.
        return sum(counts[1::2])
    if isinstance(counts, str) and counts.isascii():
        return int(coco_mask.area({"size": [height, width], "counts": counts.encode("ascii")}))
    return None
