"""Benchmark of exports: a subset written as a YOLO and as a COCO dataset, by cocomine and by supervision, with images.

It draws its own subset (pictures of noise, polygons of about 30 points, no crowds, one part an object, so
that both write the same), then runs both in turn, A B A B, each as a program of its own, and checks that both wrote the
same images and the same labels. cocomine also hashes every file, which supervision does not; `copied` copies the
images as supervision does, `linked` is the default. supervision is looked for in .peers/supervision, where
tests/benchmarks/make_peers.py puts it.

  python tests/benchmarks/bench_exports.py [--full]

The last line is one JSON object: sizes, median seconds, `peak_mb` of the process tree, and `ratio_vs_supervision` for
boxes, outlines and COCO (above 1: ours is faster; the smallest of the three, images copied).
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
sys.path.insert(0, str(ROOT / "tests"))

from cocomine.base.files import canonical_json, write_json, write_table  # noqa: E402
from helpers.measured import run_measured  # noqa: E402

PEER = Path(os.environ.get("COCOMINE_PEERS", ROOT / ".peers")) / "supervision" / "bin" / "python"
PEER_PROGRAM = """
import sys
import supervision as sv
kind, source, target = sys.argv[1:]
for split in ("train", "val"):
    dataset = sv.DetectionDataset.from_coco(
        images_directory_path=f"{source}/{split}", annotations_path=f"{source}/annotations/instances_{split}.json",
        force_masks=kind != "detect",
    )
    if kind == "coco":
        dataset.as_coco(f"{target}/{split}", f"{target}/annotations/instances_{split}.json")
        continue
    dataset.as_yolo(
        images_directory_path=f"{target}/images/{split}", annotations_directory_path=f"{target}/labels/{split}",
        data_yaml_path=f"{target}/data.yaml",
    )
"""
CLASSES, OBJECTS = 8, 7
# supervision rounds boxes to whole pixels, and reads outlines off masks: a pixel is 1 / 480 of the height.
KINDS = (
    ("detect", "yolo-detect", 1.01 / 480),
    ("segment", "yolo-segment", 2.01 / 480),
    ("coco", "coco", 2.01 / 480),
)


def draw_subset(folder: Path, images: int) -> None:
    """Write a store and a subset of `images` images, 640 × 480, with OBJECTS star-shaped polygons each."""
    generator = np.random.default_rng(0)
    store, subset = folder / "store", folder / "subset"
    store.mkdir(parents=True)
    names = [f"{number:012d}.jpg" for number in range(1, images + 1)]
    noise = generator.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    for number, name in enumerate(names):
        picture = np.roll(noise, number, axis=1).repeat(8, axis=0).repeat(8, axis=1)
        Image.fromarray(picture).save(store / name, quality=85)
    split_of = ["val" if number % 5 == 4 else "train" for number in range(images)]
    labels = [{"label": 0, "name": "background", "category_id": None}]
    labels += [{"label": n, "name": f"class{n}", "category_id": n} for n in range(1, CLASSES + 1)]
    write_json(subset / "labels.json", {"labels": labels, "void": 255})
    write_table(
        subset / "images.tsv",
        ["image_id", "store_path"],
        [(number, name) for number, name in enumerate(names, 1)],
    )
    (subset / "splits").mkdir()
    sides = [(number, split, number) for number, split in enumerate(split_of, 1)]
    write_table(subset / "split.tsv", ["image_id", "split", "group"], sides)
    records, annotations = [], []
    for number, name in enumerate(names, 1):
        records.append({"id": number, "file_name": name, "width": 640, "height": 480})
        for place in range(OBJECTS):
            centre = generator.uniform((120, 120), (520, 360))
            angles = np.linspace(0, 2 * np.pi, 30, endpoint=False)
            waves = generator.uniform(-12, 12, (3, 1)) * np.sin(
                np.arange(2, 5)[:, None] * angles + generator.uniform(0, 6)
            )
            reach = 70 + waves.sum(0)  # smooth: supervision traces outlines anew and splits thin spikes off as objects
            points = np.round(centre + np.stack([np.cos(angles), np.sin(angles)], 1) * reach[:, None], 2)
            low, high = points.min(0), points.max(0)
            annotations.append(
                {
                    "id": number * OBJECTS + place,
                    "image_id": number,
                    "category_id": int(generator.integers(1, CLASSES + 1)),
                    "iscrowd": 0,
                    "area": float(np.prod(high - low)),
                    "bbox": [*low.tolist(), *(high - low).tolist()],
                    "segmentation": [points.ravel().tolist()],
                }
            )
    categories = [{"id": n, "name": f"class{n}", "supercategory": "thing"} for n in range(1, CLASSES + 1)]
    for split in ("train", "val"):
        chosen = {record["id"] for record, side in zip(records, split_of, strict=True) if side == split}
        document = {
            "images": [record for record in records if record["id"] in chosen],
            "annotations": [record for record in annotations if record["image_id"] in chosen],
            "categories": categories,
        }
        (subset / f"splits/instances_{split}.json").write_text(canonical_json(document))


def without_outlines(coco: Path, target: Path) -> None:
    """Write the COCO folder once more without segmentations, since supervision writes outlines wherever it sees any."""
    for split in ("train", "val"):
        (target / split).parent.mkdir(parents=True, exist_ok=True)
        (target / split).symlink_to(coco / split)
        document = json.loads((coco / "annotations" / f"instances_{split}.json").read_bytes())
        for annotation in document["annotations"]:
            annotation["segmentation"] = []
        write_json(target / "annotations" / f"instances_{split}.json", document)


def timed(command: list[str], target: Path) -> tuple[float, float]:
    """Run a program that makes `target`; return its seconds and the peak memory of its process tree in MB."""
    shutil.rmtree(target, ignore_errors=True)
    os.sync()
    measured = run_measured(command, {**os.environ, "TQDM_DISABLE": "1"}, pause=0.02)
    return measured.seconds, measured.peak_mb


def read_labels(root: Path) -> dict[str, list[tuple[int, list[float]]]]:
    """Read a YOLO folder: `split/stem` to (class, box as x, y, x, y in shares), sorted."""
    found = {}
    for file in sorted((root / "labels").rglob("*.txt")):
        rows = []
        for line in file.read_text().splitlines():
            index, *numbers = line.split()
            values = np.array(numbers, float)
            if len(values) == 4:
                centre, size = values[:2], values[2:]
                box = [*(centre - size / 2), *(centre + size / 2)]
            else:
                points = values.reshape(-1, 2)
                box = [*points.min(0), *points.max(0)]
            rows.append((int(index), [float(side) for side in box]))
        found[f"{file.parent.name}/{file.stem}"] = sorted(rows)
    return found


def read_coco(root: Path) -> dict[str, list[tuple[int, list[float]]]]:
    """Read a COCO folder as `read_labels` reads one of YOLO; classes count as the categories are listed."""
    found: dict[str, list[tuple[int, list[float]]]] = {}
    for split in ("train", "val"):
        document = json.loads((root / f"annotations/instances_{split}.json").read_bytes())
        places = {category["id"]: place for place, category in enumerate(document["categories"])}
        names = {image["id"]: f"{split}/{Path(image['file_name']).stem}" for image in document["images"]}
        found |= {name: [] for name in names.values()}
        for item in document["annotations"]:
            x, y, width, height = item["bbox"]
            box = [x / 640, y / 480, (x + width) / 640, (y + height) / 480]
            found[names[item["image_id"]]].append((places[item["category_id"]], box))
    return {name: sorted(rows) for name, rows in found.items()}


def check_same(ours: Path, theirs: Path, tolerance: float, coco: bool) -> float:
    """Check that both hold the same images and the same labels; return the largest difference of a box's side."""
    for split in ("train", "val"):
        place = split if coco else f"images/{split}"
        names = [{path.name: path.stat().st_size for path in (root / place).iterdir()} for root in (ours, theirs)]
        assert names[0] == names[1], "the images differ"
    read = read_coco if coco else read_labels
    a, b = read(ours), read(theirs)
    assert a.keys() == b.keys(), "the label files differ"
    worst = 0.0
    for name in a:
        assert sorted(row[0] for row in a[name]) == sorted(row[0] for row in b[name]), f"{name}: other classes"
        left = list(b[name])
        for index, box in a[name]:
            gaps = [(max(abs(p - q) for p, q in zip(box, other, strict=True)), place)
                    for place, (number, other) in enumerate(left) if number == index]  # fmt: skip
            gap, place = min(gaps)
            left.pop(place)
            worst = max(worst, gap)
    assert worst <= tolerance, f"a box differs by {worst:.4f} of its image"
    return worst


def main() -> None:
    """Run the benchmark and print its table and its JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="1,000 images instead of 200")
    parser.add_argument("--pairs", type=int, default=5, help="how often both run (default 5)")
    options = parser.parse_args()
    images = 1000 if options.full else 200
    result: dict[str, object] = {"images": images, "objects": images * OBJECTS, "pairs": options.pairs}
    with tempfile.TemporaryDirectory(prefix="bench_exports_") as name:
        folder = Path(name)
        draw_subset(folder, images)
        ours = [sys.executable, str(ROOT / "scripts" / "export_dataset.py"), "--subset-dir", str(folder / "subset")]
        ours += ["--store-dir", str(folder / "store")]
        timed([*ours, "--format", "coco", "--out-dir", str(folder / "coco")], folder / "coco")
        without_outlines(folder / "coco", folder / "boxes")
        peer = PEER.exists()
        if not peer:
            print(f"not run: supervision (no {PEER}): ./run python tests/benchmarks/make_peers.py supervision")
        print(f"{images} images, {images * OBJECTS} objects, {options.pairs} pairs, medians (spread)")
        print(f"{'':26}{'seconds':>18}{'images/s':>15}{'peak MB':>9}")
        for kind, name, tolerance in KINDS:
            command = [*ours, "--format", name, "--out-dir", str(folder / "ours")]
            runs = {"linked": command, "copied": [*command, "--images", "copy"]}
            if peer:
                source = folder / ("boxes" if kind == "detect" else "coco")
                peer_command = [str(PEER), "-c", PEER_PROGRAM, kind, str(source), str(folder / "theirs")]
                runs["supervision"] = peer_command
            seconds: dict[str, list[float]] = {who: [] for who in runs}
            peaks: dict[str, list[float]] = {who: [] for who in runs}
            for _ in range(options.pairs):
                for who, program in runs.items():
                    took, peak = timed(program, folder / ("theirs" if who == "supervision" else "ours"))
                    seconds[who].append(took)
                    peaks[who].append(peak)
            if peer:
                result[f"{kind}_largest_difference"] = check_same(
                    folder / "ours", folder / "theirs", tolerance, kind == "coco"
                )
            for who in runs:
                median = statistics.median(seconds[who])
                spread = f"{median:.2f} ({min(seconds[who]):.2f}–{max(seconds[who]):.2f})"
                print(f"{kind + ' ' + who:26}{spread:>18}{images / median:>15.0f}{max(peaks[who]):>9.0f}")
                result[f"{kind}_{who}_seconds"] = round(median, 4)
                result[f"{kind}_{who}_peak_mb"] = round(max(peaks[who]), 1)
            if peer:
                for who in ("linked", "copied"):
                    pairs = [theirs / mine for mine, theirs in zip(seconds[who], seconds["supervision"], strict=True)]
                    result[f"ratio_{kind}_{who}"] = round(statistics.median(pairs), 2)
        mine = [value for key, value in result.items() if key.endswith("_peak_mb") and "supervision" not in key]
        result["peak_mb"] = max(mine, key=float)  # type: ignore[arg-type]
        if peer:
            ratios = [result[f"ratio_{kind}_copied"] for kind, _, _ in KINDS]
            result["ratio_vs_supervision"] = min(ratios, key=float)  # type: ignore[arg-type]
    print(json.dumps(result, sort_keys=True))


if __name__ == "__main__":
    main()
