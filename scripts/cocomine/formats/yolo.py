"""The label files of YOLO: one line an object, class index first, coordinates as shares of the image's sides.

Layout and meaning are those of Ultralytics (docs: "Object Detection Datasets Overview", "Instance Segmentation Datasets
Overview" and "Pose Estimation Datasets Overview"): `class cx cy w h` for boxes, `class x1 y1 x2 y2 …` for outlines.
Crowds are left out, as their own converter `convert_coco` does, and the parts of an object are joined into one outline,
since a line holds only one.
"""

import math
from collections.abc import Iterable, Mapping
from operator import mul
from typing import Any

import yaml

from cocomine.coco.reader import Annotation
from cocomine.formats.format import Format, Writer
from cocomine.formats.output import Output
from cocomine.formats.subset import Item
from cocomine.formats.tally import Tally

JOINING_CHANGES_BELOW = 0.99
"""IoU of the parts' union and the joined outline under which an object is counted as changed."""

SURELY_AN_AREA = 1e-3
"""Square pixels above which rounding cannot have made the area that an outline goes round."""


class _Yolo(Writer):
    """Writes images/{split}/, labels/{split}/ with a text file an image, and data.yaml."""

    def write_split(self, split: str, items: Iterable[Item], tally: Tally, out: Output) -> None:
        """Write the label file of each image and place the image."""
        (out.folder / "labels" / split).mkdir(parents=True)
        for item in items:
            name = item.name
            out.write(f"labels/{split}/{name.with_suffix('.txt')}", self.label_text(item, tally))
            out.image(item, f"images/{split}/{name}")

    def label_text(self, item: Item, tally: Tally) -> str:
        """Return the label file of one image: a line for each object that the format can carry."""
        lines: list[str] = []
        seen: set[str] = set()
        for annotation in item.objects:
            tally.take(annotation)
            index = self.index_of(annotation)
            if annotation.iscrowd:
                tally.drop("crowd")
            elif index is None:
                tally.drop("other-class")
            else:
                line = self.line(annotation, index, item, tally)
                if line is not None:
                    tally.carry()
                    tally.note("object-id")
                    if annotation.area is not None:
                        tally.note("area")
                    if line in seen:
                        tally.note("identical-row")
                    seen.add(line)
                    lines.append(line)
        tally.images += 1
        tally.note("image-id")
        if not lines:
            tally.images_without_objects += 1
            if item.objects:
                tally.note("only-uncarried")
        return "".join(line + "\n" for line in lines)

    def index_of(self, annotation: Annotation) -> int | None:
        """Return the class index of an object, None when its class is not one of the labels."""
        return self.subset.index_of.get(annotation.category_id)

    def line(self, annotation: Annotation, index: int, item: Item, tally: Tally) -> str | None:
        """Return an object's line, or None when the tally says why there is none."""
        raise NotImplementedError

    def finish(self, out: Output) -> None:
        """Write data.yaml; without `path`, which Ultralytics would resolve against a folder of its own."""
        splits = {split: f"images/{split}" for split in self.subset.splits}
        content = {**splits, "names": dict(enumerate(self.names())), **self.data()}
        out.write("data.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10**6))

    def names(self) -> Iterable[str]:
        """Return the names of the classes, by class index."""
        return self.subset.classes

    def data(self) -> Mapping[str, Any]:
        """Return what data.yaml says besides splits and names."""
        return {}


class Detect(_Yolo):
    """A box a line."""

    def line(self, annotation: Annotation, index: int, item: Item, tally: Tally) -> str | None:
        """Return `class cx cy w h`."""
        return detect_line(annotation, index, item.image.width, item.image.height, tally)


class Segment(_Yolo):
    """An outline a line."""

    def line(self, annotation: Annotation, index: int, item: Item, tally: Tally) -> str | None:
        """Return `class x1 y1 x2 y2 …`."""
        return segment_line(annotation, index, item.image.width, item.image.height, tally)


def detect_line(annotation: Annotation, index: int, width: int, height: int, tally: Tally) -> str | None:
    """Return `class cx cy w h` for an object's box, cut at the image's edge."""
    box = box_of(annotation)
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


def box_of(annotation: Annotation) -> tuple[float, float, float, float] | None:
    """Return the stated box [x, y, w, h] in pixels, else the one round the outlines, else None."""
    box = annotation.bbox
    if box is not None and len(box) == 4 and all(math.isfinite(side) for side in box):
        return (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
    if isinstance(annotation.segmentation, list):
        parts = [part[: len(part) // 2 * 2] for part in annotation.segmentation if len(part) >= 6]
        xs, ys = ([number for part in parts for number in part[axis::2]] for axis in (0, 1))
        if xs:
            return (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
    return None


def segment_line(annotation: Annotation, index: int, width: int, height: int, tally: Tally) -> str | None:
    """Return `class x1 y1 x2 y2 …` for an object's outline, cut at the image's edge, its parts joined."""
    numbers = _plain(annotation.segmentation, width, height) or _outline(annotation, width, height, tally)
    if numbers is None:
        return None
    if annotation.bbox is not None:
        tally.note("box")
    shares = [0.0] * len(numbers)
    shares[0::2] = [x / width for x in numbers[0::2]]
    shares[1::2] = [y / height for y in numbers[1::2]]
    return f"{index} " + " ".join(["%.6f"] * len(shares)) % tuple(shares)


def _plain(segmentation: object, width: int, height: int) -> list[float] | None:
    """Return the outline of the usual object, one part with an area inside the image, which needs no arithmetic."""
    if not isinstance(segmentation, list) or len(segmentation) != 1 or len(segmentation[0]) < 6:
        return None
    numbers: list[float] = segmentation[0][: len(segmentation[0]) // 2 * 2]
    xs, ys = numbers[0::2], numbers[1::2]
    if not (min(xs) >= 0 and min(ys) >= 0 and max(xs) <= width and max(ys) <= height):
        return None
    twice = sum(map(mul, xs, ys[1:] + ys[:1])) - sum(map(mul, ys, xs[1:] + xs[:1]))
    return numbers if abs(twice) > 2 * SURELY_AN_AREA else None


def _outline(annotation: Annotation, width: int, height: int, tally: Tally) -> list[float] | None:
    """Return the outline x1, y1, x2, y2, … of any object in pixels, or None when the tally says why there is none."""
    from cocomine.formats import polygons  # not at the top: most objects do without, and NumPy takes its time

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
    kept = [part for part in inside if polygons.area(part) > 0 or polygons.pixels(part, width, height)]
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
    numbers: list[float] = outline.ravel().tolist()
    return numbers


_LAYOUT = (
    "Ultralytics' layout: images/{split}/ and labels/{split}/ with one text file an image, a line an object: class, "
)

FORMATS = (
    Format(
        name="yolo-detect",
        writer=Detect,
        what=_LAYOUT + "then centre, width and height of its box as shares of the image; data.yaml names the classes.",
        read_by="Ultralytics, supervision",
        load='ultralytics.YOLO("yolo11n.pt").train(data="{folder}/data.yaml")',
        by_stem=True,
    ),
    Format(
        name="yolo-segment",
        writer=Segment,
        what=_LAYOUT + "then the points of its outline as shares of the image; data.yaml names the classes.",
        read_by="Ultralytics, supervision",
        load='ultralytics.YOLO("yolo11n-seg.pt").train(data="{folder}/data.yaml")',
        by_stem=True,
    ),
)
