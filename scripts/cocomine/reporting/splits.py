"""The facts of the split: the two splits, each class in both, and what the audit says."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cocomine.coco.reader import Document
from cocomine.reporting.facts import Facts, optional_json

SPLITS = (("train", "training"), ("val", "validation"))


def split_facts(
    folder: Path, document: Document, split_of: Mapping[int, str], classes: Sequence[Mapping[str, Any]]
) -> Facts | None:
    """The shares of images and objects in both splits, by class, and the audit's figures; None when there is no split.

    `split_of` maps image ids to "train" or "val"; `classes` are the rows of labels.json without the background.
    """
    if not split_of:
        return None
    audit = optional_json(folder / "split_audit.json")
    images = Counter(split_of.values())
    objects = Counter(split_of.get(annotation.image_id, "") for annotation in document.annotations)
    total = sum(images.values())
    return {
        "splits": [
            {"name": name, "images": images[split], "objects": objects[split], "share": images[split] / total}
            for split, name in SPLITS
        ],
        "class_columns": ["Images, training", "validation", "Objects, training", "validation"],
        "classes": _class_rows(document, split_of, classes, audit),
        **_audit_facts(audit),
    }


def _class_rows(
    document: Document,
    split_of: Mapping[int, str],
    classes: Sequence[Mapping[str, Any]],
    audit: Mapping[str, Any] | None,
) -> list[Facts]:
    """Each class's images and objects in both splits, counted here; its deviation as the audit states it."""
    holders: dict[tuple[str, int], set[int]] = {}
    counts: Counter[tuple[str, int]] = Counter()
    for annotation in document.annotations:
        key = (split_of.get(annotation.image_id, ""), annotation.category_id)
        holders.setdefault(key, set()).add(annotation.image_id)
        counts[key] += 1
    audited = {int(entry["category_id"]): entry for entry in audit["classes"]} if audit else {}
    rows = []
    for label in classes:
        category = int(label["category_id"])
        keys = [(split, category) for split, _ in SPLITS]
        in_train, in_val = (len(holders.get(key, ())) for key in keys)
        entry = audited.get(category, {})
        rows.append(
            {
                "name": label["name"],
                "cells": [in_train, in_val, counts[keys[0]], counts[keys[1]]],
                "share": in_val / (in_train + in_val) if in_train + in_val else None,
                "deviation": entry.get("deviation"),
                "best": entry.get("best_possible"),
            }
        )
    return rows


def _audit_facts(audit: Mapping[str, Any] | None) -> Facts:
    """The audit's strategy, its figures as rows of name and count, and its remarks."""
    if audit is None:
        return {"strategy": "", "audit": [], "folds": [], "notes": []}
    groups = audit["groups"]
    stability, previous = audit.get("stability") or {}, audit.get("previous") or {}
    rows: list[tuple[str, int | None]] = [
        ("Images for validation, asked for", audit["val"]["asked"]),
        ("Images for validation, nearest number possible", audit["val"]["nearest_possible"]),
        ("Images for validation, got", audit["val"]["got"]),
        ("Groups of near-duplicates kept in one split", len(groups)),
        ("Images in groups of near-duplicates", sum(len(group["images"]) for group in groups)),
        ("Likenesses cut, so that chains of near-duplicates stay small", len(audit["cut_links"])),
        ("Likenesses across the two splits", len(audit["links_across_sides"])),
        ("Images that went with a near-duplicate against the rule", len(audit["moved_with_a_twin"])),
        (
            f"Images that would have changed split had {stability.get('later')} of the others been added later",
            stability.get("moved") if stability.get("later") else None,
        ),
        ("Images in another split than before", previous.get("moved")),
        ("Images that the split before did not have", previous.get("new")),
        ("Images of the split before that are gone", previous.get("gone")),
    ]
    return {
        "strategy": str(audit["strategy"]),
        "audit": [{"name": name, "value": value} for name, value in rows if value is not None],
        "folds": [{"fold": str(fold), "images": number} for fold, number in sorted((audit.get("folds") or {}).items())],
        "notes": [audit["note"]] if audit["note"] else [],
    }
