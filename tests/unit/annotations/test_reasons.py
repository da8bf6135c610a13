from pathlib import Path

import pytest
from cocomine.annotations.reasons import (
    DEFAULT_POLICIES,
    POLICIES,
    TABLE,
    Reason,
    mask_of,
    masks_by_policy,
    policies,
    reasons_of,
)
from cocomine.base.errors import CocomineError

ROOT = Path(__file__).resolve().parents[3]


def test_every_reason_has_one_row_and_one_bit_below_64():
    assert [rule.reason for rule in TABLE] == list(Reason)
    assert [rule.bit for rule in TABLE] == list(range(len(TABLE)))
    assert len(TABLE) <= 63
    assert all(rule.policy in POLICIES and rule.policy != "stop" for rule in TABLE)
    assert all(rule.repair for rule in TABLE if rule.policy == "repair")


def test_the_documentation_holds_the_table_as_it_is():
    lines = ["| code | of | found in | by default | meaning | repair |", "|---|---|---|---|---|---|"]
    for rule in TABLE:
        kinds = "any" if len(rule.kinds) == 5 else ", ".join(rule.kinds)
        row = [f"`{rule.reason}`", kinds, rule.found_by, rule.policy, rule.meaning, rule.repair or "—"]
        lines.append(f"| {' | '.join(row)} |")
    assert "\n".join(lines) + "\n" in (ROOT / "docs" / "annotations.md").read_text("utf-8")


def test_masks_and_reasons_are_each_others_inverse():
    some = [Reason.BAD_ID, Reason.RLE_SUM, Reason.DUPLICATE_SEGMENT]
    assert reasons_of(mask_of(*some)) == some


def test_a_policy_overrides_the_default_and_every_reason_has_one():
    chosen = policies({"no-iscrowd": "stop"})
    assert chosen[Reason.NO_ISCROWD] == "stop"
    assert {**chosen, Reason.NO_ISCROWD: "repair"} == DEFAULT_POLICIES
    masks = masks_by_policy(chosen)
    assert masks["stop"] == mask_of(Reason.NO_ISCROWD)
    assert sum(masks.values()) == (1 << len(TABLE)) - 1


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"no-iscrow": "keep"}, "no reason code 'no-iscrow'"),
        (
            {"not-finite": "keep"},
            "not-finite: such records cannot be kept as they are: with NaN the file would be no JSON",
        ),
        ({"unsafe-file-name": "keep"}, "cannot be kept as they are"),
        ({"no-box": "drop"}, "'drop' is no policy"),
        ({"bad-id": "repair"}, "no repair"),
    ],
)
def test_a_wrong_policy_is_told_by_name(overrides, says):
    with pytest.raises(CocomineError, match=says):
        policies(overrides)
