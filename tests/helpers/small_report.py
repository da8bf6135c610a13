"""What the other stages leave beside the hand-made subset: funnel, statistics, audit, exports, and one experiment."""

from pathlib import Path

import numpy as np
from cocomine.base.files import write_json, write_table
from cocomine.formats.export import export_dataset
from PIL import Image

from helpers.small_subset import SmallSubset

CONFUSION = [[9000, 300, 200], [250, 700, 50], [100, 0, 900]]


def change(before, removed, added=0):
    return {"before": before, "removed": removed, "added": added, "after": before - removed + added}


def counts(images, annotations, **more):
    rest = dict.fromkeys(("crowds", "multi_polygon", "very_small", "small", "medium", "large", "no_size"), 0)
    return {"images": images, "annotations": annotations, "instances": annotations, "vertices": 40, **rest, **more}


def add_report_inputs(subset: SmallSubset, names=("dog", "giraffe"), other="person") -> Path:
    """Write them into the subset's folder, and a run beside it; return the run's folder."""
    dog, giraffe = names
    folder = subset.folder
    step = {"clause": "any", "words": f"any of {dog}, {giraffe}", "images": change(20000, 19990)}
    step |= {
        "annotations": change(123456, 123000),
        "by_class": {other: {"annotations_removed": 123000, "images_removed": 19000}},
    }
    second = {"clause": "max_images", "words": "at most 5 images", "images": change(10, 5, 1)}
    second |= {"annotations": change(456, 440), "by_class": {}}
    later = {"clause": "images", "words": "whose image is there and in order", "images": change(6, 1)}
    later |= {"annotations": change(16, 7), "by_class": {}}
    funnel = {
        "images": {"in": 20000, "removed": 19995, "added": 1, "kept": 6},
        "annotations": {"in": 123456, "removed": 123440, "added": 0, "kept": 16},
        "steps": [step, second],
        "kept_by_class": {},
    }
    write_json(
        folder / "funnel.json",
        {
            "query": {"categories": [{"text": dog}, {"text": giraffe}], "max_images": 5},
            "words": f"images with any of {dog}, {giraffe}; at most 5 images",
            "splits": ["train2017"],
            "wanted": [],
            "caps": {},
            "roles": {"wanted": 5, "negative": 1, "spare": 0},
            "notes": [],
            "funnel": funnel,
        },
    )
    shared = {dog: {"images": 900, "shared": {giraffe: 9, other: 450}}, giraffe: {"images": 300, "shared": {dog: 9}}}
    after = {dog: {"images": 3, "shared": {giraffe: 2, other: 1}}, giraffe: {"images": 3, "shared": {dog: 2}}}
    conserved = {"in": 123456, "kept": 8, "repaired": 1, "quarantined": 2, "left_out": 123445}
    write_json(
        folder / "statistics.json",
        {
            "losses": [
                {
                    "kind": "image",
                    "category": "",
                    "reason": "image-truncated",
                    "count": 1,
                    "of": 6,
                    "share": 1 / 6,
                    "words": "1 of 6 images: image-truncated",
                    "remedy": "replace the files <b>now</b>",
                },
            ],
            "before": {
                "total": counts(20000, 123456),
                "per_class": {dog: counts(900, 1500), giraffe: counts(300, 420)},
            },
            "after": {
                "total": counts(5, 9, crowds=2, small=5, medium=4),
                "per_class": {dog: counts(3, 5, crowds=2, multi_polygon=2, small=5), giraffe: counts(3, 3, medium=3)},
            },
            "interference": {"before": shared, "after": after},
            "funnel_after_images": {"steps": [{**later, "clause": "selected"}, later]},
            "conservation": {"annotation": {"instances": conserved}},
        },
    )
    columns = ["kind", "task", "source_split", "id", "image_id", "category_id", "reason", "detail"]
    write_table(
        folder / "quarantine.tsv",
        columns,
        [
            ("annotation", "instances", "train2017", 918, 7, 18, "box-zero-side", "<b>height 0</b>"),
            ("annotation", "instances", "train2017", 919, 7, 18, "box-zero-side", ""),
            ("image", "instances", "train2017", 31, 31, "", "image-truncated", ""),
        ],
    )
    write_table(
        folder / "repairs.tsv",
        ["kind", "task", "source_split", "id", "reason", "before", "after"],
        [("annotation", "instances", "train2017", 104, "text-id,not-finite", "{}", "{}")],
    )
    write_json(
        folder / "split_audit.json",
        {
            "strategy": "hash",
            "splits": {
                "train": {"images": 3, "asked": None, "nearest_possible": None},
                "val": {"images": 2, "asked": 1, "nearest_possible": 2},
            },
            "note": "twins made it 2 images instead of 1",
            "classes": [{"category_id": 18, "deviation": 0.3, "best_possible": 0.05}],
            "groups": [{"group": 44, "images": [44, 58], "splits": ["val"], "links": []}],
            "cut_links": [],
            "links_across_splits": [],
            "moved_with_a_near_duplicate": [58],
            "unlisted": [],
            "folds": {"0": 3, "1": 2},
            "stability": {"images": 5, "later": 1, "moved": 0},
            "previous": {"moved": 1, "same_split": 3, "ways": [], "new": 1, "gone": 2},
        },
    )
    for format_name in ("coco", "yolo-segment"):
        export_dataset(format_name, folder, subset.store, folder / "exports" / format_name)
    write_json(
        folder.parent / "sync.lock.json",
        {
            "files": {
                "instances_train2017.json": {
                    "bytes": 469785474,
                    "sha256": "ab" * 32,
                    "origin": "https://example.org/annotations",
                },
                "panoptic_train2017/1.png": {"bytes": 10, "sha256": "cd" * 32, "origin": "javascript:alert(1)"},
                "panoptic_train2017/2.png": {"bytes": 20, "sha256": "ef" * 32, "origin": "javascript:alert(1)"},
            },
            "splits": ["train2017"],
            "tasks": ["instances"],
        },
    )
    write_table(
        folder.parent / "label_errors" / "yolo" / "label_errors.tsv",
        ["kind", "suspicion", "image_id", "file_name", "annotation_id", "category", "predicted_category", "score"],
        [
            ("missing", 0.81, 44, "000000000044.jpg", None, "", dog, 0.9),
            ("class", 0.5, 7, "000000000007.jpg", 101, giraffe, dog, 0.75),
        ],
    )
    return _run(folder.parent / "experiments" / "linknet", names)


def _figures(names, iou, scale=1.0):
    values = [0.93, iou * scale, iou * scale * 1.2]
    per_class = dict(zip(("background", *names), values, strict=True))
    mean = sum(values[1:]) / 2
    return {
        "images": 2,
        "pixels": 11500,
        "iou": {
            "mean_foreground": mean,
            "mean_with_background": sum(values) / 3,
            "per_class": per_class,
            "per_image_mean_foreground": mean * 0.98,
            "per_image_mean_with_background": 0.7,
        },
        "dice": {"mean_foreground": mean * 1.1, "mean_with_background": 0.8, "per_class": per_class},
        "pixel_accuracy": 0.92,
        "confusion": CONFUSION,
        "truth_pixels": {},
        "predicted_pixels": {},
    }


def _run(folder: Path, names) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    intervals = {"mean_foreground": [0.51, 0.63], "pixel_accuracy": [0.9, 0.95], "per_class": {names[0]: [0.4, 0.61]}}
    figures = _figures(names, 0.52) | {"cross_entropy": 0.31, "eq2_as_printed": 0.88, "intervals": intervals}
    figures |= {"soft_iou": {"mean_foreground": 0.5, "mean_with_background": 0.6, "per_class": {}}}
    cells = [
        {"cell": "low (≤ 12)", "images": 40, "judged": True, "iou_mean_foreground": 0.4, "mean_error": 0.6},
        {"cell": "middle", "images": 3, "judged": False, "iou_mean_foreground": None, "mean_error": 0.2},
    ]
    attributes = [
        {"attribute": "blur", "unknown": 0, "epsilon_squared": 0.28, "p_of_all": 0.01, "cells": cells},
        {
            "attribute": "crowd",
            "unknown": 0,
            "eta_squared": None,
            "epsilon_squared": None,
            "p_of_all": None,
            "cells": cells[1:],
        },
    ]
    write_json(
        folder / "metrics.json",
        {
            "run": {
                "run": "linknet",
                "experiment": "linknet",
                "subset": "animals",
                "model_name": "linknet-resnet18",
                "arm": "",
                "seed": 3,
                "parameters": {"all": 11533000, "trained": 8000000},
                "images_trained": 3,
                "iterations": 400,
                "weights_sha256": "12" * 32,
            },
            "subset": "animals",
            "images": 2,
            "settings": {"confidence": 0.95},
            "classes_without_pixels": [names[1]],
            "training_resolution": figures,
            "full_resolution": _figures(names, 0.49),
            "baselines": {
                "all_background": {"training_resolution": _figures(names, 0.0)},
                "most_frequent_place": {"training_resolution": _figures(names, 0.12)},
                "ratio": 4.3333,
            },
            "slices": {
                "finding": "blur explains most of the error: η² 0.31 (0.20 to 0.40).",
                "attributes": attributes,
            },
        },
    )
    write_json(folder / "training.json", {"iterations": 400})
    head = "iteration,learning_rate,train_loss,val_cross_entropy,val_iou,val_iou_with_background,val_eq2_as_printed"
    lines = [
        f"{step},0.001,{1.1 / (1 + step / 90)!r},{1.2 / (1 + step / 80)!r},{0.55 * step / (step + 60)!r},0.6,0.5"
        for step in range(20, 401, 20)
    ]
    (folder / "history.csv").write_text("\n".join([head, *lines]) + "\n")
    (folder / "pictures").mkdir(exist_ok=True)
    grid = np.linspace(0, 255, 784 * 274, dtype=np.uint8).reshape(274, 784)
    for name in ("worst_1", "worst_2", "best_1"):
        Image.fromarray(grid).convert("RGB").save(folder / "pictures" / f"{name}.png")
    return folder
