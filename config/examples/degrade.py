"""Stands in for a trained model in the examples: "predictions" that are the ground truth, made worse by chance.

Nothing is learned and no image is looked at, so the figures say nothing of a model: they show what is judged and how.
It is started as a program of an experiment (docs/evaluation.md) and writes, into COCOMINE_OUTPUT, what its one
argument asks for: boxes, masks, keypoints, panoptic or semantic.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

SUBSET, OUT = Path(os.environ["COCOMINE_SUBSET"]), Path(os.environ["COCOMINE_OUTPUT"])
RANDOM = np.random.default_rng(int(os.environ["COCOMINE_SEED"]))
MISSED, CONFUSED, FALSE = 0.2, 0.1, 0.3  # shares of objects


def results(task: str) -> list[dict[str, Any]]:
    """Return objects moved by a tenth of their size, some missed, some of another class, some where nothing is."""
    name = "tasks/person_keypoints.json" if task == "keypoints" else "subset.json"
    document = json.loads((SUBSET / name).read_text(encoding="utf-8"))
    sizes = {image["id"]: (image["height"], image["width"]) for image in document["images"]}
    classes = [category["id"] for category in document["categories"]]
    found = []
    for record in document["annotations"]:
        if record["iscrowd"] or not record.get("segmentation") or RANDOM.random() < MISSED:
            continue
        right = RANDOM.random() >= CONFUSED
        found.append(
            {
                "image_id": record["image_id"],
                "category_id": record["category_id"] if right else int(RANDOM.choice(classes)),
                "score": round(float(RANDOM.beta(5, 2)), 4),
                **moved(record, task, sizes[record["image_id"]]),
            }
        )
        if RANDOM.random() < FALSE:
            strange = {**found[-1], "score": round(float(RANDOM.beta(2, 5)), 4)}
            found.append({**strange, "category_id": int(RANDOM.choice(classes))})
    return found


def moved(record: dict[str, Any], task: str, size: tuple[int, int]) -> dict[str, Any]:
    """Return the part of a result that says where the object is, a little wrong."""
    x, y, width, height = record["bbox"]
    shift = RANDOM.normal(0, 0.1, 2) * (width, height)
    if task == "boxes":
        grown = RANDOM.normal(1, 0.1, 2) * (width, height)
        return {"bbox": [round(float(v), 2) for v in (x + shift[0], y + shift[1], *np.maximum(grown, 1))]}
    if task == "keypoints":
        points = np.array(record["keypoints"], dtype=float).reshape(-1, 3)
        points[:, :2] += RANDOM.normal(0, 0.03, (len(points), 2)) * (width, height)
        return {"keypoints": points.round(1).ravel().tolist()}
    rolled = np.roll(mask_of(record["segmentation"], size), shift.round().astype(int)[::-1], axis=(0, 1))
    packed = coco_mask.encode(np.asfortranarray(rolled))
    return {"segmentation": {"size": packed["size"], "counts": packed["counts"].decode()}}


def mask_of(shape: Any, size: tuple[int, int]) -> Any:
    """Return the pixels of an outline or of run lengths."""
    if isinstance(shape, dict) and isinstance(shape["counts"], str):
        return coco_mask.decode(shape)
    rle = coco_mask.frPyObjects(shape, *size)
    return coco_mask.decode(coco_mask.merge(rle) if isinstance(shape, list) else rle)


def panoptic() -> None:
    """Write the segments of the ground truth, all moved, some of another class."""
    document = json.loads((SUBSET / "masks/panoptic.json").read_text(encoding="utf-8"))
    classes = [category["id"] for category in document["categories"]]
    (OUT / "panoptic").mkdir()
    for record in document["annotations"]:
        pixels = np.array(Image.open(SUBSET / "masks/panoptic" / record["file_name"]).convert("RGB"))
        pixels = np.roll(pixels, RANDOM.integers(-6, 7, 2), axis=(0, 1))
        Image.fromarray(pixels).save(OUT / "panoptic" / record["file_name"])
        for segment in record["segments_info"]:
            if RANDOM.random() < CONFUSED:
                segment["category_id"] = int(RANDOM.choice(classes))
    (OUT / "panoptic.json").write_text(json.dumps({"annotations": document["annotations"]}))


def semantic() -> None:
    """Write the masks of the ground truth, moved; void becomes background."""
    for path in sorted((SUBSET / "masks/semantic").rglob("*.png")):
        mask = np.roll(np.array(Image.open(path)), RANDOM.integers(-6, 7, 2), axis=(0, 1))
        predicted = OUT / path.relative_to(SUBSET / "masks")
        predicted.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.where(mask == 255, 0, mask).astype(np.uint8)).save(predicted)


def main() -> None:
    """Write what is asked for."""
    task = sys.argv[1]
    if task == "panoptic":
        panoptic()
    elif task == "semantic":
        semantic()
    else:
        (OUT / f"{task}.json").write_text(json.dumps(results(task)))


if __name__ == "__main__":
    main()
