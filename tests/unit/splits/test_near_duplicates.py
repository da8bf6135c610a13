"""Finding pairs: all within the distance, none beyond, the hashes exact."""

import numpy as np
import pytest
from cocomine.images.descriptors import perceptual_hash
from cocomine.splits.near_duplicates import HashIndex, find_pairs, hashes_of_views
from helpers.splits_subsets import thumbnail


def test_the_hash_of_the_whole_is_the_one_that_was_measured():
    pictures = np.stack([thumbnail(seed) for seed in range(300)] + [np.full((32, 32), 9, dtype=np.uint8)])
    assert hashes_of_views(pictures)[0].tolist() == [perceptual_hash(picture) for picture in pictures]


@pytest.mark.parametrize("distance", [0, 1, 3, 4, 6, 7, 8, 10])
def test_the_index_finds_every_pair_within_the_distance_and_no_other(distance):
    random = np.random.default_rng(distance)
    base = random.integers(0, 2**64, 60, dtype=np.uint64)
    hashes = [int(value) for value in base]
    for value in base.tolist():
        for bits in range(13):
            flips = random.choice(64, bits, replace=False)
            hashes.append(value ^ sum(1 << int(bit) for bit in flips))
    index = np.array(hashes, dtype=np.uint64)
    asked = index[random.permutation(len(index))]
    found = {
        (int(a), int(b), int(d))
        for block in HashIndex(index, distance).near(asked)
        for a, b, d in zip(*block, strict=True)
    }
    bits = np.bitwise_count(asked[:, None] ^ index[None])
    expected = {(a, b, int(bits[a, b])) for a, b in np.argwhere(bits <= distance).tolist() if a != b}
    assert found == expected


def test_copies_are_paired_with_the_first_and_flat_pictures_with_none():
    flat = np.full((32, 32), 100, dtype=np.uint8)
    pictures = np.stack([thumbnail(1), flat, thumbnail(2), thumbnail(1), flat, thumbnail(1)])
    pairs = find_pairs(pictures, 6, 0.9)
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == [(0, 3), (0, 5)]
    assert pairs.similarity.tolist() == [1.0, 1.0]


def test_a_thousand_copies_of_one_picture_make_a_thousand_links_not_half_a_million():
    pictures = np.repeat(thumbnail(1)[None], 1000, axis=0)
    assert len(find_pairs(pictures, 6, 0.9).first) == 999


def test_no_pictures_make_no_pairs():
    assert len(find_pairs(np.zeros((0, 32, 32), dtype=np.uint8), 6, 0.9).first) == 0


@pytest.mark.slow
def test_a_film_of_frames_that_differ_by_noise_is_searched_in_linear_time():
    random = np.random.default_rng(0)
    noise = random.integers(-2, 3, (6_000, 32, 32))
    frames = np.clip(thumbnail(4).astype(int) + noise, 0, 255).astype(np.uint8)
    pairs = find_pairs(frames, 6, 0.9)
    assert len(pairs.first) < 30 * len(frames)
    assert len(set(pairs.first.tolist()) | set(pairs.second.tolist())) == len(frames)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [20, 40])
def test_near_identical_frames_of_many_hashes_are_searched_without_pairing_each_with_each(noise):
    random = np.random.default_rng(noise)
    frames = thumbnail(4).astype(float) + random.normal(0, noise, (1_500, 32, 32))
    frames = np.clip(frames, 0, 255).astype(np.uint8)
    others = np.stack([thumbnail(seed) for seed in range(100, 130)])
    hashes = hashes_of_views(frames)[0]
    assert len(np.unique(hashes)) > 50
    together = np.concatenate([frames, others, others])
    together[-30:] = np.clip(together[-30:].astype(int) + 2, 0, 255)
    pairs = find_pairs(together, 6, 0.9)
    assert len(pairs.first) < 150 * len(frames)  # of a million
    found = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    # A frame that is like fewer than 50 others keeps all of its pairs, and no frame is left alone that is like another.
    alone = set(range(1_500)) - {row for pair in found for row in pair}
    for row in alone:
        near = np.flatnonzero(np.bitwise_count(hashes ^ hashes[row]) <= 6)
        assert near.tolist() == [row]
    # What stands outside of the crowd is found as ever.
    assert {(1_500 + n, 1_530 + n) for n in range(30)} <= found
