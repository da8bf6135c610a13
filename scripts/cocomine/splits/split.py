"""Splitting a subset: groups, train and val, the sliced files, and the audit of what was done."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cocomine.base.errors import CocomineError
from cocomine.base.files import rank, read_table, write_json, write_table
from cocomine.base.progress import Progress
from cocomine.images.descriptors import THUMBNAIL_SIDE
from cocomine.splits import documents
from cocomine.splits.assign import NO_FOLD, Assignment, Member, assign, inherit
from cocomine.splits.choose import nearest
from cocomine.splits.groups import Groups, Identity, Link, certain_links, group
from cocomine.splits.near_duplicates import Pairs, find_pairs
from cocomine.splits.settings import SplitSettings

log = logging.getLogger("cocomine")

COLUMNS = ("image_id", "file_name", "split", "group", "fold")


def split(
    settings: SplitSettings, subset_dir: Path, measures: Path, out_dir: Path, like: Path | None, previous: Path | None
) -> None:
    """Split the subset in `subset_dir` and write split.tsv, train.json, val.json, split_tasks/ and split_audit.json.

    `like` is another subset's split.tsv to inherit, `previous` an earlier one of this subset to count moves against.
    Raises CocomineError when an input is missing or a split would be empty.
    """
    subset = documents.read(subset_dir / "subset.json")
    rows = _images(subset_dir / "images.tsv")
    groups = _groups(rows, measures, settings)
    members = _members(rows, groups, subset)
    inherited = _splits(like) if like is not None else None
    assignment = inherit(members, inherited, settings) if inherited is not None else assign(members, settings)
    with Progress("split_dataset", len(members), "image") as progress:
        splits = ["val" if val else "train" for val in assignment.in_val]
        first = [min(ids) for ids in _ids_by_group(members).values()]
        group_id = dict(zip(_ids_by_group(members), first, strict=True))
        write_table(
            out_dir / "split.tsv",
            COLUMNS,
            (
                (p.image_id, p.file_name, split, group_id[p.group], fold if fold != NO_FOLD else None)
                for p, split, fold in zip(members, splits, assignment.fold, strict=True)
            ),
        )
        split_of = {member.image_id: split for member, split in zip(members, splits, strict=True)}
        tasks = _write_documents(subset, subset_dir, out_dir, split_of)
        audit = _audit(settings, members, assignment, groups, subset, tasks, inherited is not None)
        if inherited is None:
            audit["stability"] = _stability(members, settings, split_of)
        if previous is not None:
            audit["previous"] = _moves(_splits(previous), split_of)
        write_json(out_dir / "split_audit.json", audit)
        progress.advance(len(members))
        for split in documents.SPLITS:
            progress.count(split, splits.count(split))
        progress.count("groups of more than one", len(audit["groups"]))
        progress.count("links cut", len(audit["cut_links"]))
    if audit["note"]:
        log.warning("split_dataset: %s", audit["note"])


def _images(path: Path) -> list[dict[str, str]]:
    try:
        rows = list(read_table(path))
    except FileNotFoundError as error:
        raise CocomineError(f"{path}: no such file", "run assemble_subset first") from error
    if rows and not {"image_id", "source_split", "file_name"} <= set(rows[0]):
        raise CocomineError(f"{path}: not a table of images", "delete it and run snakemake again")
    if len(rows) < 2:
        raise CocomineError(
            f"{path}: {len(rows)} images cannot be split into train and val", "widen the subset's query in the config"
        )
    return rows


def _splits(path: Path) -> dict[int, tuple[str, int]]:
    """Return the split and fold of each image id of a split.tsv."""
    try:
        return {int(row["image_id"]): (row["split"], int(row["fold"] or NO_FOLD)) for row in read_table(path)}
    except FileNotFoundError as error:
        raise CocomineError(f"{path}: no such split", "build the subset that it belongs to first") from error
    except (KeyError, ValueError) as error:
        raise CocomineError(f"{path}: not a split.tsv: {error}", "give the split.tsv of a subset") from error


def _groups(rows: Sequence[dict[str, str]], measures: Path, settings: SplitSettings) -> Groups:
    """Join the images that must stay together, by name, by content and by looks."""
    try:
        table = pq.read_table(measures, columns=["image_id", "source_split", "sha256", "phash", "thumbnail"])
    except FileNotFoundError as error:
        raise CocomineError(f"{measures}: no such file", "run measure_images first") from error
    except pa.ArrowException as error:
        raise CocomineError(
            f"{measures}: not a table of measured images: {error}", "run measure_images again"
        ) from error
    keys = zip(table["image_id"].to_pylist(), table["source_split"].to_pylist(), strict=True)
    place = {key: number for number, key in enumerate(keys)}
    try:
        order = [place[int(row["image_id"]), row["source_split"]] for row in rows]
    except KeyError as error:
        raise CocomineError(f"{measures}: image {error} was not measured", "run measure_images again") from error
    table = table.take(order)
    facts_of = zip(table["sha256"].to_pylist(), table["phash"].to_pylist(), strict=True)
    identities = [
        Identity(int(row["image_id"]), row["file_name"], *facts) for row, facts in zip(rows, facts_of, strict=True)
    ]
    certain = certain_links(identities)
    thumbnails, seen = _thumbnails(table["thumbnail"])
    found = find_pairs(thumbnails, settings.near_duplicate_distance, settings.near_duplicate_similarity)
    pairs = Pairs(seen[found.first], seen[found.second], found.distance, found.similarity)
    # What only looks alike joins no group where near-duplicates may lie in both splits; one file always stays one.
    return group(len(rows), certain, pairs, 0 if settings.near_duplicates == "allow" else settings.largest_group)


def _thumbnails(column: Any) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the thumbnails (n, 32, 32) of the rows that have one, and those rows."""
    values = column.to_pylist()
    seen = np.array([row for row, value in enumerate(values) if value is not None], dtype=np.int64)
    joined = b"".join(value for value in values if value is not None)
    return np.frombuffer(joined, dtype=np.uint8).reshape(-1, THUMBNAIL_SIDE, THUMBNAIL_SIDE), seen


def _members(rows: Sequence[dict[str, str]], groups: Groups, subset: documents.Sliceable) -> list[Member]:
    labels: dict[int, set[int]] = {}
    for image, category, _ in subset.annotations:
        labels.setdefault(image, set()).add(category)
    members = []
    for row, of in zip(rows, groups.of, strict=True):
        image = int(row["image_id"])
        found = tuple(sorted(labels.get(image, ())))
        members.append(Member(image, row["source_split"], row["file_name"], of, found))
    return members


def _ids_by_group(members: Sequence[Member]) -> dict[int, list[int]]:
    result: dict[int, list[int]] = {}
    for member in members:
        result.setdefault(member.group, []).append(member.image_id)
    return result


def _write_documents(
    subset: documents.Sliceable, subset_dir: Path, out_dir: Path, split_of: dict[int, str]
) -> dict[str, dict[str, int]]:
    """Write train.json and val.json, and split_tasks/{split}_{task}.json; return the annotations of each."""
    counts = {
        "instances": documents.write_slices(
            subset, split_of, {split: out_dir / f"{split}.json" for split in documents.SPLITS}
        )
    }
    tasks = out_dir / "split_tasks"
    tasks.mkdir(parents=True, exist_ok=True)
    for path in sorted((subset_dir / "tasks").glob("*.json")):
        paths = {split: tasks / f"{split}_{path.name}" for split in documents.SPLITS}
        counts[path.stem] = documents.write_slices(documents.read(path), split_of, paths)
    return counts


def _audit(
    settings: SplitSettings,
    members: Sequence[Member],
    assignment: Assignment,
    groups: Groups,
    subset: documents.Sliceable,
    tasks: dict[str, dict[str, int]],
    inherited: bool,
) -> dict[str, Any]:
    in_val = assignment.in_val
    count = sum(in_val)
    share = count / len(members)
    aim = assignment.share if assignment.share is not None and not inherited else share
    crossing = [link for link in groups.links + groups.cut if in_val[link.first] != in_val[link.second]]
    note = assignment.note or _note(assignment.target, assignment.nearest, count, len(members))
    by_group: dict[int, list[Link]] = {}
    for link in groups.links:
        by_group.setdefault(groups.of[link.first], []).append(link)
    larger = {of: ids for of, ids in _ids_by_group(members).items() if len(ids) > 1}
    splits: dict[int, set[str]] = {}
    for member, val in zip(members, in_val, strict=True):
        splits.setdefault(member.group, set()).add("val" if val else "train")
    return {
        "strategy": "inherited" if inherited else settings.strategy,
        "settings": settings.as_mapping(),
        "images": {"all": len(members), "train": len(members) - count, "val": count},
        "val": {"asked": assignment.target, "nearest_possible": assignment.nearest, "got": count, "share": share},
        "note": note,
        "annotations": tasks,
        "classes": _classes(members, in_val, subset, aim),
        "groups": [
            {
                "group": min(ids),
                "images": sorted(ids),
                "split": "both" if len(splits[of]) > 1 else next(iter(splits[of])),
                "why": [_told(link, members) for link in by_group.get(of, [])],
            }
            for of, ids in sorted(larger.items(), key=lambda item: min(item[1]))
        ],
        "cut_links": [_told(link, members) for link in groups.cut],
        "links_across_splits": [_told(link, members) for link in crossing],
        "moved_with_a_near_duplicate": assignment.moved,
        "folds": _fold_sizes(assignment.fold),
    }


def _note(target: int | None, nearest_possible: int | None, got: int, images: int) -> str:
    """Say why val does not hold the number of images asked for; empty where it does."""
    if target is None or nearest_possible is None or got == target:
        return ""
    if got != nearest_possible:
        return f"{target} images were asked for in val, {nearest_possible} were possible, and {got} are there"
    allowed = min(max(target, 1), images - 1)
    reasons = ["neither split may be empty"] if allowed != target else []
    reasons += ["groups stay together"] if nearest_possible != allowed else []
    asked = f"{target} image{'s were' if target != 1 else ' was'} asked for in val"
    return f"{asked}; {' and '.join(reasons)}, so the nearest number is {nearest_possible}"


def _told(link: Link, members: Sequence[Member]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "images": sorted((members[link.first].image_id, members[link.second].image_id)),
        "why": link.why,
    }
    if link.why == "near-duplicate":
        told |= {"bits": link.distance, "similarity": link.similarity}
    return told


def _fold_sizes(folds: Sequence[int]) -> dict[str, int]:
    return {str(fold): folds.count(fold) for fold in sorted(set(folds)) if fold != NO_FOLD}


def _classes(
    members: Sequence[Member], in_val: Sequence[bool], subset: documents.Sliceable, aim: float
) -> list[dict[str, Any]]:
    """Return for each class its images and objects in both splits, its share of val and how far that is from `aim`.

    `best_possible` is the least deviation that this class alone could have, given the groups that stay together.
    """
    val_ids = {member.image_id for member, val in zip(members, in_val, strict=True) if val}
    objects: dict[int, list[int]] = {}
    for image, category, _ in subset.annotations:
        objects.setdefault(category, [0, 0])[image in val_ids] += 1
    images: dict[int, list[int]] = {}
    parts: dict[int, dict[int, int]] = {}
    for member, is_val in zip(members, in_val, strict=True):
        for label in member.labels:
            images.setdefault(label, [0, 0])[is_val] += 1
            group_parts = parts.setdefault(label, {})
            group_parts[member.group] = group_parts.get(member.group, 0) + 1
    names = _names(subset)
    table = []
    for label in sorted(set(names) | set(objects)):
        train, val = images.get(label, [0, 0])
        total = train + val
        sizes: dict[int, int] = {}
        for size in parts.get(label, {}).values():
            sizes[size] = sizes.get(size, 0) + 1
        best = abs(nearest(sorted(sizes.items()), aim * total) / total - aim) if total else 0.0
        share = val / total if total else None
        table.append(
            {
                "category_id": label,
                "name": names.get(label, ""),
                "images": {"train": train, "val": val},
                "objects": dict(zip(("train", "val"), objects.get(label, [0, 0]), strict=True)),
                "share_of_val": None if share is None else round(share, 6),
                "deviation": None if share is None else round(abs(share - aim), 6),
                "best_possible": round(best, 6) if total else None,
            }
        )
    return table


def _names(subset: documents.Sliceable) -> dict[int, str]:
    categories = [msgspec.json.decode(raw) for raw in subset.categories or []]
    return {int(category["id"]): str(category.get("name", "")) for category in categories}


def _stability(members: Sequence[Member], settings: SplitSettings, split_of: dict[int, str]) -> dict[str, Any]:
    """Return how many images would change splits had a tenth of the images been added later."""
    kept = [p for p in members if rank(f"later:{settings.seed}", p.image_id) % 10 != 0]
    if settings.strategy == "lists":
        return {"images": len(members), "later": 0, "moved": 0}
    try:
        before = assign(kept, msgspec.structs.replace(settings, official_val=_present(kept, settings)))
    except CocomineError:
        return {"images": len(members), "later": len(members) - len(kept), "moved": None}
    moved = sum(
        split_of[member.image_id] != ("val" if val else "train")
        for member, val in zip(kept, before.in_val, strict=True)
    )
    return {"images": len(members), "later": len(members) - len(kept), "moved": moved}


def _present(members: Sequence[Member], settings: SplitSettings) -> tuple[str, ...]:
    names = {member.source_split for member in members}
    return tuple(name for name in settings.official_val if name in names)


def _moves(before: dict[int, tuple[str, int]], split_of: dict[int, str]) -> dict[str, int]:
    """Return how many images changed splits since an earlier split, came or went."""
    both = [image for image in split_of if image in before]
    return {
        "moved": sum(before[image][0] != split_of[image] for image in both),
        "same_split": sum(before[image][0] == split_of[image] for image in both),
        "train_to_val": sum(before[image][0] == "train" and split_of[image] == "val" for image in both),
        "val_to_train": sum(before[image][0] == "val" and split_of[image] == "train" for image in both),
        "new": len(split_of) - len(both),
        "gone": len(before) - len(both),
    }
