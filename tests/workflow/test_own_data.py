"""Data of one's own through the whole workflow: where images may lie, and what happens to those that are not there."""

import csv
import functools
import json
import os
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.loopback import Loopback, QuietServer
from helpers.own_data import coco, lay
from helpers.workflow import snakemake

pytestmark = pytest.mark.slow  # each test runs the workflow

QUICK = {"masks": {"outputs": ["semantic"]}, "exports": [], "tensors": {"size": 32}}


def build(work: Path, config: dict[str, Any], *, until: str = "assemble_subset") -> Any:
    """Build a config in `work` as far as `until`; return what was done."""
    work.mkdir(exist_ok=True)
    (work / "my.yaml").write_text(yaml.safe_dump({**QUICK, **config}), encoding="utf-8")
    return snakemake(work, "--configfile", str(work / "my.yaml"), "--until", until)


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table."""
    with open(path, encoding="utf-8") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def own(root: Path) -> dict[str, Any]:
    """The config of a folder with the split `train`."""
    return {"stores": {"own": {"folder": str(root)}}, "sources": {"own": {"splits": ["train"]}}}


@pytest.fixture
def six(tmp_path: Path) -> Path:
    """Six images, of which the fourth is not there."""
    names = [f"{number}.jpg" for number in range(1, 7)]
    there = [f"train/{name}" for name in names if name != "4.jpg"]
    return lay(tmp_path / "data", {"annotations/instances_train.json": coco(names)}, there)


def test_a_missing_image_stops_unless_the_subset_says_what_follows(tmp_path: Path, six: Path) -> None:
    stopped = build(tmp_path / "a", {**own(six), "subsets": {"leaves": {}}})
    assert stopped.returncode != 0
    assert "policy: {image-missing: quarantine}" in stopped.stderr
    subset = {"policy": {"image-missing": "quarantine"}}
    done = build(tmp_path / "b", {**own(six), "subsets": {"leaves": subset}})
    assert done.returncode == 0, done.stderr
    assert len(rows(tmp_path / "b/results/leaves/images.tsv")) == 5
    lost = [(row["kind"], row["reason"]) for row in rows(tmp_path / "b/results/leaves/quarantine.tsv")]
    assert sorted(lost) == [("annotation", "image-missing"), ("image", "image-missing")]


@pytest.fixture
def origin(six: Path) -> Iterator[str]:
    """The URL of a server on loopback that holds the six, of which the fourth is not there."""
    served = Loopback()
    served.httpd = QuietServer(("127.0.0.1", 0), functools.partial(SimpleHTTPRequestHandler, directory=str(six)))
    with served:
        yield f"http://127.0.0.1:{served.httpd.server_address[1]}/"


def test_the_same_holds_of_an_origin_behind_http(tmp_path: Path, origin: str) -> None:
    config = {"stores": {"own": {"origins": [origin]}}, "sources": {"own": {"splits": ["train"]}}}
    stopped = build(tmp_path / "a", {**config, "subsets": {"leaves": {}}})
    assert stopped.returncode != 0
    assert "train/4.jpg" in stopped.stderr
    done = build(tmp_path / "b", {**config, "subsets": {"leaves": {"policy": {"image-missing": "quarantine"}}}})
    assert done.returncode == 0, done.stderr
    assert len(rows(tmp_path / "b/results/leaves/images.tsv")) == 5
    done = build(tmp_path / "c", {**config, "subsets": {"leaves": {"max_images": 4, "refill": True, "spares": 2}}})
    assert done.returncode == 0, done.stderr
    assert len(rows(tmp_path / "c/results/leaves/images.tsv")) == 4


def test_a_spare_takes_the_place_of_a_missing_image(tmp_path: Path, six: Path) -> None:
    subset = {"max_images": 4, "refill": True, "spares": 2}
    done = build(tmp_path / "work", {**own(six), "subsets": {"leaves": subset}})
    assert done.returncode == 0, done.stderr
    assert len(rows(tmp_path / "work/results/leaves/images.tsv")) == 4


def test_what_is_no_image_is_set_aside_by_its_reason(tmp_path: Path, six: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (six / "train/4.jpg").symlink_to(tmp_path / "secret.jpg")
    (six / "train/5.jpg").unlink()
    os.mkfifo(six / "train/5.jpg")
    done = build(tmp_path / "work", {**own(six), "subsets": {"leaves": {}}})
    assert done.returncode == 0, done.stderr
    quarantined = rows(tmp_path / "work/results/leaves/quarantine.tsv")
    of_images = {row["image_id"]: row for row in quarantined if row["kind"] == "image"}
    assert {identity: row["reason"] for identity, row in of_images.items()} == {
        "4": "image-unreadable",
        "5": "image-unreadable",
    }
    assert len(rows(tmp_path / "work/results/leaves/images.tsv")) == 4


@pytest.mark.parametrize(
    ("named", "lie"),
    [
        (["images\\up\\1.png", "images\\up\\2.png"], ["images/up/1.png", "images/up/2.png"]),
        (["/datasets/own/1.jpg", "/datasets/own/2.jpg"], ["train/1.jpg", "train/2.jpg"]),
        (["https://h.example/up/a%2F1.jpg?token=x", "https://h.example/up/b%2F2.jpg?token=y"], ["all/1.jpg", "2.jpg"]),
        (["cam1/1.jpg", "2.jpg"], ["train/cam1/1.jpg", "train/2.jpg"]),
    ],
)
def test_names_of_another_machine_are_repaired_and_their_images_found(
    tmp_path: Path, named: list[str], lie: list[str]
) -> None:
    lay(tmp_path / "data", {"annotations/instances_train.json": coco(named)}, lie)
    done = build(tmp_path / "work", {**own(tmp_path / "data"), "subsets": {"leaves": {}}})
    assert done.returncode == 0, done.stderr
    results = tmp_path / "work/results/leaves"
    assert len(rows(results / "images.tsv")) == 2
    assert not rows(results / "quarantine.tsv")
    repaired = [row["reason"] for row in rows(results / "repairs.tsv")]
    assert repaired == (["foreign-file-name"] * 2 if named[1] != "2.jpg" else [])
    written = json.loads((results / "subset.json").read_text())
    assert not any(bad in image["file_name"] for image in written["images"] for bad in ("\\", "://", "home", "token"))


def two_flat(root: Path) -> Path:
    """One folder of images for the splits train and val, and two files named in COCO's way."""
    documents = {
        "annotations/instances_train.json": coco(["0.jpg", "1.jpg", "2.jpg"]),
        "annotations/instances_val.json": coco(["100.jpg", "101.jpg"], first_id=100),
    }
    return lay(root, documents, [f"images/{number}.jpg" for number in (0, 1, 2, 100, 101)])


@pytest.mark.parametrize(
    "places",
    [
        {"folder": "{data}", "splits": ["train", "val"]},
        {"folder": "{data}", "splits": ["train", "val"], "images": {"train": "images", "val": "images"}},
        {"folder": "{data}", "splits": ["train", "val"], "images": "images", "use": "copy"},
        {"folder": "{data}", "splits": ["train", "val"], "images": "{data}/images", "use": "hardlink"},
        {
            "annotations": {
                "train": "{data}/annotations/instances_train.json",
                "val": {"instances": "{data}/annotations/instances_val.json"},
            },
            "images": "{data}/images",
        },
    ],
)
def test_one_flat_folder_serves_all_splits(tmp_path: Path, places: dict[str, Any]) -> None:
    data = two_flat(tmp_path / "data")
    source = json.loads(json.dumps(places).replace("{data}", str(data)))
    done = build(tmp_path / "work", {"sources": {"own": source}, "subsets": {"leaves": {}}})
    assert done.returncode == 0, done.stdout + done.stderr
    found = rows(tmp_path / "work/results/leaves/images.tsv")
    assert sorted(row["file_name"] for row in found) == ["0.jpg", "1.jpg", "100.jpg", "101.jpg", "2.jpg"]
    for row in found:
        stored = tmp_path / "work/data/images/own" / row["store_path"]
        assert stored.read_bytes() == (data / "images" / row["file_name"]).read_bytes()
    lock = tmp_path / "work/results/leaves/images.lock.tsv"
    assert str(tmp_path) not in lock.read_text()


def test_splits_with_folders_and_names_alike_stay_apart(tmp_path: Path) -> None:
    documents = {
        f"{split}/result.json": coco(["images/1.jpg", "images/2.jpg"], first) for split, first in (("a", 1), ("b", 9))
    }
    images = [f"{split}/images/{number}.jpg" for split in "ab" for number in (1, 2)]
    data = lay(tmp_path / "data", documents, images)
    source = {
        "annotations": {split: f"{data}/{split}/result.json" for split in "ab"},
        "images": {split: f"{data}/{split}" for split in "ab"},
    }
    done = build(tmp_path / "work", {"sources": {"own": source}, "subsets": {"leaves": {}}}, until="measure_images")
    assert done.returncode == 0, done.stdout + done.stderr
    lock = rows(tmp_path / "work/results/leaves/images.lock.tsv")
    assert {row["store_path"] for row in lock} == set(images)
    assert len({row["sha256"] for row in lock}) == 4
