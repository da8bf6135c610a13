"""The filled rasters of a batch, of the values of its runs: whole or some rows at a time, and with void borders."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from cocomine.base.arrays import Ints
from cocomine.masks import png
from cocomine.masks.batch import Batch


def fill(batch: Batch, values: Ints, dtype: npt.DTypeLike) -> list[png.Raster]:
    """Return each image's filled h × w raster of the runs' values, row-major, of an unsigned `dtype`.

    The images stand side by side on one canvas that holds, for each pixel, the difference to the one above it; adding
    up its rows fills all of them, a row of all images at a time. The rasters are views of it.
    """
    heights, widths = batch.heights(), batch.widths()
    left = np.cumsum(widths) - widths
    canvas = np.zeros((int(heights.max(initial=0)) + 1, int(widths.sum())), dtype)
    change = np.diff(values.astype(dtype), prepend=np.zeros(1, dtype))
    kept = np.flatnonzero(change)
    canvas[batch.runs.y[kept], left[batch.runs.image[kept]] + batch.runs.x[kept]] = change[kept]
    for above, row in itertools.pairwise(canvas):
        np.add(above, row, out=row)
    return [
        canvas[:height, start : start + width]
        for height, width, start in zip(heights.tolist(), widths.tolist(), left.tolist(), strict=True)
    ]


def fill_in_strips(batch: Batch, values: Ints, dtype: npt.DTypeLike) -> Iterator[png.Raster]:
    """Yield the rows that `fill` makes of a batch of one image, some at a time.

    They are made where the caches hold them: a giant's raster as a whole is much memory, and takes longer.
    """
    (row,) = batch.rows
    change = np.diff(values.astype(dtype), prepend=np.zeros(1, dtype))
    kept = np.flatnonzero(change)
    kept = kept[np.argsort(batch.runs.y[kept], kind="stable")]
    y, x, change = batch.runs.y[kept], batch.runs.x[kept], change[kept]
    above: npt.NDArray[Any] = np.zeros(row.width, dtype)
    for top in range(0, row.height, step := png.rows_at_once(row.width)):
        strip = np.zeros((min(step, row.height - top), row.width), dtype)
        here = slice(*np.searchsorted(y, [top, top + len(strip)]))
        strip[y[here] - top, x[here]] = change[here]
        for before, after in itertools.pairwise([above, *strip]):
            np.add(before, after, out=after)
        above = strip[-1]
        yield strip


def void_border(values: png.Raster, width: int, void: int) -> png.Raster:
    """Return the raster with every pixel void that has another value at most `width` rows and columns away."""
    edge = np.zeros(values.shape, bool)
    vertical = values[1:] != values[:-1]
    horizontal = values[:, 1:] != values[:, :-1]
    # A pixel differs from some neighbour in its square exactly if two adjacent pixels within that square differ.
    edge |= _within(vertical, width, values.shape, 0)
    edge |= _within(horizontal, width, values.shape, 1)
    return np.where(edge, np.array(void, values.dtype), values)


def _within(steps: npt.NDArray[np.bool_], width: int, shape: tuple[int, ...], axis: int) -> npt.NDArray[np.bool_]:
    """Return the pixels whose square of `width` rows and columns around them holds a whole step along `axis`.

    Step i lies between pixels i and i + 1 of the axis, so both of them must be in the square.
    """
    height, columns = shape
    counts = np.zeros((steps.shape[0] + 1, steps.shape[1] + 1), np.int32)
    np.cumsum(np.cumsum(steps, axis=0, dtype=np.int32), axis=1, out=counts[1:, 1:])
    reach = (width - 1, width) if axis == 0 else (width, width - 1)
    top, foot = _window(height, width, steps.shape[0], reach[0])
    left, right = _window(columns, width, steps.shape[1], reach[1])
    inside = (
        counts[foot[:, None], right]
        - counts[top[:, None], right]
        - counts[foot[:, None], left]
        + counts[top[:, None], left]
    )
    return inside > 0


def _window(length: int, width: int, steps: int, after: int) -> tuple[Ints, Ints]:
    """Return, for each of `length` pixels, the first and one past the last step in reach, within 0..steps."""
    pixel = np.arange(length)
    return np.clip(pixel - width, 0, steps), np.clip(pixel + after + 1, 0, steps)
