"""What every data stage promises of a full disk: it says where, and the same command goes on once there is room."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cocomine.base.files import read_json
from helpers.shared import ROOT
from helpers.tiny_coco import write_config, write_tiny_coco
from helpers.workflow import snakemake

pytestmark = pytest.mark.slow

STAGES = [
    "sync_annotations", "index_annotations", "mine_subset", "sync_images", "measure_images", "assemble_subset",
    "split_dataset", "rasterize_masks", "export_dataset", "render_report", "render_explorer",
    "lock_build", "render_index",
]  # fmt: skip
NOT_OUTPUTS_OF_THE_LOCK = {
    "sync_annotations": ["data/annotations/coco/sync.lock.json"],
    "index_annotations": ["data/annotations/coco/index"],
    "lock_build": ["results/build.lock.json", "results/build.lock.js"],
    "render_index": ["results/index.html", "results/index.json"],
}


class Build:
    """A whole build on a disk of its own, of a few megabytes, and the commands that made it."""

    def __init__(self, disk: Path, config: Path) -> None:
        self.disk, self.config = disk, config
        done = snakemake(disk, "--configfile", str(config))
        assert done.returncode == 0, done.stderr[-3000:]
        printed = snakemake(disk, "--configfile", str(config), "-n", "-F", "-p")
        found = re.findall(r"^Shell command: (python \S+/(\w+)\.py .*)$", printed.stdout + printed.stderr, re.MULTILINE)
        self.commands = {("render_index" if "--index " in line else name): line for line, name in found}
        self.lock = read_json(disk / "results/build.lock.json")

    def run(self, stage: str) -> "subprocess.CompletedProcess[str]":
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            self.commands[stage],
            shell=True,
            cwd=self.disk,
            capture_output=True,
            text=True,
            env={**os.environ, "PATH": path},
        )

    def remove_outputs(self, stage: str) -> None:
        names = [name for name, entry in self.lock["outputs"].items() if entry["rule"] == stage]
        names += NOT_OUTPUTS_OF_THE_LOCK.get(stage, [])
        assert names
        subprocess.run(["rm", "-rf", "--", *(self.disk / name for name in names)], check=True)

    def fill(self) -> Path:
        filler = self.disk / "filler"
        with open(filler, "wb", buffering=0) as file:
            for piece in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        file.write(bytes(piece))
                except OSError:
                    continue
        return filler


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    folder = tmp_path_factory.mktemp("full")
    disk = folder / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24M", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk can only be made by root, where mounting is allowed")
    try:
        config = write_config(folder / "config.json", write_tiny_coco(folder / "coco"), exports=["coco"])
        yield Build(disk, config)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_on_a_full_disk_says_so_and_goes_on_to_the_same_bytes(build: Build, stage: str) -> None:
    build.remove_outputs(stage)
    filler = build.fill()
    full = build.run(stage)
    assert full.returncode == 1, full.stderr
    assert re.search(r"^error: .*(the disk is full: .* free|needs about .* free there)", full.stderr, re.MULTILINE), (
        full.stderr
    )
    assert str(build.disk) in full.stderr or re.search(r"^error: (data|results|logs)/", full.stderr, re.MULTILINE)
    assert re.search(r"^Hint: make room.*goes on", full.stderr, re.MULTILINE), full.stderr
    assert "fault in cocomine" not in full.stderr
    filler.unlink()
    again = build.run(stage)
    assert again.returncode == 0, again.stderr
    assert read_json(build.disk / "results/build.lock.json") == build.lock
    assert not list(build.disk.glob("**/.incomplete"))


def test_what_was_filled_and_freed_at_every_stage_is_the_undisturbed_build(build: Build) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "verify_build.py"), "--root", str(build.disk)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "proved: " in done.stdout


def test_the_whole_workflow_says_last_that_the_disk_is_full(build: Build) -> None:
    build.remove_outputs("rasterize_masks")
    filler = build.fill()
    os.truncate(filler, filler.stat().st_size - (1 << 17))  # what Snakemake itself writes down
    done = snakemake(build.disk, "--configfile", str(build.config))
    filler.unlink()
    assert done.returncode != 0
    assert any("the disk is full" in line for line in done.stderr.splitlines()[-4:]), done.stderr[-3000:]
    assert snakemake(build.disk, "--configfile", str(build.config)).returncode == 0
