"""One small build of a dataset, for the fast loop: what comes out is there, adds up and proves itself.

Training and evaluation are left to their unit tests: each of their processes spends seconds on importing torch.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cocomine.configuration.needs import NEEDS
from helpers.shared import ROOT
from helpers.workflow import snakemake

IMAGES = 24
CONFIG = {
    "sources": {
        "demo": {"synthetic": {"images": IMAGES, "near_duplicates": 1, "broken": 1, "width": 128, "height": 96}}
    },
    "subsets": {"small": {"categories": ["person", "giraffe", "bus"]}},
    "comparisons": {"itself": {"first": "demo", "second": "demo", "splits": ["val"]}},
    "split": {"shares": {"train": 0.6, "val": 0.2, "test": 0.2}},
    "exports": ["coco", "yolo-detect"],
}


@pytest.mark.quick
def test_a_small_dataset_is_built_and_proves_itself(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    done = snakemake(tmp_path, "--configfile", str(file))
    assert done.returncode == 0, done.stderr[-3000:]
    subset = json.loads((tmp_path / "results/small/subset.json").read_text(encoding="utf-8"))
    conservation = json.loads((tmp_path / "results/small/statistics.json").read_text(encoding="utf-8"))["conservation"]
    for kind in ("image", "annotation"):
        counts = dict(conservation[kind]["instances"])
        assert counts.pop("in") == sum(counts.values()), kind
    masks = list((tmp_path / "results/small/masks/semantic").glob("**/*.png"))
    assert len(masks) == len(subset["images"]) > 0
    splits = {
        path.stem.removeprefix("instances_"): len(json.loads(path.read_text(encoding="utf-8"))["images"])
        for path in (tmp_path / "results/small/splits").glob("instances_*.json")
    }
    assert splits.keys() == {"train", "val", "test"}
    assert sum(splits.values()) == len(subset["images"])
    assert "test: images/test" in (tmp_path / "results/small/exports/yolo-detect/data.yaml").read_text()
    assert (tmp_path / "results/index.html").is_file()
    proof = subprocess.run(
        [sys.executable, str(ROOT / "scripts/verify_build.py"), "--root", str(tmp_path)], capture_output=True, text=True
    )
    assert proof.returncode == 0, proof.stderr
    assert_no_job_needed_more_than_it_asks_for(tmp_path / "benchmarks", IMAGES)


def assert_no_job_needed_more_than_it_asks_for(benchmarks: Path, images: int) -> None:
    measured = set()
    for file in benchmarks.rglob("*.tsv"):
        rule = file.relative_to(benchmarks).parts[0]
        names, values = (line.split("\t") for line in file.read_text(encoding="utf-8").splitlines())
        row = dict(zip(names, values, strict=True))
        if rule in NEEDS and row["max_rss"] not in ("NA", "-"):  # a job that was over before it was looked at
            assert float(row["max_rss"]) <= NEEDS[rule].mb_for(images), rule
            assert float(row["s"]) <= 60 * NEEDS[rule].minutes_for(images), rule
            measured.add(rule)
    assert {"assemble_subset", "export_dataset", "measure_images", "rasterize_masks", "split_dataset"} <= measured
