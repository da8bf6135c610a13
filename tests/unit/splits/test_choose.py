"""Choosing groups: exact sizes, the nearest attainable otherwise, and balanced labels."""

import numpy as np
import pytest
from cocomine.splits.choose import balance, nearest, take
from hypothesis import given, settings
from hypothesis import strategies as st


def sums(sizes):
    found = {0}
    for size in sizes:
        found |= {total + size for total in found}
    return found


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(1, 9), max_size=12), st.integers(0, 60))
def test_the_sum_taken_is_the_nearest_that_any_part_could_reach(sizes, target):
    target = min(target, sum(sizes))
    taken = sum(size for size, chosen in zip(sizes, take(sizes, target), strict=True) if chosen)
    parts = sums(sizes) - {0, sum(sizes)} if len(sizes) > 1 else sums(sizes)
    assert abs(taken - target) == min(abs(total - target) for total in parts)
    counts = [(size, sizes.count(size)) for size in sorted(set(sizes))]
    assert nearest(counts, target, part=True) == taken
    assert abs(nearest(counts, target) - target) == min(abs(total - target) for total in sums(sizes))


def test_single_images_are_taken_in_order_up_to_the_target():
    assert take([1] * 10, 3) == [True] * 3 + [False] * 7


def test_a_group_that_does_not_fit_is_passed_over_for_single_images():
    assert take([1, 4, 1, 1, 1], 3) == [True, False, True, True, False]


def test_of_two_sums_as_near_the_smaller_is_taken():
    assert nearest([(2, 5)], 3) == 2


@pytest.mark.parametrize("seed", range(5))
def test_balance_gives_every_label_nearly_its_share_and_the_exact_number(seed):
    random = np.random.default_rng(seed)
    sizes = random.choice([1, 1, 1, 1, 2, 3], size=600)
    rare = np.geomspace(0.6, 0.01, 20)
    labels = (random.random((600, 20)) < rare).astype(np.int64) * sizes[:, None]
    target = round(0.2 * int(sizes.sum()))
    chosen = balance(sizes, labels, 0.2 * labels.sum(axis=0), target)
    assert int(sizes[chosen].sum()) == target
    total = labels.sum(axis=0)
    deviation = np.abs(labels[chosen].sum(axis=0) - 0.2 * total)
    assert deviation.max() <= 2
    by_order = labels[np.cumsum(sizes) <= target].sum(axis=0)
    assert deviation.sum() < 0.35 * np.abs(by_order - 0.2 * total).sum()


def test_balance_without_any_label_still_gives_the_exact_number():
    assert int(balance(np.ones(50, dtype=np.int64), np.zeros((50, 1), dtype=np.int64), np.zeros(1), 10).sum()) == 10


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 7), st.integers(0, 7)), min_size=2, max_size=10),
    st.sampled_from([0.1, 0.2, 1 / 3, 0.5]),
)
def test_balance_reaches_the_nearest_number_that_the_groups_allow(groups, share):
    sizes = np.array([size for size, _ in groups])
    labels = np.array([[min(size, own), size - min(size, own)] for size, own in groups])
    target = round(share * int(sizes.sum()))
    chosen = balance(sizes, labels, share * labels.sum(axis=0), target)
    counts = [(size, int((sizes == size).sum())) for size in sorted(set(sizes.tolist()))]
    assert int(sizes[chosen].sum()) == nearest(counts, target, part=True)


def test_balance_swaps_groups_where_moving_one_cannot_make_the_number_exact():
    sizes = np.array([2, 2, 2, 3])
    chosen = balance(sizes, np.zeros((4, 1), dtype=np.int64), np.zeros(1), 3)
    assert int(sizes[chosen].sum()) == 3
