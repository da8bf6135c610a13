import re

import pytest
from cocomine.base.errors import CocomineError
from cocomine.configuration.plan import Plan
from cocomine.configuration.planning import make_plan
from cocomine.configuration.targets import outputs_of
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.text("ab.-+", min_size=1, max_size=6)
OWN = {"own": {"format": "yolo", "folder": "my"}}


def test_a_source_of_another_form_is_imported_and_then_read_like_one_of_coco() -> None:
    plan = make_plan({"sources": {"own": {**OWN["own"], "splits": ["train", "val"]}}, "subsets": {"leaves": {}}})
    source = plan.sources["own"]
    assert source.files == (("instances", "train"), ("instances", "val"))
    assert source.settings.folder == "data/imports/own"
    assert source.store.settings.images == {"train": "my", "val": "my"}
    assert source.store.in_place
    assert "data/imports/own/import.json" in plan.locked_inputs
    assert plan.config["sources"]["own"]["format"] == "yolo"
    assert plan.config["sources"]["own"]["store"] == "own"  # by which the lock leads to the images
    assert "folder" not in plan.config["sources"]["own"]


def test_without_splits_all_is_one() -> None:
    assert make_plan({"sources": OWN, "subsets": {"leaves": {}}}).sources["own"].splits == ("all",)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"format": "yolo"}, "folder: missing"),
        ({"format": "yolo", "folder": "my", "annotations": "a.json"}, "annotations: a source of the format yolo"),
        ({"format": "yolo", "folder": "my", "images": "pics"}, "images: a source of the format yolo"),
        ({"format": "voc", "folder": "my", "tasks": ["instances", "captions"]}, "voc has no captions"),
        ({"format": "yolo", "folder": "my", "store": "other"}, "a store of its own"),
        ({"format": "yolov8", "folder": "my"}, "'yolov8' is not one of coco, yolo"),
    ],
)
def test_what_an_import_cannot_use_is_an_error_with_the_remedy(said: dict[str, object], message: str) -> None:
    with pytest.raises(CocomineError) as caught:
        make_plan({"sources": {"own": said}, "subsets": {"leaves": {}}})
    assert message in caught.value.message
    assert caught.value.hint


def test_tensors_are_built_where_the_config_says_so_or_a_run_needs_them() -> None:
    patterns = {"pack_tensors": ["results/{subset}/tensors/{size}"]}
    packed = {"leaves": {"tensors": {"pack": True, "size": 64}}, "others": {}}
    plan = make_plan({"sources": OWN, "subsets": packed})
    assert outputs_of(plan, patterns) == {"pack_tensors": ["results/leaves/tensors/64"]}
    assert "pack" not in plan.subsets["leaves"].packing
    with pytest.raises(CocomineError, match="it needs semantic masks"):
        make_plan({"sources": OWN, "subsets": {"leaves": {"tensors": {"pack": True}, "masks": {"outputs": []}}}})


def test_an_explorer_of_one_file_is_written_where_it_is_asked_for() -> None:
    plan = make_plan({"sources": OWN, "subsets": {"plain": {}, "mailed": {"single_file": True}}})
    assert plan.subsets["mailed"].mailed == ["--single-file", "results/mailed/explorer/single.html"]
    assert plan.subsets["plain"].mailed == []


def test_tags_of_a_subset_reach_its_evaluations_unless_predictions_have_their_own() -> None:
    given = {"subset": "leaves", "task": "boxes", "file": "r.json"}
    plan = make_plan(
        {
            "sources": OWN,
            "subsets": {"leaves": {"tags": "tags.tsv"}},
            "predictions": {"plain": given, "own": {**given, "tags": "other.tsv"}},
        }
    )
    assert plan.subsets["leaves"].tagged == ["--tags", "tags.tsv"]
    for name, file in (("plain", "tags.tsv"), ("own", "other.tsv")):
        assert plan.predictions[name].options[-2:] == ["--tags", file]
        assert plan.predictions[name].truth[-1] == file
        assert "tags" not in plan.config["predictions"][name]
    assert "tags" not in plan.config["subsets"]["leaves"]


TWO = {"coco": {"annotations": "a.json", "images": "pics"}, "ours": OWN["own"]}


def test_several_sources_of_a_subset_become_one_that_is_read_like_any_other() -> None:
    plan = make_plan({"sources": TWO, "subsets": {"both": {"sources": ["coco", "ours"]}}})
    source = plan.subsets["both"].source
    assert source.splits == ("coco.all", "ours.all")
    assert source.files == (("instances", "coco.all"), ("instances", "ours.all"))
    assert source.indexes_of_parts == [
        f"data/annotations/{name}/index/instances_all/index.json" for name in ("coco", "ours")
    ]
    assert [one.name for one in plan.used_sources] == ["coco", "ours", "coco+ours"]
    assert source.parts_of_store["ours.all"].path("1.jpg") == "all/1.jpg"
    assert plan.config["sources"]["coco+ours"]["sources"] == ["coco", "ours"]
    assert plan.config["subsets"]["both"]["source"] == "coco+ours"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"sources": ["coco", "theirs"]}, "subsets.both.sources: no source is called 'theirs'"),
        ({"sources": ["coco"]}, "subsets.both.sources: one source alone"),
        ({"sources": ["coco", "coco"]}, "subsets.both.sources: 'coco' stands in it twice"),
        ({"sources": ["coco", "ours"], "source": "coco"}, "subsets.both.sources: both source and sources"),
    ],
)
def test_sources_that_cannot_be_merged_are_an_error(said: dict[str, object], message: str) -> None:
    with pytest.raises(CocomineError) as caught:
        make_plan({"sources": TWO, "subsets": {"both": said}})
    assert message in caught.value.message


@given(names=st.lists(NAMES, max_size=12), other=NAMES)
def test_a_pattern_matches_its_names_and_no_other(names: list[str], other: str) -> None:
    pattern = re.compile(Plan.pattern(names))
    assert all(pattern.fullmatch(name) for name in names)
    assert (pattern.fullmatch(other) is not None) == (other in names)


def test_a_pattern_of_long_names_is_made_too() -> None:
    names = ["a" * 5000, "a" * 4999 + "b", "b"]
    assert all(re.fullmatch(Plan.pattern(names), name) for name in names)
