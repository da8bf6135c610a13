"""Counting a set of annotations: images, instances, crowds, polygons, vertices, size classes, licences, by class.

Definitions: an *annotation* is a record; an *instance* is one whose `iscrowd` is not 1, a *crowd* one whose `iscrowd`
is 1; a *multi-polygon* one has two polygons or more; *vertices* are the points of all polygons (run lengths have
none). Size classes go by the stated area in square pixels (the box's where none is stated), crowds included, as
`cocomine.coco.sizes` has them; *no size* has neither area nor box. An image counts for a class if it has an
annotation of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cocomine.coco.sizes import size_classes
from cocomine.mining.clauses import Pairs
from cocomine.mining.index import Array, Mask


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
