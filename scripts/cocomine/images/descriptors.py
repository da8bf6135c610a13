"""What is measured of a decoded image: brightness, contrast, blur, and the two descriptors of near-duplicates.

All of them are worked out on the luma Y = 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601, Pillow's mode L), 0..255.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

THUMBNAIL_SIDE = 32
HASH_BITS = 64
FREQUENCIES = 11
LUMAS = np.arange(256)


def projection(low: float = 0.0, high: float = 1.0) -> NDArray[np.float64]:
    """Return the lowest 11 rows of the DCT-II over the part [low, high] of a thumbnail's side, 11 x 32 whole numbers.

    Applied down and across (`rows @ thumbnail @ columns.T`) it gives the frequencies of the image cropped to that
    part, as if the crop had been squeezed to 32 x 32 by a box average. The entries are rounded to 1/8192: products with
    bytes then stay whole numbers below 2**53, so no order of summing, library or thread changes a bit of a hash.
    """
    waves = np.cos(np.pi * np.outer(np.arange(FREQUENCIES), np.arange(THUMBNAIL_SIDE) + 0.5) / THUMBNAIL_SIDE)
    return np.asarray(np.round(waves @ resampling(low, high) * 8192))


def resampling(low: float, high: float) -> NDArray[np.float64]:
    """Return the 32 x 32 box average that enlarges the part [low, high] of a thumbnail's side to all of it."""
    side = THUMBNAIL_SIDE
    edges = low * side + np.arange(side + 1) * (high - low)
    pixels = np.arange(side)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.asarray(np.clip(overlap, 0, None) / (high - low))


def hash_frequencies() -> NDArray[np.int64]:
    """Return the 64 (down, across) frequencies of the hash: the lowest ones by u² + v², but for the mean (0, 0)."""
    pairs = [(u, v) for u in range(FREQUENCIES) for v in range(FREQUENCIES) if u + v]
    return np.array(sorted(pairs, key=lambda pair: (pair[0] ** 2 + pair[1] ** 2, pair))[:HASH_BITS], dtype=np.int64)


_ROWS = projection()
_PICKED = hash_frequencies()


@dataclass(frozen=True)
class Description:
    """The numbers measured of one image.

    `brightness` is the mean luma / 255 (0 black, 1 white); `contrast` the standard deviation of luma / 255 (0 flat, at
    most 0.5); `blur` the share of the luma's variance that the means of blocks of 3 x 3 pixels keep (near 1: no detail
    finer than three pixels, so blurred; lower: sharper; 1 for a flat image). `thumbnail` is the whole image squeezed to
    32 x 32 luma values (uint8, box average, so its aspect is lost), and `phash` the 64-bit perceptual hash of it.
    """

    brightness: float
    contrast: float
    blur: float
    thumbnail: bytes
    phash: int


def describe(luma: Image.Image) -> Description:
    """Measure an image given as its luma (mode L)."""
    brightness, deviation = _mean_and_deviation(luma)
    _, coarse = _mean_and_deviation(luma.reduce(3))
    small = luma.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
    thumbnail = np.asarray(small, dtype=np.uint8)
    return Description(
        brightness=brightness / 255,
        contrast=deviation / 255,
        blur=min(1.0, (coarse / deviation) ** 2) if deviation > 0 else 1.0,
        thumbnail=thumbnail.tobytes(),
        phash=perceptual_hash(thumbnail),
    )


def _mean_and_deviation(luma: Image.Image) -> tuple[float, float]:
    """Return the mean and the standard deviation of an image of mode L, from its histogram.

    The sums are of whole numbers: those of fractions have other last bits on another processor.
    """
    counts = np.array(luma.histogram(), dtype=np.int64)
    pixels, total, squares = int(counts.sum()), int(counts @ LUMAS), int(counts @ (LUMAS * LUMAS))
    return total / pixels, math.sqrt(pixels * squares - total * total) / pixels


def perceptual_hash(thumbnail: NDArray[np.uint8]) -> int:
    """Return the 64-bit hash of a 32 x 32 luma thumbnail: which of 64 low frequencies are above their median.

    This is the DCT hash of pHash (Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions"),
    with round instead of square frequencies. Bit 63 is the lowest frequency. Brightness does not change it, and
    compression or resizing change few bits.
    """
    frequencies = _ROWS @ thumbnail.astype(np.float64) @ _ROWS.T
    picked = frequencies[_PICKED[:, 0], _PICKED[:, 1]]
    return int.from_bytes(np.packbits(picked > np.median(picked)).tobytes(), "big")
