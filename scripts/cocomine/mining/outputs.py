"""The small files beside subset.json: labels, the mining dictionary, the image table and the attribution."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from cocomine.base.arrays import Array
from cocomine.base.errors import CocomineError
from cocomine.base.files import atomic_path, write_json, write_table
from cocomine.coco.names import mask_name
from cocomine.coco.tasks import MOST_CLASSES, void_of
from cocomine.mining.arrays import Rows
from cocomine.mining.categories import Category, in_label_order, source_values
from cocomine.mining.index import Source
from cocomine.mining.licences import Licence

IMAGE_COLUMNS = ("image_id", "source_split", "file_name", "store_path", "width", "height", "license", "role")
GOLDEN_RATIO = 0.6180339887498949


def color_of(category_id: int) -> tuple[int, int, int]:
    """Return a category's colour, the same in every subset: hues a golden ratio apart, in three strengths."""
    hue = (category_id * GOLDEN_RATIO) % 1.0
    saturation, value = ((0.75, 0.95), (0.55, 1.0), (0.9, 0.75))[category_id % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def too_many_labels(categories: int) -> CocomineError:
    """The error of a subset with more categories than labels."""
    return CocomineError(
        f"subset: {categories} categories, but the two bytes of a mask's pixel tell at most {MOST_CLASSES} apart",
        f"name at most {MOST_CLASSES} under `categories`, by name, id or supercategory; with keep_other_annotations "
        "those that share their images count too",
    )


def labels_document(categories: Sequence[Category], pinned: Sequence[str] = ()) -> dict[str, Any]:
    """Return labels.json: labels 0..n with 0 = background, and the maps both ways.

    The categories that are `pinned` by name come first, in that order; the others follow by ascending id. Each names
    the source's categories that it is made of, and `source_to_label` leads from their ids to labels.

    Void is 255, and 65535 for more than 254 categories, whose masks have two bytes a pixel. Raises CocomineError for
    more than those hold.
    """
    if len(categories) > MOST_CLASSES:
        raise too_many_labels(len(categories))
    ordered = in_label_order(categories, pinned)
    background = {"label": 0, "name": "background", "category_id": None, "supercategory": None, "color": [0, 0, 0]}
    labels: list[dict[str, Any]] = [background]
    labels += [
        {
            "label": label,
            "name": category.name,
            "category_id": category.id,
            "supercategory": category.supercategory or None,
            "color": list(color_of(category.id)),
            "source_categories": source_values(category),
        }
        for label, category in enumerate(ordered, start=1)
    ]
    return {
        "labels": labels,
        "void": void_of(len(ordered)),
        "category_to_label": {str(category.id): label for label, category in enumerate(ordered, start=1)},
        "label_to_category": {str(label): category.id for label, category in enumerate(ordered, start=1)},
        "source_to_label": {
            str(member.id): label for label, category in enumerate(ordered, start=1) for member in category.of_source
        },
    }


def write_labels(path: Path, categories: Sequence[Category], pinned: Sequence[str]) -> None:
    """Write labels.json."""
    write_json(path, labels_document(categories, pinned))


def check_stems(source: Source, rows: Rows) -> None:
    """Raise CocomineError when two images have one file name up to its ending: they would share a mask."""
    seen: dict[str, str] = {}
    for name in source.file_names(rows):
        mask = mask_name(name)
        other = seen.setdefault(mask, name)
        if other != name:
            raise CocomineError(
                f"subset: {other} and {name} would share one mask, {mask}",
                "mine them into two subsets (source_splits, exclude_images), or rename one of them at the source",
            )


def write_images(path: Path, source: Source, rows: Rows, roles: Sequence[str]) -> None:
    """Write images.tsv: the subset's images in the order of `rows` (ascending image id), which later stages keep."""
    images = source.images
    splits = [source.splits[number].name for number in images.split_of(rows).tolist()]
    licences = ["" if number < 0 else number for number in images["license"][rows].tolist()]
    table = zip(
        source.image_ids[rows].tolist(),
        splits,
        source.file_names(rows),
        images.texts("store_path", rows),
        images["width"][rows].tolist(),
        images["height"][rows].tolist(),
        licences,
        roles,
        strict=True,
    )
    write_table(path, IMAGE_COLUMNS, table)


def write_dictionary(path: Path, source: Source, image_rows: Rows, annotation_rows: Rows, boxes: Array) -> None:
    """Write the mining dictionary: file name to its objects, all of them, in the order of the annotation file.

    `boxes` are [x, y, width, height] in pixels, shape (len(annotation_rows), 4). Images without an object are not in
    it; one whose file name another split's image has too stands under its split's folder and name. Written one image a
    line.
    """
    by_id = {category.id: category for category in source.categories}
    names = source.file_names(image_rows)
    by_name = sorted(range(len(names)), key=names.__getitem__)
    place = np.empty(len(names), dtype=np.int64)
    place[by_name] = np.arange(len(names))
    rows_in_order = np.argsort(image_rows)
    owner = source.image_row[annotation_rows]
    image = place[rows_in_order[np.searchsorted(image_rows, owner, sorter=rows_in_order)]]
    order = np.argsort(image, kind="stable")
    begins = np.flatnonzero(np.diff(image[order], prepend=-1))
    ends = np.append(begins[1:], len(order))[: len(begins)]  # no annotation, no image
    encode = msgspec.json.Encoder().encode
    with atomic_path(path) as temporary, open(temporary, "wb") as out:
        out.write(b"{")
        separator = b"\n"
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
            here = order[begin:end]
            image_id = int(source.image_ids[owner[here[0]]])
            rows = annotation_rows[here]
            category_ids, own_ids = source.category_ids[rows].tolist(), source.annotations["category_id"][rows].tolist()
            objects = [
                {
                    "image_id": image_id,
                    "category_id": category_id,
                    "supercategory": by_id[category_id].supercategory,
                    "name": by_id[category_id].stated,
                    "Bounding": box,
                }
                | ({} if source.crosswalk is None else {"source_category_id": stated})
                for category_id, stated, box in zip(category_ids, own_ids, boxes[here].tolist(), strict=True)
            ]
            name = names[by_name[int(image[here[0]])]]
            out.write(separator + encode(name) + b": " + encode(objects))
            separator = b",\n"
        out.write(b"\n}\n")


def write_attribution(path: Path, source: Source, rows: Rows, licences: Mapping[int, Licence]) -> None:
    """Write ATTRIBUTION.md: every image with its link and licence, by licence."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as out:
        out.writelines(line + "\n" for line in _attribution_lines(source, rows, licences))


def _attribution_lines(source: Source, rows: Rows, licences: Mapping[int, Licence]) -> Iterator[str]:
    yield "# Attribution"
    yield ""
    yield "The images of this subset belong to those who took them. Each is listed with a link to it and its"
    yield "licence, as the annotation file states them. The annotations have a licence of their own."
    images = source.images
    numbers = images["license"][rows]
    for number in np.unique(numbers).tolist():
        chosen = rows[numbers == number]
        licence = licences.get(number)
        yield ""
        if licence is None:
            yield f"## Licence not stated{'' if number < 0 else f' (id {number} is not listed)'}: {len(chosen)} images"
        else:
            yield f"## {_plain(licence.name or str(number))}: {len(chosen)} images"
            if licence.url:
                yield ""
                yield f"<{_plain(licence.url)}>"
        yield ""
        names = source.file_names(chosen)
        flickr, coco = images.texts("flickr_url", chosen), images.texts("coco_url", chosen)
        for name, image, copy in zip(names, flickr, coco, strict=True):
            link = image or copy
            yield f"- {_plain(name)}: " + (f"<{_plain(link)}>" if link else "no link stated")


def _plain(text: str) -> str:
    """Return text that can neither break a line of Markdown nor open a tag."""
    kept = "".join(letter if letter.isprintable() else " " for letter in text)
    return kept.replace("<", "%3C").replace(">", "%3E").replace("`", "'")
