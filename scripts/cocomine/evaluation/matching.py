"""Which result finds which object, as COCO's evaluation decides it: equal to pycocotools, all thresholds at once.

Of each image and category the results are taken by falling score, at most `most` of them. A result finds, of the
objects that no better one has found and whose IoU (of keypoints: OKS) reaches the threshold, the one of the highest
IoU, of equals the last; one that counts goes before one that does not. A crowd is found by any number of results. An
object that is a crowd, without keypoints where these are judged, or outside of the range of areas does not count, and
neither does a result that finds one, nor one outside of the range that finds nothing.

pycocotools walks through results and thresholds one by one. Here the results of one rank in all images and categories
are matched together, at all thresholds: they share no object.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from cocomine.base.arrays import Bools, Floats, Ints

ALMOST_ONE = 1 - 1e-10
"""What pycocotools takes for a threshold of 1."""


@dataclass(frozen=True)
class Objects:
    """The annotations that may be found: image and category by position, area in px², and which are no ordinary ones.

    `crowd` can be found any number of times; `ignored` (crowds among them) do not count. Every array has shape (g,).
    """

    image: Ints
    category: Ints
    area: Floats
    crowd: Bools
    ignored: Bools

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True)
class Found:
    """Results, by position of image and category, with score and area in px². Every array has shape (d,)."""

    image: Ints
    category: Ints
    score: Floats
    area: Floats

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True)
class Edges:
    """Pairs of a result and an object of one image and category, and their IoU; equals by the object's position."""

    result: Ints
    object: Ints
    iou: Floats


@dataclass(frozen=True)
class Matches:
    """What was decided of the results that take part, sorted by category, image and falling score.

    `result` (m,) is the position among all results, `rank` (m,) that among the results of its image and category;
    `object` (a, t, m) int32 is the object that it finds for each range of areas and threshold, -1 for none; `counts`
    (a, t, m) says whether the result counts there; `object_counts` (a, g) which objects do.
    """

    result: Ints
    image: Ints
    category: Ints
    score: Floats
    rank: Ints
    object: npt.NDArray[np.int32]
    counts: Bools
    object_counts: Bools


def ordered(found: Found, most: int) -> tuple[Ints, Ints]:
    """Return the positions of the results that take part, sorted by category, image and falling score, and ranks."""
    order = np.lexsort((-found.score, found.image, found.category))
    image, category = found.image[order], found.category[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (image[1:] != image[:-1]) | (category[1:] != category[:-1])
    starts = np.flatnonzero(first)
    rank = np.arange(len(order)) - np.repeat(starts, np.diff([*starts, len(order)]))
    kept = rank < most
    return order[kept], rank[kept]


def pairs(found: Found, objects: Objects, order: Ints) -> tuple[Ints, Ints]:
    """Return every result of `order` beside every object of its image and category, as positions in `order`'s terms.

    The first array holds places in `order`, the second positions of objects, these rising for each result.
    """
    width = 1 + max(int(found.image.max(initial=0)), int(objects.image.max(initial=0)))
    key = objects.category * width + objects.image
    by_key = np.argsort(key, kind="stable")
    wanted = (found.category * width + found.image)[order]
    low = np.searchsorted(key[by_key], wanted, side="left")
    count = np.searchsorted(key[by_key], wanted, side="right") - low
    place = np.repeat(np.arange(len(order)), count)
    within = np.arange(len(place)) - np.repeat(np.cumsum(count) - count, count)
    return place, by_key[np.repeat(low, count) + within]


def match(
    found: Found,
    objects: Objects,
    order: Ints,
    rank: Ints,
    edges: Edges,
    thresholds: Floats,
    areas: Floats,
) -> Matches:
    """Match results to objects; `edges` are in terms of places in `order`, `areas` (a, 2) ranges in px²."""
    outside = _outside(objects.area, areas)
    skipped = objects.ignored | outside
    shape = (len(areas), len(thresholds))
    chosen = np.full((*shape, len(order)), -1, dtype=np.int32)
    taken = np.zeros((*shape, len(objects)), dtype=bool)
    limits = np.minimum(thresholds, ALMOST_ONE)
    near = edges.iou >= limits.min(initial=ALMOST_ONE)
    result, target, iou = edges.result[near], edges.object[near], edges.iou[near]
    by_rank = np.lexsort((target, iou, result, rank[result]))
    result, target, iou = result[by_rank], target[by_rank], iou[by_rank]
    bounds = np.searchsorted(rank[result], np.arange(int(rank.max(initial=-1)) + 2))
    for begin, end in pairwise(bounds.tolist()):
        if begin < end:
            _match_rank(
                result[begin:end], target[begin:end], iou[begin:end], limits, objects.crowd, skipped, taken, chosen
            )
    unmatched = chosen < 0
    beside = _outside(found.area[order], areas)[:, None]
    # One more object, that nothing finds, so that there is one for -1 to lead to.
    padded = np.append(skipped, np.zeros((len(areas), 1), dtype=bool), axis=1)
    of_skipped = np.take_along_axis(padded[:, None], chosen.reshape(len(areas), 1, -1), axis=2).reshape(chosen.shape)
    counts = np.where(unmatched, ~beside, ~of_skipped)
    return Matches(order, found.image[order], found.category[order], found.score[order], rank, chosen, counts, ~skipped)


def _outside(area: Floats, areas: Floats) -> Bools:
    """Return which areas lie outside of each range, as (a, n); the bounds themselves are inside."""
    outside: Bools = (area < areas[:, :1]) | (area > areas[:, 1:])
    return outside


def _match_rank(
    result: Ints,
    target: Ints,
    iou: Floats,
    limits: Floats,
    crowd: Bools,
    skipped: Bools,
    taken: Bools,
    chosen: npt.NDArray[np.int32],
) -> None:
    """Match results of one rank: of each, its edges stand together with the better one behind the other."""
    count = len(result)
    starts = np.flatnonzero(np.r_[True, result[1:] != result[:-1]])
    free = (iou >= limits[:, None]) & (~taken[:, :, target] | crowd[target])
    # An object that counts goes before any that does not: it is as if it stood behind all of them.
    value = np.arange(count) + np.where(skipped[:, target], 0, count)[:, None]
    best = np.maximum.reduceat(np.where(free, value, -1), starts, axis=2)
    hit = best >= 0
    finds = target[best % count]
    chosen[:, :, result[starts]] = np.where(hit, finds, -1)
    area, threshold, place = np.nonzero(hit)
    taken[area, threshold, finds[area, threshold, place]] = True
