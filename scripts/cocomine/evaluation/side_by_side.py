"""The images on which two predictions differ most, drawn: the truth, the first and the second in a row."""

import base64
import colorsys
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from cocomine.base.arrays import Bytes
from cocomine.coco.by_image import RecordsByImage
from cocomine.coco.labels import read_labels
from cocomine.coco.names import mask_name
from cocomine.coco.reader import Annotation
from cocomine.coco.tasks import VOID
from cocomine.evaluation.baselines import enlarged
from cocomine.evaluation.contrast import Entry, differ_most, groups_of, pairs_of
from cocomine.evaluation.pictures import GREY, original, painted
from cocomine.evaluation.run_lengths import has_mask, rle_of
from cocomine.evaluation.shown import kept, mask_of

MOST_PAIRS, MOST_IMAGES = 6, 4  # that are drawn of a group, and of a pair
WIDTH, GAP = 300, 6  # of a panel and between two, in pixels
EMPTY = 200  # stands for an image that is not at hand
LIGHT = 0.45  # how much of a mask's colour covers the image


@dataclass(frozen=True)
class Where:
    """What a group was judged on: the subset's folder or the annotation file, and the image store."""

    truth: Path
    store_dir: Path | None

    @property
    def annotations(self) -> Path:
        """The file of its annotations."""
        return self.truth / "subset.json" if self.truth.is_dir() else self.truth


def pictures(folders: Sequence[Path], places: Mapping[str, Where]) -> list[list[dict[str, Any]]]:
    """Return for each group of `groups_of` its pictures: first, second, image and a JPEG of three panels as a data URI.

    `places` has what was judged on, by the name that metrics.json gives it; of others there are no
    pictures.
    """
    result = []
    for members in groups_of(folders):
        where = places.get(members[0].judged_on.rpartition(", ")[0])
        drawn: list[dict[str, Any]] = []
        if where is not None:
            for two in pairs_of(members)[:MOST_PAIRS]:
                drawn += _of_pair(*two, where)
        result.append(drawn)
    return result


def _of_pair(first: Entry, second: Entry, where: Where) -> list[dict[str, Any]]:
    rows = differ_most(first, second)[:MOST_IMAGES]
    images = [row["image_id"] for row in rows]
    draw = {"semantic": _masks, "panoptic": _segments}.get(first.kind, _objects)
    panels = draw(images, [first.folder, second.folder], where, first.kind)
    return [
        {"first": first.name, "second": second.name, "image_id": image, "picture": _joined(panels[image])}
        for image in images
        if image in panels
    ]


Panels = dict[int, list[Bytes]]


def _masks(images: Sequence[int], folders: Sequence[Path], where: Where, _kind: str) -> Panels:
    from cocomine.evaluation.predicting import full_mask  # not at the top: it brings torch, which is slow to import

    labels = read_labels(where.truth / "labels.json")
    names = {image.id: image.file_name for image in RecordsByImage(where.annotations).images()}
    sides = [_label_masks(folder, images, names) for folder in folders]
    result: Panels = {}
    for image in images:
        truth_path = where.truth / "masks/semantic" / mask_name(names[image])
        if all(image in side for side in sides) and truth_path.is_file():
            truth = full_mask(where.truth / "masks", names[image], len(labels))
            ground = _photograph(where, image, truth.shape)
            found = [enlarged(side[image], *truth.shape) for side in sides]
            result[image] = [painted(ground, mask, labels.colors) for mask in (truth, *found)]
    return result


def _segments(images: Sequence[int], folders: Sequence[Path], where: Where, _kind: str) -> Panels:
    colours = [(0, 0, 0), *_hues(VOID - 1)]
    sides = [kept(folder, images) for folder in folders]
    result: Panels = {}
    for image in images:
        if not all(side[image] for side in sides):
            continue
        first, second = (side[image][0] for side in sides)
        masks = [mask_of(first, "truth"), mask_of(first), mask_of(second)]
        ground = original(where.truth, where.store_dir, image) if where.truth.is_dir() else None
        if ground is None:
            ground = np.full((*masks[0].shape, 3), EMPTY, np.uint8)
        result[image] = [painted(ground, enlarged(mask, *ground.shape[:2]), colours) for mask in masks]
    return result


def _label_masks(folder: Path, images: Sequence[int], names: Mapping[int, str]) -> dict[int, Bytes]:
    """Return the predicted masks of the images that have one: a run of ours keeps them as pictures."""
    result = {image: mask_of(rows[0]) for image, rows in kept(folder, images).items() if rows}
    for image in images:
        path = folder / "predicted" / mask_name(names[image])
        if path.is_file():
            with Image.open(path, formats=["PNG"]) as picture:
                result[image] = np.array(picture)
    return result


def _objects(images: Sequence[int], folders: Sequence[Path], where: Where, kind: str) -> Panels:
    document = RecordsByImage(where.annotations)
    sizes = {image.id: (image.height, image.width) for image in document.images()}
    names = {int(category["id"]): str(category["name"]) for category in document.categories}
    colours = _colours(where, list(names))
    sides = [kept(folder, images) for folder in folders]
    result: Panels = {}
    for image in images:
        size = sizes[image]
        ground = _photograph(where, image, size)
        truth = [_of_record(one, kind, size) for one in document.annotations(image)]
        found = [[{**row, "shape": json.loads(row["shape"])} for row in side[image]] for side in sides]
        result[image] = [_painted_objects(ground, rows, kind, names, colours) for rows in (truth, *found)]
    return result


def _of_record(one: Annotation, kind: str, size: tuple[int, int]) -> dict[str, Any]:
    mask = rle_of(one.segmentation, *size) if kind == "masks" and has_mask(one.segmentation) else None
    shape = {"boxes": one.bbox, "masks": mask, "keypoints": one.keypoints}[kind]
    return {"category_id": one.category_id, "score": None, "shape": shape, "crowd": bool(one.iscrowd)}


def _colours(where: Where, categories: Sequence[int]) -> dict[int, tuple[int, int, int]]:
    """The colours of the subset's labels; of a source's own file, hues as far apart as may be."""
    made = dict(zip(categories, _hues(len(categories)), strict=True))
    if where.truth.is_dir():
        labels = read_labels(where.truth / "labels.json")
        made |= {c: colour for c, colour in zip(labels.category_ids, labels.colors, strict=True) if c is not None}
    return made


def _hues(number: int) -> list[tuple[int, int, int]]:
    parts = (colorsys.hsv_to_rgb(place * 0.618034 % 1, 0.75, 0.95) for place in range(number))
    return [(round(255 * red), round(255 * green), round(255 * blue)) for red, green, blue in parts]


def _photograph(where: Where, image: int, size: tuple[int, ...]) -> Bytes:
    found = original(where.truth, where.store_dir, image) if where.truth.is_dir() else None
    if found is None or found.shape[:2] != tuple(size):
        return np.full((*size[:2], 3), EMPTY, np.uint8)
    return found


def _painted_objects(
    ground: Bytes,
    rows: Sequence[Mapping[str, Any]],
    kind: str,
    names: Mapping[int, str],
    colours: Mapping[int, tuple[int, int, int]],
) -> Bytes:
    """Return the image with objects over it: outlines of boxes, tinted masks, or points; crowds are grey."""
    pixels = ground.astype(np.float32)
    if kind == "masks":
        for row in reversed(rows):
            if row["shape"]:
                inside = coco_mask.decode(row["shape"]).astype(bool)
                pixels[inside] += (np.array(_colour(row, colours)) - pixels[inside]) * LIGHT
    picture = Image.fromarray(pixels.astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    width = max(1, round(picture.width / WIDTH * 2))
    for row in reversed(rows):
        corner = _outlined(pen, row, kind, _colour(row, colours), width)
        if corner is not None:
            score = "" if row["score"] is None else f" {row['score']:.2f}"
            _written(pen, corner, f"{names.get(row['category_id'], row['category_id'])}{score}", picture.width)
    return np.asarray(picture)


def _outlined(
    pen: ImageDraw.ImageDraw, row: Mapping[str, Any], kind: str, colour: tuple[int, int, int], width: int
) -> tuple[float, float] | None:
    """Draw what is no mask; return where its words go, None where there is nothing to draw."""
    shape = row["shape"]
    if not shape:
        return None
    if kind == "keypoints":
        points = [(x, y) for x, y, seen in zip(shape[0::3], shape[1::3], shape[2::3], strict=True) if seen > 0]
        for x, y in points:
            pen.ellipse((x - 2 * width, y - 2 * width, x + 2 * width, y + 2 * width), fill=colour)
        return min(points, key=lambda point: point[1]) if points else None
    left, top, across, down = coco_mask.toBbox(shape).tolist() if kind == "masks" else shape
    if kind == "boxes":
        pen.rectangle((left, top, left + max(across, 0), top + max(down, 0)), outline=colour, width=width)
    return left, top


def _written(pen: ImageDraw.ImageDraw, corner: tuple[float, float], words: str, width: int) -> None:
    size = max(9, round(width / WIDTH * 11))
    place = (max(0.0, corner[0]), max(0.0, corner[1]))
    box = pen.textbbox(place, words, font_size=size)
    pen.rectangle(box, fill=(0, 0, 0))
    pen.text(place, words, fill=(255, 255, 255), font_size=size)


def _colour(row: Mapping[str, Any], colours: Mapping[int, tuple[int, int, int]]) -> tuple[int, int, int]:
    return GREY if row.get("crowd") else colours.get(row["category_id"], GREY)


def _joined(panels: Sequence[npt.NDArray[np.uint8]]) -> str:
    """Return the panels in a row, as a JPEG data URI."""
    height = max(1, round(panels[0].shape[0] * WIDTH / panels[0].shape[1]))
    sheet = Image.new("RGB", (len(panels) * (WIDTH + GAP) - GAP, height), "white")
    for number, panel in enumerate(panels):
        small = Image.fromarray(panel).resize((WIDTH, height), Image.Resampling.BILINEAR)
        sheet.paste(small, (number * (WIDTH + GAP), 0))
    content = io.BytesIO()
    sheet.save(content, "JPEG", quality=82, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()
