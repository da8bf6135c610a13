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
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np

from cocomine.base.arrays import Ints
from cocomine.base.errors import CocomineError
from cocomine.base.files import canonical_json, open_table, write_json
from cocomine.base.folder import replaced_folder
from cocomine.base.pool import in_order
from cocomine.base.progress import Progress
from cocomine.base.space import require_space
from cocomine.coco.labels import Labels, read_labels
from cocomine.coco.tasks import VOID, WIDE_VOID
from cocomine.coco.writer import write_document
from cocomine.images.opening import GIANT
from cocomine.masks import png
from cocomine.masks.batch import (
    INSTANCE_VOID,
    Batch,
    Refused,
    Task,
    instance_values,
    panoptic_values,
    prepare,
    semantic_values,
)
from cocomine.masks.counts import count_rasters, count_runs
from cocomine.masks.inputs import ImageRow, read_images
from cocomine.masks.rasters import fill, fill_in_strips, void_border
from cocomine.masks.settings import MaskSettings
from cocomine.masks.sheet import write_contact_sheet
from cocomine.masks.subset import Records, Sources, batches
from cocomine.masks.tables import (
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
)
from cocomine.sources.selection import locked_images

log = logging.getLogger("cocomine")

LARGEST_TRAINING_SIZE = 1 << 16
BYTES_OF_A_MASK = 4096
"""What a mask of COCO takes on a disk: a block, since few are larger."""


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
            bordered = {}
            if self.settings.border:
                bordered = {name: self._bordered(batch, values[name], self.output(name)) for name in values}
                counts = count_rasters(batch, bordered, self.training_size, self.labels.void)
            else:
                counts = count_runs(batch, values, self.training_size, self.labels.void)
            for name in self.outputs:  # one after another, since those of a giant are large
                for row, strips, counted in zip(
                    batch.rows, self._strips(batch, values[name], name, bordered), counts, strict=True
                ):
                    counted.files[name] = self._write(row, strips, self.output(name), max(counted.by_label))
            outcome |= {row.image_id: counted for row, counted in zip(batch.rows, counts, strict=True)}
        return [outcome[task.row.image_id] for task in tasks]

    @property
    def outputs(self) -> tuple[str, ...]:
        """The kinds of masks that are drawn."""
        return self.settings.outputs or ()

    def output(self, name: str) -> Output:
        """Return how a kind of mask is written."""
        return OUTPUTS[WIDE if name == "semantic" and self.labels.void == WIDE_VOID else name]

    def _strips(
        self, batch: Batch, values: Ints, name: str, bordered: dict[str, list[png.Raster]]
    ) -> list[Iterable[png.Raster]]:
        """Return the rows of each image's raster, some at a time; those of one that is `bordered` are there already."""
        dtype = self.output(name).dtype
        if name not in bordered and len(batch.rows) == 1:
            return [fill_in_strips(batch, values, dtype)]
        return [png.strips_of(raster) for raster in bordered.pop(name, None) or fill(batch, values, dtype)]

    def _bordered(self, batch: Batch, values: Ints, output: Output) -> list[png.Raster]:
        filled = fill(batch, values, output.dtype)
        return [void_border(raster, self.settings.border, output.void) for raster in filled]

    def _write(self, row: ImageRow, strips: Iterable[png.Raster], output: Output, largest: int) -> str:
        """Write one mask, whose rows come some at a time, and return its file's SHA-256.

        `largest` is the largest label of the image. The palette reaches up to void only where there is void.
        """
        if output.color == png.PALETTE:
            colors = 256 if largest == VOID else len(self.labels.names)
            content = png.indexed_strips(strips, row.width, row.height, largest, self.palette[: 3 * colors])
        else:
            rows = png.filter_strips(strips, output.pixel)
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


class _Outputs:
    """The tables of drawn images, written below `folder` as results come in, and the sums that the manifest states."""

    def __init__(
        self, drawer: Drawer, records: Records, label_table: Path, files: contextlib.ExitStack, segments: IO[bytes]
    ) -> None:
        """Open the files, which `files` closes; `label_table` is masks.tsv.

        The panoptic records are put by in `segments`, a temporary file, until the images, which stand before them in
        their document, are known.
        """
        self.drawer, self.records, folder = drawer, records, drawer.folder
        self.totals = Totals(drawer.labels)
        self.hashes: list[str] = []
        self.drawn: list[ImageRow] = []
        self.refused: list[Refused] = []
        self.asked = 0
        self._add_label = files.enter_context(open_table(label_table, LABEL_COLUMNS))
        self._add_instance = files.enter_context(open_table(folder / "instances.tsv", INSTANCE_COLUMNS))
        self._add_image = files.enter_context(open_table(folder / "images.tsv", IMAGE_COLUMNS))
        self._add_refused = files.enter_context(open_table(folder / "refused.tsv", REFUSED_COLUMNS))
        self._segments = segments

    def add(self, row: ImageRow, outcome: ImageCounts | Refused) -> str:
        """Write what became of an image, and return it in a word; raises CocomineError where refusal is to stop."""
        if isinstance(outcome, Refused):
            return self._refuse(row, outcome)
        drawer = self.drawer
        self.drawn.append(row)
        # A panoptic annotation is one record for all segments of its image.
        self.asked += 1 if drawer.settings.draw_from == "panoptic" else len(outcome.objects)
        self.hashes += [f"{value}  {name}/{row.mask}\n" for name, value in outcome.files.items()]
        self._add_image(image_line(row, outcome, drawer.labels.void))
        for line in label_lines(row, outcome, drawer.labels):
            self._add_label(line)
        for line in instance_lines(row, outcome):
            self._add_instance(line)
        if "panoptic" in drawer.outputs:
            self._segments.write(canonical_json(panoptic_annotation(row, outcome)).encode() + b"\n")
        return "drawn"

    def _refuse(self, row: ImageRow, outcome: Refused) -> str:
        if self.drawer.settings.bad_images == "stop":
            hint = "repair or leave out this image, or set masks.bad_images: quarantine"
            raise CocomineError(f"{row.file_name} (image {row.image_id}): {outcome.detail}", hint)
        self.refused.append(outcome)
        self._add_refused((row.image_id, row.file_name, outcome.reason, outcome.detail))
        return f"refused: {outcome.reason}"

    def finish(self) -> None:
        """Write the panoptic document; raise CocomineError if nothing was drawn, and warn if nothing was to be seen."""
        drawer, records = self.drawer, self.records
        if self.refused and not self.drawn:
            first = self.refused[0]
            raise CocomineError(
                f"none of {len(self.refused)} images could be drawn; the first: {first.row.file_name}: {first.detail}",
                "check that the annotations and images.tsv belong together",
            )
        if self.drawn and not self.asked and len(records):
            log.warning(
                "rasterize_masks: none of %d annotations of %s was drawn: none has a category with a label and an "
                "image of the subset. Check masks.draw_from, masks.stuff_categories and the subset's categories",
                len(records),
                ", ".join(records.names),
            )
        if "panoptic" in drawer.outputs:
            self._segments.seek(0)
            path = drawer.folder / "panoptic.json"
            _write_panoptic(path, self.drawn, self._segments, drawer.labels, records.isthing)

    def manifest(self, images: int) -> dict[str, Any]:
        """Return what masks.json states of all `images`, the training size excepted."""
        drawn, annotations = len(self.drawn), len(self.records)
        without = 0 if self.drawer.outputs else images
        lines = sorted(self.hashes, key=lambda line: line[66:])
        return {
            "settings": self.drawer.settings.as_mapping(),
            "counts": {
                "images": {"in": images, "drawn": drawn, "refused": len(self.refused), "without_masks": without},
                "annotations": {"in": annotations, "drawn": self.asked, "not_drawn": annotations - self.asked},
            },
            "refused": dict(sorted(Counter(item.reason for item in self.refused).items())),
            "files": len(self.hashes),
            "sha256": hashlib.sha256("".join(lines).encode()).hexdigest(),
            **self.totals.summary(),
        }


def _draw_all(
    drawer: Drawer, rows: Sequence[ImageRow], records: Records, label_table: Path, threads: int
) -> tuple[dict[str, Any], list[ImageRow]]:
    """Draw every image and write the tables as results come in; return the manifest and the rows of drawn images."""
    for name in drawer.outputs:
        (drawer.folder / name).mkdir()
    with (
        contextlib.ExitStack() as files,
        tempfile.TemporaryFile(dir=drawer.folder) as segments,
        Progress("rasterize_masks", len(rows), "image") as progress,
    ):
        outputs = _Outputs(drawer, records, label_table, files, segments)
        waiting = iter(rows)
        tasks = batches(rows if drawer.outputs else (), records)
        for outcomes in in_order(drawer, tasks, threads, _is_giant):
            outputs.totals.add([outcome for outcome in outcomes if isinstance(outcome, ImageCounts)])
            for outcome in outcomes:
                progress.count(outputs.add(next(waiting), outcome))
            progress.advance(len(outcomes))
        outputs.finish()
    return outputs.manifest(len(rows)), outputs.drawn


def _is_giant(tasks: Sequence[Task]) -> bool:
    return tasks[0].row.width * tasks[0].row.height > GIANT


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
