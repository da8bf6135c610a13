"""Verdicts on every record of real COCO agree with the build, and the command answers by hand."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cocomine.base.files import read_json, read_table
from cocomine.inquiry.trace import Trace
from cocomine.mining import interference
from cocomine.mining.assemble import assemble
from cocomine.mining.mine import mine
from cocomine.mining.settings import SubsetSettings
from helpers.index_of_coco_mini import index_coco_mini
from helpers.shared import ROOT, coco_mini
from helpers.verdicts import assert_agreement, assert_task_agreement


@pytest.fixture(scope="module")
def index_dir(tmp_path_factory):
    return index_coco_mini(tmp_path_factory.mktemp("index"))


def traced(index_dir, out, query, measures=None):
    settings = SubsetSettings.from_mapping(query)
    mine(settings, index_dir, [], out / "selection.tsv", out / "funnel.json")
    annotations = coco_mini() / "annotations"
    assemble(settings, index_dir, annotations, out / "selection.tsv", out / "funnel.json", measures, out)
    return Trace(settings, index_dir, out)


QUERIES = {
    "any": {"categories": ["giraffe", "bus"]},
    "only": {"categories": ["giraffe"], "match": "only"},
    "none": {"categories": ["dog", "giraffe", "bus"], "exclude_categories": ["person"]},
    "area": {"categories": ["person"], "area": {"min": 5000}, "relative_area": {"max": 0.5}},
    "counts": {"categories": ["person"], "instances": {"min": 2, "max": 6}, "crowds": "exclude"},
    "licences": {"categories": ["person"], "licenses": [1, 3], "image_width": {"min": 500}},
    "negatives": {"categories": ["giraffe"], "negatives": 20},
    "max_images": {"categories": ["person"], "max_images": 30, "fraction": 0.6, "max_per_class": 40},
    "repairs": {
        "area_tolerance": 0.05,
        "policy": {"area-mismatch": "repair", "rle-not-crowd": "keep"},
        "keep_other_annotations": True,
        "caption": "standing",
    },
}


@pytest.mark.parametrize("name", QUERIES)
def test_verdicts_on_every_record_of_coco_add_up_to_what_the_build_counted(index_dir, tmp_path, monkeypatch, name):
    monkeypatch.setattr(interference, "draw", lambda before, after, path: None)
    trace = traced(index_dir, tmp_path, QUERIES[name])
    assert_agreement(trace, read_json(tmp_path / "statistics.json"))


@pytest.mark.parametrize("task", ["captions", "person_keypoints", "panoptic"])
def test_verdicts_on_other_tasks_add_up_too(index_dir, tmp_path, monkeypatch, task):
    monkeypatch.setattr(interference, "draw", lambda before, after, path: None)
    query = {
        "categories": ["giraffe", "person"],
        "exclude_categories": ["dog"],
        "area": {"min": 3000},
        "max_images": 40,
    }
    trace = traced(index_dir, tmp_path, query)
    assert_task_agreement(trace, task, read_json(tmp_path / "statistics.json"))


def test_broken_images_and_the_spares_for_them_are_told(index_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(interference, "draw", lambda before, after, path: None)
    query = SubsetSettings.from_mapping(QUERIES["max_images"] | {"refill": True, "spares": 5, "negatives": 4})
    mine(query, index_dir, [], tmp_path / "selection.tsv", tmp_path / "funnel.json")
    rows = list(read_table(tmp_path / "selection.tsv"))
    lost = [row["image_id"] for row in rows if row["role"] == "wanted"][::9]
    measures = {
        "image_id": pa.array([int(row["image_id"]) for row in rows]),
        "source_split": [row["source_split"] for row in rows],
        "file_name": [row["file_name"] for row in rows],
        "status": ["image-missing" if row["image_id"] in lost else "ok" for row in rows],
        "width": pa.array(np.array([int(row["width"]) for row in rows], dtype=np.int32)),
        "height": pa.array(np.array([int(row["height"]) for row in rows], dtype=np.int32)),
        "detail": pa.array([None] * len(rows), pa.string()),
        "exif_orientation": pa.array(np.ones(len(rows), dtype=np.int8)),
    }
    pq.write_table(pa.table(measures), tmp_path / "images.parquet")
    tables = (tmp_path / "selection.tsv", tmp_path / "funnel.json", tmp_path / "images.parquet")
    statistics = assemble(query, index_dir, coco_mini() / "annotations", *tables, tmp_path)
    trace = Trace(query, index_dir, tmp_path)
    images = [trace.image_at(row) for row in range(trace.source.images.rows)]
    assert {str(image.id) for image in images if image.reason == "image-missing"} == set(lost)
    assert [image.returned for image in images].count("refill") == len(lost)
    for kind, at, table in (
        ("image", trace.image_at, trace.source.images),
        ("annotation", trace.annotation_at, trace.source.annotations),
    ):
        outcomes = [at(row).outcome for row in range(table.rows)]
        counted = statistics["conservation"][kind]["instances"]
        assert {name: outcomes.count(name.replace("_", " ")) for name in counted if name != "in"} == {
            name: number for name, number in counted.items() if name != "in"
        }


def test_the_command_answers_from_a_config_and_from_paths(index_dir, tmp_path):
    traced(
        index_dir,
        tmp_path / "results/giraffes",
        {"categories": ["giraffe"], "exclude_categories": ["person"], "source": "mini"},
    )
    shutil.copytree(index_dir, tmp_path / "data/annotations/mini/index")
    (tmp_path / "config.yaml").write_text(
        "sources: {mini: {}}\nsubsets: {giraffes: {categories: [giraffe], exclude_categories: [person]}}\n"
    )
    rows = read_table(tmp_path / "results/giraffes/images.tsv")
    first = next(row["image_id"] for row in rows if row["source_split"] == "val2017")
    by_config = run("giraffes", "--image", first, "--config", "config.yaml", cwd=tmp_path)
    assert by_config.returncode == 0, by_config.stderr
    assert f"image {first}: kept (wanted)" in by_config.stdout
    config = ("--config", tmp_path / "config.yaml", "--root", tmp_path)
    assert run("giraffes", "--image", first, *config, cwd=Path("/")).stdout == by_config.stdout
    settings = json.dumps({"source": "mini", "categories": ["giraffe"], "exclude_categories": ["person"]})
    paths = ("--settings", settings, "--index-dir", index_dir, "--subset-dir", "results/giraffes")
    by_paths = run("giraffes", "--image", first, *paths, cwd=tmp_path)
    assert by_paths.stdout == by_config.stdout
    as_json = run("giraffes", "--image", first, "--task", "captions", "--json", *paths, cwd=tmp_path)
    assert {item["outcome"] for item in json.loads(as_json.stdout)["images"][0]["annotations"]} == {"kept"}
    unknown = run("giraffes", "--annotation", "1", "--config", "config.yaml", cwd=tmp_path)
    assert unknown.returncode == 1
    assert "nearest ids" in unknown.stderr
    assert "Traceback" not in unknown.stderr


def run(*arguments, cwd: Path):
    command = [sys.executable, str(ROOT / "scripts/trace_record.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
