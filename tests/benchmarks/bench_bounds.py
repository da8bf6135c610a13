"""What the worst that a file can hold costs: seconds and peak memory, each in a process of its own.

    ./run python tests/benchmarks/bench_bounds.py [CASE …]

The case `giants` is a whole build, in place on two cores, of eight images: one with 200,000 annotations, one with an
outline of a million points, two JPEGs of 13,370 x 13,370; a second build has the same images without any of that.
Everything is drawn here. The last line is a JSON object: for each case, and each stage of the builds, [seconds, MB].
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from bench_scale import CONFIG, draw, stages
from cocomine.base.errors import CocomineError
from cocomine.base.yaml_file import read_yaml
from cocomine.formats.polygons import area, join, joining_iou
from cocomine.splits.near_duplicates import find_pairs
from cocomine.transfer.behaviour import Behaviour
from cocomine.transfer.byte_source import FileSource
from cocomine.transfer.receiving import Target
from cocomine.transfer.records import Want
from cocomine.transfer.zips import ZipOrigin
from PIL import Image

Work = Callable[[], Any]


def ring(points: int, x: float, y: float, radius: float) -> np.ndarray:
    """Return an outline that goes round a circle, (points, 2)."""
    turn = np.linspace(0, 2 * math.pi, points, endpoint=False)
    return np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], axis=1)


def joined(_: Path) -> Work:
    """Two outlines of 10,000 points become one, as for YOLO."""
    parts = [ring(10_000, 200, 200, 90), ring(10_000, 450, 260, 120)]
    return lambda: joining_iou(parts, join(parts), 640, 480)


def frames(_: Path) -> Work:
    """4,000 frames of one film are looked through for near-duplicates."""
    random = np.random.default_rng(0)
    still = np.asarray(Image.fromarray(random.integers(0, 256, (8, 8), dtype=np.uint8)).resize((32, 32)), np.int16)
    film = np.clip(still + random.integers(-6, 7, (4000, 32, 32)), 0, 255).astype(np.uint8)
    return lambda: find_pairs(film, 8, 0.9)


def bomb(folder: Path) -> Work:
    """A zip of 10 MB holds a member of 10 GB."""
    with (
        zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed,
        packed.open("a.jpg", "w", force_zip64=True) as out,
    ):
        for _ in range(10_000):
            out.write(bytes(1_000_000))
    (folder / "root").mkdir()
    target = Target(folder / "root", folder / "root", lambda _: None, Behaviour(tries=1))

    def fetch() -> None:
        (found,) = ZipOrigin("a.zip", lambda: FileSource(folder / "a.zip"), Behaviour(tries=1), 100).fetch(
            [Want("a.jpg", "a.jpg")], target
        )
        assert found.status == "refused", found

    return fetch


def aliases(folder: Path) -> Work:
    """A config of 40 lines stands for 9 ** 40 values."""
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40))]
    (folder / "config.yaml").write_text("\n".join(lines), encoding="utf-8")

    def read() -> None:
        try:
            read_yaml(folder / "config.yaml")
        except CocomineError:
            return
        raise AssertionError("it was read")

    return read


CASES = {"joined": joined, "frames": frames, "bomb": bomb, "aliases": aliases}


def build(folder: Path, giants: bool) -> dict[str, tuple[float, float]]:
    """Build eight images; return each stage's seconds and peak MB."""
    images = folder / "data" / "all"
    images.mkdir(parents=True)
    (folder / "data" / "annotations").mkdir()
    sizes = [(640, 480)] * 8
    for number in range(8):
        draw(images, sizes, number)
    records, annotations = [], []
    for number in range(8):
        width, height = sizes[number]
        if giants and number < 2:
            width = height = 13_370
            name = f"{number:012d}.jpg"
            Image.effect_noise((1337, 1337), 50).resize((width, height)).save(images / name, quality=30)
        records.append({"id": number + 1, "file_name": f"{number:012d}.jpg", "width": width, "height": height})
        outlines = [ring(20, 100 + 40 * n, 100 + 20 * n, 50) for n in range(7)]
        if giants and number == 2:
            outlines = [ring(1_000_000, 320, 240, 200)]
        if giants and number == 3:
            outlines = [ring(4, 5 + n % 630, 5 + n // 630, 3) for n in range(200_000)]
        annotations += [
            {
                "image_id": number + 1, "category_id": 1, "iscrowd": 0, "segmentation": [outline.ravel().tolist()],
                "bbox": [*outline.min(axis=0).tolist(), *np.ptp(outline, axis=0).tolist()],
                "area": area(outline),
            }
            for outline in outlines
        ]  # fmt: skip
    document = {
        "categories": [{"id": 1, "name": "thing", "supercategory": "thing"}],
        "images": records,
        "annotations": [{"id": number, **record} for number, record in enumerate(annotations, start=1)],
    }
    (folder / "data" / "annotations" / "instances_all.json").write_text(json.dumps(document), encoding="utf-8")
    (folder / "work").mkdir()
    (folder / "work" / "config.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    return stages(folder / "work", 2)


def main() -> None:
    """Run each case in a process of its own, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("cases", nargs="*", default=[*CASES, "giants"])
    parser.add_argument("--here", action="store_true", help="run one case in this process")
    options = parser.parse_args()
    found: dict[str, list[float]] = {}
    for case in options.cases:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if options.here:
                work = CASES[case](folder)
                started = time.perf_counter()
                work()
                print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)
            elif case == "giants":
                (folder / "plain").mkdir()
                plain, giant = build(folder / "plain", False), build(folder / "giants", True)
                for stage in giant:
                    found[f"plain: {stage}"], found[f"giants: {stage}"] = list(plain[stage]), list(giant[stage])
            else:
                command = [sys.executable, __file__, "--here", case]
                said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
                found[case] = [float(word) for word in said[-2:]]
    for case, (seconds, megabytes) in found.items():
        print(f"{case:40}{seconds:10.2f} s{megabytes:8.0f} MB")
    if not options.here:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
