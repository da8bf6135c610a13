"""One small build of a dataset, for the fast loop: what comes out is there, adds up and proves itself.

Training and evaluation are left to their unit tests: each of their processes spends seconds on importing torch.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers.shared import ROOT
from helpers.workflow import snakemake

CONFIG = {
    "sources": {"demo": {"synthetic": {"images": 24, "near_duplicates": 1, "broken": 1, "width": 128, "height": 96}}},
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
