"""What each stage costs as a subset grows: seconds and peak memory at two sizes, and the exponent between them.

    ./run python tests/benchmarks/bench_scale.py [--sizes 1000 20000] [--full] [--blank | --slice]
    ./run python tests/benchmarks/bench_scale.py --before COMMIT [--sizes 20000] [--pairs 1]

Draws that many images and gives them the records of the real slice (a drawn polygon's where it is absent) under new
ids, builds them in place by the workflow (all categories, masks, three exports, no training), reads the seconds that
Snakemake took and looks at the memory itself. `--full` adds COCO's 118,287 images (hours on two cores), and
`--blank` draws every photograph grey, which is soon done and soon measured, told apart by a comment: then nothing is
sought among near-duplicates, and all else is as before. `--slice` takes the photographs of the slice itself, repeated
and told apart by a comment; near-duplicates are then allowed, since all of them are. The last line is a JSON object:
per stage the seconds and the peak MB at each size, and how they grow: seconds ~ images ** exponent.

`--before` builds the same photographs with another commit in its own environment and with this tree by turns, and
prints the seconds of each stage on the clock, and of the whole also those of processors; the last line is a JSON object
of the same.
"""

import argparse
import csv
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psutil
import yaml
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from helpers.shared import ROOT
from helpers.workflow import snakemake

ALLOWED = {"split": {"near_duplicates": "allow"}}
T = TypeVar("T")
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


def repeat(folder: Path, photographs: list[Path], number: int) -> None:
    """Copy a photograph of the slice with a comment of its own right behind the JPEG's first marker."""
    data = photographs[number % len(photographs)].read_bytes()
    comment = f"number {number}".encode()
    marked = data[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2) + comment + data[2:]
    (folder / f"{number:012d}.jpg").write_bytes(marked)


def photographs_of_the_slice() -> list[Path]:
    """Return the photograph of each record of the slice, in their order.

    Raises:
        SystemExit: The slice is not there.
    """
    folder = SHARED / "coco-mini"
    file = folder / "annotations" / "instances_train2017.json"
    if not file.is_file():
        raise SystemExit(f"{folder} is absent: the comparison needs its photographs")
    names = [image["file_name"] for image in json.loads(file.read_text(encoding="utf-8"))["images"]]
    return [folder / "train2017" / name for name in names]


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


def build(count: int, work: Path, cores: int, kind: str) -> dict[str, tuple[float, float]]:
    """Build `count` images and return each rule's seconds and peak memory in MB."""
    if kind == "slice":
        make_data(count, work, cores, repeat, photographs_of_the_slice())
    else:
        sizes = [(width, height) for width, height, _ in records()[0]]
        make_data(count, work, cores, draw_blank if kind == "blank" else draw, sizes)
    return stages(configured(work / "work", CONFIG | (ALLOWED if kind == "slice" else {})), cores)


def make_data(count: int, work: Path, cores: int, made: Callable[[Path, list[T], int], None], models: list[T]) -> None:
    """Write `count` images, made each by its model, and their records into `data` of a folder."""
    images = work / "data" / "all"
    images.mkdir(parents=True)
    (work / "data" / "annotations").mkdir()
    with open(work / "data" / "annotations" / "instances_all.json", "w", encoding="utf-8") as out:
        out.writelines(documents(count))
    with ProcessPoolExecutor(cores) as pool:
        list(pool.map(partial(made, images, models), range(count), chunksize=64))


def configured(work: Path, config: dict[str, Any]) -> Path:
    """Make a folder to build in, beside `data`."""
    work.mkdir()
    (work / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return work


def stages(work: Path, cores: int) -> dict[str, tuple[float, float]]:
    """Build `config.yaml` of a folder; return each rule's seconds and peak memory in MB, and those of the whole."""
    start = time.perf_counter()
    with peaks_of_rules() as peaks:
        done = snakemake(work, "--configfile", str(work / "config.yaml"), "--cores", str(cores))
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found = {name: (seconds, peaks.get(name, 0.0)) for name, seconds in seconds_of_rules(work).items()}
    return found | {"the whole": (time.perf_counter() - start, max(peaks.values(), default=0.0))}


def seconds_of_rules(work: Path) -> dict[str, float]:
    """Return the seconds on the clock of each rule of a build, by Snakemake's own measure."""
    result: dict[str, float] = {}
    for file in sorted((work / "benchmarks").rglob("*.tsv")):
        with open(file, encoding="utf-8") as lines:
            row = next(csv.DictReader(lines, delimiter="\t"))
        name = file.relative_to(work / "benchmarks").parts[0]
        name += f" {file.stem}" if name == "export_dataset" else ""
        result[name] = float(row["s"])
    return result


def compare(commit: str, count: int, cores: int, pairs: int) -> None:
    """Build with `commit` and with this tree by turns, and print what each stage of both took."""
    with tempfile.TemporaryDirectory() as name, tree_of(commit, Path(name) / "before") as before:
        folder = Path(name)
        make_data(count, folder, cores, repeat, photographs_of_the_slice())
        both: dict[str, list[dict[str, float]]] = {commit: [], "now": []}
        for turn in range(2 * pairs):
            side, tree = ("now", ROOT) if turn % 2 else (commit, before)
            # What was built stays until the end: ext4 is slow to make files where many were removed a moment ago.
            both[side].append(timed(tree, folder / f"work{turn}", cores))
    print(f"{'stage':28}{commit:>24}{'now':>24}{'ratio':>8}")
    for stage in dict.fromkeys(stage for runs in both.values() for run in runs for stage in run):
        row = [[run[stage] for run in runs if stage in run] for runs in both.values()]
        texts = ["".join(f"{seconds:8.1f}" for seconds in side) for side in row]
        ratio = f"{min(row[1]) / min(row[0]):8.2f}" if all(row) else ""
        print(f"{stage:28}{texts[0]:>24}{texts[1]:>24}{ratio}")
    print(json.dumps({"images": count, "seconds": both}))


@contextmanager
def tree_of(commit: str, folder: Path) -> Iterator[Path]:
    """Yield another commit's tree with its own environment."""
    subprocess.run(["git", "-C", ROOT, "worktree", "add", "--quiet", "--detach", folder, commit], check=True)
    try:
        subprocess.run([folder / "run", "python", "-c", ""], check=True, capture_output=True)
        yield folder
    finally:
        subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", folder], check=True)


def timed(tree: Path, work: Path, cores: int) -> dict[str, float]:
    """Build in a new folder by the tree's own command and return each rule's seconds and the whole's."""
    # At 20e7f6e and before, what keeps near-duplicates together had another name.
    renamed = "split.near_duplicates" in (tree / "config" / "README.md").read_text(encoding="utf-8")
    configured(work, CONFIG | (ALLOWED if renamed else {"split": {"twins": "allow"}}))
    command = [tree / "run", "snakemake", "--snakefile", tree / "Snakefile", "--directory", work]
    command += ["--configfile", work / "config.yaml", "--cores", str(cores)]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    processors = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = seconds_of_rules(work)
    but = seconds - found.get("render_explorer", 0.0)
    return found | {"the whole but for the explorer": but, "the whole": seconds, "processors, the whole": processors}


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
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--blank", dest="kind", action="store_const", const="blank", help="grey photographs")
    kinds.add_argument("--slice", dest="kind", action="store_const", const="slice", help="those of the slice, repeated")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--before", metavar="COMMIT", help="build the slice's with this commit and this tree by turns")
    parser.add_argument("--pairs", type=int, default=1, help="turns of `--before`")
    options = parser.parse_args()
    if options.before:
        if options.kind:
            parser.error("--before builds the photographs of the slice")
        compare(options.before, max(options.sizes), options.cores, options.pairs)
        return
    sizes = sorted({*options.sizes, *([FULL] if options.full else [])})
    found = []
    for count in sizes:
        with tempfile.TemporaryDirectory() as folder:
            found.append(build(count, Path(folder), options.cores, options.kind or "drawn"))
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
