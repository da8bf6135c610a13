"""What a build costs a bucket that machines share and nothing else: requests and bytes, by the number of images.

    ./run python tests/benchmarks/bench_bucket.py --images 34 4000
    ./run python tests/benchmarks/bench_bucket.py --job default coco-mini --bucket s3 gcs

Each is built on moto's S3, or on our server of Google Cloud Storage, each job in a folder of its own (docs/cluster.md).
A folder travels as one file, so the number of requests must not follow the number of images. `--job` builds README's
first command, or that of the real input, whole. Each is built on this machine alone too: the two locks must be the same
file, and what lies below results there, by file, is what requests are held against.
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


def measured(config: Mapping[str, Any], kind: str, alone: Path) -> dict[str, Any]:
    """Build a config over a bucket, return what it cost, and hold its lock to that of the build in `alone`."""
    bucket_of_kind, profile = BUCKETS[kind]
    files = sum(path.is_file() for path in (alone / "results").rglob("*"))
    with tempfile.TemporaryDirectory() as folder, bucket_of_kind() as bucket:
        started = time.monotonic()
        done = build(bucket, profile, config, Path(folder))
        if done.returncode != 0:
            raise SystemExit(done.stdout + done.stderr)
        requests = bucket.requests.total()  # before we ask ourselves
        fetched, stored = bucket.moved()
        if different := differing(bucket, alone, Path(folder)):
            raise SystemExit(f"another lock than on one machine: {' '.join(different)}")
        return {
            "bucket": kind,
            "seconds": round(time.monotonic() - started),
            "jobs": len(list((Path(folder) / "jobs").iterdir())),
            "files": files,
            "objects": len(bucket.sizes()),
            "requests": requests,
            "files_a_request": round(files / requests, 1),
            "fetched_mb": round(fetched / 1e6),
            "stored_mb": round(stored / 1e6),
            "lock": "the same, byte for byte",
        }


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
    parser.add_argument("--images", type=int, nargs="*", default=[34, 4000])
    parser.add_argument("--job", choices=("default", "coco-mini"), nargs="+", default=[])
    parser.add_argument("--bucket", choices=tuple(BUCKETS), nargs="+", default=["s3"])
    options = parser.parse_args()
    builds = {job: of_job(job) for job in options.job} or {
        f"{images} images": of_images(images) for images in options.images
    }
    rows = []
    for name, config in builds.items():
        with tempfile.TemporaryDirectory() as folder:
            alone = built_alone(config, Path(folder))
            rows += [{"build": name, **measured(config, kind, alone)} for kind in options.bucket]
    print(*rows[0], sep="\t")
    for row in rows:
        print(*row.values(), sep="\t")
    print(json.dumps({"builds": rows}))


if __name__ == "__main__":
    main()
