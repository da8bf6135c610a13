"""The facts of the split: the splits by name, each class in each of them, and what the audit says."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from cocomine.coco.by_image import RecordsByImage
from cocomine.reporting.facts import Facts, optional_json
from cocomine.splits.names import in_order


class _Object(msgspec.Struct, gc=False):
    image_id: int
    category_id: int = -1
    iscrowd: int | None = 0
    bbox: list[float] | None = None


@dataclass(frozen=True)
class Objects:
    """Of each annotation of a subset the ids of its image and category, whether it is a crowd, and its box's centre.

    Arrays of one length; `centre` has the shape (n, 2), in pixels, and is NaN where there is no box.
    """

    image: npt.NDArray[np.int64]
    category: npt.NDArray[np.int64]
    crowd: npt.NDArray[np.bool_]
    centre: npt.NDArray[np.float64]


def read_objects(document: RecordsByImage) -> Objects:
    """Read what the report counts of a subset's annotations, without their outlines."""
    decode = msgspec.json.Decoder(_Object).decode
    rows = np.empty((len(document), 3), dtype=np.int64)
    centre = np.full((len(document), 2), np.nan)
    for number, text in enumerate(document.texts()):
        record = decode(text)
        rows[number] = record.image_id, record.category_id, bool(record.iscrowd)
        if record.bbox and len(record.bbox) == 4:
            x, y, width, height = record.bbox
            centre[number] = x + width / 2, y + height / 2
    return Objects(rows[:, 0], rows[:, 1], rows[:, 2].astype(bool), centre)


def split_facts(
    folder: Path, objects: Objects, split_of: Mapping[int, str], classes: Sequence[Mapping[str, Any]]
) -> Facts | None:
    """The shares of images and objects in each split, by class, and the audit's figures; None when there is no split.

    `split_of` maps image ids to names of splits; `classes` are the rows of labels.json without the background.
    """
    if not split_of:
        return None
    audit = optional_json(folder / "split_audit.json")
    images = Counter(split_of.values())
    names = in_order(images)
    numbers = _split_of_objects(objects, split_of, names)
    total = sum(images.values())
    return {
        "splits": [
            {
                "name": name,
                "images": images[name],
                "objects": int((numbers == number).sum()),
                "share": images[name] / total,
            }
            for number, name in enumerate(names)
        ],
        "class_columns": [*_columns("Images", names), *_columns("Objects", names), *_columns("Share", names)],
        "classes": _class_rows(objects, numbers, len(names), classes, audit),
        **_audit_facts(audit),
    }


def _columns(what: str, names: Sequence[str]) -> list[str]:
    return [f"{what}, {names[0]}", *names[1:]]


def _split_of_objects(objects: Objects, split_of: Mapping[int, str], names: Sequence[str]) -> npt.NDArray[np.int64]:
    """The number of each object's split in `names`, -1 for none."""
    known, place = np.unique(objects.image, return_inverse=True)
    numbers = {name: number for number, name in enumerate(names)}
    of_image = [numbers.get(split_of.get(image, ""), -1) for image in known.tolist()]
    return np.asarray(of_image, dtype=np.int64)[place] if len(known) else np.zeros(0, dtype=np.int64)


def _class_rows(
    objects: Objects,
    numbers: npt.NDArray[np.int64],
    splits: int,
    classes: Sequence[Mapping[str, Any]],
    audit: Mapping[str, Any] | None,
) -> list[Facts]:
    """Each class's images, objects and share in every split, counted here; its deviation as the audit states it."""
    audited = {int(entry["category_id"]): entry for entry in audit["classes"]} if audit else {}
    rows = []
    for label in classes:
        category = int(label["category_id"])
        of_split = [objects.image[(objects.category == category) & (numbers == n)] for n in range(splits)]
        images = [len(np.unique(own)) for own in of_split]
        entry = audited.get(category, {})
        rows.append(
            {
                "name": label["name"],
                "cells": [*images, *map(len, of_split)],
                "shares": [own / sum(images) if sum(images) else None for own in images],
                "deviation": entry.get("deviation"),
                "best": entry.get("best_possible"),
            }
        )
    return rows


def _asked(name: str, part: Mapping[str, Any]) -> list[tuple[str, int | None]]:
    if part["asked"] is None:
        return []
    possible = (f"Images for {name}, nearest number possible", part["nearest_possible"])
    return [(f"Images for {name}, asked for", part["asked"]), possible, (f"Images for {name}, got", part["images"])]


def _audit_facts(audit: Mapping[str, Any] | None) -> Facts:
    """The audit's strategy, its figures as rows of name and count, and its remarks."""
    if audit is None:
        return {"strategy": "", "audit": [], "folds": [], "notes": []}
    groups = audit["groups"]
    stability, previous = audit.get("stability") or {}, audit.get("previous") or {}
    rows: list[tuple[str, int | None]] = [
        *(row for name, part in audit["splits"].items() for row in _asked(name, part)),
        ("Groups of near-duplicates kept in one split", len(groups)),
        ("Images in groups of near-duplicates", sum(len(group["images"]) for group in groups)),
        ("Likenesses cut, so that chains of near-duplicates stay small", len(audit["cut_links"])),
        ("Likenesses across splits", len(audit["links_across_splits"])),
        ("Images that went with a near-duplicate against the rule", len(audit["moved_with_a_near_duplicate"])),
        ("Images that no list and no split of the source put anywhere", len(audit["unlisted"]) or None),
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
