"""Finding near-duplicate images among many: a hash to propose pairs, a finer descriptor to accept them.

A pair is proposed when the 64-bit perceptual hash of one image, cropped in one of 25 ways, is within `distance` bits
of the other's. It is accepted when the low frequencies of the two (120 numbers, cropped alike) have a cosine
similarity of at least `similarity`. All of it is worked out from the 32 x 32 thumbnails that measure_images wrote.

Proposing is not quadratic. Hashes are cut into four parts of 16 bits, and if two hashes differ by few bits then some
part differs by very few (Norouzi, Punjani and Fleet 2012, "Fast Search in Hamming Space with Multi-Index Hashing";
with unequal allowances a part as in Qin et al. 2018, "GPH: Similarity Search in Hamming Space"): looking up each part
with its few bits flipped finds every pair within the distance.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cocomine.base.progress import Progress
from cocomine.images.descriptors import FREQUENCIES, THUMBNAIL_SIDE, hash_frequencies, projection

Hashes = NDArray[np.uint64]
Rows = NDArray[np.int64]
Side = tuple[float, float]

# The parts of a side that a crop leaves: all of it, without 5 % at either end, without 2.5 % or 5 % at both.
SIDES = ((0.0, 1.0), (0.05, 1.0), (0.0, 0.95), (0.025, 0.975), (0.05, 0.95))
VIEWS = [(down, across) for down in range(len(SIDES)) for across in range(len(SIDES))]
PARTS = 4
PART_BITS = 16
FLAT_DEVIATION = 3.0
BLOCK = 1024
CANDIDATES_AT_ONCE = 1 << 18
PAIRS_AT_ONCE = 1 << 14
SEEN_AT_ONCE = 1 << 15
"""Candidates between two looks at which images have near-duplicates enough."""
CROWD = 50


@dataclass(frozen=True)
class Pairs:
    """Accepted pairs of rows, `first` < `second`, ascending: bits of difference and cosine similarity of each."""

    first: Rows
    second: Rows
    distance: NDArray[np.int64]
    similarity: NDArray[np.float64]


def find_pairs(thumbnails: NDArray[np.uint8], distance: int, similarity: float) -> Pairs:
    """Return the near-duplicate pairs among `thumbnails` (n, 32, 32).

    Images with next to no contrast (a deviation of luma under 3) look all alike to a hash and are left out. Of images
    with the very same thumbnail, or of more than 50 with the same hash, only the first is compared with others, and the
    rest are paired with it. Of a crowd, images that have 50 near-duplicates each and are joined by them already, no
    further pairs are sought, so that the frames of a film cost no time and memory by the square of their number.
    """
    unique, copies_of = _without_copies(thumbnails)
    kept = unique[deviation(thumbnails)[unique] >= FLAT_DEVIATION]
    chosen = thumbnails if len(kept) == len(thumbnails) else thumbnails[kept]  # a copy is as large as all of them
    first, second, bits, alike = _accepted(chosen, distance, similarity)
    copies = np.flatnonzero(copies_of != np.arange(len(thumbnails)))
    copies = copies[np.isin(copies_of[copies], kept)]
    lows = np.concatenate([kept[first], copies_of[copies]])
    highs = np.concatenate([kept[second], copies])
    order = np.lexsort((highs, lows))
    none = np.zeros(len(copies), dtype=np.int64)
    return Pairs(
        lows[order],
        highs[order],
        np.concatenate([bits, none])[order],
        np.concatenate([alike, none + 1.0])[order],
    )


def deviation(thumbnails: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the standard deviation of the luma of each thumbnail."""
    parts = [np.zeros(0)]
    for start in range(0, len(thumbnails), BLOCK):
        block = thumbnails[start : start + BLOCK].reshape(-1, THUMBNAIL_SIDE**2).astype(np.float64)
        parts.append(np.std(block, axis=1))
    return np.concatenate(parts)


def _without_copies(thumbnails: NDArray[np.uint8]) -> tuple[Rows, Rows]:
    """Return the rows whose thumbnail is the first of its kind, and for every row the first row like it."""
    # By their digests, since sorting the thumbnails themselves takes several times their memory.
    keys = np.array([hashlib.blake2b(one, digest_size=16).digest() for one in thumbnails], dtype="V16")
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return np.sort(first).astype(np.int64), first[inverse.ravel()].astype(np.int64)


def _accepted(
    thumbnails: NDArray[np.uint8], distance: int, similarity: float
) -> tuple[Rows, Rows, NDArray[np.int64], NDArray[np.float64]]:
    count = len(thumbnails)
    found: dict[str, list[NDArray[np.int64]]] = {"one": [], "other": [], "bits": []}
    scores: list[NDArray[np.float64]] = []
    with Progress("near-duplicates", len(VIEWS), "crop") as progress:
        views = hashes_of_views(thumbnails, SIDES)
        leader = _leaders(thumbnails, views[0], similarity)
        followers = np.flatnonzero(leader != np.arange(count))
        if len(followers):
            found["one"].append(leader[followers])
            found["other"].append(followers)
            found["bits"].append(np.zeros(len(followers), dtype=np.int64))
            scores.append(similarity_of(thumbnails, leader[followers], thumbnails, followers))
        rows = np.flatnonzero(leader == np.arange(count))
        index = HashIndex(views[0][rows], distance)
        crowds = _Crowds(count)
        for number, (down, across) in enumerate(VIEWS):
            for part in range(PARTS):
                crowds.next_part()
                at_once = CANDIDATES_AT_ONCE if number else SEEN_AT_ONCE
                for cropped_place, whole_place, bits in index.near_by(part, views[number][rows], at_once):
                    cropped, whole = rows[cropped_place], rows[whole_place]
                    if number == 0:
                        # Here both are whole, so one of the two orders says all.
                        sought = (cropped < whole) & ~crowds.settled(cropped, whole)
                        cropped, whole, bits = cropped[sought], whole[sought], bits[sought]
                    score = similarity_of(thumbnails, cropped, thumbnails, whole, SIDES[down], SIDES[across])
                    keep = score >= similarity
                    found["one"].append(cropped[keep])
                    found["other"].append(whole[keep])
                    found["bits"].append(bits[keep])
                    scores.append(score[keep])
                    if number == 0 and keep.any():
                        crowds.add(cropped[keep], whole[keep])
            if number == 0 and crowds.any():
                rows = rows[~crowds.led_by_another(rows)]
                index = HashIndex(views[0][rows], distance)
            progress.advance()
        if not scores or count == 0:
            empty = np.zeros(0, dtype=np.int64)
            return empty, empty, empty, np.zeros(0)
        one, other, bits = (np.concatenate(found[name]) for name in ("one", "other", "bits"))
        best = best_pairs(one, other, bits, np.concatenate(scores))
        progress.count("images", count)
        progress.count("pairs", len(best[0]))
        return best


def best_pairs(
    one: Rows, other: Rows, bits: NDArray[np.int64], scores: NDArray[np.float64]
) -> tuple[Rows, Rows, NDArray[np.int64], NDArray[np.float64]]:
    """Return each pair once, ascending, as it agrees best: with fewest bits of difference, then most alike."""
    best = np.asarray(np.round(scores, 4), dtype=np.float64)
    low, high = np.minimum(one, other), np.maximum(one, other)
    order = np.lexsort((-best, bits, high, low))
    low, high, bits, best = low[order], high[order], bits[order], best[order]
    new = np.ones(len(low), dtype=bool)
    new[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    return low[new], high[new], bits[new], best[new]


class _Crowds:
    """Which images have so many near-duplicates that no more of them need be found."""

    def __init__(self, count: int) -> None:
        self._neighbours = np.zeros(count, dtype=np.int64)
        self._full = np.zeros(count, dtype=bool)
        self._group = np.arange(count, dtype=np.int64)
        self._pairs: list[tuple[Rows, Rows]] = []

    def next_part(self) -> None:
        """Begin to count anew: within one part of the hashes a pair is met once, so counts are of distinct pairs."""
        self._neighbours[:] = 0

    def any(self) -> bool:
        """Tell whether there is any crowd."""
        return bool(self._full.any())

    def add(self, one: Rows, other: Rows) -> None:
        """Note accepted pairs."""
        self._neighbours += np.bincount(one, minlength=len(self._full)) + np.bincount(other, minlength=len(self._full))
        self._full |= self._neighbours >= CROWD
        self._pairs.append((one, other))
        if self.any():
            ones, others = (np.concatenate(side) for side in zip(*self._pairs, strict=True))
            size = len(self._full)
            links = coo_array((np.ones(len(ones), dtype=bool), (self._group[ones], self._group[others])), (size, size))
            _, joined = connected_components(links, directed=False)
            _, first = np.unique(joined, return_index=True)
            self._group = first.astype(np.int64)[joined][self._group]
            self._pairs.clear()

    def settled(self, one: Rows, other: Rows) -> NDArray[np.bool_]:
        """Tell for each pair whether both have near-duplicates enough and are joined by some already."""
        result: NDArray[np.bool_] = self._full[one] & self._full[other] & (self._group[one] == self._group[other])
        return result

    def led_by_another(self, rows: Rows) -> NDArray[np.bool_]:
        """Tell for each row whether it has near-duplicates enough and its group begins with another."""
        result: NDArray[np.bool_] = self._full[rows] & (self._group[rows] != rows)
        return result


def _leaders(thumbnails: NDArray[np.uint8], hashes: Hashes, similarity: float) -> Rows:
    """Return for every row the row that stands for it in the search: itself, but in a crowd of one hash its first.

    Frames of one film share a hash by the thousand, and to compare each with each would be quadratic. Those of such a
    crowd that are near-duplicates of its first row are paired with that alone.
    """
    leader = np.arange(len(hashes), dtype=np.int64)
    order = np.argsort(hashes, kind="stable")
    _, starts, sizes = np.unique(hashes[order], return_index=True, return_counts=True)
    for start, size in zip(starts[sizes > CROWD].tolist(), sizes[sizes > CROWD].tolist(), strict=True):
        rows = order[start : start + size]
        first = np.full(size, rows[0])
        alike = similarity_of(thumbnails, first, thumbnails, rows) >= similarity
        leader[rows[alike]] = rows[0]
    return leader


def hashes_of_views(thumbnails: NDArray[np.uint8], parts: Sequence[Side] = SIDES) -> Hashes:
    """Return the perceptual hash of each image in each crop to one of `parts` down and one across, (parts², n)."""
    count = len(thumbnails)
    sides = [projection(*part) for part in parts]
    picked = hash_frequencies()
    result = np.zeros((len(sides) ** 2, count), dtype=np.uint64)
    for start in range(0, count, BLOCK):
        block = thumbnails[start : start + BLOCK].astype(np.float64)
        size = len(block)
        for across, columns in enumerate(sides):
            # All products are of whole numbers below 2**53, so these sums are exact in any order.
            half = block.reshape(-1, THUMBNAIL_SIDE) @ columns.T
            half = half.reshape(size, THUMBNAIL_SIDE, FREQUENCIES).transpose(1, 0, 2).reshape(THUMBNAIL_SIDE, -1)
            for down, rows in enumerate(sides):
                frequencies = (rows @ half).reshape(FREQUENCIES, size, FREQUENCIES)
                chosen = np.ascontiguousarray(frequencies[picked[:, 0], :, picked[:, 1]].T)
                middle = np.partition(chosen, 32, axis=1)[:, 32:33]
                # Above the median of 64 numbers: at or above the 33rd smallest, unless that equals the 32nd.
                bits = chosen >= middle
                tied = bits.sum(axis=1) != 32
                if tied.any():
                    bits[tied] = chosen[tied] > np.median(chosen[tied], axis=1, keepdims=True)
                packed = np.ascontiguousarray(np.packbits(bits, axis=1)).view(">u8").ravel()
                result[down * len(sides) + across, start : start + size] = packed
    return result


def similarity_of(
    ones_thumbnails: NDArray[np.uint8],
    cropped: Rows,
    thumbnails: NDArray[np.uint8],
    whole: Rows,
    down: Side = SIDES[0],
    across: Side = SIDES[0],
) -> NDArray[np.float64]:
    """Return the cosine similarity of the low frequencies of rows of one set, in a crop, and of rows of another."""
    result = np.zeros(len(cropped))
    rows, columns, all_of_it = projection(*down), projection(*across), projection()
    for begin in range(0, len(cropped), PAIRS_AT_ONCE):
        # A row stands in many pairs, and its frequencies are worked out once.
        ones, one_of = np.unique(cropped[begin : begin + PAIRS_AT_ONCE], return_inverse=True)
        others, other_of = np.unique(whole[begin : begin + PAIRS_AT_ONCE], return_inverse=True)
        cropped_values = _frequencies(ones_thumbnails, ones, rows, columns)
        whole_values = _frequencies(thumbnails, others, all_of_it, all_of_it)
        for start in range(0, len(one_of), BLOCK):
            part = slice(start, start + BLOCK)
            one, other = cropped_values[one_of[part]], whole_values[other_of[part]]
            length = np.sqrt((one * one).sum(axis=1) * (other * other).sum(axis=1))
            similar = (one * other).sum(axis=1) / np.maximum(length, 1e-30)
            result[begin + start : begin + start + len(similar)] = similar
    return result


def _frequencies(
    thumbnails: NDArray[np.uint8], which: Rows, down: NDArray[np.float64], across: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the low frequencies of some thumbnails without the mean, (n, 120), small enough to be multiplied."""
    result = np.zeros((len(which), FREQUENCIES**2 - 1))
    for start in range(0, len(which), BLOCK):
        block = down @ thumbnails[which[start : start + BLOCK]].astype(np.float64) @ across.T
        result[start : start + BLOCK] = block.reshape(len(block), -1)[:, 1:] / 2.0**40
    return result


class HashIndex:
    """Hashes cut into parts, sorted by each part, to be asked which of them are within a number of bits of others."""

    def __init__(self, hashes: Hashes, distance: int) -> None:
        self.hashes = hashes
        self.distance = distance
        self.orders: list[Rows] = []
        self.sorted: list[Hashes] = []
        self.starts: list[Rows] = []
        for part in range(PARTS):
            keys = _part(hashes, part)
            self.orders.append(np.argsort(keys, kind="stable"))
            self.sorted.append(hashes[self.orders[-1]])
            counts = np.bincount(keys, minlength=1 << PART_BITS)
            self.starts.append(np.concatenate([[0], np.cumsum(counts)]))
        # Parts may differ by a_0..a_3 bits with sum(a_i + 1) = distance + 1; if each differed by more, the whole would.
        allowed = [distance // PARTS - (part >= (distance % PARTS) + 1) for part in range(PARTS)]
        self.masks = [_flips(bits) for bits in allowed]

    def near(self, asked: Hashes) -> Iterator[tuple[Rows, Rows, NDArray[np.int64]]]:
        """Yield blocks of (row of `asked`, row of the index, bits of difference) within the distance.

        Row i is never paired with row i. A pair can come more than once.
        """
        for part in range(PARTS):
            yield from self.near_by(part, asked)

    def near_by(
        self, part: int, asked: Hashes, at_once: int = CANDIDATES_AT_ONCE
    ) -> Iterator[tuple[Rows, Rows, NDArray[np.int64]]]:
        """Yield the pairs that one of the four parts finds, each once in each order."""
        keys = _part(asked, part)
        # Asking in the order of the keys walks through the index instead of jumping about in it.
        rows = np.argsort(keys, kind="stable")
        keys, hashes = keys[rows], asked[rows]
        starts = self.starts[part]
        for mask in self.masks[part].tolist():
            begin = starts[keys ^ mask]
            number = starts[(keys ^ mask) + 1] - begin
            some = np.flatnonzero(number)
            for low, high in _pieces(number[some], at_once):
                chosen = some[low:high]
                yield from self._compare(part, rows[chosen], hashes[chosen], begin[chosen], number[chosen])

    def _compare(
        self, part: int, rows: Rows, hashes: Hashes, begin: Rows, number: Rows
    ) -> Iterator[tuple[Rows, Rows, NDArray[np.int64]]]:
        ends = np.cumsum(number)
        place = np.arange(int(ends[-1])) + np.repeat(begin - (ends - number), number)
        bits = np.bitwise_count(np.repeat(hashes, number) ^ self.sorted[part][place])
        near = np.flatnonzero(bits <= self.distance)
        if len(near) == 0:
            return
        mine = rows[np.searchsorted(ends, near, side="right")]
        others = self.orders[part][place[near]]
        keep = mine != others
        if keep.any():
            yield mine[keep], others[keep], bits[near[keep]].astype(np.int64)


def _part(hashes: Hashes, part: int) -> Rows:
    """Return every fourth bit of the hashes, from bit `part` on: each part holds low and high frequencies."""
    spread = (hashes >> np.uint64(part)) & np.uint64(0x1111111111111111)
    result = np.zeros(len(hashes), dtype=np.int64)
    for bit in range(PART_BITS):
        result |= ((spread >> np.uint64(PARTS * bit)) & np.uint64(1)).astype(np.int64) << bit
    return result


def _flips(bits: int) -> Rows:
    """Return all 16-bit masks of at most `bits` set bits; none for -1."""
    masks = [
        sum(1 << bit for bit in chosen)
        for number in range(bits + 1)
        for chosen in combinations(range(PART_BITS), number)
    ]
    return np.array(masks, dtype=np.int64)


def _pieces(number: Rows, most: int) -> Iterator[tuple[int, int]]:
    """Cut rows into runs whose numbers add up to about `most`."""
    ends = np.cumsum(number)
    low = 0
    while low < len(number):
        base = int(ends[low - 1]) if low else 0
        high = max(low + 1, int(np.searchsorted(ends, base + most, side="right")))
        yield low, high
        low = high
