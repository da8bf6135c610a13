"""Which source pixel stands under each pixel of a smaller grid, for tensors and for counts at their size."""

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Place:
    """Where an image lies within the square that it is reduced to, in the square's pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """The rows and the columns, to index the last two axes of an array."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def place_of(height: int, width: int, side: int, fit: str = "stretch") -> Place:
    """Return where an image of `height` × `width` lies in a square of `side` pixels.

    "stretch" is all of it. "letterbox" keeps the aspect: the longer side is `side`, the shorter rounded (half up, at
    least 1), in the middle (the odd pixel below or to the right).
    """
    if fit == "stretch":
        return Place(0, 0, side, side)
    longer = max(height, width)
    rows, columns = (max((2 * length * side + longer) // (2 * longer), 1) for length in (height, width))
    return Place((side - rows) // 2, (side - columns) // 2, rows, columns)


def nearest_indices(source: int, target: int) -> npt.NDArray[np.int64]:
    """Return, for each of `target` pixels in a row, the index of the source pixel under its centre (of `source`).

    Pixel i of the target has its centre at (i + ½) · source / target, computed in whole numbers.
    """
    return (2 * np.arange(target, dtype=np.int64) + 1) * source // (2 * target)


@functools.lru_cache(maxsize=4096)
def taken_before(source: int, target: int) -> npt.NDArray[np.int64]:
    """Return, for each place 0..source between source pixels, how many of the target's pixels come from before it."""
    taken = np.bincount(nearest_indices(source, target), minlength=source)
    result = np.concatenate([np.zeros(1, np.int64), np.cumsum(taken)])
    result.setflags(write=False)
    return result
