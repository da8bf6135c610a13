"""The training set: whole epochs in a counter-based order, and input that cannot be learnt from is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from cocomine.base.errors import CocomineError
from cocomine.learning import data
from helpers.shapes import write_shapes
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.slow
@given(st.integers(0, 2**40), st.integers(1, 50), st.integers(1, 70))
def test_consecutive_batches_show_every_image_once_an_epoch(seed, count, batch):
    steps = -(-3 * count // batch)
    stream = np.concatenate([data.batch_of(seed, step, batch, count) for step in range(steps)])
    assert all(len(data.batch_of(seed, step, batch, count)) == batch for step in range(2))
    for epoch in range(3):
        assert sorted(stream[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_order_depends_on_seed_and_epoch_alone_and_is_fixed_for_good():
    assert data.permutation(0, 0, 8).tolist() == [0, 2, 1, 5, 4, 3, 6, 7]
    assert data.permutation(0, 1, 100).tolist() != data.permutation(0, 0, 100).tolist()
    assert data.permutation(1, 0, 100).tolist() != data.permutation(0, 0, 100).tolist()


def test_held_out_images_are_never_trained_on(tmp_path):
    tensors = data.read_tensors(write_shapes(tmp_path))
    rows = data.training_rows(tensors, frozenset({110, 111}), None, "x")
    assert not {110, 111} & set(tensors.image_ids[rows].tolist())
    assert len(rows) == 16


def test_limit_takes_exactly_as_many_and_is_stable(tmp_path):
    tensors = data.read_tensors(write_shapes(tmp_path))
    rows = data.training_rows(tensors, frozenset(), 7, "x")
    assert len(rows) == 7
    assert set(rows) <= set(data.training_rows(tensors, frozenset(), 8, "x"))
    with pytest.raises(CocomineError, match="19 images, and 18"):
        data.training_rows(tensors, frozenset(), 19, "x")


def test_single_image_is_refused(tmp_path):
    tensors = data.read_tensors(write_shapes(tmp_path, images=2, val_share=0.5))
    with pytest.raises(CocomineError, match="1 image"):
        data.training_rows(tensors, frozenset(), None, "x")


def test_mask_values_past_the_labels_are_named_with_their_image(tmp_path):
    write_shapes(tmp_path)
    masks = np.load(tmp_path / "masks.npy")
    masks[5, 10, 10] = 9
    np.save(tmp_path / "masks.npy", masks)
    tensors = data.read_tensors(tmp_path)
    with pytest.raises(CocomineError, match=r"\[9\].*3 labels.*000000000105.jpg"):
        data.pixel_counts(tensors, tensors.rows_of("all"), data.read_trained_labels(tmp_path / "labels.json"))


def test_pixel_counts_leave_void_out(tmp_path):
    tensors = data.read_tensors(write_shapes(tmp_path))
    counts = data.pixel_counts(tensors, tensors.rows_of("all"), data.read_trained_labels(tmp_path / "labels.json"))
    assert counts.sum() == (np.asarray(tensors.masks) != 255).sum()


@pytest.mark.parametrize("name", ["images.npy", "masks.npy", "index.tsv"])
def test_missing_file_says_which_step_writes_it(tmp_path, name):
    (write_shapes(tmp_path) / name).unlink()
    with pytest.raises(CocomineError, match="no such file") as caught:
        data.read_tensors(tmp_path)
    assert "pack_tensors" in caught.value.hint


def test_arrays_that_do_not_agree_are_refused(tmp_path):
    write_shapes(tmp_path)
    np.save(tmp_path / "masks.npy", np.zeros((3, 64, 64), np.uint8))
    with pytest.raises(CocomineError, match="24 rows"):
        data.read_tensors(tmp_path)


def test_labels_of_the_background_alone_are_refused(tmp_path):
    entries = [{"label": 0, "name": "background", "category_id": None}]
    (tmp_path / "labels.json").write_text(json.dumps({"labels": entries, "void": 255}))
    with pytest.raises(CocomineError, match="background only"):
        data.read_trained_labels(tmp_path / "labels.json")


def test_digest_changes_with_one_pixel(tmp_path):
    tensors = data.read_tensors(write_shapes(tmp_path / "a"))
    rows = tensors.rows_of("train")
    before = data.digest_of(tensors, rows)
    assert data.digest_of(data.read_tensors(write_shapes(tmp_path / "b")), rows) == before
    images = np.load(tmp_path / "b" / "images.npy")
    images[3, 3, 3, 0] ^= 1
    np.save(tmp_path / "b" / "images.npy", images)
    assert data.digest_of(data.read_tensors(tmp_path / "b"), rows) != before
    assert data.digest_of(tensors, rows[:-1]) != before


def split_tensors(**splits):
    """Tensors of which only image ids and splits are asked, {split: ids}."""
    rows = [(image, split) for split, images in splits.items() for image in images]
    none = np.zeros((len(rows), 1, 1), np.uint8)
    ids, names = np.array([image for image, _ in rows]), tuple(split for _, split in rows)
    return data.TensorSet(Path(), none, none, ids, tuple(map(str, ids)), names, {})


def test_what_another_subset_is_judged_on_is_kept_from_training_and_its_test_images_from_choosing_weights():
    two = split_tensors(train=[1, 2], val=[3])
    three = split_tensors(train=[4, 5], val=[6], test=[7], holdout=[8])
    assert data.withheld([two], None) == ({3}, set())
    assert data.withheld([three], None) == ({7}, {7})
    assert data.withheld([three], "val") == ({6, 7}, {7})
    assert data.withheld([three], "holdout") == ({7, 8}, {7, 8})
    assert data.withheld([two, three], None) == ({3, 7}, {7})
    own = split_tensors(train=[1, 7, 9], val=[3, 7], test=[10])
    assert data.training_rows(own, frozenset({7}), None, "").tolist() == [0, 2]
    assert data.sampled_rows(own, "val", frozenset({7}), 9, "").tolist() == [3]
