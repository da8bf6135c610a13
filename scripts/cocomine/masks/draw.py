"""Drawing the ground truth of a subset: annotations in, PNG masks and their tables out.

The images are drawn in batches, by several processes; a batch depends on nothing but its own records, and what is
written does not depend on who drew it. Everything goes into a folder beside `masks`, which replaces it at the end.
"""

import contextlib
import dataclasses
import hashlib
import logging
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from cocomine.base.errors import CocomineError
from cocomine.base.files import canonical_json, open_table, write_json
from cocomine.base.folder import replaced_folder
from cocomine.base.pool import in_order
from cocomine.base.progress import Progress
from cocomine.base.space import require_space
from cocomine.coco.by_image import RecordsByImage
from cocomine.coco.labels import Labels, read_labels
from cocomine.coco.tasks import VOID, WIDE_VOID
from cocomine.coco.writer import write_document
from cocomine.images.grid import nearest_indices, taken_before
from cocomine.images.opening import GIANT
from cocomine.masks import png
from cocomine.masks.batch import (
    INSTANCE_VOID,
    Batch,
    Refused,
    Task,
    boxes,
    fill,
    instance_values,
    may_have_outline,
    owner_sums,
    panoptic_values,
    prepare,
    semantic_values,
    void_border,
)
from cocomine.masks.boundaries import Integers
from cocomine.masks.compose import LOST, NOBODY, STUFF, UNWANTED
from cocomine.masks.inputs import ImageRow, read_images
from cocomine.masks.settings import MaskSettings
from cocomine.masks.sheet import write_contact_sheet
from cocomine.masks.tables import (
    FIELDS,
    IMAGE_COLUMNS,
    INSTANCE_COLUMNS,
    LABEL_COLUMNS,
    REFUSED_COLUMNS,
    ImageCounts,
    Totals,
    image_line,
    instance_lines,
    label_lines,
    panoptic_annotation,
    state_numbers,
)
from cocomine.sources.selection import locked_images

log = logging.getLogger("cocomine")

IMAGES_IN_A_BATCH = 16
PIXELS_IN_A_BATCH = 16 * 640 * 480
OBJECTS_IN_A_BATCH = 1000
"""An image of more annotations makes a batch by itself."""

LARGEST_TRAINING_SIZE = 1 << 16
BYTES_OF_A_MASK = 4096
"""What a mask of COCO takes on a disk: a block, since few are larger."""


@dataclasses.dataclass(frozen=True)
class Sources:
    """The files that masks are drawn from; which of them are needed depends on `draw_from` of the settings."""

    images: Path
    labels: Path
    subset: Path | None = None
    stuff: Path | None = None
    void: Path | None = None
    panoptic: Path | None = None
    panoptic_pngs: tuple[Path, ...] = ()
    store: Path | None = None
    images_lock: Path | None = None


@dataclasses.dataclass(frozen=True)
class Output:
    """A kind of mask: its folder, PNG's colour type and bits a sample, and the value that stands for void."""

    name: str
    color: int
    depth: int
    void: int
    dtype: type[np.unsignedinteger]

    @property
    def pixel(self) -> int:
        """Bytes a pixel."""
        return png.BYTES_A_PIXEL[self.color, self.depth]


WIDE = "semantic, of more than 254 classes"
OUTPUTS = {
    WIDE: Output("semantic", png.GREY, 16, WIDE_VOID, np.uint16),
    "semantic": Output("semantic", png.PALETTE, 8, VOID, np.uint8),
    "instance": Output("instance", png.GREY, 16, INSTANCE_VOID, np.uint16),
    "panoptic": Output("panoptic", png.RGB, 8, 0, np.uint32),
}


@dataclasses.dataclass(frozen=True)
class Drawer:
    """Draws a batch of tasks and writes its files below `folder`; what a working process is given once."""

    settings: MaskSettings
    labels: Labels
    palette: bytes
    png_dirs: tuple[Path, ...]
    folder: Path
    training_size: int

    def __call__(self, tasks: Sequence[Task]) -> list[ImageCounts | Refused]:
        """Draw the tasks and return what became of each, in their order."""
        batch, refused = prepare(self.settings, self.labels, self.png_dirs, tasks)
        outcome: dict[int, ImageCounts | Refused] = {item.row.image_id: item for item in refused}
        if batch.rows:
            values = {
                "semantic": semantic_values(self.settings, batch, self.labels.void),
                "instance": instance_values(self.settings, batch),
                "panoptic": panoptic_values(batch),
            }
            if self.settings.border:
                rasters = {name: self._bordered(batch, values[name], self.output(name)) for name in values}
                counts = _count_rasters(batch, rasters, self.training_size, self.labels.void)
            else:
                rasters = {name: fill(batch, values[name], self.output(name).dtype) for name in self.outputs}
                counts = _count_runs(batch, values, self.training_size, self.labels.void)
            for image, row in enumerate(batch.rows):
                largest = max(counts[image].by_label)
                files = {
                    name: self._write(row, rasters[name][image], self.output(name), largest) for name in self.outputs
                }
                outcome[row.image_id] = dataclasses.replace(counts[image], files=files)
        return [outcome[task.row.image_id] for task in tasks]

    @property
    def outputs(self) -> tuple[str, ...]:
        """The kinds of masks that are drawn."""
        return self.settings.outputs or ()

    def output(self, name: str) -> Output:
        """Return how a kind of mask is written."""
        return OUTPUTS[WIDE if name == "semantic" and self.labels.void == WIDE_VOID else name]

    def _bordered(self, batch: Batch, values: Integers, output: Output) -> list[png.Raster]:
        filled = fill(batch, values, output.dtype)
        return [void_border(raster, self.settings.border, output.void) for raster in filled]

    def _write(self, row: ImageRow, raster: png.Raster, output: Output, largest: int) -> str:
        """Write one mask and return its file's SHA-256; `largest` is the largest label of the image.

        The palette reaches up to void only where there is void.
        """
        if output.color == png.PALETTE:
            colors = 256 if largest == VOID else len(self.labels.names)
            content = png.indexed(raster.astype(np.uint8, copy=False), largest, self.palette[: 3 * colors])
        else:
            rows = png.filter_rows(raster, output.pixel)
            content = png.encode(rows, row.width, row.height, output.color, output.depth)
        path = self.folder / output.name / row.mask
        try:
            file = open(path, "wb", buffering=0)  # noqa: SIM115 - closed below
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(path, "wb", buffering=0)  # noqa: SIM115 - closed below
        with file:
            file.write(content)
        return hashlib.sha256(content).hexdigest()


def _count_runs(batch: Batch, values: Mapping[str, Integers], size: int, void: int) -> list[ImageCounts]:
    """Count pixels by label and by object from the runs, at full size and at the training size."""
    runs, objects = batch.runs, batch.objects
    lengths, number = runs.lengths(), len(batch.objects)
    heights, widths = batch.heights(), batch.widths()
    owned = runs.owner != NOBODY
    is_number = values["instance"] == np.append(objects.number, 0)[runs.owner]
    is_segment = values["panoptic"] == np.append(objects.segment, 0)[runs.owner]
    shown = owned & np.where(np.append(objects.layer == STUFF, False)[runs.owner], is_segment, is_number)
    segments = owned & (values["panoptic"] != 0)
    down_start, across_start = np.cumsum(heights + 1) - (heights + 1), np.cumsum(widths + 1) - (widths + 1)
    down = np.concatenate([taken_before(height, size) for height in heights.tolist()])
    across = np.concatenate([taken_before(width, size) for width in widths.tolist()])
    top, left = down_start[runs.image] + runs.y, across_start[runs.image] + runs.x
    sampled = (across[left + 1] - across[left]) * (down[top + lengths] - down[top])
    places = runs.image * (void + 1) + values["semantic"]
    by_label = np.bincount(places, weights=lengths, minlength=(void + 1) * len(batch.rows))
    by_label = by_label.astype(np.int64).reshape(-1, void + 1)
    by_label[:, 0] += heights * widths - by_label.sum(axis=1)
    columns = {
        "uncovered": owner_sums(runs.owner, lengths * (runs.rival == NOBODY), number),
        "pixels": owner_sums(runs.owner, lengths * shown, number),
        "training": owner_sums(runs.owner, sampled * shown, number),
        "segment_pixels": owner_sums(runs.owner, lengths * segments, number),
    }
    return _by_image(batch, by_label, columns, boxes(batch, segments))


def _count_rasters(batch: Batch, rasters: Mapping[str, list[png.Raster]], size: int, void: int) -> list[ImageCounts]:
    """Count the same from filled rasters, whose void borders the runs do not know."""
    runs, number = batch.runs, len(batch.objects)
    columns = {
        # Hidden means hidden by other objects, so a border plays no part in it.
        "uncovered": owner_sums(runs.owner, runs.lengths() * (runs.rival == NOBODY), number),
        **{name: np.zeros(number, np.int64) for name in ("pixels", "training", "segment_pixels")},
    }
    box = np.zeros((number, 4), np.int64)
    by_label = np.zeros((len(batch.rows), void + 1), np.int64)
    # Owner 0 is nobody here, and object i is i + 1.
    numbers, ids = np.concatenate([[0], batch.objects.number]), np.concatenate([[0], batch.objects.segment])
    stuff = np.concatenate([[False], batch.objects.layer == STUFF])
    for image, (row, owner) in enumerate(zip(batch.rows, fill(batch, runs.owner + 1, np.uint32), strict=True)):
        by_label[image] = np.bincount(rasters["semantic"][image].ravel(), minlength=void + 1)
        is_number, is_segment = rasters["instance"][image] == numbers[owner], rasters["panoptic"][image] == ids[owner]
        shown = np.where(np.where(stuff[owner], is_segment, is_number), owner, 0)
        sampled = shown[np.ix_(nearest_indices(row.height, size), nearest_indices(row.width, size))]
        segments = np.where(rasters["panoptic"][image] != 0, owner, 0)
        for name, raster in (("pixels", shown), ("training", sampled), ("segment_pixels", segments)):
            columns[name] += np.bincount(raster.ravel(), minlength=number + 1)[1:]
        for who in np.unique(segments[segments > 0]).tolist():
            ys, xs = np.nonzero(segments == who)
            box[who - 1] = xs.min(), ys.min(), xs.max() - xs.min() + 1, ys.max() - ys.min() + 1
    return _by_image(batch, by_label, columns, box)


def _by_image(batch: Batch, by_label: Integers, columns: Mapping[str, Integers], box: Integers) -> list[ImageCounts]:
    """Cut the counts of a batch into those of its images; unwanted and lost objects get no row."""
    objects = batch.objects
    known = dict(columns) | dict(zip(("x", "y", "width", "height"), box.T, strict=True))
    known["state"] = state_numbers(objects.layer, objects.area, known["uncovered"], known["training"])
    table = np.stack([known[name] if name in known else getattr(objects, name) for name in FIELDS], axis=1)
    listed = (objects.layer < UNWANTED) & (objects.layer != LOST)
    result = []
    for image in range(len(batch.rows)):
        first, last = np.searchsorted(objects.image, [image, image + 1])
        present = np.flatnonzero(by_label[image]).tolist()
        pixels = dict(zip(present, by_label[image][present].tolist(), strict=True))
        result.append(ImageCounts(pixels, table[first:last][listed[first:last]]))
    return result


class Records:
    """The annotations of a subset, as the settings draw them."""

    def __init__(self, settings: MaskSettings, sources: Sources) -> None:
        self._panoptic = self._objects = self._stuff = self._void = None
        if settings.draw_from == "panoptic":
            self._panoptic = _records(sources.panoptic, "--panoptic-json", settings)
            if not sources.panoptic_pngs:
                raise CocomineError("masks.draw_from: panoptic needs the folder of PNGs", "give --panoptic-png-dir")
        else:
            self._objects = _records(sources.subset, "--subset", settings)
            self._void = None if sources.void is None else RecordsByImage(sources.void)
        if settings.draw_from == "instances+stuff":
            self._stuff = _records(sources.stuff, "--stuff-json", settings)
        self._files = [part for part in (self._panoptic, self._objects, self._stuff) if part is not None]
        self.names = [part.path.name for part in self._files]
        self.category_ids = {
            category["id"]
            for part in self._files
            for category in part.categories
            if isinstance(category.get("id"), int)
        }
        self.isthing = {
            category["id"]: _isthing(category, part is not self._stuff and settings.draw_from != "stuff")
            for part in self._files
            for category in part.categories
            if isinstance(category.get("id"), int)
        }

    def check(self, labels: Labels) -> None:
        """Raise CocomineError for a file none of whose categories has a label: nothing would be drawn."""
        for part in self._files:
            ids = {category.get("id") for category in part.categories}
            if ids and not any(isinstance(one, int) and one in labels.category_to_label for one in ids):
                raise CocomineError(
                    f"{part.path}: none of its {len(ids)} categories has a label",
                    "labels.json was made for other annotations: give assemble_subset the same --draw-from",
                )

    def has_outline(self, rows: Sequence[ImageRow], labels: Labels) -> bool:
        """Tell whether any annotation of the images with a label has an outline; panoptic segments always have."""
        if self._panoptic is not None:
            return True
        for row in rows:
            task = self.task(row)
            if any(may_have_outline(text, labels) for text in (*task.objects, *task.stuff)):
                return True
        return False

    def __len__(self) -> int:
        """Return the number of annotations, of every image."""
        return sum(map(len, self._files))

    def task(self, row: ImageRow) -> Task:
        """Return the work of drawing one image."""
        panoptic, objects, stuff = (
            None if part is None else part.of_image(row.image_id)
            for part in (self._panoptic, self._objects, self._stuff)
        )
        lost = [] if self._void is None else self._void.of_image(row.image_id)
        return Task(row, objects or [], stuff or [], panoptic, lost)

    def close(self) -> None:
        """Close the files."""
        for part in (*self._files, *([self._void] if self._void is not None else [])):
            part.close()


def _isthing(category: Mapping[str, Any], default: bool) -> int:
    """Return 1 for a category of objects and 0 for one of stuff: what it says, if it says 0 or 1."""
    stated = category.get("isthing")
    return int(stated) if stated in (0, 1) else int(default)


def _records(path: Path | None, option: str, settings: MaskSettings) -> RecordsByImage:
    if path is None:
        raise CocomineError(f"masks.draw_from: {settings.draw_from} needs a file that was not given", f"give {option}")
    return RecordsByImage(path)


def batches(rows: Sequence[ImageRow], records: Records) -> Iterator[list[Task]]:
    """Yield the images' tasks in batches that do not depend on how many processes there are."""
    batch: list[Task] = []
    pixels = 0
    for row in rows:
        size = row.width * row.height
        task = records.task(row)
        alone = len(task.objects) + len(task.stuff) > OBJECTS_IN_A_BATCH
        if batch and (alone or len(batch) == IMAGES_IN_A_BATCH or pixels + size > PIXELS_IN_A_BATCH):
            yield batch
            batch, pixels = [], 0
        batch.append(task)
        pixels += PIXELS_IN_A_BATCH if alone else size
    if batch:
        yield batch


def rasterize_masks(
    settings: MaskSettings, sources: Sources, out_dir: Path, training_size: int = 128, threads: int = 1
) -> dict[str, Any]:
    """Draw the masks of every image, and write them, their tables and the contact sheet below `out_dir`.

    Returns the manifest, which is also masks.json. `training_size` is the side in pixels at which instances are counted
    as vanished. Raises CocomineError when an input is missing or unusable, when no image at all can be drawn, or for
    the first image that cannot if the settings say stop.
    """
    if not 1 <= training_size <= LARGEST_TRAINING_SIZE:
        hint = f"give a whole number of pixels from 1 to {LARGEST_TRAINING_SIZE}"
        raise CocomineError(f"--training-size {training_size} cannot be used", hint)
    labels, rows = read_labels(sources.labels), read_images(sources.images)
    require_space(out_dir, len(rows) * len(settings.outputs or ()) * BYTES_OF_A_MASK, f"masks of {len(rows)} images")
    records = Records(settings, sources)
    with contextlib.closing(records), replaced_folder(out_dir / "masks", "refused.tsv") as folder:
        records.check(labels)
        if settings.outputs is None:
            drawn_at_all = settings.boxes == "fill" or records.has_outline(rows, labels)
            settings = msgspec.structs.replace(settings, outputs=("semantic",) if drawn_at_all else ())
            if not drawn_at_all:
                log.info(
                    "rasterize_masks: no object of the subset has an outline: no masks are drawn (masks.outputs: []); "
                    "masks.boxes: fill draws the boxes"
                )
        stuff = frozenset(category for category, thing in records.isthing.items() if not thing)
        labels = dataclasses.replace(labels, stuff=stuff)
        if settings.unwanted == "void" and records.category_ids <= labels.category_to_label.keys():
            log.warning(
                "masks.unwanted is void, and every category of %s has a label: nothing becomes void by it. "
                "Set the subset's keep_other_annotations: true to keep the objects of other categories",
                ", ".join(records.names),
            )
        drawer = Drawer(settings, labels, labels.palette(), sources.panoptic_pngs, folder, training_size)
        manifest, drawn = _draw_all(drawer, rows, records, out_dir / "masks.tsv", threads)
    manifest["training_size"] = training_size
    write_json(out_dir / "masks.json", manifest)
    if sources.store is not None:
        shown, masks = (drawn, out_dir / "masks") if settings.outputs else (rows, None)
        if sources.images_lock is not None:
            sha256_of = locked_images(sources.images_lock, [row.store_path for row in shown])
            shown = [dataclasses.replace(row, sha256=sha256_of[row.store_path]) for row in shown]
        write_contact_sheet(out_dir / "contact_sheet.png", shown, labels, sources.store, masks, settings.contact_sheet)
    return manifest


def _draw_all(
    drawer: Drawer, rows: Sequence[ImageRow], records: Records, label_table: Path, threads: int
) -> tuple[dict[str, Any], list[ImageRow]]:
    """Draw every image and write the tables as results come in; return the manifest and the rows of drawn images."""
    settings, labels, folder = drawer.settings, drawer.labels, drawer.folder
    for name in drawer.outputs:
        (folder / name).mkdir()
    totals = Totals(labels)
    hashes: list[str] = []
    drawn: list[ImageRow] = []
    refused: list[Refused] = []
    asked = 0
    with contextlib.ExitStack() as open_files:
        add_label = open_files.enter_context(open_table(label_table, LABEL_COLUMNS))
        add_instance = open_files.enter_context(open_table(folder / "instances.tsv", INSTANCE_COLUMNS))
        add_image = open_files.enter_context(open_table(folder / "images.tsv", IMAGE_COLUMNS))
        add_refused = open_files.enter_context(open_table(folder / "refused.tsv", REFUSED_COLUMNS))
        # The panoptic records are put by until the images, which stand before them in the file, are known.
        segments = open_files.enter_context(tempfile.TemporaryFile(dir=folder))
        progress = open_files.enter_context(Progress("rasterize_masks", len(rows), "image"))
        waiting = iter(rows)
        tasks = batches(rows if drawer.outputs else (), records)
        for outcomes in in_order(
            drawer, tasks, threads, lambda tasks: tasks[0].row.width * tasks[0].row.height > GIANT
        ):
            totals.add([outcome for outcome in outcomes if isinstance(outcome, ImageCounts)])
            for outcome in outcomes:
                row = next(waiting)
                if isinstance(outcome, Refused):
                    if settings.bad_images == "stop":
                        hint = "repair or leave out this image, or set masks.bad_images: quarantine"
                        raise CocomineError(f"{row.file_name} (image {row.image_id}): {outcome.detail}", hint)
                    refused.append(outcome)
                    add_refused((row.image_id, row.file_name, outcome.reason, outcome.detail))
                    progress.count(f"refused: {outcome.reason}")
                    continue
                drawn.append(row)
                # A panoptic annotation is one record for all segments of its image.
                asked += 1 if settings.draw_from == "panoptic" else len(outcome.objects)
                hashes += [f"{value}  {name}/{row.mask}\n" for name, value in outcome.files.items()]
                add_image(image_line(row, outcome, labels.void))
                for line in label_lines(row, outcome, labels):
                    add_label(line)
                for line in instance_lines(row, outcome):
                    add_instance(line)
                if "panoptic" in drawer.outputs:
                    record = panoptic_annotation(row, outcome)
                    segments.write(canonical_json(record).encode() + b"\n")
                progress.count("drawn")
            progress.advance(len(outcomes))
        if rows and not drawn and drawer.outputs:
            first = refused[0]
            raise CocomineError(
                f"none of {len(rows)} images could be drawn; the first: {first.row.file_name}: {first.detail}",
                "check that the annotations and images.tsv belong together",
            )
        if drawn and not asked and len(records):
            log.warning(
                "rasterize_masks: none of %d annotations of %s was drawn: none has a category with a label and an "
                "image of the subset. Check masks.draw_from, masks.stuff_categories and the subset's categories",
                len(records),
                ", ".join(records.names),
            )
        if "panoptic" in drawer.outputs:
            segments.seek(0)
            _write_panoptic(folder / "panoptic.json", drawn, segments, labels, records.isthing)
    reasons = Counter(item.reason for item in refused)
    manifest = {
        "settings": settings.as_mapping(),
        "counts": {
            "images": {"in": len(rows), "drawn": len(drawn), "refused": len(refused),
                       "without_masks": len(rows) if not drawer.outputs else 0},
            "annotations": {"in": len(records), "drawn": asked, "not_drawn": len(records) - asked},
        },
        "refused": dict(sorted(reasons.items())),
        "files": len(hashes),
        "sha256": hashlib.sha256("".join(sorted(hashes, key=lambda line: line[66:])).encode()).hexdigest(),
        **totals.summary(),
    }  # fmt: skip
    return manifest, drawn


def _write_panoptic(
    path: Path, rows: Sequence[ImageRow], annotations: Iterable[bytes], labels: Labels, isthing: Mapping[int, int]
) -> None:
    images = (
        {"id": row.image_id, "file_name": row.file_name, "width": row.width, "height": row.height} for row in rows
    )
    categories = (
        {
            "id": category,
            "name": labels.names[label],
            "supercategory": labels.supercategories[label],
            "isthing": isthing.get(category, 1),
            "color": list(labels.colors[label]),
        }
        for category, label in sorted(labels.category_to_label.items())
    )
    write_document(
        path,
        None,
        None,
        (canonical_json(image).encode() for image in images),
        (line.rstrip(b"\n") for line in annotations),
        (canonical_json(category).encode() for category in categories),
    )
