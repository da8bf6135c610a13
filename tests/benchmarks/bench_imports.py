"""Benchmark of imports: a folder of YOLO's labels made a COCO document, by cocomine and by supervision.

It lays a folder of images (hard links of one JPEG of 640 × 480) with seven boxes each, then runs both in turn, A B A B,
each as a program of its own, and checks that both wrote the same images and the same boxes. cocomine also checks every
line and names each that is broken. supervision is looked for in .peers/supervision, where make_peers.py puts it.

  python tests/benchmarks/bench_imports.py [--full]

The last line is one JSON object: sizes, median seconds, `peak_mb` of the process tree, and `ratio_vs_supervision`
(above 1: ours is faster).
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from helpers.measured import Measured, run_measured  # noqa: E402

PEER = Path(os.environ.get("COCOMINE_PEERS", ROOT / ".peers")) / "supervision" / "bin" / "python"
PEER_PROGRAM = """
import sys
import supervision as sv
root, target = sys.argv[1:]
data = sv.DetectionDataset.from_yolo(f"{root}/images", f"{root}/labels", f"{root}/data.yaml")
data.as_coco(annotations_path=target)
"""
OBJECTS, CLASSES = 7, 8


def lay(root: Path, images: int) -> None:
    """Lay a folder of YOLO's form with boxes whose corners are whole pixels."""
    generator = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    noise = generator.integers(0, 256, (60, 80, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    Image.fromarray(noise).save(root / "one.jpg")
    corners = generator.integers((0, 0), (500, 400), (images, OBJECTS, 2))
    sides = generator.integers(8, 80, (images, OBJECTS, 2))
    classes = generator.integers(0, CLASSES, (images, OBJECTS))
    for number in range(images):
        os.link(root / "one.jpg", root / f"images/{number:06d}.jpg")
        centres = (corners[number] + sides[number] / 2) / (640, 480)
        rows = zip(classes[number], centres, sides[number] / (640, 480), strict=True)
        lines = [f"{index} {c[0]:.6f} {c[1]:.6f} {s[0]:.6f} {s[1]:.6f}\n" for index, c, s in rows]
        (root / f"labels/{number:06d}.txt").write_text("".join(lines))
    (root / "one.jpg").unlink()
    (root / "data.yaml").write_text(f"names: {[f'class{n}' for n in range(CLASSES)]}\ntrain: images\n")


def boxes(path: Path) -> dict[str, list[list[float]]]:
    """The boxes of a COCO document by image, sorted."""
    document: dict[str, Any] = json.loads(path.read_bytes())
    names = {image["id"]: Path(image["file_name"]).name for image in document["images"]}
    found: dict[str, list[list[float]]] = {name: [] for name in names.values()}
    for item in document["annotations"]:
        found[names[item["image_id"]]].append([round(float(side), 1) for side in item["bbox"]])
    return {name: sorted(rows) for name, rows in found.items()}


def same(ours: Path, theirs: Path) -> None:
    """Check that both hold the same images and boxes, within a pixel."""
    mine, other = boxes(ours), boxes(theirs)
    assert mine.keys() == other.keys(), "the images differ"
    for name in mine:
        assert np.allclose(mine[name], other[name], atol=1), f"{name}: other boxes"


def main() -> None:
    """Run the benchmark and print its table and its JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="20,000 images instead of 1,000")
    parser.add_argument("--pairs", type=int, default=5, help="how often both run (default 5)")
    options = parser.parse_args()
    images = 20_000 if options.full else 1000
    result: dict[str, object] = {"images": images, "objects": images * OBJECTS, "pairs": options.pairs}
    with tempfile.TemporaryDirectory(prefix="bench_imports_") as name:
        root, out, theirs = Path(name) / "own", Path(name) / "out", Path(name) / "theirs.json"
        lay(root, images)
        settings = json.dumps({"format": "yolo", "folder": str(root)})
        script = str(ROOT / "scripts/import_labels.py")
        commands = {"cocomine": [sys.executable, script, "--settings", settings, "--out-dir", str(out)]}
        if PEER.exists():
            commands["supervision"] = [str(PEER), "-c", PEER_PROGRAM, str(root), str(theirs)]
        else:
            print(f"not run: supervision (no {PEER}): ./run python tests/benchmarks/make_peers.py supervision")
        runs: dict[str, list[Measured]] = {who: [] for who in commands}
        for _ in range(options.pairs):
            for who, command in commands.items():
                shutil.rmtree(out, ignore_errors=True) if who == "cocomine" else theirs.unlink(missing_ok=True)
                runs[who].append(run_measured(command, {**os.environ, "TQDM_DISABLE": "1"}, pause=0.02))
        print(f"{images} images, {images * OBJECTS} boxes, {options.pairs} pairs, medians")
        seconds = {who: statistics.median(one.seconds for one in those) for who, those in runs.items()}
        peaks = {who: max(one.peak_mb for one in those) for who, those in runs.items()}
        for who in commands:
            print(f"{who:12} {seconds[who]:8.2f} s {images / seconds[who]:9.0f} images/s {peaks[who]:7.0f} MB")
        result |= {"seconds": seconds, "peak_mb": peaks}
        if "supervision" in commands:
            same(out / "annotations/instances_all.json", theirs)
            result["ratio_vs_supervision"] = round(seconds["supervision"] / seconds["cocomine"], 2)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
