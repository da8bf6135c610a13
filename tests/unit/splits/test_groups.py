"""Groups: what is the same image, and chains of near-duplicates."""

import itertools

import numpy as np
from cocomine.splits.groups import Identity, certain_links, group, image_name
from cocomine.splits.near_duplicates import Pairs
from hypothesis import given, settings
from hypothesis import strategies as st


def pairs_of(links):
    links = sorted(links)
    return Pairs(
        np.array([link[0] for link in links], dtype=np.int64),
        np.array([link[1] for link in links], dtype=np.int64),
        np.array([link[2] for link in links], dtype=np.int64),
        np.array([link[3] for link in links], dtype=np.float64),
    )


def test_the_names_of_2014_2017_and_lvis_are_one_photograph():
    names = [
        "COCO_train2014_000000000009.jpg",
        "000000000009.jpg",
        "train2017/000000000009.jpg",
        "COCO_val2014_000000000009.jpg",
    ]
    assert {image_name(name) for name in names} == {"000000000009"}
    assert image_name("000000000010.jpg") != image_name(names[0])
    assert image_name("holiday/9.jpg") == "holiday/9.jpg"


def test_one_photograph_under_two_names_is_grouped_and_another_of_that_number_is_not():
    rows = [
        Identity(1, "COCO_val2014_000000000009.jpg", "a" * 64, 0),
        Identity(2, "val2017/000000000009.jpg", "b" * 64, 0b11),
        Identity(3, "mine/000000000009.jpg", "c" * 64, 2**40 - 1),
        Identity(4, "other.jpg", "a" * 64, 0),
    ]
    found = group(4, certain_links(rows), None, 20)
    assert found.of == [0, 0, 2, 0]
    assert {link.why for link in found.links} == {"same image", "same file"}


def test_images_without_a_file_are_not_all_the_same_file():
    rows = [Identity(1, "a.jpg", None, None), Identity(2, "b.jpg", None, None)]
    assert certain_links(rows) == []


def test_a_chain_of_look_alikes_falls_apart_at_its_weakest_links():
    links = [(row, row + 1, 6 if row % 10 == 9 else 2, 0.95) for row in range(99)]
    found = group(100, [], pairs_of(links), 10)
    assert max(np.bincount(found.of)) == 10
    assert [link.distance for link in found.cut] == [6] * 9


def test_identical_photographs_are_never_parted_however_many():
    rows = [Identity(place, f"{place}.jpg", "same", None) for place in range(50)]
    found = group(50, certain_links(rows), None, 10)
    assert set(found.of) == {0}
    assert found.cut == []


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29), st.integers(0, 6)), max_size=60), st.integers(1, 12))
def test_groups_keep_to_the_limit_and_every_link_is_accounted_for(raw, largest):
    links = {(min(a, b), max(a, b)): d for a, b, d in raw if a != b}
    found = group(30, [], pairs_of([(a, b, d, 0.9) for (a, b), d in links.items()]), largest)
    assert max(np.bincount(found.of)) <= max(1, largest)
    inside = {(link.first, link.second) for link in found.links}
    cut = {(link.first, link.second) for link in found.cut}
    assert inside | cut == set(links)
    assert all(found.of[a] == found.of[b] for a, b in inside)
    assert all(found.of[a] != found.of[b] for a, b in cut)


def test_one_photograph_is_grouped_whatever_stands_before_it():
    rows = [
        Identity(1, "mine/000000000009.jpg", "c" * 64, 2**40 - 1),
        Identity(2, "COCO_val2014_000000000009.jpg", "a" * 64, 0),
        Identity(3, "val2017/000000000009.jpg", "b" * 64, 0b11),
        Identity(4, "lvis/000000000009.jpg", "d" * 64, 0b111),
    ]
    for order in itertools.permutations(rows):
        of = group(4, certain_links(list(order)), None, 20).of
        groups = {frozenset(row.image_id for row, own in zip(order, of, strict=True) if own == one) for one in of}
        assert groups == {frozenset({1}), frozenset({2, 3, 4})}
