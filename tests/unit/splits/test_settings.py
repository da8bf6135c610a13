"""Wrong settings of the split are refused by name."""

import pytest
from cocomine.base.errors import CocomineError
from cocomine.splits.settings import SplitSettings


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"shrs": {"val": 0.2}}, "shrs"),
        ({"shares": {"train": 1, "val": 0}}, "shares.val: expected number > 0, < 1, got 0"),
        ({"shares": {"train": "0.8", "val": 0.2}}, "shares.train: expected number"),
        ({"shares": {"train": 0.7, "val": 0.2}}, r"shares: \{train: 0.7, val: 0.2\} add up to 0.9"),
        ({"shares": {"train": 0.5, "Val": 0.5}}, "shares: the name 'Val' cannot be used"),
        ({"shares": {"train": 0.5, "all": 0.5}}, "the name 'all' cannot be used"),
        ({"shares": {"a": 0.5, "b": 0.5}, "strategy": "kfold"}, "folds need train and val"),
        ({"val_share": 0.2}, "split.val_share: this key is called 'shares' now"),
        ({"unlisted": "dev"}, "unlisted: there is no split 'dev'"),
        ({"official": {"val": ["a"], "test": ["a"]}}, "'a' stands in it twice"),
        ({"strategy": "random"}, "split.strategy: 'random' is not one of hash, strat"),
        ({"folds": 1}, "folds"),
        ({"folds": 3, "fold": 3}, "no fold 3 of 3"),
        ({"seed": True}, "seed"),
        ({"strategy": "lists"}, "no list"),
        ({"lists": {"val": [1.5]}}, "lists.val"),
        ({"official": {"val": "val2017"}}, "official.val"),
        ({"near_duplicate_distance": 13}, "near_duplicate_distance"),
        ({"twins": "allow"}, "split.twins: this key is called 'near_duplicates' now"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_key(mapping, words):
    with pytest.raises(CocomineError, match=words) as error:
        SplitSettings.from_mapping(mapping)
    assert error.value.hint


def test_a_misspelt_key_is_answered_with_the_nearest():
    with pytest.raises(CocomineError) as error:
        SplitSettings.from_mapping({"shars": {"val": 0.2}})
    assert error.value.hint.startswith("instead of 'shars', did you mean 'shares'")
