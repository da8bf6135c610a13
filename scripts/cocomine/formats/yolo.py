"""The label files of YOLO: one line an object, class index first, coordinates as shares of the image's sides.

Layout and meaning are those of Ultralytics (docs: "Object Detection Datasets Overview" and "Instance Segmentation
Datasets Overview"): `class cx cy w h` for boxes, `class x1 y1 x2 y2 …` for outlines. Crowds are left out, as their own
converter `convert_coco` does, and the parts of an object are joined into one outline, since a line holds only one.
"""

import math
from collections.abc import Callable

from cocomine.coco.reader import Annotation
from cocomine.formats import polygons
from cocomine.formats.subset import Item, Labels
from cocomine.formats.tally import Tally

JOINING_CHANGES_BELOW = 0.99
"""IoU of the parts' union and the joined outline under which an object is counted as changed."""

Line = Callable[[Annotation, int, int, int, Tally], str | None]
"""(object, class index, image width, image height, tally) to a line, or None when the tally says why there is none."""


def label_text(item: Item, labels: Labels, line_of: Line, tally: Tally) -> str:
    """Return the label file of one image: a line for each object that the format can carry."""
    lines: list[str] = []
    for annotation in item.objects:
        tally.objects_in += 1
        index = labels.index_of.get(annotation.category_id)
        if annotation.iscrowd:
            tally.drop("crowd")
        elif index is None:
            tally.drop("other-class")
        else:
            line = line_of(annotation, index, item.image.width, item.image.height, tally)
            if line is not None:
                tally.objects_out += 1
                tally.note("object-id")
                if annotation.area is not None:
                    tally.note("area")
                if line in lines:
                    tally.note("identical-row")
                lines.append(line)
    tally.images += 1
    tally.note("image-id")
    if not lines:
        tally.images_without_objects += 1
        if item.objects:
            tally.note("only-uncarried")
    return "".join(line + "\n" for line in lines)


def detect_line(annotation: Annotation, index: int, width: int, height: int, tally: Tally) -> str | None:
    """Return `class cx cy w h` for an object's box, cut at the image's edge."""
    box = _box_of(annotation)
    if box is None:
        tally.drop("no-box")
        return None
    x, y, w, h = box
    left, top, right, bottom = max(x, 0.0), max(y, 0.0), min(x + w, float(width)), min(y + h, float(height))
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        tally.drop("outside" if w > 0 and h > 0 else "zero-area")
        return None
    if right <= left or bottom <= top:
        tally.drop("zero-area")
        return None
    if (left, top, right, bottom) != (x, y, x + w, y + h):
        tally.note("clipped")
    if annotation.segmentation:
        tally.note("shape")
    centre_x, centre_y = (left + right) / 2 / width, (top + bottom) / 2 / height
    return f"{index} {centre_x:.6f} {centre_y:.6f} {(right - left) / width:.6f} {(bottom - top) / height:.6f}"


def _box_of(annotation: Annotation) -> tuple[float, float, float, float] | None:
    """The stated box [x, y, w, h] in pixels, else the one round the outlines, else None."""
    box = annotation.bbox
    if box is not None and len(box) == 4 and all(math.isfinite(side) for side in box):
        return (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
    if isinstance(annotation.segmentation, list):
        parts = polygons.parts_of(annotation.segmentation)
        if parts:
            low = [min(float(part[:, axis].min()) for part in parts) for axis in (0, 1)]
            high = [max(float(part[:, axis].max()) for part in parts) for axis in (0, 1)]
            return (low[0], low[1], high[0] - low[0], high[1] - low[1])
    return None


def segment_line(annotation: Annotation, index: int, width: int, height: int, tally: Tally) -> str | None:
    """Return `class x1 y1 x2 y2 …` for an object's outline, cut at the image's edge, its parts joined."""
    segmentation = annotation.segmentation
    if not segmentation:
        tally.drop("no-segmentation")
        return None
    if isinstance(segmentation, dict):
        tally.drop("rle-object")
        return None
    stated = polygons.parts_of(segmentation)
    if not stated:
        tally.drop("polygon-too-short")
        return None
    cut = [polygons.clip(part, width, height) for part in stated]
    inside = [part for part in cut if len(part) >= 3]
    if not inside:
        tally.drop("outside")
        return None
    kept = [part for part in inside if polygons.area(part) > 0]
    if not kept:
        tally.drop("zero-area")
        return None
    if any(new is not old for new, old in zip(cut, stated, strict=True)):
        tally.note("clipped")
    if len(kept) < len(segmentation):
        tally.note("parts-dropped")
    outline = kept[0]
    if len(kept) > 1:
        outline = polygons.join(kept)
        tally.note("parts-joined")
        if polygons.joining_iou(kept, outline, width, height) < JOINING_CHANGES_BELOW:
            tally.note("changed-by-joining")
    if annotation.bbox is not None:
        tally.note("box")
    shares = (outline / (width, height)).ravel().tolist()
    return f"{index} " + " ".join(["%.6f"] * len(shares)) % tuple(shares)
