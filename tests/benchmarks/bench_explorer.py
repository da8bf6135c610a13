"""What the explorer costs: seconds of processors to render it, the size of its files, and the time to its first screen.

Repeats the images of the real slice (../shared/coco-mini) with their objects under other ids, renders the explorer
by its script, and opens it in headless Chromium, from the disk and in a new profile: milliseconds from the start of
navigation to the drawn grid, and those of one filter over all images. A busy machine shows in the seconds, less in
those of processors. The last line is a JSON object.

Example: ./run python tests/benchmarks/bench_explorer.py --images 5000
"""

import argparse
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cocomine.base.files import sha256_of_file, write_json, write_table
from cocomine.images.measure import measure
from helpers.browser import visit
from helpers.measured import run_measured
from helpers.shared import ROOT, coco_mini

PROBE = """<script>
document.body.dataset.drawn = performance.now();
const from = performance.now();
state.min = "3"; draw();
document.body.dataset.filtered = performance.now() - from;
</script></body>"""


def make_subset(folder: Path, images: int) -> None:
    """Write what the explorer reads of a subset of so many images, all classes, without masks."""
    slices = [json.loads(path.read_text()) for path in sorted((coco_mini() / "annotations").glob("instances_*.json"))]
    splits = [path.stem.split("_")[1] for path in sorted((coco_mini() / "annotations").glob("instances_*.json"))]
    real = [(image, split, []) for one, split in zip(slices, splits, strict=True) for image in one["images"]]
    places = {image["id"]: objects for image, _, objects in real}
    for record in (record for one in slices for record in one["annotations"]):
        places[record["image_id"]].append(record)
    named, objects, lock, rows = [], [], {}, []
    for number in range(1, images + 1):
        image, split, records = real[(number - 1) % len(real)]
        stored, name = f"{split}/{image['file_name']}", f"{number:012d}.jpg"
        named.append({**image, "id": number, "file_name": name})
        objects += [{**record, "image_id": number, "id": len(objects) + n} for n, record in enumerate(records, 1)]
        lock[stored] = image["id"]
        rows.append((number, split, name, stored, image["width"], image["height"], image["license"], "wanted"))
    categories = slices[0]["categories"]
    write_json(folder / "subset.json", {"images": named, "annotations": objects, "categories": categories})
    columns = ("image_id", "source_split", "file_name", "store_path", "width", "height", "license", "role")
    write_table(folder / "images.tsv", columns, rows)
    columns = ("image_id", "store_path", "status", "bytes", "md5", "sha256", "crc32c", "generation", "origin", "reason")
    digests = {stored: sha256_of_file(coco_mini() / stored) for stored in lock}
    rows = [(lock[stored], stored, "ok", "", "", digest, "", "", "", "") for stored, digest in digests.items()]
    write_table(folder / "images.lock.tsv", columns, rows)
    files = folder / "images.tsv", folder / "images.lock.tsv", coco_mini(), folder / "images.parquet"
    measure(*files, folder / "thumbnails", threads=2)
    labels = [{"label": 0, "name": "background", "category_id": None, "color": [0, 0, 0]}]
    labels += [
        {"label": n, "name": one["name"], "category_id": one["id"], "color": [n, 200 - n, 90]}
        for n, one in enumerate(categories, 1)
    ]
    maps = {str(one["category_id"]): one["label"] for one in labels[1:]}
    back = {str(label): int(category) for category, label in maps.items()}
    content = {"labels": labels, "void": 255, "category_to_label": maps, "label_to_category": back}
    write_json(folder / "labels.json", content)


def opened(page: Path, scratch: Path) -> dict[str, float]:
    """Return the milliseconds that the page took to draw its grid, and one filter."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text(encoding="utf-8"))
    probe = page.with_name("probe.html")
    probe.write_text(text.replace("</body>", PROBE), encoding="utf-8")
    document = visit(probe, scratch).document
    return {key: float(value) for key, value in re.findall(r'data-(drawn|filtered)="([\d.]+)"', document)}


def main() -> None:
    """Run the benchmark and print the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "results" / "everything"
        make_subset(folder, options.images)
        page = folder / "explorer.html"
        command = [sys.executable, str(ROOT / "scripts" / "render_explorer.py"), "--subset-dir", str(folder)]
        command += ["--store-dir", str(coco_mini()), "--out", str(page)]
        before = os.times()
        measured = run_measured(command, dict(os.environ))
        after = os.times()
        views = [opened(page, Path(place) / f"profile-{number}") for number in range(3)]
        beside = sum(path.stat().st_size for name in ("explorer", "thumbnails") for path in (folder / name).iterdir())
        result = {
            "images": options.images,
            "seconds": round(measured.seconds, 1),
            "processor_seconds": round(sum(after[2:4]) - sum(before[2:4]), 1),
            "peak_mb": round(measured.peak_mb),
            "page_kb": round(page.stat().st_size / 1000),
            "data_mb": round((folder / "explorer" / "data.js").stat().st_size / 1e6, 2),
            "beside_mb": round(beside / 1e6, 1),
            "first_screen_ms": round(statistics.median(view["drawn"] for view in views)),
            "filter_ms": round(statistics.median(view["filtered"] for view in views)),
        }
        shutil.rmtree(folder)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
