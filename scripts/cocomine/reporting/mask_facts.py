"""What the report says of the masks of a subset."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cocomine.base.files import read_table
from cocomine.reporting.facts import Facts, optional_json, optional_table

SIZE_NAMES = ("small", "medium", "large")
"""COCO's size classes, as masks.json names them."""


def mask_facts(folder: Path, labels: Sequence[Mapping[str, Any]]) -> Facts | None:
    """Pixels, instances, hidden and vanished instances of each class, summed over masks.tsv."""
    if not (folder / "masks.tsv").is_file():
        return None
    sums: dict[int, Counter[str]] = {int(label["label"]): Counter() for label in labels}
    for row in read_table(folder / "masks.tsv"):
        counts = sums.get(int(row["label"]))
        if counts is not None:
            counts["images"] += 1
            for key in ("pixels", "instances", "hidden", "vanished"):
                counts[key] += int(row[key] or 0)
    pixels = sum(counts["pixels"] for counts in sums.values())
    manifest = optional_json(folder / "masks.json") or {}
    return {
        "classes": [
            {
                "name": label["name"],
                "color": label["color"],
                **{key: sums[label["label"]][key] for key in ("images", "instances", "hidden", "vanished", "pixels")},
                "share": sums[label["label"]]["pixels"] / pixels if pixels else None,
            }
            for label in labels
        ],
        "settings": [
            {"key": key, "value": json.dumps(value, ensure_ascii=False).strip('"')}
            for key, value in sorted(manifest.get("settings", {}).items())
        ],
        "training_size": manifest.get("training_size"),
        "sizes": _mask_sizes(manifest.get("classes", [])),
        "class_sizes": [
            {"name": entry["name"], "cells": [_vanished(entry["by_size"].get(size, {})) for size in SIZE_NAMES]}
            for entry in manifest.get("classes", [])
            if entry.get("by_size") and entry.get("instances")
        ],
        "areas": [
            {"name": name, "pixels": count, "share": count / total}
            for total in [sum(manifest.get("pixels", {}).values())]
            for name, count in sorted(manifest.get("pixels", {}).items())
            if total
        ],
        "refused": sum(1 for _ in optional_table(folder / "masks" / "refused.tsv")),
    }


def _vanished(counts: Mapping[str, int]) -> str:
    """How many of a class's objects of one size vanish at the training size, as "3 of 12"; a dash where it has none."""
    return f"{counts['vanished']} of {counts['instances']}" if counts.get("instances") else "–"


def _mask_sizes(classes: Sequence[Mapping[str, Any]]) -> list[Facts]:
    """Instances, hidden and vanished ones by size, over all classes; a size without instances is left out."""
    sums: dict[str, Counter[str]] = {}
    for entry in classes:
        for size, counts in entry.get("by_size", {}).items():
            sums.setdefault(size, Counter()).update(counts)
    order = list(SIZE_NAMES)
    return [
        {
            "name": size,
            "instances": sums[size]["instances"],
            "hidden": sums[size]["hidden"],
            "vanished": sums[size]["vanished"],
            "empty": sums[size]["empty"],
            "share": sums[size]["vanished"] / sums[size]["instances"],
        }
        for size in sorted(sums, key=lambda size: (order.index(size) if size in order else len(order), size))
        if sums[size]["instances"]
    ]
