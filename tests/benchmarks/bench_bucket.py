"""What a build costs a bucket that machines share and nothing else: requests and bytes, by the number of images.

    ./run python tests/benchmarks/bench_bucket.py --images 24 240

Each size is built on moto's S3, each job in a folder of its own (docs/cluster.md). A folder travels as one file, so the
number of requests must not follow the number of images.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from cloud.buckets import S3Bucket
from cloud.build import build


def measured(images: int) -> dict[str, int]:
    """Build `images` synthetic photographs into a subset with masks and an export, and return what it cost."""
    config = {
        "sources": {
            "demo": {"synthetic": {"images": images, "near_duplicates": 2, "broken": 1, "width": 160, "height": 120}}
        },
        "subsets": {"small": {"categories": ["person", "giraffe", "bus", "laptop"]}},
        "exports": ["coco", "yolo-segment"],
    }
    with tempfile.TemporaryDirectory() as folder, S3Bucket() as bucket:
        done = build(bucket, "kubernetes", config, Path(folder))
        if done.returncode != 0:
            raise SystemExit(done.stdout + done.stderr)
        fetched, stored = bucket.moved()
        return {
            "images": images,
            "jobs": len(list((Path(folder) / "jobs").iterdir())),
            "requests": bucket.requests.total(),
            "objects": len(bucket.sizes()),
            "fetched_mb": round(fetched / 1e6),
            "stored_mb": round(stored / 1e6),
        }


def main() -> None:
    """Print a table, and as its last line one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[24, 240])
    rows = [measured(images) for images in parser.parse_args().images]
    print(*rows[0], sep="\t")
    for row in rows:
        print(*row.values(), sep="\t")
    print(json.dumps({"builds": rows}))


if __name__ == "__main__":
    main()
