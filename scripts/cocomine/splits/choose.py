"""Which groups go to val: exactly as many images as asked for, in the order of a hash."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def take(sizes: Sequence[int], target: int) -> list[bool]:
    """Choose groups whose sizes add up to `target`, or as near to it as can be (the smaller one of two as near).

    Neither nothing nor all is chosen, if there are two groups or more. `sizes` stand in the order of preference: the
    first groups are taken as long as they fit. Where those left are all too big, the sum that can be reached nearest to
    `target` is worked out, and of each size the first groups are taken.
    """
    chosen, left = [False] * len(sizes), target
    for place, size in enumerate(sizes):
        if size <= left:
            chosen[place] = True
            left -= size
    if left == 0 and 0 < target < sum(sizes):
        return chosen
    counts: dict[int, int] = {}
    for size in sizes:
        counts[size] = counts.get(size, 0) + 1
    usual = {size: sum(taken for taken, own in zip(chosen, sizes, strict=True) if own == size) for size in counts}
    wanted = _counts_for(nearest(list(counts.items()), target, part=True), counts, usual)
    result = []
    for size in sizes:
        wanted[size] -= 1
        result.append(wanted[size] >= 0)
    return result


def nearest(counts: Sequence[tuple[int, int]], target: float, part: bool = False) -> int:
    """Return the reachable sum nearest to `target` of groups given as (size, how many); the smaller of two as near.

    A `part` is neither nothing nor all, if there are two groups or more.
    """
    reachable = _reachable(counts)
    total = sum(size * number for size, number in counts)
    if part and sum(number for _, number in counts) > 1:
        reachable &= ~(1 | 1 << total)
        lowest = min(size for size, _ in counts)
        target = min(max(target, lowest), total - lowest)
    low = high = max(0, min(total, int(target)))
    while not reachable >> low & 1:
        low -= 1
    high += 1
    while high <= total and not reachable >> high & 1:
        high += 1
    return high if high <= total and high - target < target - low else low


def _reachable(counts: Sequence[tuple[int, int]]) -> int:
    """Return the sums that can be reached, as the set bits of a number."""
    sums = 1
    for size, number in counts:
        sums = _joined(sums, size, number)
    return sums


def _counts_for(total: int, counts: dict[int, int], usual: dict[int, int]) -> dict[int, int]:
    """Return how many groups of each size to take for exactly `total`, near to the `usual` numbers."""
    sizes = sorted(counts)
    behind = [1] * (len(sizes) + 1)
    for place in range(len(sizes) - 1, -1, -1):
        behind[place] = _joined(behind[place + 1], sizes[place], counts[sizes[place]])
    result, left = {}, total
    for place, size in enumerate(sizes):
        options = sorted((abs(number - usual[size]), number) for number in range(counts[size] + 1))
        for _, number in options:
            rest = left - size * number
            if rest >= 0 and behind[place + 1] >> rest & 1:
                result[size], left = number, rest
                break
    return result


def _joined(sums: int, size: int, number: int) -> int:
    """Return the sums that can be reached with up to `number` more groups of `size`."""
    step = 1
    while number > 0:  # any number up to theirs is a sum of powers of two and a rest, so log2 steps suffice
        now = min(step, number)
        sums |= sums << (size * now)
        number -= now
        step *= 2
    return sums


def balance(
    sizes: NDArray[np.int64], labels: NDArray[np.int64], share: float, target: int, rounds: int = 400
) -> NDArray[np.bool_]:
    """Choose groups for val such that every label has about `share` of its images there, `target` images in all.

    `sizes` (g,) and `labels` (g, c), the number of images of each group that hold each label, stand in the order of a
    hash. First the rarest label's groups are dealt out, then the next, each to the split that still lacks most of it
    (iterative stratification: Sechidis, Tsoumakas and Vlahavas 2011, "On the Stratification of Multi-Label Data").
    Then the number is made exact, or the nearest that can be reached, and groups are exchanged as long as that brings
    the shares nearer: the sum over labels of the squared deviation of the share. Sums are in a fixed order, so threads
    do not matter.
    """
    in_val = _deal_out(sizes, labels, share, target)
    total = labels.sum(axis=0)
    weight = 1.0 / np.maximum(total, 1) ** 2
    wanted = share * total
    squares = np.einsum("gc,c->g", (labels * labels).astype(np.float64), weight)
    counts = labels.astype(np.float64)
    excess = labels[in_val].sum(axis=0) - wanted
    missing = target - int(sizes[in_val].sum())
    barred = np.zeros(len(sizes), dtype=bool)
    while missing != 0:
        # Move the group that fits and harms the balance least; where none fits, several have to change at once.
        into = missing > 0
        change = _change(counts, squares, excess * weight, 1.0 if into else -1.0)
        fits = (in_val != into) & (sizes <= abs(missing)) & ~barred
        if not fits.any():
            break
        best = int(np.argmin(np.where(fits, change, np.inf)))
        in_val[best], barred[best] = into, True
        excess += labels[best] * (1 if into else -1)
        missing += -int(sizes[best]) if into else int(sizes[best])
    _reach(in_val, sizes, labels, counts, squares, excess, weight, target)
    for _ in range(rounds):
        if not _exchange(in_val, sizes, labels, counts, squares, excess, weight):
            break
    return in_val


def _reach(
    in_val: NDArray[np.bool_],
    sizes: NDArray[np.int64],
    labels: NDArray[np.int64],
    counts: NDArray[np.float64],
    squares: NDArray[np.float64],
    excess: NDArray[np.float64],
    weight: NDArray[np.float64],
    target: int,
) -> None:
    """Bring val to the reachable number nearest to `target`, moving of each size the groups that harm least."""
    values, numbers = np.unique(sizes, return_counts=True)
    have = dict(zip(values.tolist(), numbers.tolist(), strict=True))
    wanted = nearest(list(have.items()), target, part=True)
    if int(sizes[in_val].sum()) == wanted:
        return
    usual = {size: int((in_val & (sizes == size)).sum()) for size in have}
    for size, number in _counts_for(wanted, have, usual).items():
        into = number > usual[size]
        for _ in range(abs(number - usual[size])):
            change = _change(counts, squares, excess * weight, 1.0 if into else -1.0)
            best = int(np.argmin(np.where((in_val != into) & (sizes == size), change, np.inf)))
            in_val[best] = into
            excess += labels[best] * (1 if into else -1)


def _change(
    counts: NDArray[np.float64], squares: NDArray[np.float64], pull: NDArray[np.float64], sign: float
) -> NDArray[np.float64]:
    """Return by how much the cost changes when a group is added to val (sign 1) or taken from it (-1)."""
    return np.asarray(2 * sign * np.einsum("gc,c->g", counts, pull) + squares)


def _exchange(
    in_val: NDArray[np.bool_],
    sizes: NDArray[np.int64],
    labels: NDArray[np.int64],
    counts: NDArray[np.float64],
    squares: NDArray[np.float64],
    excess: NDArray[np.float64],
    weight: NDArray[np.float64],
) -> bool:
    """Exchange the group of val whose leaving helps most for the best one of the same size; False if nothing helps."""
    leave = np.where(in_val, _change(counts, squares, excess * weight, -1.0), np.inf)
    for out in np.argsort(leave, kind="stable")[:8].tolist():
        if not in_val[out]:
            break
        after = excess - labels[out]
        enter = np.where(~in_val & (sizes == sizes[out]), _change(counts, squares, after * weight, 1.0), np.inf)
        best = int(np.argmin(enter))
        if leave[out] + enter[best] < -1e-12:
            in_val[out], in_val[best] = False, True
            excess += labels[best] - labels[out]
            return True
    return False


def _deal_out(sizes: NDArray[np.int64], labels: NDArray[np.int64], share: float, target: int) -> NDArray[np.bool_]:
    groups, classes = labels.shape
    total = labels.sum(axis=0)
    need = [(share * total).tolist(), ((1 - share) * total).tolist()]
    room = [float(target), float(sizes.sum() - target)]
    own: list[list[int]] = [[] for _ in range(groups)]
    members: list[list[int]] = [[] for _ in range(classes)]
    for one, label in np.argwhere(labels > 0).tolist():
        own[one].append(label)
        members[label].append(one)
    amounts = labels.tolist()
    left = [len(rows) for rows in members]
    done = [False] * groups
    in_val = np.zeros(groups, dtype=bool)

    def give(one: int, to_val: bool) -> None:
        done[one] = True
        in_val[one] = to_val
        which = 0 if to_val else 1
        room[which] -= int(sizes[one])
        for label in own[one]:
            need[which][label] -= amounts[one][label]
            left[label] -= 1

    while any(left):
        label = min((number, label) for label, number in enumerate(left) if number)[1]
        for one in members[label]:
            if not done[one]:
                val, train = need[0][label], need[1][label]
                give(one, val > train if val != train else room[0] > room[1])
    for one in range(groups):
        if not done[one]:
            give(one, int(sizes[one]) <= room[0])
    return in_val
