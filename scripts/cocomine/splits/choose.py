"""Which groups go to which split: exactly as many images as asked for, in the order of a hash."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cocomine.base.arrays import Bools, Floats, Ints


def deal(sizes: Sequence[int], weights: Sequence[float], labels: Ints | None = None) -> list[int]:
    """Deal groups out to parts, to each as many images as its weight asks for; return the part of each group.

    `sizes` stand in the order of preference: part 0 is drawn first, then the others in turn, and the last takes what is
    left. A part makes up for what those before it took too much or too little, so each is within one group of what was
    asked for. With `labels` (g, c), the number of images of each group that hold each label, every part is drawn so
    that it has its share of each label as well. No part is empty if there are groups enough.
    """
    total, whole, done, asked = sum(sizes), sum(weights), 0, 0.0
    part = [len(weights) - 1] * len(sizes)
    left = list(range(len(sizes)))
    for number, weight in enumerate(weights[:-1]):
        own = [sizes[group] for group in left]
        rest, asked = whole - asked, asked + weight
        target = round(total * asked / whole) - done
        if labels is None:
            chosen = take(own, target)
        else:
            rows = labels[left]
            chosen = balance(np.array(own, dtype=np.int64), rows, rows.sum(axis=0) * (weight / rest), target).tolist()
        for group, taken in zip(left, chosen, strict=True):
            if taken:
                part[group] = number
                done += sizes[group]
        left = [group for group, taken in zip(left, chosen, strict=True) if not taken]
    return part if len(set(part)) == len(weights) else _spread(sizes, weights)


def _spread(sizes: Sequence[int], weights: Sequence[float]) -> list[int]:
    """Return the part of each group: the largest groups first, each to the part that lacks most so far.

    For groups so large that drawing one part after another leaves one empty.
    """
    lacking = [sum(sizes) * weight / sum(weights) for weight in weights]
    part, empty = [0] * len(sizes), set(range(len(weights)))
    by_size = sorted(range(len(sizes)), key=lambda group: -sizes[group])
    for number, group in enumerate(by_size):
        open_to = sorted(empty) if len(by_size) - number <= len(empty) else range(len(weights))
        chosen = max(open_to, key=lambda place: lacking[place])
        part[group] = chosen
        lacking[chosen] -= sizes[group]
        empty.discard(chosen)
    return part


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


def balance(sizes: Ints, labels: Ints, wanted: Floats, target: int, rounds: int = 400) -> Bools:
    """Choose groups that hold about `wanted` (c,) images of each label, and `target` images in all.

    `sizes` (g,) and `labels` (g, c), the number of images of each group that hold each label, stand in the order of a
    hash. First the rarest label's groups are dealt out, then the next, each to the side that still lacks most of it
    (iterative stratification: Sechidis, Tsoumakas and Vlahavas 2011, "On the Stratification of Multi-Label Data").
    Then the number is made exact, or the nearest that can be reached, and groups are exchanged as long as that brings
    the shares nearer: the sum over labels of the squared deviation of the share. Sums are in a fixed order, so threads
    do not matter.
    """
    choice = _Choice(sizes, labels, wanted, _deal_out(sizes, labels, wanted, target))
    choice.approach(target)
    choice.reach(target)
    for _ in range(rounds):
        if not choice.exchange():
            break
    return choice.chosen


@dataclass
class _Choice:
    """Which groups are chosen, and what it would cost or gain to choose others."""

    sizes: Ints
    labels: Ints
    wanted: Floats
    chosen: Bools

    def __post_init__(self) -> None:
        self.weight = 1.0 / np.maximum(self.labels.sum(axis=0), 1) ** 2
        self.counts = self.labels.astype(np.float64)
        self.squares = np.einsum("gc,c->g", (self.labels * self.labels).astype(np.float64), self.weight)
        self.excess = self.labels[self.chosen].sum(axis=0) - self.wanted

    def approach(self, target: int) -> None:
        """Move the group that fits and harms the balance least, until the number is met or none fits."""
        missing = target - int(self.sizes[self.chosen].sum())
        barred = np.zeros(len(self.sizes), dtype=bool)
        while missing != 0:
            into = missing > 0
            best = self._least_harm(into, (self.sizes <= abs(missing)) & ~barred)
            if best is None:
                return
            self._move(best, into)
            barred[best] = True
            missing += -int(self.sizes[best]) if into else int(self.sizes[best])

    def reach(self, target: int) -> None:
        """Bring the choice to the reachable number nearest to `target`, several groups at once if need be."""
        sizes, chosen = self.sizes, self.chosen
        values, numbers = np.unique(sizes, return_counts=True)
        have = dict(zip(values.tolist(), numbers.tolist(), strict=True))
        wanted = nearest(list(have.items()), target, part=True)
        if int(sizes[chosen].sum()) == wanted:
            return
        usual = {size: int((chosen & (sizes == size)).sum()) for size in have}
        for size, number in _counts_for(wanted, have, usual).items():
            into = number > usual[size]
            for _ in range(abs(number - usual[size])):
                best = self._least_harm(into, sizes == size)
                assert best is not None  # no more of a size are asked for than there are
                self._move(best, into)

    def exchange(self) -> bool:
        """Exchange the chosen group whose leaving helps most for the best one of the same size.

        Returns False if nothing helps.
        """
        leave = np.where(self.chosen, self._change(False, self.excess), np.inf)
        for out in np.argsort(leave, kind="stable")[:8].tolist():
            if not self.chosen[out]:
                break
            entering = self._change(True, self.excess - self.labels[out])
            enter = np.where(~self.chosen & (self.sizes == self.sizes[out]), entering, np.inf)
            best = int(np.argmin(enter))
            if leave[out] + enter[best] < -1e-12:
                self.chosen[out], self.chosen[best] = False, True
                self.excess += self.labels[best] - self.labels[out]
                return True
        return False

    def _change(self, into: bool, excess: Floats) -> Floats:
        """By how much the cost changes when a group is chosen or let go, at an excess of labels."""
        sign = 1.0 if into else -1.0
        return np.asarray(2 * sign * np.einsum("gc,c->g", self.counts, excess * self.weight) + self.squares)

    def _least_harm(self, into: bool, allowed: Bools) -> int | None:
        """The allowed group whose move costs least; None if there is none."""
        fits = (self.chosen != into) & allowed
        return int(np.argmin(np.where(fits, self._change(into, self.excess), np.inf))) if fits.any() else None

    def _move(self, group: int, into: bool) -> None:
        self.chosen[group] = into
        self.excess += self.labels[group] * (1 if into else -1)


def _deal_out(sizes: Ints, labels: Ints, wanted: Floats, target: int) -> Bools:
    groups, classes = labels.shape
    need = [wanted.tolist(), (labels.sum(axis=0) - wanted).tolist()]
    room = [float(target), float(sizes.sum() - target)]
    own: list[list[int]] = [[] for _ in range(groups)]
    members: list[list[int]] = [[] for _ in range(classes)]
    for one, label in np.argwhere(labels > 0).tolist():
        own[one].append(label)
        members[label].append(one)
    amounts = labels.tolist()
    left = [len(rows) for rows in members]
    done = [False] * groups
    chosen = np.zeros(groups, dtype=bool)

    def give(one: int, into: bool) -> None:
        done[one] = True
        chosen[one] = into
        which = 0 if into else 1
        room[which] -= int(sizes[one])
        for label in own[one]:
            need[which][label] -= amounts[one][label]
            left[label] -= 1

    while any(left):
        label = min((number, label) for label, number in enumerate(left) if number)[1]
        for one in members[label]:
            if not done[one]:
                inside, outside = need[0][label], need[1][label]
                give(one, inside > outside if inside != outside else room[0] > room[1])
    for one in range(groups):
        if not done[one]:
            give(one, int(sizes[one]) <= room[0])
    return chosen
