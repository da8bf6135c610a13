"""What a build costs a bucket that machines share and nothing else: requests and bytes, by the number of images.

    ./run python tests/benchmarks/bench_bucket.py --images 34 340
    ./run python tests/benchmarks/bench_bucket.py --job default coco-mini --bucket s3 gcs

Each is built on moto's S3, or on our server of Google Cloud Storage, each job in a folder of its own (docs/cluster.md).
A folder travels as one file, so the number of requests must not follow the number of images. `--job` builds README's
first command, or that of the real input, whole; also on this machine alone, and holds the two locks against each other.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from cloud.buckets import GcsBucket, S3Bucket
from cloud.build import build, differing
from helpers.shared import ROOT, coco_mini
from helpers.workflow import snakemake
from workflow.test_real_input import config_for

BUCKETS = {"s3": (S3Bucket, "kubernetes"), "gcs": (GcsBucket, "google-batch")}
SMALL = {
    "subsets": {"small": {"categories": ["person", "giraffe", "bus", "laptop"]}},
    "exports": ["coco", "yolo-segment"],
}


def of_images(images: int) -> dict[str, Any]:
    """The config of so many synthetic photographs, a subset with masks and two exports."""
    drawn = {"images": images, "near_duplicates": 2, "broken": 1, "width": 160, "height": 120}
    return {"sources": {"demo": {"synthetic": drawn}}, **SMALL}


def of_job(job: str) -> dict[str, Any]:
    """The config of README's first command, or of the real input."""
    if job == "default":
        return dict(yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8")))
    return config_for({"folder": str(coco_mini()), "use": "in-place"})


def measured(config: Mapping[str, Any], kind: str, alone: Path | None) -> dict[str, Any]:
    """Build a config over a bucket, return what it cost, and hold its lock to that of the build in `alone`, if any."""
    bucket_of_kind, profile = BUCKETS[kind]
    with tempfile.TemporaryDirectory() as folder, bucket_of_kind() as bucket:
        started = time.monotonic()
        done = build(bucket, profile, config, Path(folder))
        if done.returncode != 0:
            raise SystemExit(done.stdout + done.stderr)
        fetched, stored = bucket.moved()
        row = {
            "bucket": kind,
            "seconds": round(time.monotonic() - started),
            "jobs": len(list((Path(folder) / "jobs").iterdir())),
            "requests": bucket.requests.total(),
            "objects": len(bucket.sizes()),
            "fetched_mb": round(fetched / 1e6),
            "stored_mb": round(stored / 1e6),
        }
        if alone is None:
            return row
        if different := differing(bucket, alone, Path(folder)):
            raise SystemExit(f"another lock than on one machine: {' '.join(different)}")
        files = sum(path.is_file() for path in (alone / "results").rglob("*"))
        return {**row, "files": files, "lock": "the same, byte for byte"}


def built_alone(config: Mapping[str, Any], folder: Path) -> Path:
    """Build a config on this machine, in `folder`."""
    (folder / "my.yaml").write_text(yaml.safe_dump(dict(config)), encoding="utf-8")
    done = snakemake(folder, "--configfile", str(folder / "my.yaml"))
    if done.returncode != 0:
        raise SystemExit(done.stdout + done.stderr)
    return folder


def main() -> None:
    """Print a table, and as its last line one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="*", default=[34, 340])
    parser.add_argument("--job", choices=("default", "coco-mini"), nargs="+", default=[])
    parser.add_argument("--bucket", choices=tuple(BUCKETS), nargs="+", default=["s3"])
    parser.add_argument("--alone", type=Path, help="the folder in which the --job was built on one machine already")
    options = parser.parse_args()
    rows = []
    for job in options.job:
        config = of_job(job)
        with tempfile.TemporaryDirectory() as folder:
            alone = options.alone or built_alone(config, Path(folder))
            rows += [{"build": job, **measured(config, kind, alone)} for kind in options.bucket]
    for images in () if options.job else options.images:
        rows += [{"build": f"{images} images", **measured(of_images(images), kind, None)} for kind in options.bucket]
    print(*rows[0], sep="\t")
    for row in rows:
        print(*row.values(), sep="\t")
    print(json.dumps({"builds": rows}))


if __name__ == "__main__":
    main()
