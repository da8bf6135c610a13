"""Near-duplicates under a change: found where they are asked for, and strangers are not taken for them."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cocomine.splits.changed import find_changed
from cocomine.splits.groups import group
from cocomine.splits.near_duplicates import Pairs, find_pairs
from cocomine.splits.settings import SplitSettings
from cocomine.splits.split import split
from helpers.splits_subsets import write_subset

SIDE = 96
NONE = Pairs(*(np.zeros(0, dtype=kind) for kind in (np.int64, np.int64, np.int64, np.float64)))


def picture(seed):
    """Return a picture of the spectrum of photographs, 96 x 96, amplitude about 1 / frequency."""
    random = np.random.default_rng(seed)
    waves = np.cos(np.pi * np.outer(np.arange(24), (np.arange(SIDE) + 0.5) / SIDE))
    spectrum = random.normal(size=(24, 24)) / np.hypot(*np.mgrid[1:25, 1:25])
    spectrum[0, 0] = 0
    return 128 + 45 * waves.T @ spectrum @ waves


def small(pixels):
    """Return the 32 x 32 box average."""
    down, across = (np.linspace(0, side, 33).astype(int) for side in pixels.shape)
    sums = np.add.reduceat(np.add.reduceat(pixels, down[:-1], axis=0), across[:-1], axis=1)
    return np.clip(sums / np.outer(np.diff(down), np.diff(across)), 0, 255).astype(np.uint8)


STRANGERS = np.stack([small(picture(seed)) for seed in range(100, 140)])
TURNS = {
    "mirrored": lambda pixels: pixels[:, ::-1],
    "right": lambda pixels: np.rot90(pixels, -1),
    "left": lambda pixels: np.rot90(pixels),
    "upside down": lambda pixels: np.rot90(pixels, 2),
    "mirrored and turned": lambda pixels: pixels.T,
    "mirrored top to bottom": lambda pixels: pixels[::-1],
}


def found(one, other, changes):
    """Return by change the pairs among 40 strangers, a picture and another, by the places of these."""
    thumbnails = np.concatenate([STRANGERS, small(one)[None], small(other)[None]])
    pairs = find_changed(thumbnails, changes, NONE, 6, 0.9)
    assert list(pairs) == list(changes)
    result = {
        change: list(zip(some.first.tolist(), some.second.tolist(), strict=True)) for change, some in pairs.items()
    }
    assert all(some in ([], [(40, 41)]) for some in result.values()), "strangers are paired"
    return {change for change, some in result.items() if some}


@pytest.mark.parametrize("turn", TURNS)
def test_a_turn_is_found_under_the_changes_that_make_it_and_no_other(turn):
    one = picture(1)
    other = TURNS[turn](one)
    both = ("mirrored", "turned")
    alone = {"mirrored": {"mirrored"}, "right": {"turned"}, "left": {"turned"}, "upside down": {"turned"}}
    assert found(one, other, both) == alone.get(turn, {"mirrored"})
    for change in both:
        assert found(one, other, (change,)) == alone.get(turn, set()) & {change}
    assert len(find_pairs(np.stack([small(one), small(other)]), 6, 0.9).first) == 0


@pytest.mark.parametrize("side", [0.7, 0.8, 0.9])
@pytest.mark.parametrize("corner", [(0.0, 0.0), (0.5, 0.4), (1.0, 1.0)])
def test_a_crop_is_found_wherever_it_was_cut_whichever_comes_first(side, corner):
    one, length = picture(2), round(side * SIDE)
    top, left = (round(share * (SIDE - length)) for share in corner)
    crop = one[top : top + length, left : left + length]
    assert found(one, crop, ("cropped",)) == {"cropped"}
    assert found(crop, one, ("cropped",)) == {"cropped"}


def test_what_looks_alike_as_it_is_is_not_found_again_as_a_crop():
    one = picture(3)
    thumbnails = np.stack([small(one), small(one[2:94, 2:94])])
    known = find_pairs(thumbnails, 6, 0.9)
    assert len(known.first) == 1
    assert len(find_changed(thumbnails, ("cropped",), known, 6, 0.9)["cropped"].first) == 0


def test_many_are_searched_as_few_are():
    thumbnails = np.concatenate([np.stack([small(picture(seed))] * 2) for seed in range(3)])
    thumbnails[1::2] = thumbnails[1::2, :, ::-1]
    many = np.random.default_rng(0).integers(0, 256, (5_000, 32, 32)).astype(np.uint8)
    pairs = find_changed(np.concatenate([thumbnails, many]), ("mirrored",), NONE, 6, 0.9)["mirrored"]
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == [(0, 1), (2, 3), (4, 5)]


def test_of_a_crowd_that_looks_alike_only_the_first_is_looked_for():
    frames = np.stack([small(picture(4))] * 60)
    mirrored = frames[:1, :, ::-1]
    known = Pairs(np.zeros(59, np.int64), np.arange(1, 60), np.zeros(59, np.int64), np.ones(59))
    pairs = find_changed(np.concatenate([frames, mirrored]), ("mirrored",), known, 6, 0.9)
    assert list(zip(pairs["mirrored"].first.tolist(), pairs["mirrored"].second.tolist(), strict=True)) == [(0, 60)]
    assert len(set(group(61, [], known, 100, pairs).of)) == 1


def test_a_mirrored_image_stays_with_its_original_where_it_is_asked_for_and_the_audit_says_why(tmp_path):
    ids = write_subset(tmp_path, 30)
    path = tmp_path / "images.parquet"
    table = pq.read_table(path)
    thumbnails = table["thumbnail"].to_pylist()
    thumbnails[7] = np.frombuffer(thumbnails[3], np.uint8).reshape(32, 32)[:, ::-1].tobytes()
    place = table.schema.get_field_index("thumbnail")
    pq.write_table(table.set_column(place, "thumbnail", pa.array(thumbnails, table.schema.field(place).type)), path)
    for changes, groups in (((), []), (("mirrored",), [[ids[3], ids[7]]])):
        split(SplitSettings(near_duplicate_changes=changes), tmp_path, path, tmp_path, None, None)
        audit = json.loads((tmp_path / "split_audit.json").read_text())
        assert [entry["images"] for entry in audit["groups"]] == groups
    assert audit["groups"][0]["why"] == [{"bits": 0, "images": groups[0], "similarity": 1.0, "why": "mirrored"}]
