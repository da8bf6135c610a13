"""Benchmark of reading and mining: an annotation file to a mined subset on disk, by cocomine, pycocotools and hotcoco.

It makes its own file by repeating the real records of coco-mini under new ids: with --full one of the size of COCO's
instances_train2017 (118,287 images, about 1.03 million annotations, 590 MB), otherwise a tenth of that. Then both run
in turn, A B A B, each as a program of its own that ends with a subset of giraffe, bus, broccoli and laptop on disk,
and the subsets are checked to hold the same images and annotations.

  cold     pycocotools: COCO(file), getImgIds, loadAnns, json.dump. cocomine: index with every check that needs no
           drawing and no JPEG, select from the index, write. Seconds of the whole program, from start to end.
  hotcoco  COCO(file), filter, save, in its own environment (make_peers.py hotcoco); it checks no record, and its next
           question loads the file again
  index    the index alone, as part of `cold`
  select   from the index on disk to the subset on disk, without the start of the program
  all 80   the same for all classes, against a copy of the file (`copy`); both write a new file and wait for no disk
  processor  seconds of processor time in the program and its children, which another load disturbs less
  programs index_annotations, mine_subset and assemble_subset one after the other, with all files that they write
  count    count_subset.py 'giraffe and not person' from the index, from the program's start to its end

  python tests/benchmarks/bench_mine.py [--full] [--pairs N]

The last line is one JSON object: sizes, median seconds, `peak_mb` of the process tree (`programs_peak_mb` the largest
of the three programs), `ratio_vs_pycocotools` (cold), `ratio_vs_pycocotools_programs` (the three programs),
`ratio_vs_pycocotools_index` (from the index; above 1: ours is faster), `ratio_vs_hotcoco` (cold; null if not run),
`copy_ratio` (all classes, in copies of the file) and `flatness` (microseconds of index an annotation at the full size
over those at 40,000; 1 is flat).
"""

import argparse
import json
import os
import re
import resource
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
sys.path.insert(0, str(ROOT / "tests"))

from cocomine.coco.reader import load_document  # noqa: E402
from helpers.measured import run_measured  # noqa: E402
from helpers.peers import PEERS  # noqa: E402
from helpers.shared import coco_mini  # noqa: E402

HOTCOCO_PYTHON = PEERS / "hotcoco" / "bin" / "python"

CLASSES = ["giraffe", "bus", "broccoli", "laptop"]
QUESTION = "giraffe and not person"
IMAGES, ANNOTATIONS = 118_287, 1_026_726

PEER = """
import json, sys, time
from pycocotools.coco import COCO
started = time.perf_counter()
source, target, names = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
coco = COCO(source)
classes = coco.getCatIds(catNms=names)
images = set()
for one in classes:
    images |= set(coco.getImgIds(catIds=[one]))
images = sorted(images)
subset = {
    "images": coco.loadImgs(images),
    "annotations": coco.loadAnns(coco.getAnnIds(imgIds=images, catIds=classes)),
    "categories": coco.loadCats(classes),
}
with open(target, "w") as out:
    json.dump(subset, out)
print(json.dumps({"inner": time.perf_counter() - started}))
"""

HOTCOCO = """
import json, sys
from hotcoco import COCO
source, target, names = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
coco = COCO(source)
coco.filter(cat_ids=coco.get_cat_ids(cat_nms=names)).save(target)
"""

OURS = """
import json, logging, os, sys, time
from pathlib import Path
sys.path.insert(0, os.environ["SCRIPTS"])
import numpy as np
from cocomine.annotations.build import build_index
from cocomine.coco.writer import write_document
from cocomine.mining.examine import spans_of
from cocomine.mining.index import read_source
from cocomine.mining.select import select
from cocomine.mining.settings import SubsetSettings
from cocomine.mining.spans import SpanFile, coalesce, copied

source, target, names, index = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]), Path(sys.argv[4])
seconds = {}
started = time.perf_counter()
if "index" in sys.argv[5]:
    build_index(source, "instances", "train2017", index / "instances_train2017", int(os.environ["THREADS"]))
    seconds["index"] = time.perf_counter() - started
if "select" in sys.argv[5]:
    started = time.perf_counter()
    table = read_source(index, ["train2017"])
    selection = select(table, SubsetSettings.from_mapping({"categories": names}), index, None)
    images, labels = np.sort(selection.chosen.rows), np.flatnonzero(selection.funnel.annotation_alive)
    wanted = {table.categories[number].id for number in selection.wanted.classes}
    manifest = table.splits[0].manifest
    with SpanFile(source, manifest["bytes"]) as file:
        def pieces(of, rows):
            spans = spans_of(of, rows)
            return copied(file, *coalesce(spans.sequence, spans.offset, spans.length))
        kept = [s for s, c in zip(manifest["categories_spans"], manifest["categories"]) if c["id"] in wanted]
        write_document(
            target, file.raw(*manifest["info_span"]), file.raw(*manifest["licenses_span"]),
            pieces(table.images, images), pieces(table.annotations, labels), [file.raw(*span) for span in kept],
        )
    seconds["select"] = time.perf_counter() - started
print(json.dumps(seconds))
"""


def make_file(path: Path, images: int, annotations: int) -> int:
    """Write an instances file of `images` images and about as many annotations; return how many it has.

    The images of coco-mini come round in turn, and those with most annotations once more where the mean asks for it,
    each with all its annotations, byte for byte but for the ids.
    """
    document = load_document(coco_mini() / "annotations" / "instances_train2017.json")
    parts: dict[int, list[list[bytes]]] = {image.id: [] for image in document.images}
    for record in document.annotations:
        parts[record.image_id].append(re.split(rb'(?<="image_id": )\d+|(?<="id": )\d+', bytes(record.raw)))
    turn = list(document.images)
    heaviest = iter(sorted(document.images, key=lambda image: (-len(parts[image.id]), image.id)))
    while sum(len(parts[image.id]) for image in turn) < len(turn) * annotations / images:
        turn.append(next(heaviest))
    written = 0
    with open(path, "wb", buffering=1 << 20) as out:
        out.write(b'{"info": %b, "licenses": %b, "images": [' % (document.info_raw, document.licenses_raw))
        for number in range(images):
            image = turn[number % len(turn)]
            text = bytes(image.raw).replace(image.file_name.encode(), b"%012d.jpg" % (number + 1))
            out.write((b", " if number else b"") + re.sub(rb'(?<="id": )\d+', b"%d" % (number + 1), text))
        out.write(b'], "annotations": [')
        for number in range(images):
            for before, between, after in parts[turn[number % len(turn)].id]:
                written += 1
                out.write(b", " if written > 1 else b"")
                out.write(b"%b%d%b%d%b" % (before, number + 1, between, written, after))
        out.write(b'], "categories": [%b]}' % b", ".join(bytes(category.raw) for category in document.categories))
    return written


def run(command: list[str], environment: dict[str, str]) -> tuple[float, float, dict[str, float]]:
    """Run a program; return its seconds, the peak memory of its process tree in MB and what its last line says."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    measured = run_measured(command, environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = measured.output.strip().splitlines()
    said: dict[str, float] = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    said["processor"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return measured.seconds, measured.peak_mb, said


def ids_of(path: Path) -> list[list[int]]:
    """Return the sorted ids of a subset's images, annotations and categories."""
    document = json.loads(path.read_bytes())
    return [sorted(record["id"] for record in document[key]) for key in ("images", "annotations", "categories")]


def main() -> None:
    """Run the benchmark and print its table and its JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the size of train2017 instead of a tenth")
    parser.add_argument("--pairs", type=int, default=5, help="how often both run (default 5)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench_mine_") as name:
        measure(Path(name), 1 if options.full else 10, options.pairs)


def measure(folder: Path, part: int, pairs: int) -> None:
    """Measure in `folder` with a file of one `part`-th of train2017."""
    environment = {**os.environ, "TQDM_DISABLE": "1", "SCRIPTS": str(ROOT / "scripts"), "THREADS": "2"}
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "pycache")  # both find their modules compiled
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    annotations_dir = folder / "annotations"
    annotations_dir.mkdir()
    source, index = annotations_dir / "instances_train2017.json", annotations_dir / "index"
    theirs, ours = folder / "theirs.json", folder / "ours.json"
    flat = {}
    for images, pieces in ((4_610, 40_000), (IMAGES // part, ANNOTATIONS // part)):  # the small one also warms up
        count = make_file(source, images, pieces)
        for _ in range(3):
            _, _, seconds = run(program(OURS, source, ours, CLASSES, index, "index"), environment)
            flat[count] = min(flat.get(count, 9e9), 1e6 * seconds["index"] / count)
        if images < 10_000:
            run(program(PEER, source, theirs, CLASSES), environment)
            run(program(OURS, source, ours, CLASSES, index, "select"), environment)
    figures: dict[str, list[float]] = {}

    def note(key: str, value: float) -> None:
        figures.setdefault(key, []).append(value)

    everything = [
        record["name"] for record in json.loads((index / "instances_train2017/index.json").read_bytes())["categories"]
    ]
    for _ in range(pairs):
        if HOTCOCO_PYTHON.exists():
            command = [str(HOTCOCO_PYTHON), *program(HOTCOCO, source, theirs, CLASSES)[1:]]
            seconds, peak, inner = run(command, environment)
            note("hotcoco", seconds)
            note("hotcoco_processor", inner["processor"])
            note("hotcoco_mb", peak)
            hot = ids_of(theirs)[:2]  # it keeps all categories
        seconds, peak, inner = run(program(PEER, source, theirs, CLASSES), environment)
        note("pycocotools", seconds)
        note("pycocotools_inner", inner["inner"])
        note("pycocotools_processor", inner["processor"])
        note("pycocotools_mb", peak)
        shutil.rmtree(index)
        seconds, peak, inner = run(program(OURS, source, ours, CLASSES, index, "index+select"), environment)
        note("cold", seconds)
        note("cold_processor", inner["processor"])
        note("cold_mb", peak)
        note("index", inner["index"])
        _, _, inner = run(program(OURS, source, ours, CLASSES, index, "select"), environment)
        note("select", inner["select"])
        assert ids_of(ours) == ids_of(theirs), "the subsets differ"
        assert not HOTCOCO_PYTHON.exists() or ids_of(ours)[:2] == hot, "hotcoco's subset differs"
        # Both write a new file; removing the one of the turn before is not part of either.
        copy, all_80 = folder / "copy.json", folder / "all.json"
        for path in (copy, all_80):
            path.unlink(missing_ok=True)
        started = time.perf_counter()
        shutil.copyfile(source, copy)
        note("copy", time.perf_counter() - started)
        _, _, inner = run(program(OURS, source, all_80, everything, index, "select"), environment)
        note("all_80", inner["select"])
        question = [sys.executable, str(ROOT / "scripts/count_subset.py"), QUESTION, "--index-dir", str(index)]
        note("count", run(question, environment)[0])
    seconds, peak = run_programs(folder, source, index, environment)
    note("programs", seconds)
    note("programs_mb", peak)
    report(figures, flat, source.stat().st_size, count)


def program(code: str, source: Path, target: Path, names: list[str], *more: object) -> list[str]:
    """Return the command that runs `code` on `source`."""
    return [sys.executable, "-c", code, str(source), str(target), json.dumps(names), *map(str, more)]


def run_programs(folder: Path, source: Path, index: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Run the three programs as the workflow does, drawing aside; return their seconds together, and the peak in MB."""
    scripts = ROOT / "scripts"
    settings = json.dumps({"categories": CLASSES, "check_areas": False})
    selection, funnel = folder / "selection.tsv", folder / "funnel.json"
    both = ["--settings", settings, "--index-dir", str(index), "--selection", str(selection), "--funnel", str(funnel)]
    out = ["--out-dir", str(index / "instances_train2017")]
    commands = [
        ["index_annotations.py", "--task", "instances", "--annotations", str(source), "--threads", "2", *out],
        ["mine_subset.py", *both, "--splits", "train2017"],
        ["assemble_subset.py", *both, "--annotations-dir", str(source.parent), "--out-dir", str(folder / "subset")],
    ]
    runs = [run([sys.executable, str(scripts / name), *rest], environment) for name, *rest in commands]
    return sum(seconds for seconds, _, _ in runs), max(peak for _, peak, _ in runs)


def report(figures: dict[str, list[float]], flat: dict[int, float], size: int, count: int) -> None:
    """Print the table and the JSON line."""
    print(f"{count:,} annotations, {size / 1e6:.0f} MB, {len(figures['cold'])} pairs; seconds unless said otherwise")
    print(f"{'':20}{'median':>10}{'least':>10}{'most':>10}")
    middle = {key: statistics.median(values) for key, values in figures.items()}
    for key, values in figures.items():
        print(f"{key:20}{middle[key]:10.3f}{min(values):10.3f}{max(values):10.3f}")
    for number, microseconds in flat.items():
        print(f"index of {number:>9,} annotations: {microseconds:.2f} microseconds each")
    smallest, largest = min(flat), max(flat)
    result = {
        "annotations": count,
        "bytes": size,
        "pairs": len(figures["cold"]),
        "seconds": {key: round(value, 3) for key, value in middle.items() if not key.endswith("_mb")},
        "peak_mb": round(max(figures["cold_mb"])),
        "programs_peak_mb": round(max(figures["programs_mb"])),
        "pycocotools_peak_mb": round(max(figures["pycocotools_mb"])),
        "ratio_vs_pycocotools": round(middle["pycocotools"] / middle["cold"], 2),
        "ratio_vs_pycocotools_programs": round(middle["pycocotools"] / middle["programs"], 2),
        "ratio_vs_pycocotools_index": round(middle["pycocotools_inner"] / middle["select"], 1),
        "ratio_vs_hotcoco": round(middle["hotcoco"] / middle["cold"], 2) if "hotcoco" in middle else None,
        "copy_ratio": round(middle["all_80"] / middle["copy"], 2),
        "flatness": round(flat[largest] / flat[smallest], 2),
    }
    if "hotcoco" not in middle:
        print("hotcoco: not run (python tests/benchmarks/make_peers.py hotcoco)")
    print(json.dumps(result, sort_keys=True))


if __name__ == "__main__":
    main()
