"""What policy and the clauses about objects say of every record: quarantined, lost, counted, written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cocomine.annotations.reasons import Reason, mask_of, masks_by_policy, reasons_of
from cocomine.base.arrays import Array
from cocomine.base.errors import CocomineError
from cocomine.base.words import plural
from cocomine.mining import clauses
from cocomine.mining.arrays import Mask, Rows
from cocomine.mining.identity import repeated
from cocomine.mining.index import Source
from cocomine.mining.resolve import Wanted
from cocomine.mining.settings import Range, SubsetSettings


@dataclass(frozen=True)
class Objects:
    """What the clauses about objects say of every annotation; all masks have shape (annotations,).

    `quarantined`: left out by policy. `counted`: usable and within the area. Of a wanted class, it makes its image
    wanted. `written`: written if its image is chosen.
    """

    quarantined: Mask
    counted: Mask
    written: Mask


def bits(column: Array, mask: int) -> Mask:
    """Rows whose `reasons` column has any bit of `mask`."""
    if not mask:
        return np.zeros(len(column), dtype=bool)
    result: Mask = (column & np.uint64(mask)) != 0
    return result


def quarantined_by_policy(source: Source, query: SubsetSettings) -> tuple[Mask, Mask]:
    """Return the images and the annotations that policy quarantines.

    An annotation goes with its image, and one without an image or a category cannot be kept at all. Of images, a second
    record of one file is never kept, nor those of which nothing tells whose annotations are whose. Raises CocomineError
    when policy says stop for a reason that a record has.
    """
    chosen = query.policies
    masks = masks_by_policy(chosen)
    source.images.load("id", "reasons")
    source.annotations.load("image_row", "category_id", "reasons")
    for kind, table in (("image", source.images), ("annotation", source.annotations)):
        stops = np.flatnonzero(bits(table["reasons"], masks["stop"]))
        if len(stops):
            row = int(stops[0])
            reason = reasons_of(int(table["reasons"][row]) & masks["stop"])[0]
            split = source.splits[int(table.split_of(stops[:1])[0])]
            raise stopped(split.source_file, kind, int(table["id"][row]), reason, count=len(stops))
    _stop_at_categories(source, masks["stop"])
    identity = source.identity
    images = bits(source.images["reasons"], masks["quarantine"] | mask_of(Reason.DUPLICATE_ID))
    images = images | identity.ambiguous | identity.repeats
    annotations = bits(source.annotations["reasons"], masks["quarantine"])
    if chosen[Reason.DUPLICATE_ID] == "stop":
        restarted = repeated(source.images["id"], source.images.starts)
        _stop_at_restarted(source, "image", restarted)
        _stop_at_restarted(source, "annotation" if source.categories else "caption", source.restarted)
    if chosen[Reason.DUPLICATE_ID] == "quarantine":
        images = images | repeated(source.images["id"], source.images.starts)
        annotations = annotations | source.restarted
    image_row = source.image_row
    orphan = image_row < 0
    annotations = annotations | orphan
    if source.categories:
        annotations = annotations | (source.class_of < 0)
    if images.any():
        annotations = annotations | (images[image_row] & ~orphan)
    return images, annotations


def labelled_objects(source: Source, query: SubsetSettings, wanted: Wanted) -> Mask:
    """Annotations of a category that gets a label; where none is named, those of an unknown category too."""
    if query.keep_other_annotations:
        return np.ones(source.annotations.rows, dtype=bool)
    return wanted_annotations(source, wanted) | ((source.class_of < 0) & (not query.wanted))


def lost_objects(source: Source, labelled: Mask, quarantined: Mask) -> Mask:
    """Quarantined annotations that leave a gap: `labelled` ones, with no equal annotation of the same image file."""
    lost = quarantined & labelled & (source.image_row >= 0)
    lost &= ~bits(source.annotations["reasons"], mask_of(Reason.EXACT_DUPLICATE))
    doubles = np.flatnonzero(lost)
    doubles = doubles[source.identity.repeats[source.image_row[doubles]]]
    if len(doubles):
        lost[doubles[_stands_elsewhere(source, doubles, ~quarantined)]] = False
    return lost


def images_of(source: Source, annotations: Rows) -> Rows:
    """The image rows of annotations, each the first record of its file."""
    result: Rows = source.identity.original[source.image_row[annotations]]
    return result


def _stands_elsewhere(source: Source, rows: Rows, usable: Mask) -> Mask:
    """Which annotations of second records of a file equal a usable one of the file's first record."""
    columns = ("category_id", "iscrowd", "area", "bbox_x", "bbox_y", "bbox_w", "bbox_h", "polygons", "vertices")
    source.annotations.load(*columns)

    def keys(of: Rows) -> list[tuple[float, ...]]:
        values = [np.nan_to_num(source.annotations[name][of], nan=-1.0).tolist() for name in columns]
        return list(zip(images_of(source, of).tolist(), *values, strict=True))

    originals = np.flatnonzero(usable & np.isin(source.image_row, images_of(source, rows)))
    known = set(keys(originals))
    return np.array([key in known for key in keys(rows)], dtype=bool)


def stopped(where: str, kind: str, identity: int, reason: str, detail: str = "", count: int = 1) -> CocomineError:
    """The error of a record that has a reason for which policy says stop."""
    return CocomineError(
        f"{where}: {kind} {identity} has the reason {reason}{f' ({detail})' * bool(detail)}, for which policy says stop"
        + f" ({count} such {plural(kind)})" * (count > 1),
        f"correct the file, or set policy: {{{reason}: quarantine}}",
    )


def _stop_at_categories(source: Source, mask: int) -> None:
    for record in source.category_records:
        if record.reasons & mask:
            where = source.splits[record.split].source_file
            raise stopped(where, "category", record.id, reasons_of(record.reasons & mask)[0])


def _stop_at_restarted(source: Source, kind: str, mask: Mask) -> None:
    rows = np.flatnonzero(mask)
    if len(rows):
        table = source.images if kind == "image" else source.annotations
        split = source.splits[int(table.split_of(rows[:1])[0])]
        detail = "an earlier record has it"
        raise stopped(split.source_file, kind, int(table["id"][rows[0]]), Reason.DUPLICATE_ID, detail, len(rows))


def judge_objects(source: Source, query: SubsetSettings, wanted: Wanted, quarantined: Mask) -> Objects:
    """Apply the clauses about objects (crowds, area, relative_area) to every annotation."""
    is_wanted = wanted_annotations(source, wanted)
    written = ~quarantined
    if query.crowds == "drop":
        written &= ~crowd_mask(source, query) | ~is_wanted
    counted = written
    if query.area.bounded or query.relative_area.bounded:
        inside = area_mask(source, query.area) & relative_area_mask(source, query.relative_area)
        counted = written & (inside | ~is_wanted)
        if query.outside_area != "keep":
            written = counted
    if not query.keep_other_annotations:
        written = written & is_wanted
    return Objects(quarantined=quarantined, counted=counted, written=written)


def wanted_annotations(source: Source, wanted: Wanted) -> Mask:
    """Annotations of a wanted category."""
    table = np.zeros(len(source.categories) + 1, dtype=bool)
    table[list(wanted.classes)] = True
    result: Mask = table[source.class_of]
    return result


def area_mask(source: Source, bounds: Range) -> Mask:
    """Annotations whose area in square pixels is within bounds."""
    return clauses.within(_areas(source), bounds) if bounds.bounded else np.ones(source.annotations.rows, dtype=bool)


def relative_area_mask(source: Source, bounds: Range) -> Mask:
    """Annotations whose area as a fraction of their image is within bounds."""
    if not bounds.bounded:
        return np.ones(source.annotations.rows, dtype=bool)
    width, height = image_sides(source)
    pixels = width * height
    with np.errstate(divide="ignore", invalid="ignore"):
        share = _areas(source) / np.append(pixels, np.nan)[source.image_row]
    return clauses.within(share, bounds)


def image_sides(source: Source) -> tuple[Array, Array]:
    """Return all images' widths and heights in pixels, as float64; NaN where none is stated."""
    width, height = (source.images[name].astype(np.float64) for name in ("width", "height"))
    return np.where(width > 0, width, np.nan), np.where(height > 0, height, np.nan)


def crowd_mask(source: Source, query: SubsetSettings) -> Mask:
    """Annotations that are crowds, but for those of which policy makes objects."""
    result: Mask = source.annotations["iscrowd"] == 1
    if query.policies[Reason.MOSTLY_CROWDS] == "repair":
        result = result & ~bits(source.annotations["reasons"], mask_of(Reason.MOSTLY_CROWDS))
    return result


def _areas(source: Source) -> Array:
    source.annotations.load("area", "bbox_w", "bbox_h")
    table = source.annotations
    return clauses.object_area(table["area"], table["bbox_w"], table["bbox_h"])
