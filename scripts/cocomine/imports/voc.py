"""Pascal VOC: an XML file an image, and where the objects are drawn, SegmentationObject.

Everingham et al., "The PASCAL Visual Object Classes Challenge 2012 Development Kit": boxes are whole pixels counted
from 1, both ends included, so that (xmin, ymin, xmax, ymax) covers (xmin - 1, ymin - 1) to (xmax, ymax). `difficult`
objects are left out of evaluation, which is what COCO's `iscrowd` says to it. SegmentationObject has a value an object,
0 for the background and 255 for void.
"""

import io
import math
import posixpath
import warnings
from collections.abc import Iterator
from functools import cached_property
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt
from PIL import Image
from pycocotools import mask as coco_mask

from cocomine.base.errors import CocomineError
from cocomine.imports.files import FileProblem, stem_of
from cocomine.imports.labels import Job, Object
from cocomine.imports.named import OneFileAnImage, Sheet, by_split, no_such_split, own_splits
from cocomine.imports.reasons import Reason

VOID = 255
LEAST_IOU = 0.5
"""IoU of an object's box with the box of its drawn pixels from which on the pixels are taken for it."""

Element = ET.Element


class Voc(OneFileAnImage[Element]):
    """Reads VOCdevkit, one folder of it, or XML files beside their images."""

    def __init__(self, job: Job) -> None:
        """Find the XML files. Raises CocomineError where there is none, or none of a split that is asked for."""
        paths = [path for path in job.files.all if path.lower().endswith(".xml")]
        if not paths:
            raise CocomineError(f"{job.files.root}: no XML file in it", "give the folder that holds Annotations/")
        self._lists = _image_sets(job)
        self.own_splits = tuple(self._lists) or own_splits(paths)
        super().__init__(job, self._split(job, paths) if self._lists else by_split(job, paths, self.own_splits))

    def _split(self, job: Job, paths: list[str]) -> dict[str, list[str]]:
        """Return the XML files of each split by ImageSets/Main/{split}.txt; all where no split is asked for."""
        if not job.splits:
            return {job.all_as: paths}
        result = {}
        for split in job.splits:
            if split not in self._lists:
                raise no_such_split(job, split, self.own_splits)
            result[split] = [path for path in paths if stem_of(path) in self._lists[split]]
        return result

    def read(self, path: str) -> Sheet[Element]:
        """Return the objects of an XML file. Raises FileProblem for a document type (DTD), whatever it declares."""
        root = parse_xml(self._files.content(path))
        size = root.find("size")
        stated = (_whole(size, "width"), _whole(size, "height")) if size is not None else (0, 0)
        return Sheet(root.findtext("filename", "").strip(), stated if min(stated) > 0 else None, root.findall("object"))

    def image_of(self, path: str, said: str) -> str | Reason:
        """Return the image of the XML file's stem, or else the one that it names."""
        folder, stem = _base_and_stem(path)
        found = self._named.of_stem(folder, stem)
        named = self._named.find(folder, said) if said else None
        if len(found) > 1 and named not in found:
            return Reason.TWO_OF_ONE_STEM
        return (named if named in found else found[0]) if found else named or Reason.MISSING_IMAGE

    def objects(self, path: str, size: tuple[int, int], labels: list[Element]) -> Iterator[Object]:
        """Yield the objects, with their pixels where SegmentationObject shows them."""
        found = [self._object(path, number, element) for number, element in enumerate(labels, 1)]
        whole = [one for one in found if not one.lost]
        values = self._drawn(path, size)
        if values is not None:
            self._tally.lost["drawn objects without a box"] += _with_pixels(whole, values)
        yield from found

    def _object(self, path: str, number: int, element: Element) -> Object:
        name = element.findtext("name", "").strip()
        box = element.find("bndbox")
        corners = [_number(box, side) for side in ("xmin", "ymin", "xmax", "ymax")] if box is not None else []
        known = Object(name or None, None, more=_flags(element))
        known.iscrowd = int(known.more.get("difficult", 0))
        self._tally.lost["parts of objects"] += len(element.findall("part"))
        if not corners:
            return self._tally.lose(path, number, Reason.NO_BOX, name, known)
        if not all(map(math.isfinite, corners)):
            return self._tally.lose(path, number, Reason.NOT_A_NUMBER, name, known)
        (left, right), (top, bottom) = sorted(corners[0::2]), sorted(corners[1::2])
        known.bbox = (left - 1, top - 1, right - left + 1, bottom - top + 1)
        if not name:
            return self._tally.lose(path, number, Reason.NO_CLASS, corners, known)
        if [left, top, right, bottom] == corners:
            self._tally.keep("label")
        else:
            self._tally.repair(path, number, Reason.CORNERS_SWAPPED, corners, [left, top, right, bottom])
        return known

    def _drawn(self, path: str, size: tuple[int, int]) -> npt.NDArray[np.uint8] | None:
        """Return the values of SegmentationObject, shape (height, width); None where there is none that fits."""
        base, annotations, rest = f"/{path}".rpartition("/Annotations/")
        mask = f"{base}/SegmentationObject/{stem_of(rest)}.png"[1:]
        if not annotations or mask not in self._masks:
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(io.BytesIO(self._files.content(mask)), formats=("PNG",)) as image:
                    if image.size != size or image.mode not in ("P", "L"):
                        raise FileProblem(f"{image.size[0]} x {image.size[1]}, mode {image.mode}")
                    return np.asarray(image)
        except Exception as problem:  # noqa: BLE001 - Pillow's decoders let any error through that a damaged file makes
            self._tally.set_aside("file", mask, "", Reason.UNREADABLE_FILE, problem)
            return None

    @cached_property
    def _masks(self) -> frozenset[str]:
        return frozenset(path for path in self._files.all if "SegmentationObject/" in path)


class _NoDoctype(ET.TreeBuilder):
    """Builds a tree, and refuses a document type: with it come entities, which may multiply or name other files."""

    def doctype(self, _name: str, _pubid: str | None, _system: str | None) -> None:
        raise FileProblem("a document type (DTD), which may declare entities, is refused")


def parse_xml(content: bytes) -> Element:
    """Return the root of an XML document. Raises FileProblem for what is none, or has a document type."""
    parser = ET.XMLParser(target=_NoDoctype())  # noqa: S314 - without a document type there are no entities
    try:
        parser.feed(content)
        root = parser.close()
    except (ET.ParseError, ValueError, LookupError) as error:
        raise FileProblem(f"not XML: {error}") from error
    assert isinstance(root, Element)
    return root


def _image_sets(job: Job) -> dict[str, set[str]]:
    """Return, of each list ImageSets/Main/{split}.txt that is of images alone, the stems of their XML files.

    Lists of one class (`dog_train.txt`) have a number behind each name, and trainval.txt holds what others hold.
    """
    lists: dict[str, set[str]] = {}
    for path in job.files.all:
        base, found, name = f"/{path}".rpartition("/ImageSets/Main/")
        split = name.removesuffix(".txt")
        if not found or split == name or "_" in split or split == "trainval":
            continue
        try:
            stems = [line.strip() for line in job.files.text(path).splitlines() if line.strip()]
        except FileProblem as problem:
            raise CocomineError(f"{job.files.root / path}: {problem}", "give a list of images, a name a line") from None
        lists.setdefault(split, set()).update(f"{base}/Annotations/{stem}"[1:] for stem in stems)
    return lists


def _base_and_stem(path: str) -> tuple[str, str]:
    """Return the folder beside which images lie, and the stem below it: ("a/Annotations", "cam/1")."""
    base, found, rest = f"/{path}".rpartition("/Annotations/")
    if found:
        return f"{base}/Annotations"[1:], stem_of(rest)
    return posixpath.dirname(path), posixpath.basename(stem_of(path))


def _with_pixels(objects: list[Object], values: npt.NDArray[np.uint8]) -> int:
    """Give each object the pixels whose box is most like its own; return how many values were no object's.

    The devkit counts the values as it lists the objects, and tools do not: so boxes decide, and of like ones the order.
    """
    boxes = {int(value): _box_of(values == value) for value in np.unique(values) if value not in (0, VOID)}
    pairs = sorted(
        (-_iou(one.bbox, box), value != place + 1, place, value)
        for place, one in enumerate(objects)
        for value, box in boxes.items()
        if one.bbox is not None and _iou(one.bbox, box) >= LEAST_IOU
    )
    places: set[int] = set()
    for _, _, place, value in pairs:
        if place in places or value not in boxes:
            continue
        places.add(place)
        del boxes[value]
        encoded = coco_mask.encode(np.asfortranarray(values == value, dtype=np.uint8))
        objects[place].segmentation = {"size": list(encoded["size"]), "counts": encoded["counts"].decode("ascii")}
        objects[place].area = float(coco_mask.area(encoded))
    return len(boxes)


def _box_of(pixels: npt.NDArray[np.bool_]) -> tuple[float, float, float, float]:
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    left, top = float(columns[0]), float(rows[0])
    return left, top, float(columns[-1]) + 1 - left, float(rows[-1]) + 1 - top


def _iou(one: Any, other: Any) -> float:
    wide = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    high = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(0.0, wide) * max(0.0, high)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared) if shared else 0.0


def _flags(element: Element) -> dict[str, int]:
    """Return those of `difficult`, `truncated` and `occluded` that are set."""
    return {name: 1 for name in ("difficult", "truncated", "occluded") if element.findtext(name, "").strip() == "1"}


def _number(element: Element, name: str) -> float:
    try:
        return float(element.findtext(name, "").strip())
    except ValueError:
        return math.nan


def _whole(element: Element, name: str) -> int:
    number = _number(element, name)
    return int(number) if math.isfinite(number) and number == int(number) else 0
