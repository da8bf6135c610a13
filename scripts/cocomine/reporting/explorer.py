"""The explorer of a subset: every image in a page that filters, sorts and enlarges, offline and without a server.

`explorer.html` holds no data. Beside it, in `explorer/`, lie data.js (a column for each property of the images),
objects-N.js (boxes, keypoints and captions of a block of images, read when one of them is enlarged) and sheet-N.jpg
(thumbnails, a hundred in one file). Enlarged images, masks and predictions are the build's own files, by relative path.
Scripts and not JSON, since a page opened from a disk may load scripts and may not fetch.
"""

import itertools
import logging
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_table, write_text
from cocomine.base.folder import replaced_folder
from cocomine.base.pool import in_order
from cocomine.base.progress import Progress
from cocomine.coco.by_image import RecordsByImage
from cocomine.coco.labels import Labels, read_labels
from cocomine.coco.names import mask_name
from cocomine.coco.reader import Annotation
from cocomine.coco.sizes import SIZES, size_classes
from cocomine.images.opening import ImageError, read_locked, rgb_of
from cocomine.inquiry.left_out import LeftOut
from cocomine.reporting.page import hex_colour, render_explorer_page, script_text
from cocomine.reporting.pictures import data_uri
from cocomine.sources.selection import locked_images

log = logging.getLogger("cocomine")

WIDTH, HEIGHT, COLUMNS, ROWS = 160, 120, 10, 10
"""Pixels of a thumbnail's cell, and cells of a sheet."""

BLOCK = 500
"""Images whose boxes, keypoints and captions share a file."""

MAILED = 512
"""Longest side in pixels of a photograph in a page of a single file."""

PAPER = (226, 229, 233)

Column = list[Any]


@dataclass(frozen=True)
class Inputs:
    """What the explorer shows: a subset's folder, the store of its images, the evaluations on it, what was left out."""

    subset_dir: Path
    name: str
    store_dir: Path
    runs: tuple[Path, ...] = ()
    left_out: LeftOut = field(default_factory=LeftOut)


def render_explorer(inputs: Inputs, html: Path, threads: int, single_file: bool = False) -> None:
    """Write the page `html` and the folder of the same name without ending; the same inputs give the same bytes.

    With `single_file` all is in the page, photographs made smaller: some 60 kB an image, to be mailed. An image that
    cannot be read has an empty thumbnail. Raises CocomineError when the subset is not there, or an image is not as
    locked.
    """
    folder = inputs.subset_dir
    if not (folder / "images.tsv").is_file():
        raise CocomineError(f"{folder / 'images.tsv'}: no such file", "run the rule assemble_subset first")
    images = list(read_table(folder / "images.tsv"))
    labels = read_labels(folder / "labels.json")
    document = RecordsByImage(folder / "subset.json")
    boxes = list(_boxes(document, images, labels))
    captions = list(_captions(folder, images))
    gone = [inputs.left_out.objects.get(int(row["image_id"]), []) for row in images]
    details = list(zip(boxes, _keypoints(folder, images), captions, gone, strict=True))
    columns = _columns(inputs, images, labels, boxes, html.parent)
    columns["licences"] = _licence_names(document, columns["licences"])
    columns["sized"] = list(_sized(document, images, labels))
    sha256_of = locked_images(folder / "images.lock.tsv", [row["store_path"] for row in images])
    sheets = _sheets(inputs.store_dir, images, sha256_of, threads)
    blocks = [details[begin : begin + BLOCK] for begin in range(0, len(details), BLOCK)]
    if single_file:
        columns["sheets"] = [data_uri(content, "image/jpeg") for content in sheets]
        columns["details"] = dict(enumerate(blocks))
        columns["pictures"] = [_pictures(inputs, row, sha256_of[row["store_path"]]) for row in images]
        columns |= {"panoptic": "", "predicted": {}, "captions": captions}
        write_text(html, render_explorer_page({"name": inputs.name}, f"window.cocomine = {script_text(columns)};"))
        return
    with replaced_folder(html.with_suffix(""), "data.js") as out:
        for number, block in enumerate(blocks):
            text = f"window.cocomine.details[{number}] = {script_text(block)};\n"
            write_text(out / f"objects-{number}.js", text)
        write_text(out / "captions.js", f"window.cocomine.captions = {script_text(captions)};\n")
        for number, content in enumerate(sheets):
            (out / f"sheet-{number}.jpg").write_bytes(content)
            columns["sheets"].append(f"{html.stem}/sheet-{number}.jpg")
        write_text(out / "data.js", f"window.cocomine = {script_text(columns)};\n")
    write_text(html, render_explorer_page({"name": inputs.name}))


def _pictures(inputs: Inputs, row: Mapping[str, str], sha256: str) -> list[str]:
    """Return an image made smaller and its mask as data URIs; "" for what is not there."""
    mask = inputs.subset_dir / "masks" / "semantic" / mask_name(row["file_name"])
    drawn = data_uri(mask.read_bytes(), "image/png") if mask.is_file() else ""
    try:
        photograph = rgb_of(
            read_locked(inputs.store_dir, row["store_path"], sha256), (int(row["width"]), int(row["height"]))
        )
    except ImageError:
        return ["", drawn]
    photograph.thumbnail((MAILED, MAILED), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    photograph.save(buffer, "JPEG", quality=78, optimize=True)
    return [data_uri(buffer.getvalue(), "image/jpeg"), drawn]


def _licence_names(document: RecordsByImage, numbers: Sequence[str]) -> list[str]:
    """Return the names of licences by their numbers, as the source states them; "" where an image states none."""
    stated = [row for row in document.licenses or [] if isinstance(row, Mapping)]
    names = {str(row.get("id")): str(row.get("name") or "") for row in stated}
    return ["" if number in ("", "-1") else names.get(number) or f"licence {number}" for number in numbers]


def _boxes(document: RecordsByImage, images: Sequence[Mapping[str, str]], labels: Labels) -> Iterator[list[list[Any]]]:
    """Yield of each image its objects: label (-1 for none), x, y, width, height (None without a box), crowd, id."""
    for row in images:
        found: list[list[Any]] = []
        for one in document.annotations(int(row["image_id"])):
            box = [round(number, 1) for number in one.bbox] if one.bbox and len(one.bbox) == 4 else [None] * 4
            found.append([labels.category_to_label.get(one.category_id, 0) - 1, *box, int(bool(one.iscrowd)), one.id])
        yield found


def _columns(
    inputs: Inputs, images: Sequence[Mapping[str, str]], labels: Labels, boxes: Sequence[Sequence[Any]], beside: Path
) -> dict[str, Any]:
    folder = inputs.subset_dir
    masks = folder / "masks" / "semantic"
    present = _labels_of_images(folder, boxes, images)
    split = {row["image_id"]: row for row in _table(folder / "split.tsv")}
    groups = [split.get(row["image_id"], {}).get("group", "") for row in images]
    paths = [row["store_path"] for row in images]
    numbered = {
        "split": [split.get(row["image_id"], {}).get("split", "") for row in images],
        "role": [row["role"] for row in images],
        "licence": [row["license"] for row in images],
        "source": [row["source_split"] for row in images],
    }
    lost = _lost(folder, {row["image_id"] for row in images})
    values = {name: sorted(set(column)) for name, column in numbered.items()}
    plural = {"split": "splits", "role": "roles", "licence": "licences", "source": "sources"}
    return {
        "classes": [
            {"name": name, "color": hex_colour(color), "images": sum(number in of_image for of_image in present)}
            for number, (name, color) in enumerate(zip(labels.names[1:], labels.colors[1:], strict=True))
        ],
        **{plural[name]: values[name] for name in numbered},
        **{name: [values[name].index(value) for value in column] for name, column in numbered.items()},
        "id": [int(row["image_id"]) for row in images],
        "path": paths,
        "name": [
            "" if path.rpartition("/")[2] == row["file_name"] else row["file_name"]
            for path, row in zip(paths, images, strict=True)
        ],
        "mask": [mask_name(row["file_name"]) for row in images],
        "width": [int(row["width"]) for row in images],
        "height": [int(row["height"]) for row in images],
        "objects": [len(of_image) for of_image in boxes],
        "labels": present,
        "group": groups,
        "grouped": _shared(groups),
        "aspect": [aspect(row) for row in images],
        "brightness": brightness(folder, images),
        "scores": {run.parent.name: _scores(run, images) for run in inputs.runs},
        "predicted": {
            run.parent.name: relative(run / "predicted", beside) for run in inputs.runs if (run / "predicted").is_dir()
        },
        "lost": lost,
        "clauses": inputs.left_out.clauses,
        "gone": [
            sorted({number for *_, number in inputs.left_out.objects.get(int(row["image_id"]), [])}) for row in images
        ],
        "reasons": sorted({row[2] for rows in lost.values() for row in rows}),
        "repaired": _repaired(folder, images, boxes),
        "skeleton": _skeleton(folder),
        "subset": inputs.name,
        "details": {},
        "sheets": [],
        "block": BLOCK,
        "sheet": {"images": COLUMNS * ROWS, "columns": COLUMNS, "rows": ROWS},
        "store": relative(inputs.store_dir, beside),
        "masks": relative(masks, beside) if masks.is_dir() else "",
        "panoptic": relative(masks.with_name("panoptic"), beside) if masks.with_name("panoptic").is_dir() else "",
    }


def _shared(groups: Sequence[str]) -> Column:
    seen = Counter(groups)
    return [int(bool(group) and seen[group] > 1) for group in groups]


def _table(path: Path) -> Iterator[dict[str, str]]:
    return read_table(path) if path.is_file() else iter(())


def relative(folder: Path, beside: Path) -> str:
    """Return where a folder lies from another one, as a page there names it: with a slash at the end."""
    return Path(os.path.relpath(folder, beside)).as_posix() + "/"


def _labels_of_images(
    folder: Path, boxes: Sequence[Sequence[Any]], images: Sequence[Mapping[str, str]]
) -> list[list[int]]:
    """Which classes an image shows: those with a pixel in its mask, or of its objects where no masks are drawn."""
    if not (folder / "masks.tsv").is_file():
        return [sorted({one[0] for one in of_image if one[0] >= 0}) for of_image in boxes]
    found: dict[str, set[int]] = {}
    for row in read_table(folder / "masks.tsv"):
        if int(row["pixels"] or 0) and int(row["label"]):
            found.setdefault(row["image_id"], set()).add(int(row["label"]) - 1)
    return [sorted(found.get(row["image_id"], ())) for row in images]


def _records(folder: Path, task: str, images: Sequence[Mapping[str, str]]) -> Iterator[list[Annotation]]:
    """Yield each image's annotations of another task; none where the subset has not that task."""
    path = folder / "tasks" / f"{task}.json"
    if not path.is_file():
        yield from ([] for _ in images)
        return
    records = RecordsByImage(path)
    yield from (records.annotations(int(row["image_id"])) for row in images)
    records.close()


def _captions(folder: Path, images: Sequence[Mapping[str, str]]) -> Iterator[list[str]]:
    for records in _records(folder, "captions", images):
        yield [" ".join(one.caption.split()) for one in records if one.caption]


def _keypoints(folder: Path, images: Sequence[Mapping[str, str]]) -> Iterator[list[list[float]]]:
    """Yield of each image the keypoints of its people that have one: x, y and visibility of each joint."""
    for records in _records(folder, "person_keypoints", images):
        yield [one.keypoints for one in records if one.keypoints and any(one.keypoints[2::3])]


def _skeleton(folder: Path) -> list[list[int]]:
    """Return the pairs of joints, counted from 1, that a line joins."""
    path = folder / "tasks" / "person_keypoints.json"
    if not path.is_file():
        return []
    records = RecordsByImage(path)
    records.close()
    return [pair for one in records.categories for pair in one.get("skeleton") or []]


def _sized(document: RecordsByImage, images: Sequence[Mapping[str, str]], labels: Labels) -> Iterator[list[int]]:
    """Yield of each image which classes it shows in which size: three times the class, and 0, 1, 2 from small on."""
    for row in images:
        found = document.annotations(int(row["image_id"]))
        sizes = size_classes(np.array([math.nan if one.area is None else one.area for one in found]))
        classes = [labels.category_to_label.get(one.category_id, 0) - 1 for one in found]
        yield sorted(
            {3 * label + at for at, size in enumerate(SIZES[1:]) for label in itertools.compress(classes, sizes[size])}
            - {-3, -2, -1}
        )


def aspect(row: Mapping[str, str]) -> float:
    """Return an image's width by its height, with four digits."""
    return round(int(row["width"]) / int(row["height"]), 4)


def _repaired(
    folder: Path, images: Sequence[Mapping[str, str]], boxes: Sequence[Sequence[Any]]
) -> dict[str, list[list[str]]]:
    """What was repaired of each image that is shown and of its objects: kind, id, reasons."""
    image_of = {one[6]: row["image_id"] for row, of_image in zip(images, boxes, strict=True) for one in of_image}
    known = {row["image_id"] for row in images}
    repaired: dict[str, list[list[str]]] = {}
    for row in _table(folder / "repairs.tsv"):
        number = int(row["id"]) if row["id"].lstrip("-").isdigit() else None
        image = row["id"] if row["kind"] == "image" else image_of.get(number) if row["task"] == "instances" else None
        if image in known:
            repaired.setdefault(str(image), []).append([row["kind"], row["id"], row["reason"]])
    return repaired


def brightness(folder: Path, images: Sequence[Mapping[str, str]]) -> Column:
    """Return each image's brightness, 0 to 1 with four digits; None where it was not measured."""
    path = folder / "images.parquet"
    if not path.is_file() or "brightness" not in pq.read_schema(path).names:
        return [None] * len(images)
    table = pq.read_table(path, columns=["image_id", "brightness"]).to_pydict()
    known = dict(zip(table["image_id"], table["brightness"], strict=True))
    return [_rounded(known.get(int(row["image_id"]))) for row in images]


def _scores(run: Path, images: Sequence[Mapping[str, str]]) -> dict[int, float | None]:
    """Return the score of each image that was judged, by its place; None where it shows no class."""
    table = pq.read_table(run / "per_image.parquet", columns=["image_id", "iou_mean_foreground"]).to_pydict()
    known = dict(zip(table["image_id"], table["iou_mean_foreground"], strict=True))
    ids = (int(row["image_id"]) for row in images)
    return {place: _rounded(known[image]) for place, image in enumerate(ids) if image in known}


def _rounded(number: float | None) -> float | None:
    return None if number is None or number != number else round(float(number), 4)


def _lost(folder: Path, images: set[str]) -> dict[str, list[list[str]]]:
    """What was quarantined of each image that is shown: kind, id, reason, detail."""
    lost: dict[str, list[list[str]]] = {}
    for row in _table(folder / "quarantine.tsv"):
        if row["image_id"] in images and row["kind"] != "image":
            lost.setdefault(row["image_id"], []).append([row["kind"], row["id"], row["reason"], row["detail"]])
    return lost


def _sheets(
    store: Path, images: Sequence[Mapping[str, str]], sha256_of: Mapping[str, str], threads: int
) -> Iterator[bytes]:
    """Yield the sheets of thumbnails as JPEGs."""
    size = COLUMNS * ROWS
    pieces = [
        [
            (row["store_path"], int(row["width"]), int(row["height"]), sha256_of[row["store_path"]])
            for row in images[begin : begin + size]
        ]
        for begin in range(0, len(images), size)
    ]
    with Progress("draw thumbnails", len(images), "image") as progress:
        for number, content in enumerate(in_order(partial(_sheet, store), pieces, threads)):
            yield content
            progress.advance(len(pieces[number]))


def _sheet(store: Path, rows: Sequence[tuple[str, int, int, str]]) -> bytes:
    sheet = Image.new("RGB", (WIDTH * COLUMNS, HEIGHT * ROWS), PAPER)
    for place, (path, width, height, sha256) in enumerate(rows):
        try:
            small = rgb_of(read_locked(store, path, sha256), (width, height))
        except ImageError:
            continue
        small.thumbnail((WIDTH, HEIGHT), Image.Resampling.LANCZOS, reducing_gap=2.0)
        x = place % COLUMNS * WIDTH + (WIDTH - small.width) // 2
        y = place // COLUMNS * HEIGHT + (HEIGHT - small.height) // 2
        sheet.paste(small, (x, y))
    buffer = BytesIO()
    sheet.save(buffer, "JPEG", quality=76, optimize=True)
    return buffer.getvalue()
