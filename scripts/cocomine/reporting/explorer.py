"""The explorer of a subset: every image in a page that filters, sorts and enlarges, offline and without a server.

`explorer.html` holds no data. Beside it, in `explorer/`, lie data.js (a column for each property of the images) and
objects-N.js (boxes, keypoints and captions of a block of images, read when one of them is enlarged). Thumbnails,
enlarged images, masks and predictions are the build's own files, by relative path.
Scripts and not JSON, since a page opened from a disk may load scripts and may not fetch.
"""

import itertools
import logging
import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_table, write_text
from cocomine.base.folder import replaced_folder
from cocomine.base.parquet import read_columns
from cocomine.coco.by_image import RecordsByImage
from cocomine.coco.labels import Labels, read_labels
from cocomine.coco.names import mask_name
from cocomine.coco.reader import Annotation
from cocomine.coco.sizes import SIZES, size_classes
from cocomine.images.opening import ImageError, read_locked, rgb_of
from cocomine.images.thumbnails import COLUMNS, ROWS, Sheets, sheet_name, thumbnail
from cocomine.inquiry.left_out import LeftOut
from cocomine.reporting.lock_note import lock_note
from cocomine.reporting.page import hex_colour, render_explorer_page, script_text
from cocomine.reporting.pictures import data_uri
from cocomine.sources.selection import locked_images

log = logging.getLogger("cocomine")

BLOCK = 500
"""Images whose boxes, keypoints and captions share a file."""

MAILED = 512
"""Longest side in pixels of a photograph in a page of a single file."""

FEW = frozenset({"source_split", "license", "role", "width", "height"})
"""Columns of images.tsv of few values."""

Column = list[Any]


@dataclass(frozen=True)
class Inputs:
    """What the explorer shows: a subset's folder, the store of its images, the evaluations on it, what was left out."""

    subset_dir: Path
    name: str
    store_dir: Path
    runs: tuple[Path, ...] = ()
    left_out: Callable[[], LeftOut] = LeftOut


def render_explorer(inputs: Inputs, html: Path, single_file: bool = False, mailed: Path | None = None) -> None:
    """Write the page `html` and the folder of the same name without ending; the same inputs give the same bytes.

    With `single_file` all is in the page, photographs made smaller: some 60 kB an image, to be mailed; `mailed` is
    such a page to write besides, in the folder, which the page's note of the lock covers. Raises CocomineError when the
    subset is not there, or an image whose photograph goes into the page is not as locked.
    """
    folder = inputs.subset_dir
    if not (folder / "images.tsv").is_file():
        raise CocomineError(f"{folder / 'images.tsv'}: no such file", "run the rule assemble_subset first")
    if not (folder / "thumbnails").is_dir():
        raise CocomineError(f"{folder / 'thumbnails'}: no such folder", "run the rule measure_images first")
    images = list(map(_shown, read_table(folder / "images.tsv")))
    left_out = inputs.left_out()
    gathered = _Gathered(read_labels(folder / "labels.json"), _repairs(folder))
    captions = list(_captions(folder, images))
    blocks = _blocks(folder, images, captions, left_out, gathered)
    if single_file:
        details = dict(enumerate(blocks))
        columns = _columns(inputs, images, left_out, gathered, html.parent)
        columns |= _mailed(inputs, images)
        columns |= {"panoptic": "", "predicted": {}, "captions": captions, "details": details}
        write_text(
            html, render_explorer_page({"name": inputs.name}, None, f"window.cocomine = {script_text(columns)};")
        )
        return
    with replaced_folder(html.with_suffix(""), "data.js") as out:
        for number, block in enumerate(blocks):
            text = f"window.cocomine.details[{number}] = {script_text(block)};\n"
            (out / f"objects-{number}.js").write_text(text, encoding="utf-8")
        write_text(out / "captions.js", f"window.cocomine.captions = {script_text(captions)};\n")
        columns = _columns(inputs, images, left_out, gathered, html.parent)
        write_text(out / "data.js", f"window.cocomine = {script_text(columns)};\n")
    if mailed is not None:
        render_explorer(inputs, mailed, single_file=True)
    write_text(html, render_explorer_page({"name": inputs.name}, lock_note("../", html.with_suffix(""))))


def _shown(row: dict[str, str]) -> dict[str, str]:
    """Return a row of images.tsv whose values that many rows have are held once."""
    return {key: sys.intern(value) if key in FEW else value for key, value in row.items()}


class _Gathered:
    """What the page says of the objects of each image, gathered as they pass: a cell an image."""

    def __init__(self, labels: Labels, repairs: Sequence[Mapping[str, str]]) -> None:
        self.labels = labels
        self.repairs = repairs
        self.licences: Sequence[Any] = []
        self.objects: list[int] = []
        self.classes: list[list[int]] = []
        self.sized: list[list[int]] = []
        """Which classes in which size: three times the class, and 0, 1, 2 from small on."""
        self.image_of: dict[str, str] = {}
        """The image of each repaired object, by the object's id."""
        self._repaired = {row["id"] for row in repairs if row["task"] == "instances"}

    def boxes(self, image: str, records: Sequence[Annotation]) -> list[list[Any]]:
        """Return the objects of an image: label (-1 for none), x, y, width, height (None without a box), crowd, id."""
        found: list[list[Any]] = []
        for one in records:
            box = [round(number, 1) for number in one.bbox] if one.bbox and len(one.bbox) == 4 else [None] * 4
            label = self.labels.category_to_label.get(one.category_id, 0) - 1
            found.append([label, *box, int(bool(one.iscrowd)), one.id])
            if str(one.id) in self._repaired:
                self.image_of[str(one.id)] = image
        labels = [one[0] for one in found]
        sizes = size_classes(np.array([math.nan if one.area is None else one.area for one in records]))
        sized = {
            3 * label + at for at, size in enumerate(SIZES[1:]) for label in itertools.compress(labels, sizes[size])
        }
        self.objects.append(len(found))
        self.classes.append(sorted({label for label in labels if label >= 0}))
        self.sized.append(sorted(sized - {-3, -2, -1}))
        return found


def _blocks(
    folder: Path,
    images: Sequence[Mapping[str, str]],
    captions: Sequence[list[str]],
    left_out: LeftOut,
    gathered: _Gathered,
) -> Iterator[list[Any]]:
    """Yield what enlarged images show, BLOCK of them at a time: boxes, keypoints, captions, what was left out."""
    document, keypoints = RecordsByImage(folder / "subset.json"), _keypoints(folder, images)
    gathered.licences = document.licenses or []
    details = (
        (
            gathered.boxes(row["image_id"], document.annotations(int(row["image_id"]))),
            points,
            said,
            left_out.objects.get(int(row["image_id"]), []),
        )
        for row, points, said in zip(images, keypoints, captions, strict=True)
    )
    while block := list(itertools.islice(details, BLOCK)):
        yield block
    document.close()


def _mailed(inputs: Inputs, images: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return the columns that hold pictures: of these images alone; the build's sheets show more."""
    sha256_of = locked_images(inputs.subset_dir / "images.lock.tsv", [row["store_path"] for row in images])
    with TemporaryDirectory() as folder:
        sheets = Sheets(Path(folder))
        pictures, cells = [], []
        for row in images:
            photograph = _photograph(inputs.store_dir, row, sha256_of[row["store_path"]])
            mask = inputs.subset_dir / "masks" / "semantic" / mask_name(row["file_name"])
            drawn = data_uri(mask.read_bytes(), "image/png") if mask.is_file() else ""
            pictures.append([_mailable(photograph) if photograph else "", drawn])
            cells.append(sheets.add(thumbnail(photograph)) if photograph else None)
        sheets.finish()
        drawn_sheets = [(Path(folder) / sheet_name(number)).read_bytes() for number in range(_sheets(cells))]
    return {"pictures": pictures, "cell": cells, "sheets": [data_uri(one, "image/jpeg") for one in drawn_sheets]}


def _sheets(cells: Sequence[int | None]) -> int:
    """How many sheets there are, by the cells on them."""
    return math.ceil(max((cell + 1 for cell in cells if cell is not None), default=0) / (COLUMNS * ROWS))


def _photograph(store_dir: Path, row: Mapping[str, str], sha256: str) -> Image.Image | None:
    """Return an image in RGB; None for one that cannot be shown."""
    try:
        return rgb_of(read_locked(store_dir, row["store_path"], sha256), (int(row["width"]), int(row["height"])))
    except ImageError:
        return None


def _mailable(photograph: Image.Image) -> str:
    """Return a photograph made smaller as a data URI."""
    small = photograph.copy()
    small.thumbnail((MAILED, MAILED), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    small.save(buffer, "JPEG", quality=78, optimize=True)
    return data_uri(buffer.getvalue(), "image/jpeg")


def _licence_names(licences: Sequence[Any], numbers: Sequence[str]) -> list[str]:
    """Return the names of licences by their numbers, as the source states them; "" where an image states none."""
    stated = [row for row in licences if isinstance(row, Mapping)]
    names = {str(row.get("id")): str(row.get("name") or "") for row in stated}
    return ["" if number in ("", "-1") else names.get(number) or f"licence {number}" for number in numbers]


def _columns(
    inputs: Inputs,
    images: Sequence[Mapping[str, str]],
    left_out: LeftOut,
    gathered: _Gathered,
    beside: Path,
) -> dict[str, Any]:
    folder, labels = inputs.subset_dir, gathered.labels
    masks = folder / "masks" / "semantic"
    present = _labels_of_images(folder, gathered, images)
    split = {row["image_id"]: (sys.intern(row["split"]), row["group"]) for row in _table(folder / "split.tsv")}
    groups = [split.get(row["image_id"], ("", ""))[1] for row in images]
    paths = [row["store_path"] for row in images]
    lost = _lost(folder, {row["image_id"] for row in images})
    cells = _measured("cell", folder, images)
    thumbnails = relative(folder / "thumbnails", beside)
    return {
        "classes": [
            {"name": name, "color": hex_colour(color), "images": sum(number in of_image for of_image in present)}
            for number, (name, color) in enumerate(zip(labels.names[1:], labels.colors[1:], strict=True))
        ],
        **_numbered("split", "splits", [split.get(row["image_id"], ("", ""))[0] for row in images]),
        **_numbered("role", "roles", [row["role"] for row in images]),
        **_numbered("source", "sources", [row["source_split"] for row in images]),
        **_numbered("licence", "licences", [row["license"] for row in images]),
        "licences": _licence_names(gathered.licences, sorted({row["license"] for row in images})),
        "id": [int(row["image_id"]) for row in images],
        "path": paths,
        "name": [
            "" if path.rpartition("/")[2] == row["file_name"] else row["file_name"]
            for path, row in zip(paths, images, strict=True)
        ],
        "mask": [mask_name(row["file_name"]) for row in images],
        "width": [int(row["width"]) for row in images],
        "height": [int(row["height"]) for row in images],
        "objects": gathered.objects,
        "labels": present,
        "sized": gathered.sized,
        "group": groups,
        "grouped": _shared(groups),
        "aspect": [aspect(row) for row in images],
        "brightness": brightness(folder, images),
        "cell": cells,
        "scores": {run.parent.name: _scores(run, images) for run in inputs.runs},
        "predicted": {
            run.parent.name: relative(run / "predicted", beside) for run in inputs.runs if (run / "predicted").is_dir()
        },
        "lost": lost,
        "clauses": left_out.clauses,
        "gone": [sorted({number for *_, number in left_out.objects.get(int(row["image_id"]), [])}) for row in images],
        "reasons": sorted({row[2] for rows in lost.values() for row in rows}),
        "repaired": _repaired(images, gathered),
        "skeleton": _skeleton(folder),
        "subset": inputs.name,
        "details": {},
        "sheets": [thumbnails + sheet_name(number) for number in range(_sheets(cells))],
        "block": BLOCK,
        "sheet": {"images": COLUMNS * ROWS, "columns": COLUMNS, "rows": ROWS},
        "store": relative(inputs.store_dir, beside),
        "masks": relative(masks, beside) if masks.is_dir() else "",
        "panoptic": relative(masks.with_name("panoptic"), beside) if masks.with_name("panoptic").is_dir() else "",
    }


def _numbered(name: str, plural: str, column: Sequence[str]) -> dict[str, Any]:
    """Return the values of a column under `plural`, sorted, and under `name` the number of each image's value."""
    values = sorted(set(column))
    number_of = {value: number for number, value in enumerate(values)}
    return {plural: values, name: [number_of[value] for value in column]}


def _shared(groups: Sequence[str]) -> Column:
    seen = Counter(groups)
    return [int(bool(group) and seen[group] > 1) for group in groups]


def _table(path: Path) -> Iterator[dict[str, str]]:
    return read_table(path) if path.is_file() else iter(())


def relative(folder: Path, beside: Path) -> str:
    """Return where a folder lies from another one, as a page there names it: with a slash at the end."""
    return Path(os.path.relpath(folder, beside)).as_posix() + "/"


def _labels_of_images(folder: Path, gathered: _Gathered, images: Sequence[Mapping[str, str]]) -> list[list[int]]:
    """Which classes an image shows: those with a pixel in its mask, or of its objects where no masks are drawn."""
    if not (folder / "masks.tsv").is_file():
        return gathered.classes
    found: dict[str, list[int]] = {}
    for row in read_table(folder / "masks.tsv"):  # a row for each label of an image, ascending
        if int(row["pixels"] or 0) and int(row["label"]):
            found.setdefault(row["image_id"], []).append(int(row["label"]) - 1)
    return [found.pop(row["image_id"], []) for row in images]


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


def aspect(row: Mapping[str, str]) -> float:
    """Return an image's width by its height, with four digits."""
    return round(int(row["width"]) / int(row["height"]), 4)


def _repairs(folder: Path) -> list[dict[str, str]]:
    return list(_table(folder / "repairs.tsv"))


def _repaired(images: Sequence[Mapping[str, str]], gathered: _Gathered) -> dict[str, list[list[str]]]:
    """What was repaired of each image that is shown and of its objects: kind, id, reasons."""
    known = {row["image_id"] for row in images}
    repaired: dict[str, list[list[str]]] = {}
    for row in gathered.repairs:
        image = gathered.image_of.get(row["id"]) if row["kind"] != "image" else row["id"]
        if image in known:
            repaired.setdefault(str(image), []).append([row["kind"], row["id"], row["reason"]])
    return repaired


def brightness(folder: Path, images: Sequence[Mapping[str, str]]) -> Column:
    """Return each image's brightness, 0 to 1 with four digits; None where it was not measured."""
    return [_rounded(value) for value in _measured("brightness", folder, images)]


def _measured(name: str, folder: Path, images: Sequence[Mapping[str, str]]) -> Column:
    """Return a column of images.parquet by image; None where it was not measured."""
    path = folder / "images.parquet"
    if not path.is_file() or name not in pq.read_schema(path).names:
        return [None] * len(images)
    table = read_columns(path, columns=["image_id", name]).to_pydict()
    known = dict(zip(table["image_id"], table[name], strict=True))
    return [known.get(int(row["image_id"])) for row in images]


def _scores(run: Path, images: Sequence[Mapping[str, str]]) -> dict[int, float | None]:
    """Return the score of each image that was judged, by its place; None where it shows no class."""
    table = read_columns(run / "per_image.parquet", columns=["image_id", "iou_mean_foreground"]).to_pydict()
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
