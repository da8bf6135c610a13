"""The facts of a report about the data: each function reads what one stage wrote and returns plain values.

What is not there gives None, and the page says so in a sentence. Nothing is computed that a stage has computed: these
functions select, sum and name.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cocomine.annotations.reasons import RULES, Reason
from cocomine.base.files import read_json, read_table
from cocomine.coco.by_image import RecordsByImage

MOST_IN_A_MATRIX = 20
"""Classes that a matrix shows at most; the others stand in the stage's own file."""

SHARED_KINDS = ("image", "category")
"""Kinds of record that the files of several tasks share."""

Facts = dict[str, Any]


def optional_json(path: Path | None) -> Any:
    """Return a JSON file's content, or None when there is no such file."""
    return read_json(path) if path is not None and path.is_file() else None


def optional_table(path: Path) -> Iterator[dict[str, str]]:
    """Yield a table's rows, none when there is no such file."""
    return read_table(path) if path.is_file() else iter(())


def query_facts(funnel: Mapping[str, Any] | None, settings: Mapping[str, Any]) -> Facts:
    """The query in words, and the settings that differ from their defaults as JSON texts."""
    keys = funnel["query"] if funnel else [key for key, value in settings.items() if value]
    stated = {key: settings.get(key, funnel["query"][key] if funnel else None) for key in keys}
    return {
        "words": funnel["words"] if funnel else None,
        "notes": [str(note) for note in funnel["notes"]] if funnel else [],
        "splits": list(funnel["splits"]) if funnel else [],
        "settings": [
            {"key": key, "value": json.dumps(value, ensure_ascii=False, sort_keys=True)}
            for key, value in sorted(stated.items())
        ],
    }


def warnings(statistics: Mapping[str, Any] | None) -> list[Facts]:
    """What was lost in large part and why, as assemble_subset counted it, with the remedy of the reason."""
    keys = ("words", "share", "remedy")
    return [{key: loss[key] for key in keys} for loss in (statistics or {}).get("losses", [])]


class _Exhaustive(msgspec.Struct, gc=False):
    not_exhaustive_category_ids: list[int] = []
    neg_category_ids: list[int] | None = None


def unlabelled(
    document: RecordsByImage, pairs: Iterable[tuple[int, int]], labels: Sequence[Mapping[str, Any]]
) -> list[Facts]:
    """Where background is not known to be none of a class, as LVIS states it: a row a class, with counts of images.

    `not_exhaustive`: objects of the class are there of which not all are labelled. `unsaid`: it is neither labelled nor
    said to be absent, since LVIS looked for a part of its classes only. No row where a source states neither. `pairs`
    are the image and the category of each object.
    """
    shown: dict[int, set[int]] = {}
    for image, category in pairs:
        shown.setdefault(category, set()).add(image)
    decode = msgspec.json.Decoder(_Exhaustive).decode
    partly, known, federated = Counter[int](), Counter[int](), 0
    for text in document.image_texts():
        record = decode(text)
        partly.update(record.not_exhaustive_category_ids)
        if record.neg_category_ids is not None:
            federated += 1
            known.update(record.neg_category_ids)
    rows = []
    for label in labels if federated or partly else ():
        category = int(label["category_id"])
        unsaid = max(0, federated - known[category] - len(shown.get(category, ()))) if federated else 0
        rows.append({"name": label["name"], "not_exhaustive": partly[category], "unsaid": unsaid})
    return [row for row in rows if row["not_exhaustive"] or row["unsaid"]]


def funnel_facts(funnel: Mapping[str, Any] | None, statistics: Mapping[str, Any] | None) -> Facts | None:
    """The funnel's steps with images and annotations before, removed, added and after.

    The steps of the query come first, from funnel.json; then what became of the selected images and records once the
    images were there, from statistics.json.
    """
    if funnel is None:
        return None
    parts = funnel["funnel"]
    later = statistics.get("funnel_after_images", {}).get("steps", []) if statistics else []
    steps = [*parts["steps"], *(step for step in later if step["clause"] != "selected")]
    return {
        "source_images": parts["images"]["in"],
        "source_annotations": parts["annotations"]["in"],
        "roles": [{"role": role, "images": number} for role, number in sorted(funnel["roles"].items()) if number],
        "steps": [
            {
                "words": step["words"],
                "images": _change(step["images"]),
                "annotations": _change(step["annotations"]),
                "classes": _most_touched(step["by_class"]),
            }
            for step in steps
        ],
    }


def conservation_facts(statistics: Mapping[str, Any] | None) -> Facts | None:
    """How many records went in, and how many were kept, repaired, quarantined and left out by the query.

    A row for each kind and task; below it, in a subset of several sources, one for each of their splits.
    """
    sums, parted = ((statistics or {}).get(key) or {} for key in ("conservation", "conservation_by_split"))
    keys = {
        "in": "In",
        "kept": "Kept as they are",
        "repaired": "Repaired",
        "quarantined": "Quarantined",
        "left_out": "Left out by the query",
    }
    rows = []
    for kind, tasks in sums.items():
        for task, counts in tasks.items():
            named = {kind if len(tasks) == 1 else f"{kind}, {task}": counts}
            splits = parted.get(kind, {}).get(task, {})
            if len({split.partition(".")[0] for split in splits if "." in split}) > 1:  # named {source}.{split}
                named |= {f"… of {split}": counts for split, counts in splits.items()}
            rows += [{"kind": name, "cells": [counts.get(key, 0) for key in keys]} for name, counts in named.items()]
    return {"columns": list(keys.values()), "rows": rows} if rows else None


def _change(change: Mapping[str, int]) -> dict[str, int]:
    return {key: change[key] for key in ("before", "removed", "added", "after")}


def _most_touched(by_class: Mapping[str, Mapping[str, int]], most: int = 6) -> list[Facts]:
    """The classes that a step took most annotations from."""
    rows = sorted(by_class.items(), key=lambda row: (-row[1].get("annotations_removed", 0), row[0]))
    return [
        {"name": name, "annotations": change["annotations_removed"]}
        for name, change in rows[:most]
        if change.get("annotations_removed")
    ]


def reason_rows(rows: Iterable[Mapping[str, str]], images: Collection[str] = ()) -> list[Facts]:
    """Rows of quarantine.tsv or repairs.tsv, counted by kind and reason, the most frequent first.

    `in_explorer` says whether some of them lie on one of `images`, the subset's image ids. A repair for several reasons
    (their codes joined by commas) counts for each. An image and a category count once, though every task's file of
    their split has a row of them.
    """
    counts: Counter[tuple[str, str]] = Counter()
    on_images: set[tuple[str, str]] = set()
    seen: set[tuple[str, ...]] = set()
    for row in rows:
        for reason in row["reason"].split(","):
            key = (row["kind"], reason, row["source_split"], row["id"])
            if row["kind"] in SHARED_KINDS:
                if key in seen:
                    continue
                seen.add(key)
            counts[row["kind"], reason] += 1
            if row["kind"] != "image" and row.get("image_id") in images:
                on_images.add((row["kind"], reason))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [
        {
            "kind": kind,
            "reason": code,
            "count": count,
            "meaning": _meaning(kind, code),
            "in_explorer": (kind, code) in on_images,
        }
        for (kind, code), count in ordered
    ]


def _meaning(kind: str, code: str) -> str:
    """What a reason means for a record of this kind, which may have been left out for another record's sake."""
    if code not in set(Reason):
        return ""
    rule = RULES[Reason(code)]
    if kind in rule.kinds:
        return rule.meaning
    whose = "it holds an annotation that is quarantined" if kind == "image" else "its image is left out"
    return f"{whose}: {rule.meaning}"


def licence_facts(licences: Any, images: Sequence[Mapping[str, str]]) -> list[Facts]:
    """How many images have which licence. `licences` is the source's own list, if it has one."""
    counts = Counter(row["license"] for row in images)
    known = {str(entry.get("id")): entry for entry in licences or [] if isinstance(entry, Mapping)}
    rows = []
    for number, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        entry = known.get(number, {})
        name, url = str(entry.get("name") or ""), str(entry.get("url") or "")
        rows.append(
            {
                "name": name
                or ("not stated" if number in ("", "-1") else f"licence {number}, which the source does not name"),
                "url": url,
                "images": count,
                "non_commercial": "noncommercial" in name.lower().replace("-", "") or "-nc" in url.lower(),
            }
        )
    return rows


def export_facts(exports: Path) -> list[Facts]:
    """Each export's counts and what it could not carry, from the manifests."""
    result = []
    for manifest in sorted(exports.glob("*/manifest.json")):
        content = read_json(manifest)
        result.append(
            {
                "format": content["format"],
                "what": content["what"],
                "load": content["load"].replace(
                    "{folder}", f"results/{exports.parent.name}/exports/{content['format']}"
                ),
                "images": content["totals"]["images"],
                "objects_in": content["totals"]["objects_in"],
                "objects_out": content["totals"]["objects_out"],
                "bytes": sum(row["bytes"] for row in content["files"]),
                "dropped": [_loss(row) for row in content["not_carried"] if row["drops"]],
                "reduced": [_loss(row) for row in content["not_carried"] if not row["drops"]],
                "much_lost": [
                    row
                    for row in content["by_class"]
                    if 100 * (row["objects_in"] - row["objects_out"]) > row["objects_in"]
                ],
                "traced": _traced([split["traced"] for split in content["splits"].values() if "traced" in split]),
            }
        )
    return result


def _traced(splits: Sequence[Mapping[str, Any]]) -> Facts | None:
    """The objects whose run lengths became outlines: how many, and the least IoU of an object and its outline."""
    if not splits:
        return None
    return {
        "objects": sum(split["objects"] for split in splits),
        "iou_least": min(split["iou_least"] for split in splits),
    }


def _loss(row: Mapping[str, Any]) -> Facts:
    return {key: row[key] for key in ("code", "unit", "count", "meaning")}


def annotation_files(lock: Mapping[str, Any] | None) -> list[Facts]:
    """The annotation files with size, hash and origin, from the source's lock; a folder of PNGs is one row."""
    if lock is None:
        return []
    rows: dict[str, Facts] = {}
    for name, entry in sorted(lock["files"].items()):
        folder, _, _ = name.rpartition("/")
        key = f"{folder}/" if folder else name
        row = rows.setdefault(key, {"file": key, "bytes": 0, "sha256": "", "origin": str(entry.get("origin") or "")})
        row["bytes"] += entry["bytes"]
        row["sha256"] = "a hash for each file is in sync.lock.json" if folder else str(entry["sha256"])
    return list(rows.values())


def image_facts(lock: Path, images: Sequence[Mapping[str, str]]) -> Facts | None:
    """Where the subset's images came from: number and bytes by origin, from images.lock.tsv; None without it."""
    if not lock.is_file():
        return None
    kept = {row["image_id"] for row in images}
    origins: dict[str, Counter[str]] = {}
    for row in read_table(lock):
        if row["image_id"] in kept and row["status"] == "ok":
            counts = origins.setdefault(row["origin"] or "not stated", Counter())
            counts["images"] += 1
            counts["bytes"] += int(row["bytes"] or 0)
    return {
        "origins": [{"origin": origin, **counts} for origin, counts in sorted(origins.items())],
        "images": sum(counts["images"] for counts in origins.values()),
        "bytes": sum(counts["bytes"] for counts in origins.values()),
    }


def class_facts(statistics: Mapping[str, Any] | None, labels: Sequence[Mapping[str, Any]]) -> Facts:
    """Each class's images and objects in the source and in the subset, and the subset's objects in detail.

    `labels` are the rows of labels.json without the background; annotations of a crowd count as one object.
    """
    if statistics is None:
        return {"rows": [], "details": [], "detail_columns": []}
    before, after = (statistics[side]["per_class"] for side in ("before", "after"))
    rows = [
        {
            "name": label["name"],
            "color": label["color"],
            "supercategory": label["supercategory"] or "",
            "category_id": label["category_id"],
            "made_of": _made_of(label),
            "before": _class_counts(before.get(label["name"])),
            "after": _class_counts(after.get(label["name"])),
        }
        for label in labels
    ]
    columns = {
        "crowds": "Crowds",
        "multi_polygon": "Of several parts",
        "vertices": "Points of outlines",
        "small": "Small",
        "medium": "Medium",
        "large": "Large",
    }
    details = [(label["name"], after.get(label["name"], {})) for label in labels]
    details.append(("all", statistics["after"]["total"]))
    return {
        "rows": rows,
        "detail_columns": list(columns.values()),
        "details": [{"name": name, "cells": [counts.get(key, 0) for key in columns]} for name, counts in details],
    }


def _made_of(label: Mapping[str, Any]) -> list[str]:
    """The names of the source's categories that a class is made of; none where it is one of that name."""
    names = [str(category["name"]) for category in label.get("source_categories", [])]
    return [] if names == [label["name"]] else names


def _class_counts(counts: Mapping[str, Any] | None) -> dict[str, int]:
    return {"images": counts["images"], "objects": counts["annotations"]} if counts else {"images": 0, "objects": 0}


def interference_facts(statistics: Mapping[str, Any] | None, labels: Sequence[Mapping[str, Any]]) -> Facts | None:
    """How often another class shares an image with a wanted one, in the source and in the subset, as shares.

    Rows are the wanted classes, columns the wanted ones and then the others that share most images with them.
    """
    if not statistics or not statistics.get("interference"):
        return None
    before, after = (statistics["interference"][side] for side in ("before", "after"))
    names = [label["name"] for label in labels if label["name"] in before]
    rows = sorted(names, key=lambda name: (-before[name]["images"], name))[:MOST_IN_A_MATRIX]
    rows = [name for name in names if name in rows]
    shared: Counter[str] = Counter()
    for name in rows:
        shared.update({other: count for other, count in before[name]["shared"].items() if other not in rows})
    others = sorted(shared, key=lambda name: (-shared[name], name))
    columns = rows + others[: max(4, MOST_IN_A_MATRIX // 2 - len(rows))]

    def shares(matrix: Mapping[str, Any]) -> list[list[float | None]]:
        return [[_share_of(matrix.get(row), row, column) for column in columns] for row in rows]

    return {
        "classes": rows,
        "columns": columns,
        "matrices": [
            {"label": "Before: all images of the source", "shares": shares(before)},
            {"label": "After: the images of the subset", "shares": shares(after)},
        ],
        "left_out": (len(names) + len(others) - len(columns)) or None,
    }


def _share_of(entry: Mapping[str, Any] | None, row: str, column: str) -> float | None:
    if entry is None or not entry["images"] or row == column:
        return None
    return float(entry["shared"].get(column, 0) / entry["images"])
