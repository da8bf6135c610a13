"""The label files of YOLO: one line an object, class index first, coordinates as shares of the image's sides.

Layout and meaning are those of Ultralytics (docs: "Object Detection Datasets Overview", "Instance Segmentation Datasets
Overview" and "Pose Estimation Datasets Overview"): `class cx cy w h` for boxes, `class x1 y1 x2 y2 …` for outlines.
Crowds are left out, as their own converter `convert_coco` does, and the parts of an object are joined into one outline,
since a line holds only one.
"""

import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import mul
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import yaml

from cocomine.base.errors import CocomineError
from cocomine.coco.reader import Annotation
from cocomine.formats.boxes import cut_box
from cocomine.formats.format import Format, Writer
from cocomine.formats.masks import Masks, check_narrow
from cocomine.formats.output import Output
from cocomine.formats.subset import Item
from cocomine.formats.tally import Tally

if TYPE_CHECKING:  # it brings NumPy, and most exports do without
    from cocomine.coco.by_image import RecordsByImage

JOINING_CHANGES_BELOW = 0.99
"""IoU of the parts' union and the joined outline under which an object is counted as changed."""

SURELY_AN_AREA = 1e-3
"""Square pixels above which rounding cannot have made the area that an outline goes round."""


Line = Callable[[Annotation, int, int, int, Tally], str | None]
"""Makes an object's line of its class index and its image's width and height; None when the tally says why not."""


class _Yolo(Writer):
    """Writes images/{split}/, labels/{split}/ with a text file an image, and data.yaml."""

    def write_split(self, split: str, items: Iterable[Item], tally: Tally, out: Output) -> None:
        """Write the label file of each image and place the image."""
        line, index_of = self.line(), self.index_of()
        for item in items:
            name = written_name(item.name)
            out.write(f"labels/{split}/{name.with_suffix('.txt')}", label_text(line, index_of, item, tally))
            out.image(item, f"images/{split}/{name}")

    @abstractmethod
    def line(self) -> Line:
        """Return what makes an object's line."""

    def index_of(self) -> Mapping[int, int]:
        """Return the class index of each category that is one of the labels."""
        return self.subset.index_of

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

    def line(self) -> Line:
        """Return what makes `class cx cy w h`."""
        return detect_line


class Segment(_Yolo):
    """An outline a line."""

    def line(self) -> Line:
        """Return what makes `class x1 y1 x2 y2 …`."""
        return segment_line


def label_text(line_of: Line, index_of: Mapping[int, int], item: Item, tally: Tally) -> str:
    """Return the label file of one image: a line for each object that the format can carry."""
    lines: list[str] = []
    seen: set[str] = set()
    areas = 0
    for annotation in item.objects:
        tally.take(annotation)
        index = index_of.get(annotation.category_id)
        if annotation.iscrowd:
            tally.drop("crowd")
        elif index is None:
            tally.drop("other-class")
        else:
            line = line_of(annotation, index, item.image.width, item.image.height, tally)
            if line is not None:
                tally.carry()
                areas += annotation.area is not None
                if line in seen:
                    tally.note("identical-row")
                seen.add(line)
                lines.append(line)
    tally.image(item, empty=not lines)
    tally.note("image-id")
    tally.note("object-id", len(lines))
    tally.note("area", areas)
    tally.note("only-uncarried", int(bool(item.objects) and not lines))
    return "".join(line + "\n" for line in lines)


def detect_line(annotation: Annotation, index: int, width: int, height: int, tally: Tally) -> str | None:
    """Return `class cx cy w h` for an object's box, cut at the image's edge."""
    box = cut_box(annotation, width, height, tally)
    if box is None:
        return None
    left, top, right, bottom = box
    if annotation.segmentation:
        tally.note("shape")
    centre_x, centre_y = (left + right) / 2 / width, (top + bottom) / 2 / height
    return f"{index} {centre_x:.6f} {centre_y:.6f} {(right - left) / width:.6f} {(bottom - top) / height:.6f}"


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
        return _traced(annotation, segmentation, width, height, tally)
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
        tally.joined.append(polygons.joining_iou(kept, outline, width, height))
        if tally.joined[-1] < JOINING_CHANGES_BELOW:
            tally.note("changed-by-joining")
    numbers: list[float] = outline.ravel().tolist()
    return numbers


def _traced(
    annotation: Annotation, segmentation: dict[str, Any], width: int, height: int, tally: Tally
) -> list[float] | None:
    """Return the outline of an object that comes as run lengths, its holes among it."""
    from cocomine.formats import trace

    mask = trace.mask_of(segmentation, width, height)
    if mask is None:
        tally.drop("rle-object")
        return None
    outline = trace.joined_outline(mask)
    if outline is None:
        tally.drop("zero-area")
        return None
    tally.note("traced")
    tally.traced[annotation.id] = trace.drawn_iou(outline, mask)
    numbers: list[float] = outline.ravel().tolist()
    return numbers


class Pose(_Yolo):
    """A box and the keypoints of an object a line; the classes are those that have keypoints."""

    carries: ClassVar[tuple[str, ...]] = ("person_keypoints",)

    def check(self) -> None:
        """Raise CocomineError when no class has keypoints, or two have other numbers of them."""
        self._names = self._keypoint_names()
        places = sorted({self.subset.index_of[category] for category in self._names})
        self._index_of = {place: index for index, place in enumerate(places)}

    def _keypoint_names(self) -> dict[int, list[str]]:
        """Return the names of the keypoints of each category that has some and a label."""
        found: dict[int, list[str]] = {}
        for split in self.subset.splits:
            document = self.subset.other_tasks(split).get("person_keypoints")
            for category in document.categories if document else ():
                if category.get("keypoints") and category.get("id") in self.subset.index_of:
                    found[category["id"]] = [str(name) for name in category["keypoints"]]
        if not found:
            raise CocomineError(
                "yolo-pose: no class of this subset has keypoints",
                "add person_keypoints to the tasks of its source and ask for a class that has them, as person; or "
                "export yolo-detect",
            )
        if len({len(names) for names in found.values()}) > 1:
            numbers = ", ".join(f"category {number} has {len(names)}" for number, names in sorted(found.items()))
            raise CocomineError(
                f"yolo-pose: its classes have different numbers of keypoints: {numbers}",
                "mine a subset of one of them: data.yaml states one number for all",
            )
        return found

    def write_split(self, split: str, items: Iterable[Item], tally: Tally, out: Output) -> None:
        """Give the objects their keypoints, by annotation id, then write as every YOLO does."""
        document = self.subset.other_tasks(split).get("person_keypoints")
        super().write_split(split, (_with_keypoints(item, document) for item in items), tally, out)

    def index_of(self) -> Mapping[int, int]:
        """Return the class index among those that have keypoints."""
        return {category: self._index_of[self.subset.index_of[category]] for category in self._names}

    def line(self) -> Line:
        """Return what makes `class cx cy w h x1 y1 v1 …`."""
        return partial(pose_line, len(next(iter(self._names.values()))))

    def names(self) -> Iterable[str]:
        """Return the names of the classes that have keypoints."""
        return (self.subset.classes[place] for place in self._index_of)

    def data(self) -> Mapping[str, Any]:
        """Say which keypoints an object has, and which change places when an image is mirrored."""
        names = next(iter(self._names.values()))
        named = dict.fromkeys(self._index_of.values(), names)
        return {"kpt_shape": [len(names), 3], "flip_idx": mirrored(names), "kpt_names": named}


def _with_keypoints(item: Item, document: "RecordsByImage | None") -> Item:
    points = {record.id: record.keypoints for record in (document.annotations(item.image.id) if document else ())}
    objects = (msgspec.structs.replace(one, keypoints=points.get(one.id)) for one in item.objects)
    return replace(item, objects=tuple(objects))


def pose_line(count: int, annotation: Annotation, index: int, width: int, height: int, tally: Tally) -> str | None:
    """Return `class cx cy w h x1 y1 v1 …` with `count` keypoints.

    Visibility is COCO's: 0 not labelled, 1 hidden, 2 visible.
    """
    box = detect_line(annotation, index, width, height, tally)
    if box is None:
        return None
    points = annotation.keypoints
    if points is None or len(points) != 3 * count:
        tally.note("no-keypoints")
        points = [0.0] * (3 * count)
    words = []
    for x, y, seen in zip(points[0::3], points[1::3], points[2::3], strict=True):
        inside = 0 <= x <= width and 0 <= y <= height and seen > 0
        if seen > 0 and not inside:
            tally.note("keypoint-outside")
        words.append(f"{x / width:.6f} {y / height:.6f} {seen:.0f}" if inside else "0.000000 0.000000 0")
    return f"{box} {' '.join(words)}"


def mirrored(names: Sequence[str]) -> list[int]:
    """Return for each keypoint the place of its mirror image: `left` in its name and `right` change places."""
    swapped = [re.sub("left|right", lambda side: "right" if side[0] == "left" else "left", name) for name in names]
    return [names.index(name) if name in names else place for place, name in enumerate(swapped)]


def written_name(name: PurePosixPath) -> PurePosixPath:
    """Return an image's name below images/{split}/: in it a folder called `images` is `images_`.

    Readers look for labels where the last folder `images` of an image's path is, which must be the export's own.
    """
    return PurePosixPath(*(f"{part}_" if part == "images" else part for part in name.parts[:-1]), name.name)


class Semantic(Masks):
    """Images beside masks with data.yaml, as Ultralytics reads semantic segmentation; label 0 is the background."""

    def name_of(self, item: Item) -> PurePosixPath:
        """Return how an image is called below images/{split}/ and masks/{split}/."""
        return written_name(item.name)

    def check(self) -> None:
        """Raise CocomineError for more than 254 classes."""
        check_narrow("yolo-semantic", self.subset)

    def finish(self, out: Output) -> None:
        """Write data.yaml and say which value is which class."""
        super().finish(out)
        splits = {split: f"images/{split}" for split in self.subset.splits}
        names = dict(enumerate(self.subset.labels.names))
        content = {**splits, "masks_dir": "masks", "names": names}
        out.write("data.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10**6))


_LAYOUT = (
    "Ultralytics' layout: images/{split}/ and labels/{split}/ with one text file an image, a line an object: class, "
)

FORMATS = (
    Format(
        name="yolo-detect",
        writer=Detect,
        what=_LAYOUT + "then centre, width and height of its box as shares of the image; data.yaml names the classes.",
        read_by="Ultralytics, supervision",
        load='ultralytics.YOLO("yolo26n.pt").train(data="{folder}/data.yaml")',
        by_stem=True,
    ),
    Format(
        name="yolo-segment",
        writer=Segment,
        what=_LAYOUT + "then the points of its outline as shares of the image; data.yaml names the classes.",
        read_by="Ultralytics, supervision",
        load='ultralytics.YOLO("yolo26n-seg.pt").train(data="{folder}/data.yaml")',
        by_stem=True,
        long=True,
    ),
    Format(
        name="yolo-pose",
        writer=Pose,
        what=_LAYOUT + "its box as yolo-detect has it, then x, y and visibility of each keypoint; data.yaml names the "
        "classes that have keypoints, and which of these change places in a mirror.",
        read_by="Ultralytics",
        load='ultralytics.YOLO("yolo26n-pose.pt").train(data="{folder}/data.yaml")',
        tasks=("person_keypoints",),
        by_stem=True,
    ),
    Format(
        name="yolo-semantic",
        writer=Semantic,
        what="Ultralytics' layout of semantic segmentation: images/{split}/ and masks/{split}/ with one PNG an image, "
        "the label as the value of each pixel (0 background, 255 void); data.yaml names the labels, background first.",
        read_by="Ultralytics from 8.4 on",
        load='ultralytics.YOLO("yolo26n-sem.yaml").train(data="{folder}/data.yaml")',
        masks=("semantic",),
        by_stem=True,
    ),
)
