"""LabelMe's JSON: a file an image, shapes of points in pixels from the left and the top edge.

The format is that of labelme (github.com/wkentaro/labelme, labelme/_label_file.py); what its shapes cover is that of
its own examples/instance_segmentation/labelme2coco.py: a circle is (centre, a point of its edge), shapes of one label
and one group_id are one object, and a mask is a PNG that lies at the first of its two points. A rectangle is a box:
nothing says that the object fills it.
"""

import base64
import binascii
import io
import math
import posixpath
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from cocomine.base.errors import CocomineError
from cocomine.imports.files import FileProblem, stem_of
from cocomine.imports.labels import Job, Object, outlined
from cocomine.imports.named import OneFileAnImage, Sheet, by_split, own_splits
from cocomine.imports.reasons import Reason

IGNORED = "__ignore__"
WITHOUT_AREA = frozenset({"point", "points", "line", "linestrip"})

FAR = 10
"""Points that lie this many sides of the image outside are none: drawing them would take memory without end."""


class _File(msgspec.Struct):
    shapes: list[Any]
    imagePath: str  # noqa: N815 - the format's name
    imageHeight: Any = None  # noqa: N815
    imageWidth: Any = None  # noqa: N815


class _Shape(msgspec.Struct):
    points: list[Any]
    label: str | None = None
    shape_type: str | None = None
    group_id: int | str | None = None
    mask: str | None = None


class Labelme(OneFileAnImage[Any]):
    """Reads JSON files beside their images, or in a folder of their own."""

    def __init__(self, job: Job) -> None:
        """Find the JSON files. Raises CocomineError where there is none, or none of a split that is asked for."""
        paths = [path for path in job.files.all if path.lower().endswith(".json")]
        if not paths:
            raise CocomineError(f"{job.files.root}: no JSON file in it", "give the folder that labelme saves in")
        self.own_splits = own_splits(paths)
        super().__init__(job, by_split(job, paths, self.own_splits))

    def read(self, path: str) -> Sheet[Any] | None:
        """Return the shapes of a file; None for JSON that is none of labelme's."""
        content = self._files.content(path)
        try:
            file = msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"), type=_File)
        except msgspec.ValidationError:
            self._tally.said.append(f"{path}: JSON, but none of labelme's: no shapes and imagePath")
            return None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise FileProblem(f"not JSON: {error}") from error
        size = (file.imageWidth, file.imageHeight)
        stated = size if all(type(side) is int and side > 0 for side in size) else None
        return Sheet(file.imagePath, stated, file.shapes)

    def image_of(self, path: str, said: str) -> str | Reason:
        """Return the image that the file names, or else the one of its stem."""
        folder = posixpath.dirname(path)
        named = self._named.find(folder, said) if said else None
        if named is not None:
            return named
        found = self._named.of_stem(folder, posixpath.basename(stem_of(path)))
        if len(found) > 1:
            return Reason.TWO_OF_ONE_STEM
        return found[0] if found else Reason.MISSING_IMAGE

    def objects(self, path: str, size: tuple[int, int], labels: list[Any]) -> Iterator[Object]:
        """Yield the objects: a shape each, or the shapes of one label and group together."""
        groups: dict[object, list[Object]] = {}
        for number, item in enumerate(labels, 1):
            one, group = self._shape(path, number, item, size)
            if one.lost:
                yield one
            else:
                groups.setdefault(number if group is None else (one.category, str(group)), []).append(one)
        for shapes in groups.values():
            yield shapes[0] if len(shapes) == 1 else _joined(shapes, size)

    def _shape(self, path: str, number: int, item: Any, size: tuple[int, int]) -> tuple[Object, int | str | None]:
        """Return the object of one shape, counted, and its group."""
        try:
            shape = msgspec.convert(item, _Shape, strict=False)
        except msgspec.ValidationError as error:
            return self._tally.lose(path, number, Reason.BAD_POINTS, error), None
        name = (shape.label or "").strip()
        found = _covered(shape, size)
        known = Object(name or None, None) if isinstance(found, Reason) else found
        known.category = name or None
        wrong = found if isinstance(found, Reason) else Reason.NO_CLASS if not name else None
        if name == IGNORED:
            known.category, wrong = None, Reason.IGNORED
        if wrong is not None:
            return self._tally.lose(path, number, wrong, f"{shape.shape_type} {name}", known), None
        self._tally.keep("label")
        return known, shape.group_id


def _covered(shape: _Shape, size: tuple[int, int]) -> Object | Reason:
    """Return what a shape covers, as an object without a class, or why it covers nothing."""
    kind = shape.shape_type or "polygon"
    if kind in WITHOUT_AREA:
        return Reason.NO_AREA
    points = _points(shape.points, FAR * max(size))
    if points is None:
        return Reason.BAD_POINTS
    xs, ys = [x for x, _ in points], [y for _, y in points]
    if kind == "polygon" and len(points) >= 3:
        return outlined(None, [[side for point in points for side in point]])
    if kind == "rectangle" and len(points) in (2, 4):
        return Object(None, (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)))
    if kind == "circle" and len(points) == 2:
        return outlined(None, [_circle(points[0], points[1])])
    if kind == "mask" and len(points) == 2:
        return _mask(shape.mask or "", round(min(xs)), round(min(ys)), size)
    return Reason.BAD_POINTS


def _points(said: list[Any], most: float) -> list[tuple[float, float]] | None:
    try:
        pairs = msgspec.convert(said, list[tuple[float, float]])
    except msgspec.ValidationError:
        return None
    return pairs if all(abs(side) <= most for pair in pairs for side in pair) else None


def _circle(centre: tuple[float, float], edge: tuple[float, float]) -> list[float]:
    """Return the outline x, y, … of a circle, with as many points as labelme2coco.py gives it: 12 or more."""
    radius = math.dist(centre, edge)
    count = max(12, int(math.pi / math.acos(1 - 1 / radius))) if radius > 1 else 12
    angles = [2 * math.pi * place / count for place in range(count)]
    return [side for a in angles for side in (centre[0] + radius * math.sin(a), centre[1] + radius * math.cos(a))]


def _mask(text: str, left: int, top: int, size: tuple[int, int]) -> Object | Reason:
    """Return the object of a mask: a PNG in base64 whose pixels above 0 are the object's, its corner at (left, top)."""
    width, height = size
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=("PNG",)) as image:
            if image.width > width or image.height > height:
                return Reason.BAD_MASK
            pixels = np.asarray(image.convert("L")) > 0
    except (binascii.Error, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return Reason.BAD_MASK
    whole = np.zeros((height, width), np.uint8, order="F")
    if left < 0 or top < 0 or left + pixels.shape[1] > width or top + pixels.shape[0] > height or not pixels.any():
        return Reason.BAD_MASK
    whole[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return _of_run_lengths(coco_mask.encode(whole))


def _joined(shapes: list[Object], size: tuple[int, int]) -> Object:
    """Return one object of several shapes: their outlines as its parts, or their pixels where one is a mask."""
    parts = [part for one in shapes for part in _outlines(one)]
    if not any(isinstance(one.segmentation, dict) for one in shapes):
        return outlined(shapes[0].category, parts)
    drawn = coco_mask.frPyObjects(parts, size[1], size[0]) if parts else []
    masks = [one.segmentation for one in shapes if isinstance(one.segmentation, dict)]
    result = _of_run_lengths(coco_mask.merge([*drawn, *masks]))
    result.category = shapes[0].category
    return result


def _outlines(one: Object) -> list[list[float]]:
    if isinstance(one.segmentation, list):
        return one.segmentation
    if isinstance(one.segmentation, dict) or one.bbox is None:
        return []
    left, top, width, height = one.bbox
    return [[left, top, left + width, top, left + width, top + height, left, top + height]]


def _of_run_lengths(encoded: dict[str, Any]) -> Object:
    left, top, width, height = map(float, coco_mask.toBbox(encoded))
    counts = encoded["counts"].decode("ascii")
    segmentation = {"size": [int(side) for side in encoded["size"]], "counts": counts}
    return Object(None, (left, top, width, height), segmentation, float(coco_mask.area(encoded)))
