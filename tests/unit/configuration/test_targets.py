"""What a build makes follows from the rules' own patterns."""

from pathlib import Path

import pytest
from cocomine.configuration.planning import make_plan
from cocomine.configuration.targets import left_over, outputs_of

CONFIG = {
    "stores": {"own": {"folder": "/d"}},
    "sources": {"own": {"splits": ["a", "b"]}, "other": {"splits": ["a"]}, "unused": {"splits": ["a"]}},
    "subsets": {"pets": {"source": "own"}, "cars": {"source": "other", "exports": []}},
    "exports": ["coco"],
    "tensors": {"size": 32},
    "experiments": {"try": {"subset": "pets", "seeds": [0, 1]}},
    "predictions": {"mine": {"subset": "pets", "task": "boxes", "file": "mine.json"}},
}

PATTERNS = {
    "sync": ["data/{source}/lock.json"],
    "index": ["data/{source}/{task}_{split}.json"],
    "mine": ["results/{subset}/selection.tsv", "results/{subset}/funnel.json"],
    "export": ["results/{subset}/exports/{format}"],
    "pack": ["results/{subset}/tensors/{size}"],
    "train": ["results/experiments/{run}/model.safetensors"],
    "evaluate": ["results/experiments/{run}/on-{subset}"],
    "compare": ["results/comparisons/{comparison}/comparison.json"],
    "judge": ["results/predictions/{prediction}"],
    "index_page": ["results/index.html"],
    "all": [],
}


def test_each_pattern_is_filled_with_what_the_config_asks_for() -> None:
    assert outputs_of(make_plan(CONFIG), PATTERNS) == {
        "sync": ["data/own/lock.json", "data/other/lock.json"],
        "index": ["data/own/instances_a.json", "data/own/instances_b.json", "data/other/instances_a.json"],
        "mine": [f"results/{name}/{file}" for name in ("pets", "cars") for file in ("selection.tsv", "funnel.json")],
        "export": ["results/pets/exports/coco"],
        "pack": ["results/pets/tensors/32"],
        "train": ["results/experiments/try-s0/model.safetensors", "results/experiments/try-s1/model.safetensors"],
        "evaluate": ["results/experiments/try-s0/on-pets", "results/experiments/try-s1/on-pets"],
        "judge": ["results/predictions/mine"],
        "index_page": ["results/index.html"],
    }


def test_a_rule_whose_wildcards_nobody_knows_is_no_silent_nothing() -> None:
    with pytest.raises(KeyError):
        outputs_of(make_plan(CONFIG), {"new": ["results/{subset}/{shard}.json"]})


def test_folders_of_earlier_configs_are_told_from_those_of_this_one_and_from_the_users_own(tmp_path: Path) -> None:
    made = ("pets/selection.tsv", "cats/selection.tsv", "experiments/try-s0/training.json", "notes/mine.txt",
            "experiments/old/training.json", "comparisons/old/comparison.json", "predictions/mine/metrics.json",
            "predictions/old/metrics.json", "experiments/left/program.json", "experiments/comparison.tsv",
            "predictions/comparison.html")  # fmt: skip
    for name in made:
        (tmp_path / "results" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "results" / name).touch()
    outputs = [path for listed in outputs_of(make_plan(CONFIG), PATTERNS).values() for path in listed]
    assert left_over(outputs, tmp_path) == [
        "results/cats", "results/comparisons/old", "results/experiments/comparison.tsv", "results/experiments/left",
        "results/experiments/old", "results/predictions/comparison.html", "results/predictions/old"]  # fmt: skip
    assert "results/predictions/comparison.html" not in left_over(
        [*outputs, "results/predictions/comparison.html"], tmp_path
    )
