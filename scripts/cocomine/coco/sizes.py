"""The size classes of objects, by area in square pixels."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

VERY_SMALL, SMALL, LARGE = 10.0**2, 32.0**2, 96.0**2
"""Bounds in px². COCO's own evaluation counts an area of exactly a bound on both sides; here it is the larger class."""

SIZES: Final = ("very_small", "small", "medium", "large")


def size_classes(area: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.bool_]]:
    """Return for each of SIZES which areas (px²) are of it: shape (n,), as `area`.

    *Very small* is up to 10 x 10, *small* below 32 x 32 (very small ones included), *medium* from there to below
    96 x 96, *large* from there on. An area that is no finite number is of none.
    """
    known = np.isfinite(area)
    with np.errstate(invalid="ignore"):
        return {
            "very_small": known & (area <= VERY_SMALL),
            "small": known & (area < SMALL),
            "medium": known & (area >= SMALL) & (area < LARGE),
            "large": known & (area >= LARGE),
        }
