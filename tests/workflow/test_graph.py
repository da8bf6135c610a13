"""What the graph promises: a second run does nothing, and a change re-runs exactly what it reaches."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from cocomine.configuration.needs import NEEDS
from cocomine.learning.models import encoders
from cocomine.provenance.lock import read_lock
from cocomine.provenance.verify import differences_of_tree
from helpers.shared import ROOT
from helpers.workflow import copy_of_the_project, planned, snakemake
from safetensors.torch import save_file

SMALL = {
    "sources": {
        "synthetic-demo": {"synthetic": {"images": 48, "near_duplicates": 2, "broken": 1, "width": 160, "height": 120}}
    },
    "subsets": {"small": {"categories": ["person", "giraffe", "bus", "laptop"]}},
    "comparisons": {"itself": {"first": "synthetic-demo", "second": "synthetic-demo", "splits": ["val"]}},
    "tensors": {"size": 32},
    "exports": ["coco"],
    "experiments": {
        "tiny": {
            "subset": "small",
            "model": {"weights": "encoder.safetensors"},
            "train": {"iterations": 2, "batch": 4, "device": "cpu", "precision": "fp32"},
            "evaluation": {"bootstrap": 20, "pictures": 1},
        }
    },
}


def write_encoder(path: Path, seed: int) -> None:
    """Write random weights of ResNet18, to be named in a config."""
    torch.manual_seed(seed)
    backbone = encoders.ResNetBackbone(encoders.resnet_config("resnet18"))
    save_file({key: value.contiguous() for key, value in backbone.state_dict().items()}, path)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A copy of the project, a folder in which a small config was built with it, and that config."""
    project = copy_of_the_project(tmp_path_factory.mktemp("project"))
    work = tmp_path_factory.mktemp("work")
    config = work / "config.yaml"
    config.write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    write_encoder(work / "encoder.safetensors", 0)
    done = snakemake(work, "--configfile", str(config), project=project)
    assert done.returncode == 0, done.stdout + done.stderr
    return project, work, config


@pytest.fixture
def plan_after(built, request):
    """Return a function that edits a file of the project, plans, and puts the file back."""
    project, work, config = built

    def edited(file: str, old: str, new: str) -> dict[str, int]:
        path = project / file
        before = path.read_text(encoding="utf-8")
        assert old in before, f"{file} no longer holds {old!r}"
        path.write_text(before.replace(old, new, 1), encoding="utf-8")
        request.addfinalizer(lambda: path.write_text(before, encoding="utf-8"))
        return planned(work, "--configfile", str(config), project=project)

    return edited


def test_a_second_run_does_nothing(built) -> None:
    project, work, config = built
    assert planned(work, "--configfile", str(config), project=project) == {}


@pytest.mark.parametrize("lost", ["report.html", "exports/coco", "contact_sheet.png", "selection.tsv"])
def test_whatever_was_deleted_is_made_again_by_the_plain_command(built, lost: str, tmp_path: Path) -> None:
    project, work, config = built
    path = work / "results" / "small" / lost
    path.rename(tmp_path / "kept")
    try:
        jobs = planned(work, "--configfile", str(config), project=project)
    finally:
        (tmp_path / "kept").rename(path)
    makers = {"report.html": "render_report", "exports/coco": "export_dataset", "contact_sheet.png": "rasterize_masks"}
    assert makers.get(lost, "mine_subset") in jobs


def test_the_lock_holds_every_output_that_a_rule_declares(built) -> None:
    _, work, _ = built
    locked = json.loads((work / "results" / "build.lock.json").read_text(encoding="utf-8"))["outputs"]
    files = {path.relative_to(work).as_posix() for path in (work / "results").rglob("*") if path.is_file()}
    unlocked = {name for name in files if not any(name == one or name.startswith(one) for one in locked)}
    # These carry the lock's hash, so they are made after it; verify_build makes them again and compares.
    of_the_lock = {f"results/{name}" for name in ("build.lock.json", "build.lock.js", "index.html", "index.json")}
    assert {name for name in unlocked if not name.endswith(".snakemake_timestamp")} == of_the_lock


def test_a_byte_changed_in_any_kind_of_result_is_named(built) -> None:
    _, work, _ = built
    results = work / "results"
    lock = read_lock(results / "build.lock.json")
    files = [path for path in sorted(results.rglob("*")) if path.is_file() and path.stat().st_size]
    kinds = {(path.parent, path.suffix): path for path in files if path.name[0] != "." and path.stem != "build.lock"}
    kinds["the script that names the lock", ".js"] = results / "build.lock.js"
    assert len(kinds) > 40
    for path in kinds.values():
        content, times = path.read_bytes(), path.stat()
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        try:
            found = {one.name for one in differences_of_tree(lock, work, None, "none", index=results / "index.html")}
        finally:
            path.write_bytes(content)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert path.relative_to(work).as_posix() in found


def test_a_changed_comment_reruns_nothing(plan_after) -> None:
    assert plan_after("scripts/cocomine/masks/settings.py", "\nfrom ", "\n# A comment.\nfrom ") == {}


def test_a_change_of_the_exports_reruns_them_and_what_reads_them(plan_after) -> None:
    jobs = plan_after("scripts/export_dataset.py", "def main(", "UNUSED = 1\n\n\ndef main(")
    assert jobs == {"export_dataset": 1, "render_report": 1, "render_index": 1, "lock_build": 1}


def test_a_change_of_evaluation_does_not_train_again(plan_after) -> None:
    jobs = plan_after("scripts/evaluate_model.py", "def main(", "UNUSED = 1\n\n\ndef main(")
    assert "train_model" not in jobs
    assert jobs.keys() == {
        "evaluate_model",
        "compare_experiments",
        "render_report",
        "render_explorer",
        "render_index",
        "lock_build",
    }


def test_other_settings_of_the_evaluation_do_not_train_again(built, tmp_path: Path) -> None:
    project, work, _ = built
    tiny = SMALL["experiments"]["tiny"]
    config = tmp_path / "config.yaml"
    changed = tiny | {"evaluation": {"bootstrap": 30, "pictures": 0, "slice_images": 5}}
    config.write_text(yaml.safe_dump(SMALL | {"experiments": {"tiny": changed}}), encoding="utf-8")
    jobs = planned(work, "--configfile", str(config), project=project)
    assert "evaluate_model" in jobs
    assert "train_model" not in jobs


def test_other_encoder_weights_in_the_same_file_train_again(built) -> None:
    project, work, config = built
    before = (work / "encoder.safetensors").read_bytes()
    stamp = (work / "encoder.safetensors").stat()
    write_encoder(work / "encoder.safetensors", 1)
    try:
        jobs = planned(work, "--configfile", str(config), project=project)
    finally:
        (work / "encoder.safetensors").write_bytes(before)
        os.utime(work / "encoder.safetensors", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert jobs["train_model"] == 1


def test_a_change_of_the_base_reruns_everything_that_runs(plan_after) -> None:
    jobs = plan_after("scripts/cocomine/base/errors.py", "class CocomineError", "UNUSED = 1\n\n\nclass CocomineError")
    rules = re.findall(r"^rule (\w+):", "".join(p.read_text() for p in (ROOT / "workflow/rules").glob("*.smk")), re.M)
    # No source of this config is imported, and nothing of somebody else's is run or judged.
    assert set(jobs) == set(rules) - {"import_labels", "merge_sources", "run_program", "evaluate_predictions"}


def test_another_crowd_policy_draws_again_but_indexes_nothing(built, tmp_path: Path) -> None:
    project, work, _ = built
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(SMALL | {"masks": {"crowds": "class"}}), encoding="utf-8")
    jobs = planned(work, "--configfile", str(config), project=project)
    assert jobs["rasterize_masks"] == 1
    assert not jobs.keys() & {
        "make_demo_bucket",
        "sync_annotations",
        "index_annotations",
        "mine_subset",
        "assemble_subset",
    }


def test_the_export_that_takes_longest_starts_first(built, tmp_path: Path) -> None:
    project, work, _ = built
    config = tmp_path / "config.yaml"
    exports = ["coco", "voc", "yolo-segment", "masks", "yolo-detect", "masks-grey"]
    config.write_text(yaml.safe_dump(SMALL | {"exports": exports}), encoding="utf-8")
    copy = tmp_path / "work"
    shutil.copytree(work, copy)
    targets = [f"results/small/exports/{name}" for name in exports]
    done = snakemake(copy, "--configfile", str(config), "--cores", "1", *targets, project=project)
    assert done.returncode == 0, done.stderr
    started = re.findall(r"Export small as (\S+)", done.stdout + done.stderr)
    assert sorted(started) == sorted(set(exports) - {"coco"})  # which is there
    assert started[0] == "yolo-segment"


def test_the_rule_graph_and_the_workflow_report_can_be_drawn(built, tmp_path: Path) -> None:
    project, work, config = built
    graph = snakemake(work, "--configfile", str(config), "--rulegraph", project=project)
    assert graph.returncode == 0
    assert "digraph" in graph.stdout
    page = tmp_path / "report.html"
    done = snakemake(work, "--configfile", str(config), "--report", str(page), project=project)
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    for said in ("images with their masks", "curves of training", "this config and this lock give these bytes"):
        assert said in text
    assert not re.search(r'(src|href)="https?://[^"]*\.(js|css)"', text), "the report asks for something from outside"


def test_every_rule_says_all_that_a_rule_of_this_house_says() -> None:
    wanted = (
        "output:",
        "log:",
        "benchmark:",
        "params:",
        "threads:",
        "resources:",
        "conda:",
        "message:",
        "shell:",
    )
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        for rule in re.split(r"^rule ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            name = rule.split(":", 1)[0]
            lacking = [key for key in wanted if f"\n    {key}" not in rule]
            assert not lacking, f"{path.name}: rule {name} has no {', '.join(lacking)}"
            assert (ROOT / "scripts" / f"{name}.py").exists() or name == "render_index"
            assert re.search(r'conda:\n\s+"\.\./\.\./envs/(data|learning)\.yaml"', rule), name


def test_every_rule_file_opens_with_its_contract() -> None:
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        opening = path.read_text(encoding="utf-8").split('"""')[1]
        assert "\nreads " in opening, path.name
        assert "\nwrites " in opening, path.name


def test_every_job_of_a_cluster_asks_for_more_at_each_attempt_and_in_a_group_by_the_number_of_images() -> None:
    asked = {}
    for file in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        for name, body in re.findall(r"^rule (\w+):(.*?)(?=^rule |\Z)", file.read_text(encoding="utf-8"), re.M | re.S):
            asked[name] = re.findall(r"mem_mb=(.+),", body)[0], re.findall(r"runtime=(.+),", body)[0]
    here = {"sync_annotations", "sync_images"}  # local rules: no cluster runs them
    by_images = {name: both for name, both in asked.items() if name in NEEDS}
    assert by_images == {name: (f'memory_for("{name}")', f'time_for("{name}")') for name in NEEDS}
    stated = {"run_program"}  # a program of the user's, with the memory and the time limit that its config states
    others = {name: both for name, both in asked.items() if name not in here | stated | NEEDS.keys()}
    assert all(memory.startswith("need(") for memory, _ in others.values())
    assert all(re.match(r"minutes\(|.*attempt \*", time) for _, time in others.values())
    profile = (ROOT / "profiles" / "slurm" / "config.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"^  - (\w+)=\w*[a-z]", profile, re.MULTILINE)) <= NEEDS.keys()


def test_every_rule_that_leaves_this_machine_asks_aws_batch_for_memory_of_its_table() -> None:
    profile = yaml.safe_load((ROOT / "profiles" / "aws-batch" / "config.yaml").read_text(encoding="utf-8"))
    asked = dict(one.split(":", 1) for one in profile["set-resources"])
    rules = {
        name
        for path in (ROOT / "workflow" / "rules").glob("*.smk")
        for name in re.findall(r"^ *rule (\w+):", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    here = {"sync_annotations", "sync_images", "make_demo_bucket", "import_labels"}  # run where snakemake was started
    assert asked == dict.fromkeys(rules - here, "mem_mb=max(8192, 4096 * threads)")
