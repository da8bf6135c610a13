"""The experiments grid: names with the varying parts only, arms on one evaluation subset, no torch while planning."""

import subprocess
import sys
from pathlib import Path

import pytest
from cocomine.base.errors import CocomineError
from cocomine.learning.grid import expand


def test_single_cell_is_named_as_its_experiment():
    (run,) = expand({"demo": {"subset": "shapes"}})
    assert (run.name, run.evaluate_on, run.settings.seed, run.settings.model_name) == (
        "demo",
        ("shapes",),
        0,
        "linknet-resnet18",
    )


def test_names_hold_the_varying_parts_only():
    runs = expand({"g": {"subset": "s", "models": {"a": {}, "b": {"encoder": "resnet50"}}, "seeds": [0, 1]}})
    assert [run.name for run in runs] == ["g-a-s0", "g-a-s1", "g-b-s0", "g-b-s1"]
    assert runs[2].settings.model.encoder == "resnet50"
    assert [run.settings.seed for run in runs] == [0, 1, 0, 1]


def test_every_subset_is_evaluated_on_the_subsets_asked_for():
    runs = expand({"g": {"subsets": ["x", "y"], "evaluate_on": ["x", "z"]}})
    assert [(run.name, run.evaluate_on) for run in runs] == [("g-x", ("x", "z")), ("g-y", ("x", "z"))]


def test_arms_are_all_evaluated_on_the_mined_subset():
    arms = {"random": "c", "mined": "a", "all_classes": "b"}
    runs = expand({"q": {"arms": arms, "train": {"images": 50}}})
    assert [(run.settings.arm, run.subset, run.evaluate_on) for run in runs] == [
        ("mined", "a", ("a",)), ("all_classes", "b", ("a",)), ("random", "c", ("a",))]  # fmt: skip
    assert {run.settings.train.images for run in runs} == {50}


def test_options_of_one_family_do_not_leak_into_another():
    models = {"linknet": {}, "wide": {"options": {"up": "transposed-4x4"}}, "maskformer": {"family": "maskformer"}}
    runs = expand({"p": {"preset": "paper", "subset": "s", "models": models}})
    found = {run.settings.model_name: (run.settings.model.family, run.settings.model.options) for run in runs}
    assert found == {
        "linknet": ("linknet", {"up": "full-3x3"}),
        "wide": ("linknet", {"up": "transposed-4x4"}),
        "maskformer": ("maskformer", {}),
    }
    assert {run.settings.model.encoder for run in runs} == {"resnet50"}
    (alone,) = expand({"p": {"preset": "paper", "subset": "s", "model": {"family": "maskformer"}}})
    assert alone.settings.model.options == {}
    assert alone.settings.model.encoder == "resnet50"


@pytest.mark.parametrize("train", [{"keep": "best"}, {"early_stop": 3}])
def test_arms_that_would_choose_by_validation_images_of_their_own_are_refused(train):
    arms = {"mined": "a", "all_classes": "b", "random": "c"}
    with pytest.raises(CocomineError, match="its own validation images"):
        expand({"q": {"arms": arms, "train": train}})
    expand({"q": {"subset": "a", "train": train}})


def test_what_is_evaluated_is_no_part_of_what_is_trained():
    one, other = (
        expand({"e": {"subset": "a", "evaluation": {"bootstrap": draws, "split": "val"}}})[0] for draws in (10, 20)
    )
    assert one.settings != other.settings
    assert one.training == other.training


def test_file_of_encoder_weights_is_told_from_imagenet_and_none():
    given = {"none": None, "imagenet": None, "mine/encoder.pth": "mine/encoder.pth"}
    for weights, file in given.items():
        (run,) = expand({"e": {"subset": "a", "model": {"weights": weights}}})
        assert run.weights_file == file


@pytest.mark.parametrize(
    ("experiments", "words"),
    [
        ({"e": {}}, "subset"),
        ({"e": {"subset": "a", "subsets": ["b"]}}, "subset and subsets"),
        ({"e": {"subset": "a", "seed": 1}}, "seed"),
        ({"e": {"subset": "a", "seeds": []}}, "seeds"),
        ({"e": {"subset": "a", "seeds": [1, 1]}}, "twice"),
        ({"e": {"arms": {"mined": "a"}}}, "random"),
        ({"e": {"subset": "a", "models": []}}, "models"),
        ({"e": {"subset": "a", "train": {"batch": -1}}}, "experiments.e.train.batch"),
        ({"e": {"subsets": ["x", "y"]}, "e-x": {"subset": "x"}}, "e-x"),
    ],
)
def test_what_cannot_be_a_grid_is_refused_by_name(experiments, words):
    with pytest.raises(CocomineError) as caught:
        expand(experiments)
    assert words in str(caught.value)


def test_planning_imports_no_torch():
    scripts = Path(__file__).resolve().parents[3] / "scripts"
    code = "import sys, cocomine.learning.grid; sys.exit(bool({'torch', 'numpy', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=scripts, check=False).returncode == 0
