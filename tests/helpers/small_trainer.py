"""A trainer of thirty lines, as a user's own would be: it learns where a class usually is, and predicts it there."""

import json
import os
from pathlib import Path

import numpy as np

export, output = Path(os.environ["COCOMINE_EXPORT"]), Path(os.environ["COCOMINE_OUTPUT"])
random = np.random.default_rng(int(os.environ["COCOMINE_SEED"]))


def read(split):
    return json.loads((export / "annotations" / f"instances_{split}.json").read_text())


train, val = read("train"), read("val")
sizes = {image["id"]: (image["width"], image["height"]) for image in train["images"]}
shares: dict[int, list[np.ndarray]] = {}
for record in train["annotations"]:
    width, height = sizes[record["image_id"]]
    share = np.array(record["bbox"]) / (width, height, width, height)
    shares.setdefault(record["category_id"], []).append(share)

found = []
for image in val["images"]:
    for category, seen in shares.items():
        box = np.median(seen, axis=0) * np.tile((image["width"], image["height"]), 2)
        score = len(seen) / len(train["annotations"]) * random.uniform(0.9, 1)
        found.append({"image_id": image["id"], "category_id": category, "bbox": box.tolist(), "score": score})

(output / "boxes.json").write_text(json.dumps(found))
print(f"learned {len(shares)} classes, predicted {len(found)} boxes")
