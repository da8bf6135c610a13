"""The objects of a subset's images that its query left out, each with the clause that did."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from cocomine.inquiry.trace import Trace

QUARANTINED = "records"
"""The clause whose annotations stand in quarantine.tsv, with their reasons."""


@dataclass(frozen=True)
class LeftOut:
    """`clauses` are the clauses that left an object out, each with its words; `objects` those of each image by id.

    An object is its id, the name of its category in the source, and the number of the clause.
    """

    clauses: list[tuple[str, str]] = field(default_factory=list)
    objects: dict[int, list[tuple[int, str, int]]] = field(default_factory=dict)


def left_out(trace: Trace, images: Collection[int]) -> LeftOut:
    """Return the objects that the query left out of some images, these by their ids in the subset."""
    source, steps = trace.source, trace.funnel.steps
    removed = trace.funnel.last_removed("annotation")
    owner = source.image_row
    kept = np.isin(source.image_ids, np.fromiter(images, np.int64, len(images)))
    told = np.array([step.clause == QUARANTINED for step in steps], dtype=bool)
    rows = np.flatnonzero((removed >= 0) & (owner >= 0))
    rows = rows[kept[owner[rows]] & ~told[removed[rows]]]
    numbers, clause = np.unique(removed[rows], return_inverse=True)
    objects: dict[int, list[tuple[int, str, int]]] = {}
    for image, identity, category, number in zip(
        source.image_ids[owner[rows]].tolist(),
        source.annotation_ids[rows].tolist(),
        source.annotations["category_id"][rows].tolist(),
        clause.tolist(),
        strict=True,
    ):
        stated = source.category_of(category)
        objects.setdefault(image, []).append((identity, stated.name if stated else "", number))
    return LeftOut([(steps[number].clause, steps[number].words) for number in numbers.tolist()], objects)
