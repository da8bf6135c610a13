"""Counting a set of annotations: images, instances, crowds, polygons, vertices, size classes, licences, by class.

Definitions: an *annotation* is a record; an *instance* is one whose `iscrowd` is not 1, a *crowd* one whose `iscrowd`
is 1; a *multi-polygon* one has two polygons or more; *vertices* are the points of all polygons (run lengths have
none). Size classes go by the stated area in square pixels (the box's where none is stated), crowds included, as
`cocomine.coco.sizes` has them; *no size* has neither area nor box. An image counts for a class if it has an
annotation of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from cocomine.annotations.records import read_object
from cocomine.base.arrays import Array
from cocomine.coco.sizes import size_classes
from cocomine.mining import clauses, interference
from cocomine.mining.arrays import Mask, Rows
from cocomine.mining.clauses import Pairs
from cocomine.mining.index import Source
from cocomine.mining.licences import licence_names
from cocomine.mining.resolve import Wanted


@dataclass(frozen=True)
class Facts:
    """Columns of the annotations that are counted, one cell each: shape (n,).

    `image_row` and `cls` int64, `iscrowd` int8 (1 a crowd), `polygons` and `vertices` integers, `area` float64 in
    square pixels (NaN where unknown).
    """

    image_row: Array
    cls: Array
    iscrowd: Array
    polygons: Array
    vertices: Array
    area: Array


def describe(
    facts: Facts, pairs: Pairs, images: Mask, licence: Array, licence_names: dict[int, str], names: Sequence[str]
) -> dict[str, Any]:
    """Count annotations in all and by class.

    `pairs` are the images and classes of `facts`; `images` masks the images that are counted, annotated or not;
    `licence` has each image's licence id. Returns plain values for JSON.
    """
    size = len(names)
    kinds: dict[str, Mask] = {
        "annotations": np.ones(len(facts.cls), dtype=bool),
        "instances": facts.iscrowd != 1,
        "crowds": facts.iscrowd == 1,
        "multi_polygon": facts.polygons > 1,
        **size_classes(facts.area),
        "no_size": ~np.isfinite(facts.area),
    }
    counts = {kind: np.bincount(facts.cls[mask], minlength=size) for kind, mask in kinds.items()}
    counts["vertices"] = np.bincount(facts.cls, weights=facts.vertices, minlength=size).astype(np.int64)
    by_class_images = np.bincount(pairs.cls, minlength=size)
    licences = sorted(int(number) for number in np.unique(licence[images]))
    licence_of_pair = licence[pairs.image]
    licence_counts = {number: np.bincount(pairs.cls[licence_of_pair == number], minlength=size) for number in licences}
    total = {"images": int(np.count_nonzero(images)), "images_with_annotations": len(np.unique(pairs.image))}
    total |= {kind: int(values.sum()) for kind, values in counts.items()}
    per_class = {}
    for cls in np.flatnonzero(counts["annotations"]).tolist():
        entry: dict[str, Any] = {"images": int(by_class_images[cls])}
        entry |= {kind: int(values[cls]) for kind, values in counts.items()}
        entry["licences"] = {
            licence_names.get(number, str(number)): int(values[cls])
            for number, values in licence_counts.items()
            if values[cls]
        }
        per_class[names[cls]] = entry
    return {
        "total": total
        | {
            "licences": {
                licence_names.get(number, str(number)): int(np.count_nonzero(images & (licence == number)))
                for number in licences
            }
        },
        "per_class": per_class,
    }


def subset_statistics(
    source: Source,
    wanted: Wanted,
    bad_images: Mask,
    bad_annotations: Mask,
    images: Rows,
    annotations: Rows,
    values: Values,
) -> dict[str, Any]:
    """Count the source, without its quarantined records, and the subset, and how classes share images in both.

    `images` and `annotations` are the rows that the subset holds, `values` what is written of the latter.
    """
    names = [category.name for category in source.categories]
    size, classes, licences = source.images.rows, len(names), licence_names(source)

    def counted(facts: Facts, there: Mask) -> tuple[dict[str, Any], dict[str, Any]]:
        pairs = clauses.pairs_of(facts.image_row, facts.cls, size, classes)
        shared = interference.shared_images(pairs, there, wanted.classes, classes)
        described = describe(facts, pairs, there, source.images["license"], licences, names)
        return described, interference.document(shared, wanted.classes, names)

    # One after the other, since the columns of both are several times what else is in memory.
    before, shared_before = counted(_usable(source, bad_annotations), ~bad_images)
    area = clauses.object_area(values.area, values.box[:, 2], values.box[:, 3])
    rows = source.image_row[annotations], source.class_of[annotations]
    facts = Facts(*rows, values.iscrowd, values.polygons, values.vertices, area)
    after, shared_after = counted(facts, clauses.marked(images, size))
    return {
        "before": before,
        "after": after,
        "interference": {"before": shared_before, "after": shared_after},
    }


def _usable(source: Source, bad_annotations: Mask) -> Facts:
    """The annotations of the source that are not quarantined and have a class."""
    table, usable = source.annotations, np.flatnonzero(~bad_annotations & (source.class_of >= 0))
    area = clauses.object_area(table["area"], table["bbox_w"], table["bbox_h"])[usable]
    iscrowd, polygons, vertices = (table[name][usable] for name in ("iscrowd", "polygons", "vertices"))
    return Facts(source.image_row[usable], source.class_of[usable], iscrowd, polygons, vertices, area)


@dataclass
class Values:
    """The values of annotations as they are written: those of the index, but for repaired records the new ones.

    `box` has shape (n, 4): x, y, width, height in pixels; the others shape (n,).
    """

    box: Array
    area: Array
    iscrowd: Array
    polygons: Array
    vertices: Array

    @classmethod
    def read(cls, source: Source, rows: Rows) -> Self:
        """Read the index's values of the annotations at global `rows`."""
        table, box = source.annotations, ("bbox_x", "bbox_y", "bbox_w", "bbox_h")
        others = ("area", "iscrowd", "polygons", "vertices")
        table.load(*box, *others)
        values = np.stack([table[name][rows] for name in box], axis=1), *(table[name][rows] for name in others)
        table.forget(*box, *others)  # the statistics ask for some once more, when much else is done with
        return cls(*values)

    def replace(self, at: int, text: bytes) -> None:
        """Take the values of the repaired record at position `at`, read as the index reads records."""
        record, _ = read_object(text)
        polygons: Any = record.segmentation
        rings = polygons if isinstance(polygons, list) else []
        self.box[at], self.area[at], self.iscrowd[at] = record.bbox, record.area, record.iscrowd
        self.polygons[at], self.vertices[at] = len(rings), sum(len(ring) // 2 for ring in rings)

    def select(self, keep: Mask) -> Self:
        """Return the values of the annotations that are kept."""
        return type(self)(*(getattr(self, item.name)[keep] for item in fields(self)))
