"""How early the errors planted in labels are found by a model that this project trained itself.

Takes the build of the default config (./run snakemake --cores 2): its `baseline`, a small LinkNet of 700 iterations at
64 x 64 pixels, predicts the images of val, which it was not trained on. Each connected region of a class is an object,
scored by its mean probability. Into the labels of val errors of the four kinds are planted, one an image, in some
images none; prints precision and recall at k, beside the share of labels with an error.

Example: ./run python tests/benchmarks/bench_label_errors.py
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from cocomine.coco.labels import read_labels  # noqa: E402
from cocomine.evaluation.ground import ground_of_file  # noqa: E402
from cocomine.evaluation.predicting import load_run  # noqa: E402
from cocomine.learning.data import read_tensors  # noqa: E402
from cocomine.learning.steps import Feeder, probabilities_of  # noqa: E402
from cocomine.matching.label_errors import find_label_errors  # noqa: E402
from helpers.planted_edits import Editor, as_segmentation  # noqa: E402

KIND_OF_EDIT = {"only-first": "missing", "only-second": "spurious", "relabelled": "class", "outline": "outline"}
LEAST_PIXELS = 30


def predicted(run: Path, subset: Path, sizes: dict[int, tuple[int, int]]) -> Iterator[dict[str, Any]]:
    """Yield the regions that a run finds in the images of val, as COCO results; `sizes` are height and width."""
    trained, tensors = load_run(run), read_tensors(subset / "tensors" / "64")
    categories = read_labels(subset / "labels.json").category_ids
    rows = tensors.rows_of("val")
    feeder = Feeder(tensors, rows, trained.normalisation, trained.machine.device)
    for place, image in enumerate(tensors.image_ids[rows].tolist()):
        pictures, _ = feeder.plain(np.array([place]))
        with torch.no_grad():
            small = probabilities_of(trained.network, pictures, trained.machine)
            found = torch.nn.functional.interpolate(small, sizes[image], mode="bilinear")[0].cpu().numpy()
        best = found.argmax(0)
        for label in range(1, len(categories)):
            regions, count = ndimage.label(best == label)
            for number in range(1, count + 1):
                inside = regions == number
                if inside.sum() >= LEAST_PIXELS:
                    score = float(found[label][inside].mean())
                    yield {"image_id": image, "category_id": categories[label], "score": score,
                           "segmentation": as_segmentation(inside)}  # fmt: skip


def labels_of_val(subset: Path) -> dict[str, Any]:
    """Return the subset's document, of the images of val."""
    document: dict[str, Any] = json.loads((subset / "subset.json").read_text("utf-8"))
    rows = (line.split("\t") for line in (subset / "split.tsv").read_text("utf-8").splitlines())
    head = next(rows)
    val = {int(row[head.index("image_id")]) for row in rows if row[head.index("split")] == "val"}
    document["images"] = [one for one in document["images"] if one["id"] in val]
    document["annotations"] = [one for one in document["annotations"] if one["image_id"] in val]
    return document


def main() -> None:
    """Plant, predict, find, and print a line for each k, and JSON last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT, metavar="DIR", help="where the default config was built")
    parser.add_argument("--seed", type=int, default=0, help="seed of the planted errors (default 0)")
    options = parser.parse_args()
    results = options.build / "results"
    original = labels_of_val(results / "synthetic-demo")
    sizes = {one["id"]: (one["height"], one["width"]) for one in original["images"]}
    editor = Editor(original, options.seed, (*KIND_OF_EDIT, "nothing"))
    edits = editor.plant()
    planted = {(KIND_OF_EDIT[one.kind], one.image_id, one.second[0] if one.second else -1) for one in edits}
    entries = list(predicted(results / "experiments" / "baseline", results / "synthetic-demo", sizes))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.json"
        path.write_text(json.dumps(editor.document), "utf-8")
        suspects = find_label_errors(ground_of_file(path, None, "masks"), entries, Path(folder) / "out")
    ranked = [(one.kind, one.image.id, one.annotation) for one in suspects]
    labels = len(editor.document["annotations"])
    print(f"{len(planted)} errors in {labels} labels ({len(planted) / labels:.2f}) of {len(sizes)} images")
    print(f"{len(entries)} regions predicted, {len(ranked)} suspects")
    rows = []
    for k in sorted({10, 25, 50, len(planted), 2 * len(planted), len(ranked)}):
        hits = len(planted & set(ranked[:k]))
        rows.append({"k": k, "precision": round(hits / k, 3), "recall": round(hits / len(planted), 3)})
        print(f"k = {k:3}: precision {hits / k:.2f}, recall {hits / len(planted):.2f}")
    by_kind = {
        kind: f"{len({one for one in planted & set(ranked) if one[0] == kind})} of "
        f"{len({one for one in planted if one[0] == kind})}"
        for kind in KIND_OF_EDIT.values()
    }
    print(json.dumps({"planted": len(planted), "at": rows, "listed_by_kind": by_kind}))


if __name__ == "__main__":
    main()
