"""Average precision and recall out of matches, as COCO's evaluation adds them up: equal to pycocotools' arrays.

For a category, range of areas and number of results an image: by falling score, tp and fp are running sums of the
results that find an object and that find none; recall = tp / objects, precision = tp / (tp + fp), each precision raised
to the highest at any larger recall, and read off at 101 recalls. AP is the mean over recalls, thresholds and categories
that have objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cocomine.base.arrays import Bools, Floats, Ints
from cocomine.evaluation.matching import Matches

RECALLS = np.linspace(0.0, 1.0, round((1.0 - 0.0) / 0.01) + 1, endpoint=True)
THRESHOLDS = np.linspace(0.5, 0.95, round((0.95 - 0.5) / 0.05) + 1, endpoint=True)
AREAS = {"all": (0.0, 1e5**2), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e5**2)}


@dataclass(frozen=True)
class Protocol:
    """COCO's figures of a task: the ranges of areas, and the numbers of results of an image and category."""

    areas: tuple[str, ...]
    most: tuple[int, ...]
    figures: tuple[tuple[str, str, str, int, float | None], ...]

    @property
    def ranges(self) -> Floats:
        """The ranges of areas, as (a, 2) in px²."""
        return np.array([AREAS[name] for name in self.areas])


def _figures(kind: str, areas: Sequence[str], most: int) -> list[tuple[str, str, str, int, float | None]]:
    return [(f"{kind}_{area}", kind, area, most, None) for area in areas]


SIZED = ("small", "medium", "large")
OBJECTS = Protocol(
    ("all", *SIZED),
    (1, 10, 100),
    (
        ("AP", "AP", "all", 100, None),
        ("AP50", "AP", "all", 100, 0.5),
        ("AP75", "AP", "all", 100, 0.75),
        *_figures("AP", SIZED, 100),
        ("AR1", "AR", "all", 1, None),
        ("AR10", "AR", "all", 10, None),
        ("AR100", "AR", "all", 100, None),
        *_figures("AR", SIZED, 100),
    ),
)
POSES = Protocol(
    ("all", "medium", "large"),
    (20,),
    (
        ("AP", "AP", "all", 20, None),
        ("AP50", "AP", "all", 20, 0.5),
        ("AP75", "AP", "all", 20, 0.75),
        *_figures("AP", SIZED[1:], 20),
        ("AR", "AR", "all", 20, None),
        ("AR50", "AR", "all", 20, 0.5),
        ("AR75", "AR", "all", 20, 0.75),
        *_figures("AR", SIZED[1:], 20),
    ),
)
FEDERATED = Protocol(
    ("all", *SIZED),
    (300,),
    (
        ("AP", "AP", "all", 300, None),
        ("AP50", "AP", "all", 300, 0.5),
        ("AP75", "AP", "all", 300, 0.75),
        *_figures("AP", SIZED, 300),
        ("AR300", "AR", "all", 300, None),
        *_figures("AR", SIZED, 300),
    ),
)
"""LVIS' figures, beside those of its groups of classes (cocomine.evaluation.federated)."""
PROTOCOLS = {"boxes": OBJECTS, "masks": OBJECTS, "keypoints": POSES}


@dataclass(frozen=True)
class Curves:
    """Precision (t, 101, k) at each recall and the last recall (t, k); -1 where a category has no objects."""

    precision: Floats
    recall: Floats

    def figure(self, kind: str, threshold: float | None = None) -> float | None:
        """Return AP or AR, over all thresholds or at one; None where no category has objects."""
        values = self.precision if kind == "AP" else self.recall
        if threshold is not None:
            values = values[np.where(threshold == THRESHOLDS)[0]]
        known = values[values > -1]
        return float(np.mean(known)) if known.size else None

    def of(self, categories: Bools) -> "Curves":
        """Return those of some categories (k,)."""
        return Curves(self.precision[:, :, categories], self.recall[:, categories])

    def per_category(self) -> Floats:
        """Return the AP of each category as (k,), NaN where it has no objects."""
        flat = self.precision.reshape(-1, self.precision.shape[2])
        return np.where(flat[0] > -1, flat.mean(0), np.nan)


def curves(
    matches: Matches, objects: tuple[Ints, Ints], categories: int, area: int, most: int, images: Bools | None = None
) -> Curves:
    """Add the matches up over the images of `images` (all without it).

    `objects` are the positions of each object's image and category, `area` that of the range, `most` how many results
    of an image and category take part.
    """
    precision = np.full((len(THRESHOLDS), len(RECALLS), categories), -1.0)
    recall = np.full((len(THRESHOLDS), categories), -1.0)
    object_image, object_category = objects
    takes_part = matches.rank < most
    wanted = matches.object_counts[area]
    if images is not None:
        takes_part = takes_part & images[matches.image]
        wanted = wanted & images[object_image]
    objects_of = np.bincount(object_category[wanted], minlength=categories)
    places = np.flatnonzero(takes_part)
    bounds = np.searchsorted(matches.category[places], np.arange(categories + 1))
    for category in np.flatnonzero(objects_of).tolist():
        own = places[bounds[category] : bounds[category + 1]]
        own = own[np.argsort(-matches.score[own], kind="stable")]
        hit, counts = matches.object[area][:, own] >= 0, matches.counts[area][:, own]
        true = np.cumsum(hit & counts, axis=1).astype(np.float64)
        false = np.cumsum(~hit & counts, axis=1).astype(np.float64)
        precision[:, :, category], recall[:, category] = _read_off(true, false, int(objects_of[category]))
    return Curves(precision, recall)


def _read_off(true: Floats, false: Floats, objects: int) -> tuple[Floats, Floats]:
    """Return the precision at each recall (t, 101) and the last recall (t,) of running sums (t, n)."""
    read = np.zeros((len(true), len(RECALLS)))
    if not true.shape[1]:
        return read, np.zeros(len(true))
    recall = true / objects
    precision = true / (false + true + np.spacing(1))
    raised = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    for number in range(len(true)):
        place = np.searchsorted(recall[number], RECALLS, side="left")
        inside = place < true.shape[1]
        read[number, inside] = raised[number, place[inside]]
    return read, recall[:, -1]
