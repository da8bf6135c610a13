"""What each stage costs as a subset grows: seconds and peak memory at two sizes, and the exponent between them.

    ./run python tests/benchmarks/bench_scale.py [--sizes 1000 20000] [--full] [--blank]

Draws that many images and gives them the records of the real slice (a drawn polygon's where it is absent) under new
ids, builds them in place by the workflow (all categories, masks, three exports, no training), reads the seconds that
Snakemake took and looks at the memory itself. `--full` adds COCO's 118,287 images (hours on two cores), and
`--blank` draws every photograph grey, which is soon done and soon measured, told apart by a comment: then nothing is
sought among near-duplicates, and all else is as before. The last line is a JSON object: per stage the
seconds and the peak MB at each size, and how they grow: seconds ~ images ** exponent.
"""

import argparse
import csv
import json
import math
import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from helpers.shared import ROOT
from helpers.workflow import snakemake

Drawing = Callable[[Path, list[tuple[int, int]], int], None]
SHARED = Path(os.environ.get("COCOMINE_SHARED", ROOT.parent / "shared"))
FULL = 118_287
CONFIG = {
    "stores": {"many": {"folder": "../data"}},
    "sources": {"many": {"folder": "../data", "splits": ["all"]}},
    "subsets": {"everything": {}},
    "masks": {"outputs": ["semantic", "instance"]},
    "exports": ["coco", "yolo-segment", "masks"],
}


def records() -> tuple[list[tuple[int, int, list[dict[str, Any]]]], list[dict[str, Any]]]:
    """Return (width, height, annotations) of the images that are repeated, and the categories."""
    file = SHARED / "coco-mini" / "annotations" / "instances_train2017.json"
    if not file.is_file():
        outline = [[20.0, 20.0, 120.0, 30.0, 110.0, 140.0, 30.0, 120.0]]
        one = {"category_id": 1, "iscrowd": 0, "area": 9000.0, "bbox": [20.0, 20.0, 100.0, 120.0]}
        objects = [{**one, "segmentation": outline} for _ in range(7)]
        return [(640, 480, objects)], [{"id": 1, "name": "thing", "supercategory": "thing"}]
    document = json.loads(file.read_text(encoding="utf-8"))
    of_image: dict[int, list[dict[str, Any]]] = {}
    for annotation in document["annotations"]:
        of_image.setdefault(annotation["image_id"], []).append(annotation)
    images = [(i["width"], i["height"], of_image.get(i["id"], [])) for i in document["images"]]
    return images, document["categories"]


def draw(folder: Path, sizes: list[tuple[int, int]], number: int) -> None:
    """Draw an image like no other: smooth noise, so that no two are near-duplicates, of a real image's bytes."""
    random = np.random.default_rng(number)
    coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize(sizes[number % len(sizes)], Image.Resampling.BICUBIC), dtype=np.int16)
    grain = random.integers(-24, 25, smooth.shape[:2], dtype=np.int16)[:, :, None]
    Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8)).save(folder / f"{number:012d}.jpg", quality=88)


def draw_blank(folder: Path, sizes: list[tuple[int, int]], number: int) -> None:
    """Draw a grey image that differs from others by its comment alone."""
    image = Image.new("L", sizes[number % len(sizes)], 128)
    image.save(folder / f"{number:012d}.jpg", comment=f"number {number}")


def documents(count: int) -> Iterator[str]:
    """Yield the text of a document of `count` images, a piece at a time."""
    originals, categories = records()
    yield f'{{"categories": {json.dumps(categories)}, "images": ['
    for number in range(count):
        width, height, _ = originals[number % len(originals)]
        record = {"id": number + 1, "file_name": f"{number:012d}.jpg", "width": width, "height": height}
        yield (", " if number else "") + json.dumps(record)
    yield '], "annotations": ['
    identity = 0
    for number in range(count):
        for annotation in originals[number % len(originals)][2]:
            identity += 1
            yield (", " if identity > 1 else "") + json.dumps({**annotation, "id": identity, "image_id": number + 1})
    yield "]}"


def build(count: int, work: Path, cores: int, drawn: Drawing = draw) -> dict[str, tuple[float, float]]:
    """Build `count` images and return each rule's seconds and peak memory in MB."""
    images = work / "data" / "all"
    images.mkdir(parents=True)
    (work / "data" / "annotations").mkdir()
    with open(work / "data" / "annotations" / "instances_all.json", "w", encoding="utf-8") as out:
        out.writelines(documents(count))
    sizes = [(width, height) for width, height, _ in records()[0]]
    with ProcessPoolExecutor(cores) as pool:
        list(pool.map(partial(drawn, images, sizes), range(count), chunksize=64))
    (work / "work").mkdir()
    (work / "work" / "config.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    return stages(work / "work", cores)


def stages(work: Path, cores: int) -> dict[str, tuple[float, float]]:
    """Build `config.yaml` of a folder and return each rule's seconds and peak memory in MB."""
    with peaks_of_rules() as peaks:
        done = snakemake(work, "--configfile", str(work / "config.yaml"), "--cores", str(cores))
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    result: dict[str, tuple[float, float]] = {}
    for file in sorted((work / "benchmarks").rglob("*.tsv")):
        with open(file, encoding="utf-8") as lines:
            row = next(csv.DictReader(lines, delimiter="\t"))
        name = file.relative_to(work / "benchmarks").parts[0]
        name += f" {file.stem}" if name == "export_dataset" else ""
        result[name] = (float(row["s"]), peaks.get(name, 0.0))
    return result


@contextmanager
def peaks_of_rules() -> Iterator[dict[str, float]]:
    """Yield the peak memory in MB of each rule's script with its workers, looked at all the time.

    Snakemake looks the less often the longer a job runs, and misses most peaks.
    """
    peaks: dict[str, float] = {}
    over = threading.Event()

    def watch() -> None:
        me = psutil.Process()
        while not over.wait(0.2):
            now: Counter[str] = Counter()
            for process in me.children(recursive=True):
                with suppress(psutil.Error):
                    now[rule_of(process.cmdline())] += process.memory_info().rss / 1e6
            for name, total in now.items():
                peaks[name] = max(peaks.get(name, 0.0), total)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peaks
    finally:
        over.set()
        watcher.join()


def rule_of(command: list[str]) -> str:
    """Return the rule that a process works for by its command line, an export with its format; "" for none."""
    script = command[1] if len(command) > 1 else ""
    name = Path(script).stem if Path(script).parent == ROOT / "scripts" else ""
    return f"{name} {command[command.index('--format') + 1]}" if name == "export_dataset" else name


def main() -> None:
    """Build each size, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 20_000], help="numbers of images")
    parser.add_argument("--full", action="store_true", help=f"add COCO's {FULL} images")
    parser.add_argument("--blank", action="store_true", help="grey photographs")
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    sizes = sorted({*options.sizes, *([FULL] if options.full else [])})
    found = []
    for count in sizes:
        with tempfile.TemporaryDirectory() as folder:
            found.append(build(count, Path(folder), options.cores, draw_blank if options.blank else draw))
    print(f"{'stage':28}" + "".join(f"{count:>10} s {'MB':>8}" for count in sizes) + f"{'exponent':>10}")
    table = {}
    for name in found[-1]:
        row = [run.get(name, (0.0, 0.0)) for run in found]
        first, last = max(row[0][0], 0.01), max(row[-1][0], 0.01)
        exponent = math.log(last / first) / math.log(sizes[-1] / sizes[0]) if len(sizes) > 1 else None
        table[name] = {"seconds": [r[0] for r in row], "peak_mb": [r[1] for r in row], "exponent": exponent}
        print(f"{name:28}" + "".join(f"{r[0]:12.1f} {r[1]:8.0f}" for r in row) + f"{exponent or 0:10.2f}")
    print(json.dumps({"images": sizes, "stages": table}))


if __name__ == "__main__":
    main()
