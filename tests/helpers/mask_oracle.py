"""The slow and plain way to draw masks, by pycocotools' own code, against which ours is held pixel for pixel."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cocomine.base.files import write_json, write_table
from cocomine.masks.settings import MaskSettings
from pycocotools import mask as coco_mask
from scipy import ndimage


def ann_to_mask(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Return what pycocotools' COCO.annToMask returns, as booleans."""
    if isinstance(segmentation, list):
        rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        rle = coco_mask.frPyObjects(segmentation, height, width)
    else:
        rle = segmentation
    return coco_mask.decode(rle).astype(bool)


@dataclasses.dataclass
class Expected:
    semantic: np.ndarray
    instance: np.ndarray
    panoptic: np.ndarray
    objects: list[dict[str, Any]]
    """Number, label, crowd, area, and the pixels that no other object took."""


def draw(
    settings: MaskSettings,
    height: int,
    width: int,
    annotations: Sequence[dict[str, Any]],
    category_to_label: dict[int, int],
    stuff: Sequence[dict[str, Any]] = (),
    decoded: dict[int, np.ndarray] | None = None,
) -> Expected:
    """Compose the masks object by object, whole images at a time; `decoded` may hold masks by annotation id."""
    decoded = {} if decoded is None else decoded
    found: list[dict[str, Any]] = []
    for layer, part in ((0, annotations), (3, stuff)):
        for annotation in part:
            label = category_to_label.get(annotation["category_id"], 0)
            if not label and settings.unwanted == "background":
                continue
            if annotation["id"] not in decoded:
                x, y, w, h = annotation["bbox"] if not annotation["segmentation"] else (0, 0, 0, 0)
                box_only = [[x, y, x + w, y, x + w, y + h, x, y + h]]
                decoded[annotation["id"]] = ann_to_mask(annotation["segmentation"] or box_only, height, width)
            mask = decoded[annotation["id"]]
            columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
            box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else np.s_[0:0, 0:0]
            here = 4 if not label else 1 if annotation.get("iscrowd") else layer
            if label and not annotation["segmentation"] and settings.boxes == "void":
                here = 2
            found.append({"label": label, "layer": here, "mask": mask, "order": len(found), "area": int(mask.sum()),
                          "box": box})  # fmt: skip
    number = 0
    for item in found:
        number += bool(item["label"])
        item["segment"] = number if item["label"] else 0
        item["number"] = 0 if item["layer"] == 3 else item["segment"]
    smaller = settings.overlap == "smaller-on-top"
    found.sort(key=lambda o: (-o["layer"], -o["area"] if smaller else 0, o["order"]))
    owner = np.full((height, width), -1, np.int32)
    for place, item in enumerate(found):
        owner[item["box"]][item["mask"][item["box"]]] = place
    pictures = tuple(np.zeros((height, width), np.int32) for _ in range(3))
    objects: list[dict[str, Any]] = []
    for place, item in enumerate(found):
        # Only the object's box is looked at: nothing of it lies outside.
        box = item["box"]
        semantic, instance, panoptic = (picture[box] for picture in pictures)
        own = owner[box] == place
        rival, other = np.zeros_like(own), np.zeros_like(own)
        if settings.overlap == "void" and item["layer"] in (0, 3):
            for another in found:
                if another is not item and another["layer"] == item["layer"]:
                    rival |= own & another["mask"][box]
                    if another["label"] != item["label"]:
                        other |= own & another["mask"][box]
        void = item["layer"] in (2, 4) or (item["layer"] == 1 and settings.crowds == "void")
        semantic[own] = 255 if void else item["label"]
        semantic[other] = 255
        instance[own] = 65535 if void else item["number"]
        instance[rival] = 0 if item["layer"] == 3 else 65535
        panoptic[own] = 0 if item["layer"] == 2 else item["segment"]
        panoptic[rival] = 0
        if item["label"]:
            objects.append(
                {"number": item["number"], "segment": item["segment"],
                 "label": item["label"], "crowd": item["layer"] == 1, "box": item["layer"] == 2, "area": item["area"],
                 "uncovered": int((own & ~rival).sum())}
            )  # fmt: skip
    if settings.border:
        voids = (255, 65535, 0)
        pictures = tuple(bordered(*pair) for pair in zip(pictures, [settings.border] * 3, voids, strict=True))
    semantic, instance, panoptic = pictures
    return Expected(semantic, instance, panoptic, sorted(objects, key=lambda item: item["segment"]))


def bordered(values: np.ndarray, width: int, void: int) -> np.ndarray:
    size = 2 * width + 1
    high = ndimage.maximum_filter(values, size, mode="nearest")
    low = ndimage.minimum_filter(values, size, mode="nearest")
    return np.where(high != low, void, values)


def labels_of(categories: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the content of labels.json for these categories."""
    entries: list[dict[str, Any]] = [
        {"label": 0, "name": "background", "category_id": None, "supercategory": None, "color": [0, 0, 0]}
    ]
    for label, category in enumerate(sorted(categories, key=lambda one: one["id"]), 1):
        entries.append(
            {"label": label, "name": category.get("name", f"class {label}"), "category_id": category["id"],
             "supercategory": "thing", "color": [label * 37 % 256, label * 101 % 256, label * 191 % 256]}
        )  # fmt: skip
    return {
        "labels": entries,
        "void": 255,
        "category_to_label": {str(one["category_id"]): one["label"] for one in entries[1:]},
        "label_to_category": {str(one["label"]): one["category_id"] for one in entries[1:]},
    }


IMAGE_COLUMNS = ("image_id", "source_split", "file_name", "store_path", "width", "height", "license", "role")


def write_subset(
    folder: Path, document: dict[str, Any], labels: dict[str, Any] | None = None, split: str = "train2017"
) -> None:
    """Write subset.json, images.tsv and labels.json as the steps before masks do."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "subset.json").write_text(json.dumps(document), "utf-8")
    write_table(
        folder / "images.tsv",
        IMAGE_COLUMNS,
        (
            (i["id"], split, i["file_name"], f"{split}/{i['file_name']}", i["width"], i["height"], 1, "wanted")
            for i in sorted(document["images"], key=lambda image: image["id"])
        ),
    )
    write_json(folder / "labels.json", labels or labels_of(document["categories"]))
