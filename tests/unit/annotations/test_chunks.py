import numpy as np
from cocomine.annotations.outlines import decode_counts, rle_is_sound
from cocomine.annotations.records import Rle
from cocomine.annotations.values import later_of_equal, mixed, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32))
def test_compressed_counts_decode_as_pycocotools_encodes_them(height, width, seed):
    generator = np.random.default_rng(seed)
    mask = np.asfortranarray(generator.random((height, width)) < generator.random(), np.uint8)
    text = coco_mask.encode(mask)["counts"].decode()
    runs = decode_counts(text)
    flat = np.repeat(np.arange(len(runs)) % 2, runs)
    assert (flat == mask.ravel(order="F")).all()
    assert rle_is_sound(Rle((height, width), text))
    assert not rle_is_sound(Rle((height + 1, width), text))
    assert rle_is_sound(Rle((height, width), runs.tolist()))


@given(st.text(max_size=12))
def test_any_text_as_counts_is_sound_or_not_but_never_an_error(text):
    assert rle_is_sound(Rle((3, 4), text)) in (True, False)


@given(st.lists(st.integers(-(2**62), 2**62), max_size=9))
def test_any_runs_are_sound_or_not_but_never_an_error(runs):
    assert rle_is_sound(Rle((3, 4), runs)) == (min(runs, default=0) >= 0 and sum(runs) == 12)


@given(
    st.lists(st.integers(-1, 6), max_size=12), st.lists(st.integers(-1, 8), max_size=12), st.sampled_from([1, 2**40])
)
def test_joins_find_the_first_row_of_an_id(ids, wanted, factor):
    ids_ = np.array([i if i < 0 else i * factor for i in ids], np.int64)
    wanted_ = np.array([i if i < 0 else i * factor for i in wanted], np.int64)
    expected = [ids.index(value) if value >= 0 and value in ids else -1 for value in wanted]
    assert rows_of(ids_, wanted_).tolist() == expected


@given(st.lists(st.integers(-1, 5), max_size=12))
def test_the_first_of_equal_values_is_not_marked(values):
    expected = [value >= 0 and value in values[:place] for place, value in enumerate(values)]
    assert later_of_equal(np.array(values, np.int64)).tolist() == expected


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.0, 1.5, float("nan")])), min_size=1, max_size=9))
def test_mixtures_of_equal_rows_are_equal(rows):
    mixture = mixed([np.array([a for a, _ in rows]), np.array([b for _, b in rows])]).tolist()
    assert len(set(mixture)) == len({(a, repr(b)) for a, b in rows})
