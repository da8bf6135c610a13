"""Benchmark of masks: annotations to PNG files, against the usual loop over pycocotools' annToMask.

It draws its own subset (640 × 480, eight objects an image, outlines of 12 to 60 points, one object in eight of two
parts) and runs both sides in turn, A B A B, in one process each on one core:

  files   ours: rasterize_masks, from the JSON file to PNGs, tables and hashes. Theirs: from the loaded annotations,
          annToMask per object, boolean assignment, Image.save as it is by default.
  draw    ours: from the records' JSON text to filled arrays. Theirs: the same loop without saving.

It checks that every pixel agrees and that our files are no larger. Then: two processes against one; peak memory with
four times the images; and relabel_masks against the paper's Algorithm 2 as printed (on a few rows of one image). Where
.peers/numba exists (make_peers.py numba), the composition compiled by numba is timed too.

  python tests/benchmarks/bench_masks.py [--full]

The last line is one JSON object: sizes, median seconds, `peak_mb` of the process tree, and ratios above 1 where ours is
faster: `ratio_vs_pycocotools` (files), `ratio_vs_pycocotools_draw`.
"""

import argparse
import contextlib
import io
import itertools
import json
import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image
from pycocotools.coco import COCO

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from cocomine.base.files import write_json, write_table  # noqa: E402
from cocomine.masks import png  # noqa: E402
from cocomine.masks.batch import prepare, semantic_values  # noqa: E402
from cocomine.masks.draw import rasterize_masks  # noqa: E402
from cocomine.masks.inputs import read_images, read_labels  # noqa: E402
from cocomine.masks.rasters import fill  # noqa: E402
from cocomine.masks.relabel import looked_up, relabel_folder, tables_of  # noqa: E402
from cocomine.masks.settings import MaskSettings  # noqa: E402
from cocomine.masks.subset import Records, Sources, batches  # noqa: E402

HEIGHT, WIDTH, OBJECTS, CLASSES = 480, 640, 8, 8
SETTINGS = MaskSettings(overlap="annotation-order", contact_sheet=0)
NUMBA = Path(os.environ.get("COCOMINE_PEERS", ROOT / ".peers")) / "numba" / "bin" / "python"


def draw_subset(folder: Path, images: int) -> None:
    """Write subset.json, images.tsv and labels.json: blobs with wavy outlines, in COCO's two decimals."""
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True)
    annotations = []
    for image in range(1, images + 1):
        for number in range(OBJECTS):
            radius = float(np.exp(generator.uniform(np.log(8), np.log(150))))
            center = generator.uniform((0, 0), (WIDTH, HEIGHT))
            parts = []
            for part in range(1 + (number == 0)):
                points = int(generator.integers(12, 61))
                angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
                reach = radius * (
                    1 + 0.25 * np.sin(3 * angles + generator.uniform(0, 6)) + 0.1 * generator.random(points)
                )
                outline = center + part * radius + np.stack([np.cos(angles), np.sin(angles)], 1) * reach[:, None]
                parts.append(np.clip(outline, 0, (WIDTH, HEIGHT)).round(2).ravel().tolist())
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image, "category_id": int(generator.integers(1, CLASSES + 1)),
                 "iscrowd": 0, "area": 1.0, "bbox": [0, 0, 1, 1], "segmentation": parts}
            )  # fmt: skip
    categories = [{"id": number, "name": f"class {number}"} for number in range(1, CLASSES + 1)]
    pictures = [
        {"id": image, "file_name": f"{image:012}.jpg", "width": WIDTH, "height": HEIGHT}
        for image in range(1, images + 1)
    ]
    document = {"images": pictures, "annotations": annotations, "categories": categories}
    (folder / "subset.json").write_text(json.dumps(document))
    rows = ((p["id"], p["file_name"], p["file_name"], WIDTH, HEIGHT) for p in pictures)
    write_table(folder / "images.tsv", ("image_id", "file_name", "store_path", "width", "height"), rows)
    labels = [{"label": n, "name": f"class {n}", "color": [n * 29 % 256, n * 67 % 256, 90]} for n in range(CLASSES + 1)]
    write_json(
        folder / "labels.json", {"labels": labels, "category_to_label": {str(n): n for n in range(1, CLASSES + 1)}}
    )


def their_masks(coco: COCO, image: dict[str, Any]) -> np.ndarray:
    """Return the mask of an image as everybody draws it."""
    mask = np.zeros((image["height"], image["width"]), np.uint8)
    for annotation in coco.imgToAnns[image["id"]]:
        mask[coco.annToMask(annotation) == 1] = annotation["category_id"]
    return mask


def their_files(coco: COCO, folder: Path) -> None:
    """Write every mask with Pillow's defaults, into a new folder as we do."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for image in coco.dataset["images"]:
        Image.fromarray(their_masks(coco, image)).save(folder / f"{image['id']:012}.png")


def their_drawing(coco: COCO) -> None:
    """Draw every mask and drop it."""
    for image in coco.dataset["images"]:
        their_masks(coco, image)


def sources(folder: Path) -> Sources:
    """Return the files of a drawn subset."""
    return Sources(folder / "images.tsv", folder / "labels.json", folder / "subset.json")


def our_drawing(folder: Path) -> None:
    """Draw every mask and drop it."""
    labels, records = read_labels(folder / "labels.json"), Records(SETTINGS, sources(folder))
    for tasks in batches(read_images(folder / "images.tsv"), records):
        batch, _ = prepare(SETTINGS, labels, (), tasks)
        fill(batch, semantic_values(SETTINGS, batch), np.uint8)
    records.close()


def in_turn(one: Callable[[], object], other: Callable[[], object], pairs: int) -> tuple[list[float], list[float]]:
    """Run both in turn, A B A B …, after one run each that is not counted; return their seconds."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(pairs + 1):
        for side, work in enumerate((one, other)):
            started = time.perf_counter()
            work()
            if number:
                seconds[side].append(time.perf_counter() - started)
    return seconds


def report(name: str, theirs: list[float], ours: list[float], images: int) -> float:
    """Print a line of the table and return the median of the pairs' ratios."""
    ratios = [one / other for one, other in zip(theirs, ours, strict=True)]
    ratio = statistics.median(ratios)
    print(
        f"{name:34} {images / statistics.median(theirs):9.0f} {images / statistics.median(ours):9.0f}"
        f" {ratio:7.2f}   ({min(ratios):.2f} to {max(ratios):.2f})"
    )
    return ratio


def check_same(folder: Path, theirs: Path) -> tuple[int, int]:
    """Check that every pixel agrees and return the bytes of their files and of ours."""
    sizes = [0, 0]
    files = sorted(theirs.iterdir())
    for file in files:
        mine = folder / "masks" / "semantic" / file.name
        assert np.array_equal(np.asarray(Image.open(file)), np.asarray(Image.open(mine))), f"{file.name}: pixels differ"
        sizes[0] += file.stat().st_size
        sizes[1] += mine.stat().st_size
    assert len(files) == len(list((folder / "masks" / "semantic").iterdir()))
    return sizes[0], sizes[1]


def peak_of_script(folder: Path, threads: int) -> tuple[float, float]:
    """Run rasterize_masks.py; return its seconds and the peak memory of its process tree in MB."""
    command = [
        sys.executable, str(ROOT / "scripts" / "rasterize_masks.py"), "--settings", '{"contact_sheet": 0}',
        "--subset", str(folder / "subset.json"), "--images", str(folder / "images.tsv"),
        "--labels", str(folder / "labels.json"), "--out-dir", str(folder), "--threads", str(threads),
    ]  # fmt: skip
    started = time.perf_counter()
    process = psutil.Popen(command, stderr=subprocess.DEVNULL)
    peak, over = [0.0], threading.Event()

    def watch() -> None:
        while not over.is_set():
            with contextlib.suppress(psutil.Error):
                # Pages that forked processes share count once (PSS).
                tree = [process, *process.children(recursive=True)]
                peak[0] = max(peak[0], sum(one.memory_full_info().pss for one in tree) / 1e6)
            over.wait(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    seconds = time.perf_counter() - started
    over.set()
    watcher.join()
    assert code == 0
    return seconds, peak[0]


def grey_masks(folder: Path, drawn: list[Path], classes: int) -> np.ndarray:
    """Write the drawn masks as grey PNGs whose `classes` + 1 values lie spread over 0..255; return the values."""
    colors = np.linspace(0, 255, classes + 1).astype(np.uint8)
    folder.mkdir(parents=True)
    for number, file in enumerate(drawn):
        # Another stretch of the values in each mask, so that all of them occur.
        label = np.asarray(Image.open(file)).astype(np.int64)
        Image.fromarray(colors[np.where(label, (label + number * CLASSES) % (classes + 1), 0)]).save(folder / file.name)
    return colors


def relabel_ratios(folder: Path, pairs: int, classes: int) -> dict[str, float]:
    """Time the paper's loop on every 16th row of a mask, and ours on all masks; return seconds an image, ratios.

    The loop is Algorithm 2 as printed: over the images of an array (m, h, w), their rows and columns, and over all
    values that are known from `np.unique`; a pixel of a known value becomes its index.
    """
    masks, out = folder / f"grey_{classes}", folder / f"relabelled_{classes}"
    colors = grey_masks(masks, sorted((folder / "masks" / "semantic").iterdir()), classes)
    files = sorted(masks.iterdir())
    values = np.asarray(Image.open(files[0]))
    mapping = {str(value): label for label, value in enumerate(colors.tolist())}

    def paper() -> None:
        array = values[None, ::16].copy()
        known = np.unique(colors)
        m, h, w = array.shape
        for image in range(m):
            for row in range(h):
                for column in range(w):
                    for k in range(len(known)):
                        if array[image, row, column] == known[k]:
                            array[image, row, column] = k

    def coding() -> None:
        for file in files:
            picture = np.asarray(Image.open(file))
            (folder / "copy.png").write_bytes(png.indexed(picture % 9, 8, bytes(27)))

    table, _ = tables_of("grey", colors.astype(np.int64).tobytes(), bytes(range(classes + 1)))

    def lookup() -> None:
        looked_up(values, table)

    _, looked = in_turn(paper, lookup, pairs)
    loop, ours = in_turn(paper, lambda: relabel_folder(masks, out, mapping), pairs)
    coded, again = in_turn(coding, lambda: relabel_folder(masks, out, mapping), pairs)
    an_image = statistics.median(loop) * 16
    whole = statistics.median([*ours, *again]) / len(files)
    only_coding = statistics.median(coded) / len(files)
    return {
        "paper_loop_s": an_image,
        "relabel_s": whole,
        "png_coding_s": only_coding,
        "ratio_relabel_vs_paper": an_image / whole,
        "ratio_relabel_lookup_vs_paper": an_image / statistics.median(looked),
    }


def print_relabel(figures: dict[str, float], values: int) -> None:
    """Print what relabelling masks of so many values took."""
    tool, coding = figures["relabel_s"] * 1e3, figures["png_coding_s"] * 1e3
    print(
        f"relabel, {values} values: the paper's loop {figures['paper_loop_s']:.2f} s an image; the whole tool "
        f"{tool:.2f} ms ({figures['ratio_relabel_vs_paper']:.0f} times as fast), of which PNG coding {coding:.2f} ms; "
        f"the look-up alone {figures['ratio_relabel_lookup_vs_paper']:.0f} times"
    )


NUMBA_PROGRAM = """
import json, sys, time
import numpy as np, numba
from pycocotools import mask as coco_mask

@numba.njit(cache=False)
def paint(counts, starts, values, flat):
    for number in range(len(values)):
        place = 0
        for i in range(starts[number], starts[number + 1]):
            if (i - starts[number]) % 2:
                for p in range(place, place + counts[i]):
                    flat[p] = values[number]
            place += counts[i]

@numba.njit(cache=False)
def decode(text, counts):
    n = p = 0
    while p < len(text):
        x = 0; k = 0; more = True
        while more:
            c = text[p] - 48
            x |= (c & 31) << (5 * k)
            more = (c & 32) != 0
            p += 1; k += 1
            if not more and (c & 16):
                x |= -1 << (5 * k)
        if n > 2:
            x += counts[n - 2]
        counts[n] = x
        n += 1
    return n

def draw(records, height, width):
    pieces, starts, values = [], [0], []
    for record in records:
        text = coco_mask.merge(coco_mask.frPyObjects(record["segmentation"], height, width))["counts"]
        counts = np.empty(len(text) + 1, np.int64)
        n = decode(np.frombuffer(text, np.uint8), counts)
        pieces.append(counts[:n]); starts.append(starts[-1] + n); values.append(record["category_id"])
    flat = np.zeros(height * width, np.uint8)
    paint(np.concatenate(pieces), np.array(starts), np.array(values, np.uint8), flat)
    return np.ascontiguousarray(flat.reshape(width, height).T)

started = time.perf_counter()
document = json.load(open(sys.argv[1]))
by_image = {}
for record in document["annotations"]:
    by_image.setdefault(record["image_id"], []).append(record)
images = document["images"]
first = time.perf_counter()
draw(by_image[1], images[0]["height"], images[0]["width"])
compiling = time.perf_counter() - first
seconds = []
total = 0
for number in range(int(sys.argv[2])):
    begin = time.perf_counter()
    for image in images:
        picture = draw(by_image[image["id"]], image["height"], image["width"])
        total += int(picture[::7, ::7].sum()) if number == 0 else 0
    seconds.append(time.perf_counter() - begin)
print(json.dumps({"compiling": compiling, "seconds": seconds, "sum": total}))
"""


def numba_drawing(folder: Path, pairs: int) -> dict[str, Any] | None:
    """Return what the compiled composition took, in its own environment; None where that is not installed."""
    if not NUMBA.exists():
        return None
    done = subprocess.run(
        [str(NUMBA), "-c", NUMBA_PROGRAM, str(folder / "subset.json"), str(pairs)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> None:
    """Run the benchmark and print its table and its JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="2,000 images instead of 200")
    parser.add_argument("--pairs", type=int, default=5, help="how often both sides run (default 5)")
    options = parser.parse_args()
    images = 2000 if options.full else 200
    logging.getLogger("cocomine").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="bench_masks_") as name:
        folder, larger = Path(name) / "one", Path(name) / "four"
        draw_subset(folder, images)
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO(str(folder / "subset.json"))
        print(
            f"{images} images of {WIDTH} × {HEIGHT}, {OBJECTS} objects each; images/s, median of {options.pairs} pairs"
        )
        print(f"{'':34} {'theirs':>9} {'ours':>9} {'ratio':>7}")
        # Each run writes into a new folder: a file system looks long for a place where files were deleted just before.
        theirs, run = Path(name) / "theirs", itertools.count()
        files = in_turn(
            lambda: their_files(coco, Path(name) / f"their-{next(run)}"),
            lambda: rasterize_masks(SETTINGS, sources(folder), Path(name) / f"our-{next(run)}"),
            options.pairs,
        )
        their_files(coco, theirs)
        rasterize_masks(SETTINGS, sources(folder), folder)
        ratio_files = report("annotations to PNG files", *files, images)
        their_bytes, our_bytes = check_same(folder, theirs)
        assert our_bytes <= their_bytes, "our files are larger"
        draws = in_turn(lambda: their_drawing(coco), lambda: our_drawing(folder), options.pairs)
        ratio_draw = report("drawing alone", *draws, images)
        # Four times the images, so that starting the processes does not count for much.
        draw_subset(larger, 4 * images)
        one, two = in_turn(
            lambda: rasterize_masks(SETTINGS, sources(larger), larger, threads=1),
            lambda: rasterize_masks(SETTINGS, sources(larger), larger, threads=2),
            options.pairs,
        )
        ratio_two = report("ours, one process and two", one, two, 4 * images)
        print(f"bytes a mask: theirs {their_bytes / images:.0f}, ours {our_bytes / images:.0f}; every pixel agrees")
        compiled = numba_drawing(folder, options.pairs)
        if compiled is None:
            print("numba: not run (.peers/numba is not installed)")
        else:
            rate, ours_rate = images / statistics.median(compiled["seconds"]), images / statistics.median(draws[1])
            print(
                f"drawing compiled by numba: {rate:.0f} images/s ({rate / ours_rate:.2f} times ours), after "
                f"{compiled['compiling']:.1f} s of compiling"
            )
        relabel: dict[str, float] = {}
        for classes in (CLASSES, 80):
            figures = relabel_ratios(folder, options.pairs, classes)
            relabel |= {f"{key}_{classes + 1}_values": value for key, value in figures.items()}
            print_relabel(figures, classes + 1)
        (seconds, peak), (_, peak_larger) = peak_of_script(folder, 1), peak_of_script(larger, 1)
        print(f"rasterize_masks.py: {seconds:.1f} s, {peak:.0f} MB; with four times the images {peak_larger:.0f} MB")
    result = {
        "images": images,
        "objects": images * OBJECTS,
        "pairs": options.pairs,
        "theirs_s": statistics.median(files[0]),
        "ours_s": statistics.median(files[1]),
        "ratio_vs_pycocotools": ratio_files,
        "ratio_vs_pycocotools_draw": ratio_draw,
        "ratio_two_processes": ratio_two,
        "bytes_theirs": their_bytes,
        "bytes_ours": our_bytes,
        "numba_draw_s": statistics.median(compiled["seconds"]) if compiled else None,
        **relabel,
        "peak_mb": peak,
        "peak_mb_four_times_the_images": peak_larger,
    }
    print(json.dumps({key: round(value, 4) if isinstance(value, float) else value for key, value in result.items()}))


if __name__ == "__main__":
    main()
