"""What the report says of a subset follows from its files."""

from cocomine.reporting.facts import conservation_facts


def counts(taken: int, kept: int, repaired: int = 0, quarantined: int = 0, left_out: int = 0) -> dict[str, int]:
    return {"in": taken, "kept": kept, "repaired": repaired, "quarantined": quarantined, "left_out": left_out}


def test_records_of_several_sources_are_counted_in_all_and_by_split():
    statistics = {
        "conservation": {
            "image": {"instances": counts(5, 4, left_out=1)},
            "annotation": {"instances": counts(9, 8, 1)},
        },
        "conservation_by_split": {
            "image": {"instances": {"coco.train": counts(3, 3), "ours.all": counts(2, 1, left_out=1)}},
            "annotation": {"instances": {"coco.train": counts(9, 8, 1)}},
        },
    }
    facts = conservation_facts(statistics)
    assert facts is not None
    assert [(row["kind"], row["cells"]) for row in facts["rows"]] == [
        ("image", [5, 4, 0, 0, 1]),
        ("… of coco.train", [3, 3, 0, 0, 0]),
        ("… of ours.all", [2, 1, 0, 0, 1]),
        ("annotation", [9, 8, 1, 0, 0]),
    ]


def test_the_splits_of_one_source_are_counted_together():
    parts = {"image": {"instances": {"train": counts(3, 3), "val": counts(2, 2)}}}
    facts = conservation_facts({"conservation": {"image": {"instances": counts(5, 5)}}, "conservation_by_split": parts})
    assert facts is not None
    assert [row["kind"] for row in facts["rows"]] == ["image"]


def test_a_subset_without_statistics_has_no_sums():
    assert conservation_facts(None) is None
