"""Near-duplicates of which one was changed: mirrored, turned by quarter turns, or cropped down to 70 % of its sides.

A pair is proposed as in `near_duplicates`: the perceptual hash of one image, changed, is within some bits of the
other's as it is. A crop is looked for on a grid of 505 places and sizes, width and height cut alike. So many looks
would take strangers of a like layout for relatives, so a pair that low frequencies accept is looked at again: what
is finer than 7 pixels of the thumbnails has to agree as well. There, in photographs, strangers do not (correlations of
0.16 ± 0.08 among their nearest pairs), while crops keep 0.5 in all but 1 of 200.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cocomine.base.progress import Progress
from cocomine.images.descriptors import resampling
from cocomine.splits.near_duplicates import (
    CROWD,
    FLAT_DEVIATION,
    HashIndex,
    Pairs,
    Rows,
    Side,
    best_pairs,
    deviation,
    hashes_of_views,
    similarity_of,
)

Change = Literal["mirrored", "turned", "cropped"]
Thumbnails = NDArray[np.uint8]

WHOLE: Side = (0.0, 1.0)
LEAST, STEP = 0.7, 0.03
"""The smallest side of a crop that is looked for, and the step between places and sizes, as shares of a side."""

FEW, AT_ONCE = 4096, 256
FINE = 7
AGREEMENT = 0.5
NUDGES = (-STEP / 2, 0.0, STEP / 2)


def find_changed(
    thumbnails: Thumbnails, changes: Sequence[Change], known: Pairs, distance: int, similarity: float
) -> dict[str, Pairs]:
    """Return by change the pairs among `thumbnails` (n, 32, 32) of which one is the other, changed.

    `known` are the pairs that look alike as they are, which are not returned. Of more than 50 images that these join,
    as of the frames of a film, only the first is looked for. Nearly flat images are left out.
    """
    rows = _sought(thumbnails, known)
    small = thumbnails[rows]
    index = HashIndex(hashes_of_views(small, (WHOLE,))[0], distance)
    found: dict[str, Pairs] = {}
    for change in dict.fromkeys(changes):
        looks = _crops(small) if change == "cropped" else _turns(small, change, changes)
        one, other, bits, score = _look(index, small, looks, similarity, change)
        low, high, bits, score = best_pairs(rows[one], rows[other], bits, score)
        new = ~np.isin(low * len(thumbnails) + high, known.first * len(thumbnails) + known.second)
        found[change] = Pairs(low[new], high[new], bits[new], score[new])
    return found


def _sought(thumbnails: Thumbnails, known: Pairs) -> Rows:
    """Return the rows to look for: all that are not flat, of a crowd its first."""
    count = len(thumbnails)
    links = coo_array((np.ones(len(known.first), dtype=bool), (known.first, known.second)), (count, count))
    _, of = connected_components(links, directed=False)
    _, first, sizes = np.unique(of, return_index=True, return_counts=True)
    kept = (sizes[of] <= CROWD) | (first[of] == np.arange(count))
    return np.flatnonzero(kept & (deviation(thumbnails) >= FLAT_DEVIATION))


View = tuple[Thumbnails, NDArray[np.uint64], Side, Side]
"""Changed thumbnails, their hashes, and the part of them (down, across) that is looked at."""


def _turns(thumbnails: Thumbnails, change: Change, changes: Sequence[Change]) -> Iterator[View]:
    """Yield the thumbnails mirrored or turned, where both are asked for both at once too.

    A turn to the left is one to the right with the two images exchanged.
    """
    turns = {"mirrored": range(4) if "turned" in changes else range(1), "turned": (1, 2)}[change]
    start = thumbnails[:, :, ::-1] if change == "mirrored" else thumbnails
    for quarter in turns:
        turned = np.ascontiguousarray(np.rot90(start, quarter, (1, 2)))
        yield turned, hashes_of_views(turned, (WHOLE,))[0], WHOLE, WHOLE


def _crops(thumbnails: Thumbnails) -> Iterator[View]:
    """Yield the thumbnails in every crop, the largest first."""
    for cut in range(1, round((1 - LEAST) / STEP) + 1):
        sides = tuple((place * STEP, 1 - (cut - place) * STEP) for place in range(cut + 1))
        hashes = iter(hashes_of_views(thumbnails, sides))
        yield from ((thumbnails, next(hashes), down, across) for down in sides for across in sides)


def _look(
    index: HashIndex, thumbnails: Thumbnails, views: Iterator[View], similarity: float, change: str
) -> tuple[Rows, Rows, NDArray[np.int64], NDArray[np.float64]]:
    """Return the rows that agree, changed and as they are, with bits of difference and similarity."""
    none = np.zeros(0, dtype=np.int64)
    found: list[tuple[Rows, Rows, NDArray[np.int64], NDArray[np.float64]]] = [(none, none, none, np.zeros(0))]
    with Progress(f"near-duplicates, {change}", None, "view") as progress:
        for changed, hashes, down, across in views:
            for one, other, bits in _near(index, hashes):
                score = similarity_of(changed, one, thumbnails, other, down, across)
                near = np.flatnonzero(score >= similarity)
                pairs = zip(one[near].tolist(), other[near].tolist(), strict=True)
                agree = [_agreement(changed[a], thumbnails[b], down, across) >= AGREEMENT for a, b in pairs]
                kept = near[np.array(agree, dtype=bool)]
                found.append((one[kept], other[kept], bits[kept], score[kept]))
            progress.advance()
        one, other, bits, score = (np.concatenate(column) for column in zip(*found, strict=True))
        progress.count("pairs seen", len(one))
    return one, other, bits, score


def _near(index: HashIndex, asked: NDArray[np.uint64]) -> Iterator[tuple[Rows, Rows, NDArray[np.int64]]]:
    """Yield as the index does; of few, compare each with each, which is sooner done."""
    if len(asked) > FEW:
        yield from index.near(asked)
        return
    for start in range(0, len(asked), AT_ONCE):
        bits = np.bitwise_count(asked[start : start + AT_ONCE, None] ^ index.hashes)
        one, other = np.nonzero(bits <= index.distance)
        apart = one + start != other
        yield one[apart] + start, other[apart], bits[one, other][apart].astype(np.int64)


def _agreement(changed: NDArray[np.uint8], whole: NDArray[np.uint8], down: Side, across: Side) -> float:
    """Return the correlation of the fine detail of a part of one thumbnail and of all of the other, at its best.

    The part is nudged by half a step in each direction, since the true crop lies between the places of the grid.
    """
    detail = _detail(whole.astype(np.float64))
    parts = (
        _detail(resampling(*_nudged(down, y)) @ changed.astype(np.float64) @ resampling(*_nudged(across, x)).T)
        for y in NUDGES
        for x in NUDGES
    )
    return max(float((part * detail).mean()) for part in parts)


def _nudged(side: Side, by: float) -> Side:
    return max(0.0, side[0] + by), min(1.0, side[1] + by)


def _detail(thumbnail: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what is finer than 7 pixels, of mean 0 and deviation 1."""
    fine = thumbnail - uniform_filter(thumbnail, FINE, mode="nearest")
    fine -= fine.mean()
    return np.asarray(fine / max(float(fine.std()), 1e-9))
