"""Wrong settings of the split are refused by name."""

import pytest
from cocomine.base.errors import CocomineError
from cocomine.splits.settings import SplitSettings


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"val_shre": 0.2}, "val_shre"),
        ({"val_share": 0}, "val_share: expected number > 0, < 1, got 0"),
        ({"val_share": 1.5}, "val_share"),
        ({"val_share": "0.2"}, "val_share"),
        ({"strategy": "random"}, "split.strategy: 'random' is not one of hash, strat"),
        ({"folds": 1}, "folds"),
        ({"folds": 3, "fold": 3}, "no fold 3 of 3"),
        ({"seed": True}, "seed"),
        ({"strategy": "lists"}, "no list"),
        ({"val_list": [1.5]}, "val_list"),
        ({"official_val": "val2017"}, "official_val"),
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
        SplitSettings.from_mapping({"val_shre": 0.2})
    assert error.value.hint.startswith("instead of 'val_shre', did you mean 'val_share'")
