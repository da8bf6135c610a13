"""How many images or objects lie where: in bins of a number, each with its filter in the explorer, and in the frame."""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from cocomine.reporting.facts import Facts

OBJECTS: Final = (0, 1, 2, 3, 4, 5, 10, 20, 50)
ASPECT: Final = (0, 0.5, 0.67, 0.75, 0.95, 1.05, 1.33, 1.5, 1.8, 2.5)
"""Width by height: from a tall portrait over the square to a panorama; COCO's usual 4:3 and 3:2 begin a bin."""

BRIGHTNESS: Final = tuple(number / 10 for number in range(10))
SHORT: Final = 0.0001
"""Numbers of the explorer have four digits: the largest that is below an edge lies so far from it."""

CELLS: Final = 12
"""Columns and rows into which the frame is parted."""


def objects_per_image(counts: Iterable[int]) -> list[Facts]:
    """Return how many images hold 0, 1, 2, 3, 4, 5 to 9, 10 to 19, 20 to 49 and 50 objects or more.

    A bin has a name, its filter in the explorer's address, and its number of images.
    """
    return _bins(list(counts), OBJECTS, 1, "")


def measured(name: str, values: Iterable[float | None]) -> list[Facts]:
    """Return the bins of the images' `aspect` or `brightness`; images of which it is not known are in none."""
    edges = {"aspect": ASPECT, "brightness": BRIGHTNESS}[name]
    return _bins([round(value, 4) for value in values if value is not None], edges, SHORT, f"of={name}&")


def _bins(values: Sequence[float], edges: Sequence[float], short: float, measure: str) -> list[Facts]:
    """Return the bins from each edge to below the next; empty ones are left out at both ends."""
    bins = []
    for least, beyond in zip(edges, (*edges[1:], None), strict=True):
        images = sum(least <= value and (beyond is None or value < beyond) for value in values)
        if beyond is None:
            name, chosen = f"{least:g} or more", f"{measure}min={least:g}"
        else:
            most = round(beyond - short, 4)
            end = most if short == 1 else beyond
            name = f"{least:g}" if least == most else f"{least:g} to {end:g}"
            chosen = f"{measure}min={least:g}&max={most:g}"
        bins.append({"name": name, "filter": chosen, "images": images})
    while bins and not bins[-1]["images"]:
        bins.pop()
    while len(bins) > 1 and not bins[0]["images"] and measure:
        del bins[0]
    return bins


def positions(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> list[list[int]]:
    """Return how many of the points, 0 to 1 across and down the frame, lie in each cell: rows from the top."""
    inside = (x >= 0) & (x <= 1) & (y >= 0) & (y <= 1)
    counts, _, _ = np.histogram2d(y[inside], x[inside], bins=CELLS, range=[[0, 1], [0, 1]])
    return counts.astype(int).tolist() if inside.any() else []
