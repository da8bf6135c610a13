"""Without a shared file system: jobs in folders of their own that have nothing in common but a bucket.

They end in the lock of a build on one machine, and what came of it lies in the bucket.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from helpers.workflow import snakemake

from cloud.buckets import GcsBucket, S3Bucket
from cloud.build import LOCK, build, differing

SOURCES = {"demo": {"synthetic": {"images": 24, "near_duplicates": 1, "broken": 1, "width": 160, "height": 120}}}
SUBSETS = {"small": {"categories": ["person", "giraffe", "bus", "laptop"]}}
SMALL = {
    "sources": SOURCES,
    "subsets": SUBSETS,
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


INCLUDING = """
module cocomine:
    snakefile: "workflow/Snakefile"
    config: config

use rule * from cocomine as coco_*

rule all:
    default_target: True
    input: rules.coco_all.input
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_another_workflow_that_has_this_one_as_a_module_builds_over_a_bucket(tmp_path: Path) -> None:
    with S3Bucket() as bucket:
        done = build(bucket, "kubernetes", {"sources": SOURCES, "subsets": SUBSETS}, tmp_path, snakefile=INCLUDING)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"build/{LOCK}" in bucket.sizes()


@pytest.fixture(params=[(S3Bucket, "kubernetes", TRAINED), (GcsBucket, "google-batch", SMALL)], ids=["s3", "gcs"])
def built(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[S3Bucket | GcsBucket, Path, dict[str, object]]]:
    """A bucket in which jobs in clean folders have built a config, by a profile of ours, and where it was started."""
    kind, profile, config = request.param
    with kind() as bucket:
        done = build(bucket, profile, config, tmp_path)
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
    assert differing(bucket, alone, tmp_path) == []
    assert not (folder / "project" / "results").exists()

    # What a user gets out of the bucket: the tars unpacked, the tree is the one that was built.
    tree = tmp_path / "tree"
    for name in bucket.sizes():
        if name.startswith("build/results/"):
            bucket.download(name, tree / name.removeprefix("build/"))
    for tar in sorted(tree.rglob("*.tar")):
        subprocess.run(["tar", "xf", tar], cwd=tree, check=True)
    for path in [path for path in alone.joinpath("results").rglob("*") if path.is_file()]:
        name = path.relative_to(alone)
        if not path.name.endswith(".snakemake_timestamp"):
            assert (tree / name).read_bytes() == path.read_bytes(), name
