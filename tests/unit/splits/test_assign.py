"""The strategies: exact shares, twins on one side, stability, and errors that say what to do."""

import pytest
from cocomine.base.errors import CocomineError
from cocomine.splits.assign import Member, assign, inherit
from cocomine.splits.settings import SplitSettings


def pictures(count, groups=None, start=1):
    groups = groups or {}
    return [
        Member(start + n, "val" if n % 5 == 0 else "train", f"{start + n}.jpg", groups.get(n, n), (1 + n % 3,))
        for n in range(count)
    ]


def val_ids(images, **settings):
    result = assign(images, SplitSettings(**settings))
    return {image.image_id for image, val in zip(images, result.in_val, strict=True) if val}


@pytest.mark.parametrize("strategy", ["hash", "stratified"])
@pytest.mark.parametrize("count", [2, 3, 10, 101, 997])
def test_the_share_is_exact_to_one_image(strategy, count):
    if round(0.3 * count) in (0, count):
        return
    assert len(val_ids(pictures(count), strategy=strategy, val_share=0.3)) == round(0.3 * count)


def test_hash_does_not_depend_on_the_order_of_the_images():
    images = pictures(500)
    assert val_ids(images) == val_ids(images[::-1])


def test_images_added_later_move_only_what_exactness_asks_for():
    before, after = val_ids(pictures(10_000)), val_ids(pictures(11_000))
    out, into = before - after, {image for image in after - before if image <= 10_000}
    # The newcomers bring 200 images to val, give or take 13 by chance; that many move, all of them one way.
    assert not (out and into)
    assert len(out | into) <= 3 * 13


def test_groups_and_newcomers_of_lower_ids_move_little_more():
    # Every twentieth image is its neighbour's twin: a tenth is grouped.
    twins = {n: n - 1 for n in range(1, 10_000, 20)}
    before = val_ids(pictures(10_000, twins, start=2_000))
    # The newcomers' ids lie below, and every fifth of the groups gets one of them: the smallest id, its key, is new.
    later = pictures(10_000, twins, start=2_000)
    later += [Member(1 + n, "train", f"{1 + n}.jpg", 100 * n if n < 100 else 20_000 + n, (1,)) for n in range(1_000)]
    after = val_ids(later)
    moved = {image for image in before ^ after if image >= 2_000}
    joined = {2_000 + place for n in range(100) for place in (100 * n, 100 * n + 1)}
    assert len(moved - joined) <= 3 * 13, "images moved whose group is as it was"
    assert min(len((moved - joined) & before), len((moved - joined) & after)) <= 2, "they moved both ways"


def test_the_images_of_val_are_the_same_on_every_platform_and_with_every_library():
    # By `printf 'split:0:%d' ID | sha256sum`, sorted: the ten lowest of the ids 1 to 50.
    assert sorted(val_ids(pictures(50), seed=0)) == [9, 11, 12, 19, 22, 36, 40, 47, 49, 50]


def test_another_seed_gives_another_split():
    images = pictures(200)
    assert val_ids(images, seed=1) != val_ids(images, seed=2)


@pytest.mark.parametrize("strategy", ["hash", "stratified", "official", "kfold"])
def test_near_duplicates_are_never_parted(strategy):
    groups = {n: n // 7 * 7 for n in range(200) if n % 7 < 3}
    images = pictures(200, groups)
    chosen = val_ids(images, strategy=strategy)
    sides = {}
    for image in images:
        sides.setdefault(image.group, set()).add(image.image_id in chosen)
    assert all(len(side) == 1 for side in sides.values())


def test_what_groups_prevent_is_said_and_no_side_is_left_empty():
    images = pictures(8, {n: n // 4 for n in range(8)})
    result = assign(images, SplitSettings(val_share=0.2))
    assert (result.target, result.nearest, sum(result.in_val)) == (2, 4, 4)


def test_folds_are_equal_parts_and_one_of_them_is_val():
    images = pictures(103)
    result = assign(images, SplitSettings(strategy="kfold", folds=4, fold=2))
    assert sorted(result.fold.count(fold) for fold in range(4)) == [25, 26, 26, 26]
    assert [fold == 2 for fold in result.fold] == result.in_val


def test_every_image_is_in_val_of_exactly_one_fold():
    images = pictures(50)
    chosen = [val_ids(images, strategy="kfold", folds=5, fold=fold) for fold in range(5)]
    assert sum(map(len, chosen)) == 50 == len(set.union(*chosen))


def test_official_keeps_val_whole_and_draws_near_duplicates_to_it():
    images = pictures(20, {1: 0})  # place 0 is in val, its twin at place 1 in train
    result = assign(images, SplitSettings(strategy="official"))
    assert [i.image_id for i, val in zip(images, result.in_val, strict=True) if val] == [1, 2, 6, 11, 16]
    assert result.moved == [2]
    assert val_ids(images, strategy="official", official_val=("train",)) == {i.image_id for i in images} - {6, 11, 16}


def test_official_without_a_val_split_says_what_to_do():
    images = [Member(n, "train2017", f"{n}.jpg", n) for n in range(4)]
    with pytest.raises(CocomineError, match="one split is empty") as error:
        assign(images, SplitSettings(strategy="official"))
    assert "official_val" in error.value.hint
    with pytest.raises(CocomineError, match="no image comes from val2019"):
        assign(images, SplitSettings(strategy="official", official_val=("val2019",)))


def test_lists_are_followed_by_id_and_by_name(tmp_path):
    images = pictures(6)
    (tmp_path / "val.txt").write_text("2.jpg\n\n5\n")
    chosen = val_ids(images, strategy="lists", val_list=str(tmp_path / "val.txt"), unlisted="train")
    assert chosen == {2, 5}
    assert val_ids(images, strategy="lists", train_list=(1, "3.jpg", 4), unlisted="val") == {2, 5, 6}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"val_list": (1,)}, "on neither list"),
        ({"val_list": (1,), "train_list": (1, 2)}, "on both lists"),
        ({"val_list": (99,), "unlisted": "train"}, "1 of 1 entries names no image of the subset: 99"),
        ({"val_list": (1,), "train_list": (2,), "unlisted": "train"}, "near-duplicate"),
        ({"val_list": (1, 2, 3, 4)}, "one split is empty"),
        ({"val_list": "no/such/file"}, "cannot be read"),
    ],
)
def test_lists_that_do_not_add_up_are_errors_with_a_remedy(settings, words):
    with pytest.raises(CocomineError, match=words) as error:
        assign(pictures(4, {1: 0}), SplitSettings(strategy="lists", **settings))
    assert error.value.hint


def test_entries_of_a_list_that_name_nothing_are_counted_and_named():
    settings = SplitSettings(strategy="lists", val_list=(1, "gone.jpg"), train_list=(2, 3, 4, 77))
    found = assign(pictures(4), settings)
    assert found.in_val == [True, False, False, False]
    assert found.note == (
        "split.train_list: 1 of 4 entries names no image of the subset: 77; "
        "split.val_list: 1 of 2 entries names no image of the subset: 'gone.jpg'"
    )


def test_a_near_duplicate_of_a_listed_image_follows_it():
    assert val_ids(pictures(4, {1: 0}), strategy="lists", val_list=(1,), unlisted="train") == {1, 2}


def test_an_inherited_split_is_kept_and_newcomers_follow_their_near_duplicates():
    images = pictures(40, {30: 3, 31: 4})
    sides = {image.image_id: ("val" if image.image_id in (4, 9) else "train", 2) for image in images[:30]}
    result = inherit(images, sides, SplitSettings())
    chosen = {i.image_id for i, val in zip(images, result.in_val, strict=True) if val}
    assert {4, 9, 31} <= chosen
    assert not chosen & ({*range(1, 31)} - {4, 9})
    assert 32 not in chosen
    assert result.fold[0] == 2
    assert len(chosen) == 3 + round(0.2 * 8)


def test_newcomers_of_a_split_in_folds_get_a_fold_and_its_side():
    images = pictures(60)
    fold_of = assign(images[:50], SplitSettings(strategy="kfold", folds=5, fold=3)).fold
    sides = {p.image_id: ("val" if f == 3 else "train", f) for p, f in zip(images[:50], fold_of, strict=True)}
    result = inherit(images, sides, SplitSettings())
    assert result.fold[:50] == fold_of
    assert set(result.fold) == set(range(5))
    assert result.in_val == [fold == 3 for fold in result.fold]


@pytest.mark.parametrize("size", range(3, 8))
def test_folds_of_large_groups_are_filled_and_what_is_uneven_is_said(size):
    images = pictures(6 * size, {n: n // size for n in range(6 * size)})
    result = assign(images, SplitSettings(strategy="kfold", folds=4))
    sizes = sorted(result.fold.count(fold) for fold in range(4))
    assert sizes == [size, size, 2 * size, 2 * size]
    assert "groups stay together, so the folds hold" in result.note
    assert assign(images, SplitSettings(strategy="kfold", folds=6)).note == ""


def test_folds_are_never_empty_however_the_groups_fall():
    images = pictures(22, {**dict.fromkeys(range(10), 0), **dict.fromkeys(range(10, 20), 10)})
    for seed in range(20):
        result = assign(images, SplitSettings(strategy="kfold", folds=4, seed=seed))
        assert sorted(result.fold.count(fold) for fold in range(4)) == [1, 1, 10, 10]


def test_more_folds_than_groups_are_refused():
    with pytest.raises(CocomineError, match="3 groups that stay together") as error:
        assign(pictures(12, {n: n // 4 for n in range(12)}), SplitSettings(strategy="kfold", folds=4))
    assert "split.folds" in error.value.hint
