"""The attributes of evaluated images, as slices: from an annotation file, from a subset's own tables, from a user's."""

import csv
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from cocomine.base.arrays import Ints
from cocomine.base.errors import CocomineError
from cocomine.base.files import read_table
from cocomine.base.parquet import read_columns
from cocomine.coco.by_image import RecordsByImage
from cocomine.coco.reader import Annotation
from cocomine.coco.sizes import LARGE, SMALL
from cocomine.evaluation.occlusion import LEVELS, image_occlusion
from cocomine.evaluation.slices import Attribute, by_levels, by_ranges, by_thirds, by_value

SHAPES = {"portrait (under 0.95)": 0.95, "square (to 1.05)": 1.05, "landscape (1.05 on)": math.inf}
LONG = {"under 1.5": 1.5, "1.5 to 3": 3.0, "3 on": math.inf}
MOST_CLASSES = 20  # that are an attribute of images each
ID_COLUMNS = ("image_id", "file_name")
MOST_TAGS = 50  # values of a column of words; of numbers there may be any number


@dataclass(frozen=True)
class Images:
    """The images that attributes are of: ids and file names, those that are judged first, and how many these are.

    What is cut at terciles is cut at those of the judged.
    """

    ids: Sequence[int]
    file_names: Sequence[str]
    judged: int


@dataclass(frozen=True)
class Described:
    """Attributes of images, and of each class how many images and objects it has among the judged and the others.

    `objects` (i,) is the number of single objects of each image; `classes` maps a name to images and objects, each
    (judged, others).
    """

    images: Images
    attributes: list[Attribute]
    objects: Ints
    classes: dict[str, tuple[tuple[int, int], tuple[int, int]]]

    @property
    def of_judged(self) -> list[Attribute]:
        """The attributes of the judged images alone."""
        return [Attribute(one.name, one.cells, one.codes[: self.images.judged]) for one in self.attributes]


def describe(images: Images, subset_dir: Path | None, annotations: Path | None, tags: Path | None) -> Described:
    """Return what is known of images: of a subset from its folder, otherwise from the annotation file alone.

    A subset tells the attributes of objects and shapes, licence, source split, brightness, contrast and blur, from
    subset.json, images.tsv and images.parquet; what a missing file would say is left out. `tags` is a user's table.
    """
    path = annotations if subset_dir is None else subset_dir / "subset.json"
    found = _of_objects(path, images) if path is not None and path.exists() else _nothing(images)
    if subset_dir is not None:
        found.attributes.extend(_of_subset(subset_dir, images))
    elif path is not None:
        found.attributes.append(_licence(path, images))
    if tags is not None:
        found.attributes.extend(read_tags(tags, images))
    return found


def _licence(path: Path, images: Images) -> Attribute:
    licences = {image.id: image.license for image in RecordsByImage(path).images()}
    values = [licences.get(image) for image in images.ids]
    return by_value("licence", [None if value is None else str(value) for value in values])


def _of_subset(subset_dir: Path, images: Images) -> Iterator[Attribute]:
    if (subset_dir / "images.tsv").exists():
        rows = {int(row["image_id"]): row for row in read_table(subset_dir / "images.tsv")}
        for name, column in (("licence", "license"), ("source split", "source_split")):
            values = [rows[image].get(column) if image in rows else None for image in images.ids]
            yield by_value(name, [value or None for value in values])
    if (subset_dir / "images.parquet").exists():
        present = set(pq.read_schema(subset_dir / "images.parquet").names)
        measured = [name for name in ("brightness", "contrast", "blur") if name in present]
        table = read_columns(subset_dir / "images.parquet", columns=["image_id", *measured]).to_pydict()
        place = {int(image): i for i, image in enumerate(table["image_id"])}
        for name in measured:
            found = [table[name][place[image]] if image in place else None for image in images.ids]
            known = np.array([np.nan if v is None else v for v in found], dtype=np.float64)
            yield by_thirds(name, known, images.judged)


def read_tags(path: Path, images: Images) -> list[Attribute]:
    """Return an attribute for each column of a user's table: tab-separated, with image_id or file_name.

    A column of numbers with more than ten values is cut into thirds; an empty cell is unknown. Raises CocomineError for
    another table, an image that stands twice, and a column of more than 50 words.
    """
    columns, rows = _tag_rows(path)
    key = next((name for name in ID_COLUMNS if name in columns), None)
    if key is None:
        raise CocomineError(
            f"{path}: its first line has no column image_id or file_name", "write a header, parted by tabs"
        )
    keys = [row[columns.index(key)].strip() for row in rows]
    if len(set(keys)) < len(keys):
        twice = next(one for number, one in enumerate(keys) if one in keys[:number])
        raise CocomineError(f"{path}: the image {twice!r} stands twice", "give each image one line")
    own = [str(image) for image in images.ids] if key == "image_id" else list(images.file_names)
    place = {one: number for number, one in enumerate(keys)}
    if not place.keys() & set(own):
        raise CocomineError(f"{path}: none of its {len(rows)} images is judged", f"write what {key} is in images.tsv")
    result = []
    for number, name in enumerate(columns):
        if name not in ID_COLUMNS:
            values = [rows[place[one]][number].strip() or None if one in place else None for one in own]
            result.append(_tag(path, name, values, images.judged))
    return result


def _tag_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as lines:
            columns, *rows = [row for row in csv.reader(lines, delimiter="\t") if row]
    except (OSError, ValueError, csv.Error) as error:
        raise CocomineError(f"{path}: no table of tags: {error}", "write tab-separated text with a header") from error
    for number, row in enumerate(rows, 2):
        if len(row) != len(columns):
            raise CocomineError(
                f"{path}: line {number} has {len(row)} cells, the header {len(columns)}", "part cells by single tabs"
            )
    names = [name.strip() for name in columns]
    if "" in names or len(set(names)) < len(names):
        raise CocomineError(f"{path}: a column has no name, or two have the same", "name each column once")
    return names, rows


def _tag(path: Path, name: str, values: Sequence[str | None], judged: int) -> Attribute:
    words = {value for value in values if value is not None}
    try:
        numbers = np.array([math.nan if value is None else float(value) for value in values], dtype=np.float64)
    except ValueError:
        numbers = None
    if numbers is not None and len(words) > 10:
        return by_thirds(f"tag {name}", numbers, judged)
    if len(words) > MOST_TAGS:
        raise CocomineError(
            f"{path}: the column {name!r} has {len(words)} values, too many for slices", "sort them into fewer"
        )
    return by_value(f"tag {name}", values)


def _nothing(images: Images) -> Described:
    return Described(images, [], np.zeros(len(images.ids), np.int64), {})


def _of_objects(path: Path, images: Images) -> Described:
    """Return object size, object shape, occlusion, crowd, objects, classes and aspect of the images, and for up to
    MOST_CLASSES classes whether an image shows each.

    Size and shape (longer side by shorter) are those of the median object, occlusion the mean over objects
    (cocomine.evaluation.occlusion), aspect the image's width by its height.
    """
    document = RecordsByImage(path)
    names = {int(category["id"]): str(category["name"]) for category in document.categories}
    wanted = {image: number for number, image in enumerate(images.ids)}
    size, shape, occlusion, aspect = (np.full(len(wanted), np.nan) for _ in range(4))
    objects, crowds = np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.int64)
    by_class: list[Counter[int]] = [Counter() for _ in wanted]
    for image in document.images():
        number = wanted.get(image.id)
        if number is None:
            continue
        found = document.annotations(image.id)
        single = [one for one in found if not one.iscrowd]
        by_class[number] = Counter(one.category_id for one in found)
        objects[number], crowds[number] = len(single), len(found) - len(single)
        if single:
            size[number] = np.median([one.area or 0.0 for one in single])
            shape[number] = _middle_shape(single)
        if image.width > 0 and image.height > 0:
            aspect[number] = image.width / image.height
            occlusion[number] = image_occlusion(found, image.height, image.width)
    attributes = [
        by_levels("object size", size, {"small": SMALL, "medium": LARGE, "large": math.inf}),
        by_levels("object shape", shape, LONG),
        by_levels("occlusion", occlusion, LEVELS),
        by_value("crowd", ["yes" if one else "no" for one in crowds.tolist()]),
        by_ranges("objects", objects.tolist(), (0, 1, 2, 4, 8)),
        by_ranges("classes", [len(one) for one in by_class], (0, 1, 2, 3)),
        by_levels("aspect", aspect, SHAPES),
    ]
    for category, name in names.items() if len(names) <= MOST_CLASSES else ():
        attributes.append(by_value(f"shows {name}", ["yes" if one[category] else "no" for one in by_class]))
    parts = [by_class[: images.judged], by_class[images.judged :]]
    classes = {
        name: (
            _two(sum(one[category] > 0 for one in part) for part in parts),
            _two(sum(one[category] for one in part) for part in parts),
        )
        for category, name in names.items()
    }
    return Described(images, attributes, objects, classes)


def _two(values: Iterable[int]) -> tuple[int, int]:
    first, second = values
    return first, second


def _middle_shape(objects: Sequence[Annotation]) -> float:
    sides = [one.bbox[2:4] for one in objects if one.bbox and min(one.bbox[2:4]) > 0]
    return float(np.median([max(pair) / min(pair) for pair in sides])) if sides else math.nan
