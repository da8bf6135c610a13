"""The three arms, built from the example's own config in small: equal in everything but what they are to differ in."""

import json
from pathlib import Path

import pytest
import yaml
from cocomine.base.files import read_table
from helpers.shared import ROOT
from helpers.workflow import snakemake

ARMS = ("mined", "mined-all-classes", "random-all-classes")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build config/examples/paper-small.yaml with few and small images, one seed and two iterations."""
    work = tmp_path_factory.mktemp("arms")
    config = yaml.safe_load((ROOT / "config/examples/paper-small.yaml").read_text(encoding="utf-8"))
    config["sources"]["synthetic-demo"]["synthetic"] |= {"images": 150, "width": 160, "height": 120}
    config |= {"tensors": {"size": 32}, "exports": []}
    experiment = config["experiments"]["paper-small"]
    experiment["seeds"] = [0]
    experiment["evaluation"] = {"bootstrap": 20, "pictures": 0}
    experiment["train"] |= {"images": 40, "iterations": 2, "warmup": 0, "batch": 4}
    (work / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    wanted = "results/experiments/comparison.json"
    done = snakemake(work, wanted, "--configfile", str(work / "config.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    return work / "results"


def trained_on(results: Path, arm: str) -> list[int]:
    rows = read_table(results / f"experiments/paper-small-{arm}/train_images.tsv")
    return [int(row["image_id"]) for row in rows]


def test_arms_are_found_comparable_with_equal_counts(built: Path) -> None:
    (answer,) = json.loads((built / "experiments/comparison.json").read_text())["arms"]
    assert answer["unequal"] == []
    assert [arm["images_trained"] for arm in answer["arms"]] == [[40]] * 3
    assert [arm["iterations"] for arm in answer["arms"]] == [[2]] * 3
    assert len({tuple(arm["images_evaluated"]) for arm in answer["arms"]}) == 1


def test_the_first_two_arms_are_trained_on_the_very_same_images_and_the_third_on_others(built: Path) -> None:
    mined, all_classes, random = (trained_on(built, arm) for arm in ARMS)
    assert mined == all_classes
    assert len(set(mined)) == 40
    assert set(random) != set(mined)


def test_no_validation_image_of_the_mined_is_trained_on_by_any_arm(built: Path) -> None:
    held = {int(row["image_id"]) for row in read_table(built / "mined/split.tsv") if row["split"] == "val"}
    assert held
    for arm in ARMS:
        assert not held & set(trained_on(built, arm))


def test_only_the_first_arm_is_taught_the_wanted_classes_alone_and_all_are_scored_on_them(built: Path) -> None:
    taught, scored = [], []
    for arm in ARMS:
        metrics = json.loads((built / f"experiments/paper-small-{arm}/on-mined/metrics.json").read_text())
        taught.append(len(metrics["run"]["labels_trained"]))
        scored.append([entry["name"] for entry in metrics["labels"]])
    assert taught[0] == 5 < taught[1] == taught[2]
    assert scored[0] == scored[1] == scored[2]
