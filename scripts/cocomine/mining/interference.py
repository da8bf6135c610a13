"""The interference of classes: how often another class shares the image, before and after mining.

The word is the method's: COCO's classes share images with one another, and mining isolates some. *Before* counts all
images of the source, *after* the images of the subset; both look at every usable annotation of the source, whether the
subset writes it or not, since what is not annotated any more is in the image all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cocomine.base.arrays import Array
from cocomine.base.files import atomic_path
from cocomine.mining.arrays import Mask
from cocomine.mining.clauses import Pairs

# The figure shows the wanted classes against at most this many others: more cannot be read.
OTHERS_SHOWN = 20
WANTED_SHOWN = 40


def shared_images(pairs: Pairs, images: Mask, rows: Sequence[int], classes: int) -> Array:
    """Count images that a class of `rows` shares with each class. Shape (len(rows), classes), int64.

    The cell of a class with itself is the number of its images.
    """
    from scipy.sparse import csr_array

    alive = images[pairs.image]
    where = (pairs.image[alive], pairs.cls[alive])
    presence = csr_array((np.ones(len(where[0]), dtype=np.int64), where), shape=(len(images), classes))
    product = presence[:, np.asarray(rows, dtype=np.int64)].T @ presence
    result: Array = product.toarray()
    return result


def document(matrix: Array, rows: Sequence[int], names: Sequence[str]) -> dict[str, Any]:
    """Return the matrix as plain values: each wanted class's images, and how many of them each other class shares."""
    return {
        names[cls]: {
            "images": int(matrix[at, cls]),
            "shared": {
                names[other]: int(matrix[at, other]) for other in np.flatnonzero(matrix[at]).tolist() if other != cls
            },
        }
        for at, cls in enumerate(rows)
    }


def shown(before: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Choose the figure's rows and columns: wanted classes, then the others that share most images."""
    wanted = sorted(before, key=lambda name: (-before[name]["images"], name))[:WANTED_SHOWN]
    total: dict[str, int] = {}
    for name in wanted:
        for other, count in before[name]["shared"].items():
            if other not in before:
                total[other] = total.get(other, 0) + count
    others = sorted(total, key=lambda name: (-total[name], name))[:OTHERS_SHOWN]
    kept = [name for name in before if name in wanted]
    return kept, kept + others


def shares(matrix: Mapping[str, Any], rows: Sequence[str], columns: Sequence[str]) -> Array:
    """Percent of a row's images that hold the column's class. NaN on the diagonal and where a class has no image."""
    result = np.full((len(rows), len(columns)), np.nan)
    for i, name in enumerate(rows):
        images = matrix[name]["images"]
        for j, other in enumerate(columns):
            if images and name != other:
                result[i, j] = 100 * matrix[name]["shared"].get(other, 0) / images
    return result


def draw(before: Mapping[str, Any], after: Mapping[str, Any], path: Path) -> None:
    """Draw the two matrices as a PNG; a cell is the percent of the row's images that also hold the column's class."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rows, columns = shown(before)
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 9}):
        width, height = 2.2 + 0.34 * len(columns), 0.3 * len(rows)
        figure = Figure(figsize=(max(width, 7.0), 2 * height + 4.2), dpi=110, layout="constrained")
        axes = figure.subplots(2, 1, sharex=True)
        for axis, matrix, title in zip(axes, (before, after), ("source", "subset"), strict=True):
            _panel(axis, shares(matrix, rows, columns), matrix, rows, columns, title)
        figure.suptitle("Of the images with a class (row), percent that also hold another (column)")
        cells = axes[0].images[0]
        figure.colorbar(cells, ax=axes, shrink=0.6, label="% of the row's images")
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", metadata={"Software": None})


def _panel(
    axis: Any, values: Array, matrix: Mapping[str, Any], rows: Sequence[str], columns: Sequence[str], title: str
) -> None:
    axis.set_facecolor("#e6e6e6")
    axis.imshow(np.ma.masked_invalid(values), cmap="YlOrRd", vmin=0, vmax=100, aspect="auto")
    axis.set_title(title, loc="left", fontweight="bold")
    axis.set_yticks(range(len(rows)), [f"{name} ({matrix[name]['images']})" for name in rows])
    axis.set_xticks(range(len(columns)), list(columns), rotation=90)
    axis.tick_params(length=0, labelbottom=True)
    if len(rows) < len(columns):
        axis.axvline(len(rows) - 0.5, color="black", linewidth=1)
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value) and value >= 0.5:
            axis.text(j, i, f"{value:.0f}", ha="center", va="center", size=7, color="white" if value > 60 else "black")
