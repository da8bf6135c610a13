"""The masks of a batch of images, from their annotation records to who owns which pixel and what each pixel shows."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import numpy as np

from cocomine.base.arrays import Floats, Ints
from cocomine.coco.labels import Labels
from cocomine.coco.tasks import VOID
from cocomine.images.opening import MISSING, ImageError, opened, read_file
from cocomine.masks.boundaries import (
    Boundaries,
    UnusableMaskError,
    columns_crossed,
    polygon_boundaries,
    polygon_coordinates,
    rle_boundaries,
    run_lengths,
)
from cocomine.masks.compose import (
    CROWD,
    LOST,
    MANY,
    NOBODY,
    OBJECT,
    STUFF,
    UNCERTAIN,
    UNLABELLED,
    UNWANTED,
    Flags,
    Objects,
    Runs,
    merge_parts,
    overlay,
    overlay_many,
    rank_objects,
    runs_of_rasters,
)
from cocomine.masks.inputs import ImageRow
from cocomine.masks.records import OBJECTS, PANOPTIC, ObjectRecord
from cocomine.masks.settings import MaskSettings

INSTANCE_VOID = 65535
MOST_PIXELS = 1 << 32
MOST_CROSSINGS = 20_000_000
"""How often the outlines of an image may cross the centre of a column: the drawing of more takes over ten seconds."""

MOST_SEGMENT_ID = (1 << 24) - 1


@dataclasses.dataclass(frozen=True)
class Task:
    """An image to draw: its row of images.tsv and the JSON texts of its annotations."""

    row: ImageRow
    objects: list[bytes]
    stuff: list[bytes]
    panoptic: list[bytes] | None
    """None unless the masks are drawn from a panoptic source."""
    lost: list[bytes] = dataclasses.field(default_factory=list)
    """The regions of its quarantined objects."""


@dataclasses.dataclass(frozen=True)
class Refused:
    """Why an image has no masks: a stable reason code and a sentence with the values."""

    row: ImageRow
    reason: str
    detail: str


@dataclasses.dataclass(frozen=True)
class Batch:
    """Images drawn together: their rows, their objects, and the runs that say who owns which pixel."""

    rows: tuple[ImageRow, ...]
    objects: Objects
    runs: Runs

    def heights(self) -> Ints:
        """Return the images' heights in pixels."""
        return np.array([row.height for row in self.rows], np.int64)

    def widths(self) -> Ints:
        """Return the images' widths in pixels."""
        return np.array([row.width for row in self.rows], np.int64)


@dataclasses.dataclass
class _Gathered:
    """The objects of some images while they are collected, and their shapes.

    `rows` holds an object's (image, label, layer, segment id or SAME, annotation id, category id). `points` are the
    coordinates of polygons, `polygon_sizes` how many each has, `polygon_object` whose each is; `lengths` the run
    lengths of `lengths_object`; `rasters` filled images whose first objects are `first_object`.
    """

    rows: list[tuple[int, int, int, int, int, int]] = dataclasses.field(default_factory=list)
    points: list[Floats] = dataclasses.field(default_factory=list)
    polygon_sizes: list[int] = dataclasses.field(default_factory=list)
    polygon_object: list[int] = dataclasses.field(default_factory=list)
    lengths: list[Ints] = dataclasses.field(default_factory=list)
    lengths_object: list[int] = dataclasses.field(default_factory=list)
    rasters: list[Ints] = dataclasses.field(default_factory=list)
    first_object: list[int] = dataclasses.field(default_factory=list)

    def extend(self, other: "_Gathered") -> None:
        """Append another image's objects."""
        self.rows += other.rows
        self.points += other.points
        self.polygon_sizes += other.polygon_sizes
        self.polygon_object += other.polygon_object
        self.lengths += other.lengths
        self.lengths_object += other.lengths_object
        self.rasters += other.rasters
        self.first_object += other.first_object


SAME = -1
"""Stands for a segment id that is the object's number in its image."""


def prepare(
    settings: MaskSettings, labels: Labels, png_dirs: Sequence[Path], tasks: Sequence[Task]
) -> tuple[Batch, list[Refused]]:
    """Return the tasks' batch, and the images that cannot be drawn, which are not in it."""
    refused: list[Refused] = []
    rows: list[ImageRow] = []
    gathered = _Gathered()
    for task in tasks:
        try:
            found = _gather(settings, labels, png_dirs, task, len(rows), len(gathered.rows))
        except UnusableMaskError as error:
            refused.append(Refused(task.row, error.reason, error.detail))
        else:
            gathered.extend(found)
            rows.append(task.row)
    batch = _compose(settings, tuple(rows), gathered)
    if settings.overlap == "refuse":
        overlapping = _overlapping(batch)
        if overlapping:
            refused += overlapping
            gone = {item.row.image_id for item in refused}
            left = [task for task in tasks if task.row.image_id not in gone]
            return prepare(settings, labels, png_dirs, left)[0], refused
    return batch, refused


def _gather(
    settings: MaskSettings, labels: Labels, png_dirs: Sequence[Path], task: Task, image: int, first: int
) -> _Gathered:
    """Return one image's objects, the first being number `first` of the batch; raise UnusableMaskError if unusable."""
    row = task.row
    if not 0 < row.width * row.height <= MOST_PIXELS or row.width < 0:
        raise UnusableMaskError("image-size-unusable", f"images.tsv says {row.width} × {row.height} pixels")
    result = _Gathered()
    if task.panoptic is not None:
        _gather_segments(labels, png_dirs, task, image, result)
        result.first_object.append(first)
    layer_of_objects = STUFF if settings.draw_from == "stuff" else OBJECT
    for texts, layer in ((task.objects, layer_of_objects), (task.stuff, STUFF), (task.lost, LOST)):
        if texts:
            _gather_records(settings, labels, row, (texts, layer), (image, first), result)
    wanted = sum(label > 0 for _, label, *_ in result.rows)
    if wanted >= INSTANCE_VOID:
        raise UnusableMaskError("too-many-objects", f"it has {wanted} objects, 16 bits hold {INSTANCE_VOID - 1}")
    return result


def _gather_records(
    settings: MaskSettings,
    labels: Labels,
    row: ImageRow,
    layered: tuple[list[bytes], int],
    place: tuple[int, int],
    result: _Gathered,
) -> None:
    """Add the objects of one layer; `place` is the image's number and that of its first object."""
    texts, layer = layered
    image, first = place
    try:
        records = OBJECTS.decode(b"[" + b",".join(texts) + b"]")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnusableMaskError("record-unreadable", f"one of its annotations: {error}") from error
    polygons: list[list[float]] = []
    drawn: list[tuple[ObjectRecord, list[list[float]]]] = []
    for record in records:
        label = 0 if layer == LOST else labels.category_to_label.get(record.category_id, 0)
        if not label and layer != LOST and settings.unwanted == "background":
            continue
        here = LOST if layer == LOST else UNWANTED if not label else CROWD if record.iscrowd else layer
        number = first + len(result.rows)
        shape = record.segmentation
        if not shape:
            with _blaming(record):
                shape = [_box_outline(record.bbox)]
                if label and settings.boxes == "exclude":
                    raise UnusableMaskError("box-without-outline", "it has a box only, and masks.boxes says exclude")
            if label and settings.boxes == "void":
                here = UNCERTAIN
        if isinstance(shape, list):
            polygons += shape
            result.polygon_object += [number] * len(shape)
            drawn.append((record, shape))
        else:
            with _blaming(record):
                result.lengths.append(run_lengths(shape, row.height, row.width))
            result.lengths_object.append(number)
        result.rows.append((image, label, here, SAME, record.id, record.category_id))
    try:
        points, sizes = polygon_coordinates(polygons)
    except UnusableMaskError:
        # All polygons of an image are read at once, since it is quicker; this finds the one at fault.
        for record, shape in drawn:
            with _blaming(record):
                polygon_coordinates(shape)
        raise
    if len(points) * row.width > MOST_CROSSINGS and columns_crossed(points, row.width) > MOST_CROSSINGS:
        raise UnusableMaskError(
            "outline-too-long",
            f"its outlines of {len(points) // 2} points cross columns of the image {MOST_CROSSINGS} times and more",
        )
    result.points.append(points)
    result.polygon_sizes += sizes


def may_have_outline(text: bytes, labels: Labels) -> bool:
    """Tell whether an annotation record has a label and an outline, or cannot be read, which drawing will say."""
    try:
        record = OBJECTS.decode(b"[" + text + b"]")[0]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return True
    return bool(record.segmentation) and record.category_id in labels.category_to_label


def _box_outline(box: Any) -> list[float]:
    """Return the outline of a box [x, y, width, height]; raise UnusableMaskError where it is none with an area."""
    try:
        x, y, width, height = msgspec.convert(box, tuple[float, float, float, float])
    except msgspec.ValidationError:
        width = height = 0.0
    if not (width > 0 and height > 0):
        raise UnusableMaskError("no-segmentation", "it has no segmentation, and no box with an area")
    return [x, y, x + width, y, x + width, y + height, x, y + height]


@contextlib.contextmanager
def _blaming(record: ObjectRecord) -> Iterator[None]:
    """Name the annotation in the error that is raised inside."""
    try:
        yield
    except UnusableMaskError as error:
        raise UnusableMaskError(error.reason, f"annotation {record.id}: {error.detail}") from error


def _gather_segments(labels: Labels, png_dirs: Sequence[Path], task: Task, image: int, result: _Gathered) -> None:
    """Add the segments of a panoptic PNG, wanted or not, and as one more object what it gives to none."""
    assert task.panoptic is not None
    if len(task.panoptic) != 1:
        raise UnusableMaskError("no-panoptic-record", f"it has {len(task.panoptic)} panoptic annotations, 1 is needed")
    try:
        record = PANOPTIC.decode(b"[" + task.panoptic[0] + b"]")[0]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnusableMaskError("record-unreadable", f"its panoptic annotation: {error}") from error
    ids = read_panoptic(png_dirs, PurePosixPath(record.file_name).name, task.row)
    for segment in record.segments_info:
        label = labels.category_to_label.get(segment.category_id, 0)
        kind = STUFF if segment.category_id in labels.stuff else OBJECT
        layer = UNWANTED if not label else CROWD if segment.iscrowd else kind
        result.rows.append((image, label, layer, segment.id, segment.id, segment.category_id))
    known = np.array([0, *(segment.id for segment in record.segments_info)], np.int64)
    order = np.argsort(known, kind="stable")
    if len(np.unique(known)) < len(known) or known.min() < 0 or known.max() > MOST_SEGMENT_ID:
        raise UnusableMaskError("segment-ids", "its segment ids are not distinct numbers from 1 to 2^24 - 1")
    place = np.searchsorted(known[order], ids)
    found = order[np.minimum(place, len(known) - 1)]
    unknown = known[found] != ids
    if unknown.any():
        detail = f"its PNG has {int(unknown.sum())} pixels of id {int(ids[unknown][0])}, which no segment has"
        raise UnusableMaskError("segment-unknown", detail)
    owner = found - 1
    if (owner < 0).any():
        owner[owner < 0] = len(record.segments_info)
        result.rows.append((image, 0, UNLABELLED, 0, 0, 0))
    result.rasters.append(owner)


def read_panoptic(png_dirs: Sequence[Path], name: str, row: ImageRow) -> Ints:
    """Return the h × w segment ids of a COCO panoptic PNG: R + 256 G + 65536 B; 0 is void.

    The folder of the image's own split is looked into first, since another split may have a PNG of that name too.
    """
    own = [folder for folder in png_dirs if folder.name == f"panoptic_{row.source_split}"]
    for folder in (*own, *png_dirs):
        try:
            with opened(read_file(folder / name)) as raster:
                if raster.size != (row.width, row.height):
                    found = f"{raster.width} × {raster.height}"
                    detail = f"{name} is {found}, the image {row.width} × {row.height}"
                    raise UnusableMaskError("mask-size-differs", detail)
                if raster.mode != "RGB":
                    raise UnusableMaskError("mask-not-rgb", f"{name} has mode {raster.mode}, expected RGB")
                colors = np.asarray(raster).astype(np.int64)
        except ImageError as error:
            if error.reason == MISSING:
                continue
            raise UnusableMaskError("mask-undecodable", f"{name}: {error}") from error
        except (OSError, ValueError, SyntaxError) as error:
            raise UnusableMaskError("mask-undecodable", f"{name}: {error}") from error
        ids: Ints = colors[..., 0] + (colors[..., 1] << 8) + (colors[..., 2] << 16)
        return ids
    raise UnusableMaskError("mask-missing", f"{name} is in none of the folders of panoptic PNGs")


def _compose(settings: MaskSettings, rows: tuple[ImageRow, ...], gathered: _Gathered) -> Batch:
    table = np.array(gathered.rows, np.int64).reshape(-1, 6)
    image, label, layer, segment, annotation_id, category_id = np.ascontiguousarray(table.T)
    # Stuff stands behind the objects of its image, so both numberings agree on these.
    segment = np.where(segment == SAME, _numbers(image, label > 0), segment)
    number = _numbers(image, (label > 0) & (layer != STUFF))
    columns = {
        "image": image,
        "label": label,
        "layer": layer,
        "number": number,
        "segment": segment,
        "annotation_id": annotation_id,
        "category_id": category_id,
    }
    heights = np.array([row.height for row in rows], np.int64)
    widths = np.array([row.width for row in rows], np.int64)
    if gathered.rasters:
        runs = runs_of_rasters(gathered.rasters, gathered.first_object)
        area = owner_sums(runs.owner, runs.lengths(), len(image))
        return Batch(rows, Objects(**columns, area=area), runs)
    parts, part_object = _boundaries(gathered, heights[image], widths[image])
    merged, area = merge_parts(parts, part_object)
    area = np.concatenate([area, np.zeros(len(image) - len(area), np.int64)])
    objects = Objects(**columns, area=area)
    rank = rank_objects(objects, settings.overlap == "smaller-on-top")
    rivals = settings.overlap in ("void", "refuse")
    if int(rank.max(initial=0)) >= MANY:
        sizes = [(row.height, row.width) for row in rows]
        return Batch(rows, objects, overlay_many(merged, objects, sizes, rank, rivals))
    left = np.cumsum(widths) - widths
    return Batch(rows, objects, overlay(merged, objects, left, rank, rivals))


def _numbers(image: Ints, counted: Flags) -> Ints:
    """Return 1, 2, 3, … for the objects of each image that are counted, 0 for the others."""
    wanted = np.cumsum(counted)
    before = np.append(0, wanted)[np.searchsorted(image, image)]
    return np.where(counted, wanted - before, 0)


def _boundaries(gathered: _Gathered, heights: Ints, widths: Ints) -> tuple[Boundaries, Ints]:
    """Return the boundaries of all parts, and the object of each part, ascending; sizes are given by object."""
    polygon_object = np.array(gathered.polygon_object, np.int64)
    lengths_object = np.array(gathered.lengths_object, np.int64)
    points = np.concatenate([np.zeros(0), *gathered.points])
    sizes = np.array(gathered.polygon_sizes, np.int64)
    polygons = polygon_boundaries(points, sizes, heights[polygon_object], widths[polygon_object])
    if not gathered.lengths:
        return polygons, polygon_object
    runs = rle_boundaries(gathered.lengths, heights[lengths_object])
    part_object = np.concatenate([polygon_object, lengths_object])
    order = np.argsort(part_object, kind="stable")
    renamed = np.empty_like(order)
    renamed[order] = np.arange(len(order))
    part = renamed[np.concatenate([polygons.part, runs.part + len(polygon_object)])]
    both = Boundaries(part, np.concatenate([polygons.x, runs.x]), np.concatenate([polygons.y, runs.y]))
    return both, part_object[order]


def _overlapping(batch: Batch) -> list[Refused]:
    """Return the images in which an object claims a pixel of another one."""
    runs, objects = batch.runs, batch.objects
    contested = np.flatnonzero((runs.rival != NOBODY) & (runs.lengths() > 0))
    lengths = runs.lengths()
    result = []
    for image in np.unique(runs.image[contested]).tolist():
        own = contested[runs.image[contested] == image]
        one, other = sorted(int(objects.annotation_id[who[own[0]]]) for who in (runs.owner, runs.rival))
        detail = f"{int(lengths[own].sum())} of its pixels have several owners, such as annotations {one} and {other}"
        result.append(Refused(batch.rows[image], "objects-overlap", detail))
    return result


def owner_sums(owner: Ints, amounts: Ints, objects: int) -> Ints:
    """Return the sum of `amounts` for each object; what belongs to nobody is left out."""
    return np.bincount(owner + 1, weights=amounts, minlength=objects + 1)[1:].astype(np.int64)


def semantic_values(settings: MaskSettings, batch: Batch, void: int = VOID) -> Ints:
    """Return the label that each run shows: 0 background, `void` void."""
    label = np.where(_is_void(settings, batch), void, batch.objects.label)
    return _shown(batch.runs, label, batch.runs.rival_label, void)


def instance_values(settings: MaskSettings, batch: Batch) -> Ints:
    """Return the instance number that each run shows: 0 none or stuff, 65535 void."""
    layer, number = batch.objects.layer, batch.objects.number
    value = np.where(_is_void(settings, batch), INSTANCE_VOID, number)
    stuff = np.append(layer == STUFF, False)[batch.runs.owner]
    return np.where(stuff, 0, _shown(batch.runs, value, batch.runs.rival, INSTANCE_VOID))


def _is_void(settings: MaskSettings, batch: Batch) -> Flags:
    """Return which objects are void in semantic and instance masks."""
    layer = batch.objects.layer
    void: Flags = (layer == UNLABELLED) | (layer == UNCERTAIN) | (layer == LOST)
    if settings.unwanted == "void":
        void = void | (layer == UNWANTED)
    if settings.crowds == "void":
        void = void | (layer == CROWD)
    return void


def panoptic_values(batch: Batch) -> Ints:
    """Return the segment id that each run shows; all void, background and unwanted objects are 0 in COCO's form."""
    layer = batch.objects.layer
    void = (layer >= UNWANTED) | (layer == UNCERTAIN) | (layer == LOST)
    return _shown(batch.runs, np.where(void, 0, batch.objects.segment), batch.runs.rival, 0)


def _shown(runs: Runs, value: Ints, rival: Ints, void: int) -> Ints:
    # NOBODY is -1, the last entry.
    shown = np.append(value, 0)[runs.owner]
    return np.where((rival != NOBODY) & (runs.owner != NOBODY), void, shown)


def boxes(batch: Batch, shown: Flags) -> Ints:
    """Return each object's bounding box [x, y, width, height] over its runs where `shown`; zeros where it has none."""
    runs = batch.runs
    kept = np.flatnonzero(shown & (runs.owner != NOBODY))
    owner, ends = runs.owner[kept], runs.ends()[kept]
    low = np.full((len(batch.objects), 2), np.iinfo(np.int64).max)
    high = np.full((len(batch.objects), 2), -1)
    np.minimum.at(low[:, 0], owner, runs.x[kept])
    np.minimum.at(low[:, 1], owner, runs.y[kept])
    np.maximum.at(high[:, 0], owner, runs.x[kept] + 1)
    np.maximum.at(high[:, 1], owner, ends)
    found = high[:, 0] >= 0
    return np.where(found[:, None], np.concatenate([low, high - low], axis=1), 0)
