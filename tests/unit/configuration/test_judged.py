"""Predictions in a config: where they are judged, and what cannot be."""

import pytest
from cocomine.base.errors import CocomineError
from cocomine.configuration.planning import make_plan

CONFIG = {
    "stores": {"own": {"folder": "/d"}},
    "sources": {"own": {"splits": ["a"], "tasks": ["instances", "panoptic"]}},
    "subsets": {"pets": {"source": "own"}},
}


def planned(**prediction):
    return make_plan(CONFIG | {"predictions": {"mine": prediction}})


def test_predictions_on_a_subset_take_its_tables_and_stand_with_it() -> None:
    plan = planned(subset="pets", task="boxes", file="r.json", split="test")
    one = plan.predictions["mine"]
    assert one.given == ["r.json"]
    assert one.options == ["--task", "boxes", "--file", "r.json", "--subset-dir", "results/pets"]
    assert "results/pets/split.tsv" in one.truth
    assert plan.predictions_on("pets") == ["results/predictions/mine"]
    assert one.judging["split"] == "test"
    assert "file" not in plan.config["predictions"]["mine"]


def test_predictions_on_a_source_take_its_own_file_and_need_no_subset_of_it() -> None:
    plan = planned(source="own", task="panoptic", split="a", file="p.json", folder="p")
    one = plan.predictions["mine"]
    assert one.truth == ("data/annotations/own/sync.lock.json",)
    assert one.options[-4:] == [
        "--annotations", "data/annotations/own/panoptic_a.json",
        "--annotation-pngs", "data/annotations/own/panoptic_a",
    ]  # fmt: skip
    assert plan.predictions_on("pets") == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"task": "boxes", "file": "r"}, "give subset or source"),
        ({"task": "boxes", "file": "r", "subset": "pets", "source": "own"}, "give subset or source"),
        ({"task": "boxes", "subset": "pets"}, "predictions.mine.file: predictions of boxes need a file"),
        ({"task": "semantic", "folder": "f", "source": "own"}, "semantic masks are drawn of a subset"),
        ({"task": "boxes", "file": "{a}.json", "subset": "pets"}, "cannot be used"),
        ({"task": "boxes", "file": "r", "subset": "cats"}, "no subset is called 'cats'"),
        ({"task": "boxes", "file": "r", "source": "own"}, "no instances file of 'val'"),
        ({"task": "keypoints", "file": "r", "source": "own", "split": "a"}, "no person_keypoints file"),
        ({"task": "panoptic", "file": "r", "folder": "f", "subset": "pets"}, "panoptic masks of pets"),
        ({"task": "boxs", "file": "r", "subset": "pets"}, "'boxs' is not one of"),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_is_said_with_its_key(given: dict[str, str], words: str) -> None:
    with pytest.raises(CocomineError, match=words):
        planned(**given)
