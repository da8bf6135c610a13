"""How long it takes to match two sources, and how much memory: 36,000 objects against 48,000 in 5,000 images.

Repeats the annotations of the real slice (../shared/coco-mini) with other ids until there are as many images as val2017
has, and makes the second source of them as a relabelling is made: outlines of twice the vertices that lie a few pixels
off, some objects gone, a third more. Runs match_sources.py on a quarter of it and on the whole, prints seconds, seconds
of processors and peak memory of both, their ratio per object, and what all 123,287 images of COCO would take.

Example: ./run python tests/benchmarks/bench_matching.py --threads 2
"""

import argparse
import json
import os
import random
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cocomine.annotations.build import build_index
from helpers.measured import run_measured
from helpers.shared import ROOT, coco_mini

IMAGES, FIRST, SECOND = 5000, 36_000, 48_000
ALL_IMAGES = 123_287


def relabelled(record: dict, draw: random.Random) -> dict:
    """Return a record as somebody else would outline it: twice the vertices, each some 2 px off."""
    if not isinstance(record["segmentation"], list):
        return record
    rings = []
    for ring in record["segmentation"]:
        points = np.array(ring).reshape(-1, 2)
        between = (points + np.roll(points, -1, axis=0)) / 2
        finer = np.stack([points, between], axis=1).reshape(-1, 2)
        rings.append([round(value + draw.gauss(0, 1.5), 2) for value in finer.ravel().tolist()])
    return {**record, "segmentation": rings}


def make_sources(folder: Path, images: int) -> tuple[int, int]:
    """Write both sources of so many images with their indexes; return how many objects each has."""
    draw = random.Random(0)
    slices = [json.loads(path.read_text()) for path in sorted((coco_mini() / "annotations").glob("instances_*.json"))]
    real = [(image, []) for one in slices for image in one["images"]]
    places = {image["id"]: records for image, records in real}
    for record in (record for one in slices for record in one["annotations"]):
        places[record["image_id"]].append(record)
    sides: tuple[list, list] = ([], [])
    named = []
    for number in range(1, images + 1):
        image, records = real[(number - 1) % len(real)]
        named.append({**image, "id": number, "file_name": f"{number:012d}.jpg"})
        for record in records:
            sides[0].append({**record, "image_id": number})
            for _ in range(2):
                sides[1].append({**relabelled(record, draw), "image_id": number})
    counts = []
    for name, records, wanted in zip(("first", "second"), sides, (FIRST, SECOND), strict=True):
        kept = draw.sample(records, min(len(records), wanted * images // IMAGES))
        document = {"images": named, "annotations": [{**one, "id": n} for n, one in enumerate(kept, 1)]}
        path = folder / name / "instances_val.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(document | {"categories": slices[0]["categories"]}))
        build_index(path, "instances", "val", path.parent / "index" / "instances_val")
        counts.append(len(kept))
    return counts[0], counts[1]


def main() -> None:
    """Run the benchmark and print a table and, last, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    result = {}
    with tempfile.TemporaryDirectory() as place:
        for name, images in (("quarter", IMAGES // 4), ("whole", IMAGES)):
            folder = Path(place) / name
            counts = make_sources(folder, images)
            command = [sys.executable, str(ROOT / "scripts" / "match_sources.py"), "--first", str(folder / "first")]
            command += ["--second", str(folder / "second"), "--out-dir", str(folder / "out")]
            command += ["--settings", '{"first": "a", "second": "b"}', "--threads", str(options.threads)]
            before = os.times()
            run = run_measured(command, dict(os.environ))
            after = os.times()
            busy = after.children_user + after.children_system - before.children_user - before.children_system
            kinds = json.loads((folder / "out" / "matching.json").read_text())["kinds"]
            result[name] = {
                "images": images,
                "objects": counts,
                "seconds": round(run.seconds, 1),
                "processor_seconds": round(busy, 1),
                "milliseconds_an_object": round(1000 * busy / sum(counts), 3),
                "peak_mb": round(run.peak_mb),
                "findings": {kind: found["findings"] for kind, found in kinds.items()},
            }
            print(name, result[name], flush=True)
    whole, quarter = result["whole"], result["quarter"]
    ratio = whole["milliseconds_an_object"] / quarter["milliseconds_an_object"]
    hours = whole["processor_seconds"] * ALL_IMAGES / IMAGES / 3600
    print(f"an object of the whole takes {ratio:.2f} times that of the quarter")
    print(f"{ALL_IMAGES:,} images would take {hours:.2f} processor hours, {60 * hours / options.threads:.0f} min on it")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
