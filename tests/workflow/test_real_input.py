"""The whole job on real COCO images: from a folder, and from a bucket behind a server that speaks GCS's JSON API."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers.gcs_server import GcsServer
from helpers.shared import ROOT, coco_mini
from helpers.workflow import snakemake

MIRROR = ROOT / "config" / "examples" / "private-mirror.yaml"


def config_for(store: dict) -> dict:
    """The example for a private mirror, pointed at `store` and trained for a few steps only."""
    config = yaml.safe_load(MIRROR.read_text(encoding="utf-8"))
    config["stores"]["mirror"] = store
    config["tensors"] = {"size": 64}
    config["masks"] = {"outputs": ["semantic", "instance", "panoptic"]}
    config["exports"] = ["coco", "yolo-detect", "yolo-segment", "masks"]
    config["experiments"]["street"]["train"] = {
        "iterations": 6, "batch": 8, "learning_rate": 0.01, "device": "cpu", "precision": "fp32",
    }  # fmt: skip
    config["experiments"]["street"]["evaluation"] = {"bootstrap": 50}
    return config


def run(work: Path, config: dict, environment: dict[str, str] | None = None) -> None:
    file = work / "config.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    done = snakemake(work, "--configfile", str(file), environment=environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]


def check(work: Path) -> dict:
    """Check what was built and return the lock."""
    for subset in ("street", "crowded-street"):
        report = (work / "results" / subset / "report.html").read_text(encoding="utf-8")
        assert subset in report
        with open(work / "results" / subset / "split.tsv", encoding="utf-8") as lines:
            sides = [row["split"] for row in csv.DictReader(lines, delimiter="\t")]
        assert set(sides) == {"train", "val"}
        whole, *parts = (
            json.loads((work / "results" / subset / name).read_text(encoding="utf-8"))
            for name in ("subset.json", "splits/instances_train.json", "splits/instances_val.json")
        )
        ids = sorted(image["id"] for part in parts for image in part["images"])
        assert ids == sorted(image["id"] for image in whole["images"])
        assert {category["name"] for category in whole["categories"]} == {"person", "car", "bus"}
    metrics = json.loads((work / "results/experiments/street/on-street/metrics.json").read_text(encoding="utf-8"))
    assert metrics
    command = [sys.executable, str(ROOT / "scripts" / "verify_build.py"), "--root", str(work)]
    assert subprocess.run(command, capture_output=True).returncode == 0
    return json.loads((work / "results" / "build.lock.json").read_text(encoding="utf-8"))


@pytest.mark.timeout(1200)
def test_real_images_run_through_to_the_report_from_a_folder_and_from_a_bucket(tmp_path: Path) -> None:
    mini = coco_mini()
    before = {path: path.stat().st_mtime_ns for path in mini.rglob("*")}
    from_folder, from_bucket = tmp_path / "folder", tmp_path / "bucket"
    from_folder.mkdir()
    from_bucket.mkdir()
    run(from_folder, config_for({"folder": str(mini), "use": "in-place"}))
    assert {path: path.stat().st_mtime_ns for path in mini.rglob("*")} == before, "in place means untouched"
    with GcsServer() as server:
        server.put_folder("mirror", mini, "coco/")
        origins = {"origins": ["gs://mirror/coco"]}
        run(from_bucket, config_for(origins), {"STORAGE_EMULATOR_HOST": server.url})
    folder_lock, bucket_lock = check(from_folder), check(from_bucket)
    differ = {
        Path(name).name for name, facts in folder_lock["outputs"].items() if bucket_lock["outputs"].get(name) != facts
    }
    # Where the bytes came from stands in the locks of files, and in the reports that quote them; nowhere else.
    assert differ <= {"images.lock.tsv", "report.html", "report.json", "index.html"}
    assert folder_lock["outputs"].keys() == bucket_lock["outputs"].keys()
