"""What is wrong with results of boxes or masks: kinds of false ones, missed objects, classes taken for one another.

The kinds are TIDE's (Bolya et al., TIDE: A General Toolbox for Identifying Object Detection Errors, ECCV 2020), by the
IoU of a false result with the objects of its image, t = 0.5 and b = 0.1, each result of the first kind that fits:

- localisation: an object of its class with b ≤ IoU ≤ t;
- confusion: an object of another class with IoU ≥ t;
- duplicate: an object of its class with IoU ≥ t that a better result has found;
- background: no object with IoU above b;
- both: the rest, an object of another class with b < IoU < t.

An object is missed when no result finds it and none of localisation or confusion lies nearest to it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cocomine.base.arrays import Bools, Floats, Ints
from cocomine.evaluation.matching import Edges, Found, Matches, Objects, match, ordered, pairs
from cocomine.evaluation.truth import Truth, edges_of

FOREGROUND, BACKGROUND = 0.5, 0.1
KINDS = ("localisation", "confusion", "duplicate", "background", "both")
MOST_RESULTS = 1_000_000  # no limit: the results that are compared were chosen by their scores


def across_classes(entries: Sequence[dict[str, Any]], found: Found, truth: Truth, task: str, matches: Matches) -> Edges:
    """Return the overlap of each result that takes part with every object of its image, of whatever class."""
    one_class = replace(found, category=np.zeros_like(found.category))
    objects = replace(truth.objects, category=np.zeros_like(truth.objects.category))
    by_image = matches.result[np.lexsort((matches.result, matches.image))]
    place, target = pairs(one_class, objects, by_image)
    edges = edges_of(entries, truth, task, by_image, (place, target))
    where = np.empty(len(found), dtype=np.int64)
    where[matches.result] = np.arange(len(matches.result))
    return Edges(where[by_image[place]], target, edges.iou)


def kinds_of(matches: Matches, truth: Truth, edges: Edges) -> tuple[Ints, Bools]:
    """Return the kind of each result (m,), -1 for those that are right or do not count, and which objects are missed.

    Judged at an IoU of 0.5, over all sizes.
    """
    false = (matches.object[0, 0] < 0) & matches.counts[0, 0]
    ordinary = matches.object_counts[0]
    near = ordinary[edges.object] & false[edges.result]
    result, target, iou = edges.result[near], edges.object[near], edges.iou[near]
    same = truth.objects.category[target] == matches.category[result]
    used = np.zeros(len(truth.objects), dtype=bool)
    hits = matches.object[0, 0]
    used[hits[hits >= 0]] = True
    own, own_object = _highest(len(false), result[same], target[same], iou[same])
    other, other_object = _highest(len(false), result[~same], target[~same], iou[~same])
    again, _ = _highest(len(false), *(part[same & used[target]] for part in (result, target, iou)))
    tests = (
        (own >= BACKGROUND) & (own <= FOREGROUND),
        other >= FOREGROUND,
        again >= FOREGROUND,
        np.maximum(own, other) <= BACKGROUND,
        np.ones(len(false), dtype=bool),
    )
    kind = np.where(false, np.argmax(np.stack(tests), axis=0), -1)
    covered = used.copy()
    covered[own_object[kind == 0]] = True
    covered[other_object[kind == 1]] = True
    return kind, ordinary & ~covered


def _highest(count: int, result: Ints, target: Ints, iou: Floats) -> tuple[Floats, Ints]:
    """Return the highest IoU of each result, 0 where there is none, and the object that has it, else -1."""
    highest, best = np.zeros(count), np.full(count, -1, dtype=np.int64)
    order = np.lexsort((iou, result))
    # Of equal places the last assignment stays, the one of the highest IoU.
    highest[result[order]], best[result[order]] = iou[order], target[order]
    best[highest == 0] = -1
    return highest, best


def best_threshold(matches: Matches) -> float:
    """Return the score from which on the F1 of all classes together is highest; 0 without results or objects."""
    order = np.argsort(-matches.score, kind="stable")
    counts, hit = matches.counts[0, 0][order], matches.object[0, 0][order] >= 0
    true, all_of_them = np.cumsum(hit & counts), np.cumsum(counts)
    objects = int(matches.object_counts[0].sum())
    if not len(order) or objects == 0:
        return 0.0
    return float(matches.score[order][np.argmax(2 * true / (all_of_them + objects))])


def image_errors(matches: Matches, truth: Truth, threshold: float) -> Floats:
    """Return 1 − F1 of each image (i,) at an IoU of 0.5, over the results from a score on.

    0 where there is nothing to find and nothing was claimed.
    """
    images = len(truth.images)
    taken = matches.counts[0, 0] & (matches.score >= threshold)
    hit = taken & (matches.object[0, 0] >= 0)
    true = np.bincount(matches.image[hit], minlength=images)
    claimed = np.bincount(matches.image[taken], minlength=images)
    wanted = np.bincount(truth.objects.image[matches.object_counts[0]], minlength=images)
    whole = claimed + wanted
    return 1.0 - np.where(whole > 0, 2 * true / np.maximum(whole, 1), 1.0)


def confusion(found: Found, truth: Truth, matches: Matches, edges: Edges, threshold: float) -> list[list[int]]:
    """Return how often each class (rows) is taken for each (columns), over results from a score on.

    Results and objects are matched at an IoU of 0.5 whatever their classes. The last row are results that find nothing,
    the last column objects that nothing finds; crowds count in neither.
    """
    taken = np.flatnonzero(matches.score >= threshold)
    own_places = matches.result[taken]
    some = Found(found.image[own_places], found.category[own_places], found.score[own_places], found.area[own_places])
    one_class = replace(some, category=np.zeros_like(some.category))
    objects: Objects = replace(truth.objects, category=np.zeros_like(truth.objects.category))
    order, rank = ordered(one_class, MOST_RESULTS)
    where = np.full(len(matches.result), -1, dtype=np.int64)
    where[taken[order]] = np.arange(len(order))
    kept = where[edges.result] >= 0
    own = Edges(where[edges.result[kept]], edges.object[kept], edges.iou[kept])
    everything = np.array([[0.0, np.inf]])
    made = match(one_class, objects, order, rank, own, np.array([FOREGROUND]), everything)
    classes = len(truth.categories)
    target, counts = made.object[0, 0], made.counts[0, 0]
    hit = (target >= 0) & counts
    table = np.zeros((classes + 1, classes + 1), dtype=np.int64)
    claimed = some.category[order]
    np.add.at(table, (truth.objects.category[target[hit]], claimed[hit]), 1)
    np.add.at(table, (classes, claimed[~hit & counts]), 1)
    lost = made.object_counts[0].copy()
    lost[target[hit]] = False
    np.add.at(table, (truth.objects.category[lost], classes), 1)
    rows: list[list[int]] = table.tolist()
    return rows
