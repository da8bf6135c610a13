"""Without a shared file system: jobs in folders of their own that have nothing in common but a bucket.

They end in the lock of a build on one machine, and what came of it lies in the bucket.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cocomine.base.bucket import unpack
from helpers.workflow import copy_of_the_project, snakemake

from cloud.buckets import GcsBucket, S3Bucket

PLUGINS = Path(__file__).parent / "plugins"
LOCK = "results/build.lock.json"
SOURCES = {"demo": {"synthetic": {"images": 24, "near_duplicates": 1, "broken": 1, "width": 160, "height": 120}}}
SMALL = {
    "sources": SOURCES,
    "subsets": {"small": {"categories": ["person", "giraffe", "bus", "laptop"]}},
    "tensors": {"size": 32},
    "exports": ["coco"],
}
TRAINED = SMALL | {
    "experiments": {
        "tiny": {
            "subset": "small",
            "model": {"weights": "none"},
            "train": {"iterations": 2, "batch": 4, "device": "cpu", "precision": "fp32"},
            "evaluation": {"bootstrap": 20, "pictures": 1},
        }
    }
}


def started_from(folder: Path, config: dict[str, object]) -> Path:
    """Return a checkout to start a build from, in which `my.yaml` is the config."""
    folder.mkdir()
    copy_of_the_project(folder)
    (folder / "my.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    for command in (["init", "-q"], ["add", "-A"]):  # Snakemake sends what git lists
        subprocess.run(["git", "-C", str(folder), *command], check=True)
    return folder


@pytest.fixture(params=[(S3Bucket, "kubernetes", TRAINED), (GcsBucket, "google-batch", SMALL)], ids=["s3", "gcs"])
def built(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[S3Bucket | GcsBucket, Path, dict[str, object]]]:
    """A bucket in which jobs in clean folders have built a config, by a profile of ours, and where it was started."""
    kind, profile, config = request.param
    project = started_from(tmp_path / "project", config)
    (tmp_path / "jobs").mkdir()
    with kind() as bucket:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {"PATH": path, "CLEAN_FOLDERS": str(tmp_path / "jobs"), "PYTHONPATH": str(PLUGINS)}
        settings = yaml.safe_load((project / "profiles" / profile / "config.yaml").read_text(encoding="utf-8"))
        assert settings["default-storage-provider"] == bucket.provider
        theirs = [key for key in settings if key.startswith(("googlebatch", "aws-batch", "kubernetes"))]
        for key in theirs:  # options of the executor that the profile names, which is not installed here
            del settings[key]
        (project / "profiles" / profile / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        done = subprocess.run(
            [
                sys.executable, "-m", "snakemake", "--profile", f"profiles/{profile}", "--executor", "clean-folder",
                "--configfile", "my.yaml", "--default-storage-prefix", bucket.prefix, *bucket.options,
                "--jobs", "2", "--cores", "2",
            ],
            cwd=project, env={**os.environ, **bucket.environment, **environment}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        yield bucket, tmp_path, config


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_jobs_that_share_only_a_bucket_end_in_the_lock_of_one_machine(built, tmp_path: Path) -> None:
    bucket, folder, config = built
    alone = tmp_path / "alone"
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    done = snakemake(alone, "--configfile", str(tmp_path / "my.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    bucket.download(f"build/{LOCK}", tmp_path / "lock.json")
    assert (tmp_path / "lock.json").read_bytes() == (alone / LOCK).read_bytes()
    assert not (folder / "project" / "results").exists()
    jobs = len(list((folder / "jobs").iterdir()))
    files = sum(path.is_file() for path in alone.joinpath("results").rglob("*"))
    print(f"\n{jobs} jobs on machines of their own, {files} files of results; {bucket.traffic()}")

    # What a user gets out of the bucket: the tars unpacked, the tree is the one that was built.
    tree = tmp_path / "tree"
    for name in bucket.sizes():
        if name.startswith("build/results/"):
            bucket.download(name, tree / name.removeprefix("build/"))
    before = Path.cwd()
    os.chdir(tree)
    try:
        for tar in sorted(tree.rglob("*.tar")):
            unpack(tar.relative_to(tree))
    finally:
        os.chdir(before)
    for path in [path for path in alone.joinpath("results").rglob("*") if path.is_file()]:
        name = path.relative_to(alone)
        if not path.name.endswith(".snakemake_timestamp"):
            assert (tree / name).read_bytes() == path.read_bytes(), name
    shutil.rmtree(tree)
