"""Which source pixel stands under each pixel of a smaller grid, for tensors and for counts at their size."""

import functools

import numpy as np
import numpy.typing as npt


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
