"""Several sources in one subset, through the workflow: real COCO used in place, and a flat folder of YOLO's labels."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from cocomine.base.files import read_json, read_table
from helpers.own_data import draw_image
from helpers.shared import ROOT, coco_mini
from helpers.workflow import planned, snakemake
from PIL import Image

pytestmark = pytest.mark.slow  # builds a subset

COCO = {
    "splits": ["val2017", "train2017"],
    "tasks": ["instances", "captions", "person_keypoints"],
    "files": {"train2017": {"panoptic": "annotations/panoptic_train2017.json"}},
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a build of COCO's val2017 and own images, one of them a photograph of COCO's, smaller."""
    coco, work = coco_mini(), tmp_path_factory.mktemp("work")
    own = work / "own"
    for number in range(4):
        draw_image(own / f"{number}.jpg", number)
        (own / f"{number}.txt").write_text("0 0.3125 0.333333 0.3125 0.333333\n1 0.5 0.5 0.25 0.25\n")
    instances = json.loads((coco / "annotations/instances_val2017.json").read_text())
    holding = next(one["image_id"] for one in instances["annotations"] if one["category_id"] == 1)
    photograph = next(image["file_name"] for image in instances["images"] if image["id"] == holding)
    with Image.open(coco / "val2017" / photograph) as picture:
        picture.resize((picture.width // 2, picture.height // 2)).save(own / photograph)
    (own / Path(photograph).with_suffix(".txt")).write_text("1 0.5 0.5 0.5 0.5\n")
    (own / "data.yaml").write_text("names: [leaf, person]\ntrain: .\n")
    config = {
        "sources": {
            "coco": {"folder": str(coco), **COCO},
            "ours": {"format": "yolo", "folder": str(own)},
        },
        "subsets": {"both": {"sources": ["coco", "ours"], "categories": ["person", "leaf"]}},
        "masks": {"outputs": ["semantic", "instance"], "boxes": "fill"},
        "split": {"strategy": "hash", "shares": {"train": 0.5, "val": 0.5}},
        "exports": ["coco"],
    }
    (work / "config.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(work, "--configfile", str(work / "config.yaml"))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return work


def test_every_record_of_each_source_is_accounted_for(built: Path) -> None:
    statistics = read_json(built / "results/both/statistics.json")
    for kind, tasks in statistics["conservation"].items():
        for task, sums in tasks.items():
            parts = statistics["conservation_by_split"][kind][task]
            assert sums == {key: sum(of[key] for of in parts.values()) for key in sums}
            if kind in ("image", "annotation"):
                for split, of in parts.items():
                    source, own = split.split(".")
                    document = read_json(built / f"data/annotations/{source}/{task}_{own}.json")
                    assert of["in"] == len(document[f"{kind}s"])


def test_each_record_names_its_source_and_leads_back_to_its_id(built: Path) -> None:
    results = built / "results/both"
    splits = {int(row["image_id"]): row["source_split"] for row in read_table(results / "images.tsv")}
    assert Counter(name.partition(".")[0] for name in splits.values())["ours"] == 5
    subset = read_json(results / "subset.json")
    assert {image["id"]: image["source_name"] for image in subset["images"]} == {
        identity: name.partition(".")[0] for identity, name in splits.items()
    }
    stated = {(kind, new["id"]): new["id"] for kind in ("image", "annotation") for new in subset[f"{kind}s"]}
    for row in read_table(results / "ids.tsv"):
        if row["task"] == "instances":
            stated[row["kind"], int(row["new"])] = int(row["old"])
    split_of = {("image", one["id"]): splits[one["id"]] for one in subset["images"]}
    split_of |= {("annotation", one["id"]): splits[one["image_id"]] for one in subset["annotations"]}
    assert len({(kind, split_of[kind, new], old) for (kind, new), old in stated.items()}) == len(stated)
    for (kind, new), old in stated.items():
        source, own = split_of[kind, new].split(".")
        document = read_json(built / f"data/annotations/{source}/instances_{own}.json")
        assert old in {one["id"] for one in document[f"{kind}s"]}


def test_categories_of_one_name_are_one_label(built: Path) -> None:
    labels = read_json(built / "results/both/labels.json")
    assert [one["name"] for one in labels["labels"]] == ["background", "person", "leaf"]
    objects = read_json(built / "results/both/subset.json")["annotations"]
    own = [one for one in objects if "source_category_id" in one]
    assert Counter(one["category_id"] for one in own) == {1: 5, labels["labels"][2]["category_id"]: 4}
    assert Counter(one["source_category_id"] for one in own) == {2: 5, 1: 4}


def test_the_same_photograph_of_two_sources_is_on_one_side(built: Path) -> None:
    names: dict[str, set[str]] = {}
    for row in read_table(built / "results/both/split.tsv"):
        names.setdefault(Path(row["file_name"]).name, set()).add(row["split"])
    paths = [row["store_path"] for row in read_table(built / "results/both/images.tsv")]
    twice = [name for name, count in Counter(Path(path).name for path in paths).items() if count > 1]
    assert len(twice) == 1
    assert len(names[twice[0]]) == 1


def test_the_build_is_proved_and_a_second_run_does_nothing(built: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts/verify_build.py"), "--root", str(built)]
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert planned(built, "--configfile", str(built / "config.yaml")) == {}
    assert (built / "data/images/coco+ours/coco.val2017").resolve() == (coco_mini() / "val2017").resolve()


def test_a_record_is_traced_to_its_source(built: Path) -> None:
    row = next(row for row in read_table(built / "results/both/images.tsv") if row["source_split"] == "ours.all")
    command = [
        sys.executable, str(ROOT / "scripts/trace_record.py"), "both", "--image", row["image_id"],
        "--config", str(built / "config.yaml"),
    ]  # fmt: skip
    said = subprocess.run(command, capture_output=True, text=True, cwd=built)
    assert said.returncode == 0, said.stderr
    assert f"of ours.all, {row['file_name']}" in said.stdout


def test_a_changed_image_of_a_folder_is_noticed(built: Path) -> None:
    path = built / "own/2.jpg"
    shutil.copy(path, built / "kept.jpg")
    draw_image(path, 77)
    try:
        assert planned(built, "--configfile", str(built / "config.yaml"))["sync_images"] == 1
    finally:
        shutil.copy2(built / "kept.jpg", path)
