"""How long COCO's figures of boxes and masks take, beside pycocotools and the evaluators that are said to be quick.

Draws annotations as many and as crowded as val2017's, results of them made worse, and runs each side in a process of
its own, in turn: starting, reading both files, matching, adding up. What is compared is time of the processor, all its
threads, since it holds on a busy machine too. Ours and pycocotools' twelve figures must be equal. Without --full 1,000
images and 7,200 results, with it 5,000 and 36,000; 1,000 bootstrap draws are timed apart. Peers: make_peers.py.

Example: ./run python tests/benchmarks/bench_evaluation.py --full
"""

import argparse
import contextlib
import io
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from helpers.measured import run_measured  # noqa: E402
from helpers.peers import PEERS  # noqa: E402

CATEGORIES, SIDE = 80, 640
IOU_TYPES = {"boxes": "bbox", "masks": "segm"}
# What each peer is called by; each prints its figures as the last line.
PEER = {
    "faster-coco-eval": "from faster_coco_eval import COCO, COCOeval_faster as COCOeval",
    "hotcoco": "from hotcoco import COCO, COCOeval",
}
CALL = """
import contextlib, io, json, sys, time
{imports}
with contextlib.redirect_stdout(io.StringIO()):
    truth = COCO(sys.argv[1])
    evaluation = COCOeval(truth, {load}(sys.argv[2]), sys.argv[3])
    evaluation.evaluate(); evaluation.accumulate(); evaluation.summarize()
print(json.dumps([time.process_time(), *(float(value) for value in list(evaluation.stats)[:12])]))
"""


def write_case(folder: Path, images: int, task: str) -> tuple[Path, Path]:
    """Write annotations, 7.4 an image, and results, 7.2 an image; masks are ellipses of a polygon's 24 points."""
    from pycocotools import mask as coco_mask

    random = np.random.default_rng(0)
    popular = random.dirichlet(np.full(CATEGORIES, 0.5))
    annotations, results = [], []
    for image in range(1, images + 1):
        classes = random.choice(CATEGORIES, size=3, p=popular) + 1
        for _ in range(random.poisson(7.36)):
            size = np.exp(random.uniform(np.log(8), np.log(400), 2))
            corner = random.uniform(0, SIDE - size.clip(max=SIDE - 1))
            box = [*corner.round(2).tolist(), *size.round(2).tolist()]
            category = int(random.choice(classes))
            record = {"image_id": image, "category_id": category, "bbox": box, "iscrowd": 0, "id": len(annotations) + 1,
                      "area": float(size.prod() * 0.7), "segmentation": [outline(corner, size)]}  # fmt: skip
            annotations.append(record)
            if len(results) >= 7.2 * image:
                continue
            moved = corner + random.normal(0, 0.08, 2) * size
            entry = {"image_id": image, "category_id": category, "score": float(random.random())}
            if task == "boxes":
                entry["bbox"] = [*moved.round(2).tolist(), *size.round(2).tolist()]
            else:
                packed = coco_mask.merge(coco_mask.frPyObjects([outline(moved, size)], SIDE, SIDE))
                entry["segmentation"] = {"size": packed["size"], "counts": packed["counts"].decode()}
            results.append(entry)
    document = {
        "images": [{"id": i, "width": SIDE, "height": SIDE, "file_name": f"{i}.jpg"} for i in range(1, images + 1)],
        "annotations": annotations,
        "categories": [{"id": i + 1, "name": f"class {i + 1}"} for i in range(CATEGORIES)],
    }
    truth, found = folder / f"truth_{task}.json", folder / f"results_{task}.json"
    truth.write_text(json.dumps(document))
    found.write_text(json.dumps(results))
    return truth, found


def outline(corner: np.ndarray, size: np.ndarray) -> list[float]:
    """Return the points of an ellipse in a box, as one list."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    points = corner + size * (0.5 + 0.5 * np.stack([np.cos(angles), np.sin(angles)], axis=1))
    return points.round(2).ravel().tolist()


def run_ours(truth: Path, results: Path, task: str, draws: int) -> list[float]:
    """Evaluate as `evaluate_predictions` does, without slices and the pages."""
    from cocomine.evaluation import detections
    from cocomine.evaluation.ground import ground_of_file
    from cocomine.evaluation.results_file import read_results
    from cocomine.evaluation.settings import JudgingSettings
    from cocomine.evaluation.truth import read_truth

    ground = ground_of_file(truth, None, task)
    read_of = read_truth(ground)
    read = read_results(results, ground, read_of.sizes, JudgingSettings())
    judged = detections.judge(read.entries, read_of, task)
    judged.draws(draws)
    return [-1.0 if value is None else value for value in judged.figures().values()]


def sides(task: str) -> dict[str, list[str]]:
    """Return the command of each side, without its files; a peer that is not installed is named as not run."""
    own = [sys.executable, __file__, "--side", "ours"]
    load = CALL.format(imports="from pycocotools.coco import COCO\nfrom pycocotools.cocoeval import COCOeval",
                       load="truth.loadRes")  # fmt: skip
    result = {"ours": [*own, "--draws", "0"], "ours_1000_draws": [*own, "--draws", "1000"],
              "pycocotools": [sys.executable, "-c", load]}  # fmt: skip
    for name, imports in PEER.items():
        python = PEERS / name / "bin" / "python"
        if python.exists():
            result[name] = [str(python), "-c", CALL.format(imports=imports, load="truth.loadRes")]
        else:
            print(f"not run: {name} is not installed (python tests/benchmarks/make_peers.py {name})")
    return result


def compare(folder: Path, images: int, task: str, pairs: int) -> dict[str, object]:
    """Run every side `pairs` times in turn and hold their figures to be one another's."""
    truth, results = write_case(folder, images, task)
    seconds: dict[str, list[float]] = {}
    peaks: dict[str, float] = {}
    figures: dict[str, list[float]] = {}
    for _ in range(pairs):
        for name, command in sides(task).items():
            last = task if name.startswith("ours") else IOU_TYPES[task]
            done = run_measured([*command, str(truth), str(results), last], dict(os.environ))
            cost, *figures[name] = json.loads(done.output.splitlines()[-1])
            seconds.setdefault(name, []).append(cost)
            peaks[name] = max(peaks.get(name, 0.0), done.peak_mb)
    for name, values in figures.items():
        same = values == figures["pycocotools"]
        most = max(abs(a - b) for a, b in zip(values, figures["pycocotools"], strict=True))
        print(f"{task:6} {name:18} {statistics.median(seconds[name]):7.2f} s  {peaks[name]:6.0f} MB  "
              f"{'equal to the last digit' if same else f'differs by up to {most:.1e}'}")  # fmt: skip
    assert figures["ours"] == figures["pycocotools"]
    base = seconds["pycocotools"]
    ratios = {
        f"ratio_of_{name}": round(statistics.median(b / own for b, own in zip(base, values, strict=True)), 2)
        for name, values in seconds.items()
        if name != "pycocotools"
    }
    spread = [round(b / own, 2) for b, own in zip(base, seconds["ours"], strict=True)]
    return {"task": task, "images": images, "ratio_vs_pycocotools": ratios["ratio_of_ours"], **ratios,
            "spread": spread, "peak_mb": round(peaks["ours"])}  # fmt: skip


def main() -> None:
    """Run the benchmark and print a table and, last, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="as many images as val2017 has")
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="times that each side runs (default 5)")
    parser.add_argument("--side", choices=["ours"], help=argparse.SUPPRESS)
    parser.add_argument("--draws", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("files", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        with contextlib.redirect_stdout(io.StringIO()):
            figures = run_ours(Path(options.files[0]), Path(options.files[1]), options.files[2], options.draws)
        print(json.dumps([time.process_time(), *figures]))
        return
    with tempfile.TemporaryDirectory() as folder:
        images = 5000 if options.full else 1000
        print(json.dumps([compare(Path(folder), images, task, options.pairs) for task in IOU_TYPES]))


if __name__ == "__main__":
    main()
