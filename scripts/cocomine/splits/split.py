"""Splitting a subset: groups, the named splits, the sliced files, and the audit of what was done."""

import logging
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cocomine.base.errors import CocomineError
from cocomine.base.files import rank, read_table, write_json, write_table
from cocomine.base.progress import Progress
from cocomine.coco.by_image import RecordsByImage
from cocomine.coco.tasks import TASKS
from cocomine.images.descriptors import THUMBNAIL_SIDE
from cocomine.splits.assign import NO_FOLD, Assignment, Member, assign, inherit
from cocomine.splits.changed import find_changed
from cocomine.splits.choose import nearest
from cocomine.splits.documents import write_slices
from cocomine.splits.groups import Groups, Identity, Link, certain_links, group
from cocomine.splits.names import FOLDER, in_order, split_document
from cocomine.splits.near_duplicates import Pairs, find_pairs
from cocomine.splits.settings import SplitSettings

log = logging.getLogger("cocomine")

COLUMNS = ("image_id", "file_name", "split", "group", "fold")


def split(
    settings: SplitSettings, subset_dir: Path, measures: Path, out_dir: Path, like: Path | None, previous: Path | None
) -> None:
    """Split the subset in `subset_dir` and write split.tsv, split_audit.json and splits/.

    `like` is another subset's split.tsv to inherit, `previous` an earlier one of this subset to count moves against.
    Raises CocomineError when an input is missing or a split would be empty.
    """
    subset = RecordsByImage(subset_dir / "subset.json")
    rows = _images(subset_dir / "images.tsv")
    groups = _groups(rows, measures, settings)
    members = _members(rows, groups, subset)
    inherited = _splits(like) if like is not None else None
    assignment = inherit(members, inherited, settings) if inherited is not None else assign(members, settings)
    with Progress("split_dataset", len(members), "image") as progress:
        first = [min(ids) for ids in _ids_by_group(members).values()]
        group_id = dict(zip(_ids_by_group(members), first, strict=True))
        write_table(
            out_dir / "split.tsv",
            COLUMNS,
            (
                (p.image_id, p.file_name, split, group_id[p.group], fold if fold != NO_FOLD else None)
                for p, split, fold in zip(members, assignment.split, assignment.fold, strict=True)
            ),
        )
        split_of = {member.image_id: split for member, split in zip(members, assignment.split, strict=True)}
        tasks = _write_documents(subset, subset_dir, out_dir, split_of)
        audit = _audit(settings, members, assignment, groups, subset, tasks, inherited is not None)
        if inherited is None:
            audit["stability"] = _stability(members, settings, split_of)
        if previous is not None:
            audit["previous"] = _moves(_splits(previous), split_of)
        write_json(out_dir / "split_audit.json", audit)
        progress.advance(len(members))
        for name, told in audit["splits"].items():
            progress.count(name, told["images"])
        progress.count("groups of more than one", len(audit["groups"]))
        progress.count("links cut", len(audit["cut_links"]))
    if audit["note"]:
        log.warning("split_dataset: %s", audit["note"])


class _Row(NamedTuple):
    image_id: int
    source_split: str
    file_name: str


def _images(path: Path) -> list[_Row]:
    try:
        rows = [
            _Row(int(row["image_id"]), sys.intern(row["source_split"]), row["file_name"]) for row in read_table(path)
        ]
    except FileNotFoundError as error:
        raise CocomineError(f"{path}: no such file", "run assemble_subset first") from error
    except KeyError as error:
        raise CocomineError(f"{path}: not a table of images", "delete it and run snakemake again") from error
    if len(rows) < 2:
        raise CocomineError(f"{path}: {len(rows)} images cannot be split", "widen the subset's query in the config")
    return rows


def _splits(path: Path) -> dict[int, tuple[str, int]]:
    """Return the split and fold of each image id of a split.tsv."""
    try:
        return {int(row["image_id"]): (row["split"], int(row["fold"] or NO_FOLD)) for row in read_table(path)}
    except FileNotFoundError as error:
        raise CocomineError(f"{path}: no such split", "build the subset that it belongs to first") from error
    except (KeyError, ValueError) as error:
        raise CocomineError(f"{path}: not a split.tsv: {error}", "give the split.tsv of a subset") from error


def _groups(rows: Sequence[_Row], measures: Path, settings: SplitSettings) -> Groups:
    """Join the images that must stay together, by name, by content and by looks."""
    try:
        file = pq.ParquetFile(measures)
        table = file.read(columns=["image_id", "source_split", "sha256", "phash"])
        keys = zip(table["image_id"].to_pylist(), table["source_split"].to_pylist(), strict=True)
        place = {key: number for number, key in enumerate(keys)}
        order = np.array([place[row.image_id, row.source_split] for row in rows], dtype=np.int64)
        thumbnails, seen = _thumbnails(file, order)
    except FileNotFoundError as error:
        raise CocomineError(f"{measures}: no such file", "run measure_images first") from error
    except pa.ArrowException as error:
        raise CocomineError(
            f"{measures}: not a table of measured images: {error}", "run measure_images again"
        ) from error
    except KeyError as error:
        raise CocomineError(f"{measures}: image {error} was not measured", "run measure_images again") from error
    table = table.take(order)
    facts_of = zip(table["sha256"].to_pylist(), table["phash"].to_pylist(), strict=True)
    identities = [Identity(row.image_id, row.file_name, *facts) for row, facts in zip(rows, facts_of, strict=True)]
    certain = certain_links(identities)
    found = find_pairs(thumbnails, settings.near_duplicate_distance, settings.near_duplicate_similarity)
    pairs = _at(found, seen)
    if settings.near_duplicate_changes:
        limits = (settings.near_duplicate_distance, settings.near_duplicate_similarity)
        found_changed = find_changed(thumbnails, settings.near_duplicate_changes, found, *limits)
        changed = {change: _at(some, seen) for change, some in found_changed.items()}
    else:
        changed = {}
    # What only looks alike joins no group where near-duplicates may lie in several splits; one file always stays one.
    largest = 0 if settings.near_duplicates == "allow" else settings.largest_group
    return group(len(rows), certain, pairs, largest, changed)


def _at(pairs: Pairs, places: NDArray[np.int64]) -> Pairs:
    return Pairs(places[pairs.first], places[pairs.second], pairs.distance, pairs.similarity)


def _thumbnails(file: pq.ParquetFile, order: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the thumbnails (n, 32, 32) of those rows, in this `order`, that have one, and which of them do.

    They are most of what is known of an image, so they are read some thousands at a time into one array.
    """
    target = np.full(file.metadata.num_rows, -1, dtype=np.int64)
    target[order] = np.arange(len(order))
    thumbnails = np.empty((len(order), THUMBNAIL_SIDE**2), dtype=np.uint8)
    there = np.zeros(len(order), dtype=bool)
    row = 0
    for batch in file.iter_batches(4096, columns=["thumbnail"]):
        for value in batch.column(0).to_pylist():
            if value is not None and target[row] >= 0:
                thumbnails[target[row]], there[target[row]] = np.frombuffer(value, dtype=np.uint8), True
            row += 1
    chosen = thumbnails if there.all() else thumbnails[there]
    return chosen.reshape(-1, THUMBNAIL_SIDE, THUMBNAIL_SIDE), np.flatnonzero(there)


def _members(rows: Sequence[_Row], groups: Groups, subset: RecordsByImage) -> list[Member]:
    labels: dict[int, list[int]] = {}
    ids, image = np.unique(subset.image_ids, return_inverse=True)
    categories, category = np.unique(subset.category_ids, return_inverse=True)
    pairs = np.unique(image * len(categories) + category)
    for own, label in zip(ids[pairs // len(categories)], categories[pairs % len(categories)], strict=True):
        labels.setdefault(int(own), []).append(int(label))
    members = []
    for row, of in zip(rows, groups.of, strict=True):
        members.append(Member(*row, of, tuple(labels.get(row.image_id, ()))))
    return members


def _ids_by_group(members: Sequence[Member]) -> dict[int, list[int]]:
    result: dict[int, list[int]] = {}
    for member in members:
        result.setdefault(member.group, []).append(member.image_id)
    return result


def _write_documents(
    subset: RecordsByImage, subset_dir: Path, out_dir: Path, split_of: dict[int, str]
) -> dict[str, dict[str, int]]:
    """Write splits/{task}_{split}.json; return the annotations of each split, by task."""
    names = in_order(split_of.values())
    (out_dir / FOLDER).mkdir(parents=True, exist_ok=True)
    for task in TASKS:  # the splits of an earlier run may have had other names
        for stale in (out_dir / FOLDER).glob(f"{task}_*.json"):
            stale.unlink()
    counts = {}
    for task, path in {"instances": None, **{p.stem: p for p in sorted((subset_dir / "tasks").glob("*.json"))}}.items():
        paths = {split: split_document(out_dir, split, task) for split in names}
        document = subset if path is None else RecordsByImage(path)
        counts[task] = write_slices(document, split_of, paths)
    return counts


def _audit(
    settings: SplitSettings,
    members: Sequence[Member],
    assignment: Assignment,
    groups: Groups,
    subset: RecordsByImage,
    tasks: dict[str, dict[str, int]],
    inherited: bool,
) -> dict[str, Any]:
    split = assignment.split
    parts = _parts(assignment)
    crossing = [link for link in groups.links + groups.cut if split[link.first] != split[link.second]]
    by_group: dict[int, list[Link]] = {}
    for link in groups.links:
        by_group.setdefault(groups.of[link.first], []).append(link)
    larger = {of: ids for of, ids in _ids_by_group(members).items() if len(ids) > 1}
    splits: dict[int, set[str]] = {}
    for member, own in zip(members, split, strict=True):
        splits.setdefault(member.group, set()).add(own)
    return {
        "strategy": "inherited" if inherited else settings.strategy,
        "settings": settings.as_mapping(),
        "images": len(members),
        "splits": parts,
        "note": assignment.note or _note(parts, len(members)),
        "annotations": tasks,
        "classes": _classes(members, assignment, subset),
        "groups": [
            {
                "group": min(ids),
                "images": sorted(ids),
                "splits": in_order(splits[of]),
                "why": [_told(link, members) for link in by_group.get(of, [])],
            }
            for of, ids in sorted(larger.items(), key=lambda item: min(item[1]))
        ],
        "cut_links": [_told(link, members) for link in groups.cut],
        "links_across_splits": [_told(link, members) for link in crossing],
        "moved_with_a_near_duplicate": assignment.moved,
        "unlisted": assignment.unlisted,
        "folds": _fold_sizes(assignment.fold),
    }


def _parts(assignment: Assignment) -> dict[str, dict[str, Any]]:
    """Return for each split its number of images and its share, and beside them what was asked for."""
    split = assignment.split
    return {
        name: {
            "images": split.count(name),
            "share": split.count(name) / len(split),
            "share_asked": assignment.shares.get(name),
            "asked": assignment.asked.get(name),
            "nearest_possible": assignment.nearest.get(name),
        }
        for name in in_order(split)
    }


def _note(parts: dict[str, dict[str, Any]], images: int) -> str:
    """Say which splits do not hold the number of images asked for, and why; empty where all do."""
    told = []
    for name, part in parts.items():
        target, possible, got = part["asked"], part["nearest_possible"], part["images"]
        if target is None or possible is None or got == target:
            continue
        if got != possible:
            told.append(f"{target} images were asked for in {name}, {possible} were possible, and {got} are there")
            continue
        allowed = min(max(target, 1), images - 1)
        reasons = ["no split may be empty"] if allowed != target else []
        reasons += ["groups stay together"] if possible != allowed else []
        asked = f"{target} image{'s were' if target != 1 else ' was'} asked for in {name}"
        told.append(f"{asked}; {' and '.join(reasons)}, so the nearest number is {possible}")
    return ". ".join(told)


def _told(link: Link, members: Sequence[Member]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "images": sorted((members[link.first].image_id, members[link.second].image_id)),
        "why": link.why,
    }
    if link.why not in ("same image", "same file"):
        told |= {"bits": link.distance, "similarity": link.similarity}
    return told


def _fold_sizes(folds: Sequence[int]) -> dict[str, int]:
    return {str(fold): folds.count(fold) for fold in sorted(set(folds)) if fold != NO_FOLD}


def _classes(members: Sequence[Member], assignment: Assignment, subset: RecordsByImage) -> list[dict[str, Any]]:
    """Return for each class its images, objects and share in every split, and how far these are from what was aimed at.

    `deviation` is that of the split where it is largest. `best_possible` is what it would be at least if every split
    were made for this class alone, given the groups that stay together.
    """
    names = in_order(assignment.split)
    aims = {name: assignment.shares.get(name, assignment.split.count(name) / len(members)) for name in names}
    split_of = {member.image_id: split for member, split in zip(members, assignment.split, strict=True)}
    objects: dict[int, Counter[str]] = {}
    for image, category in zip(subset.image_ids, subset.category_ids, strict=True):
        objects.setdefault(int(category), Counter())[split_of[image]] += 1
    images: dict[int, Counter[str]] = {}
    parts: dict[int, Counter[int]] = {}
    for member in members:
        for label in member.labels:
            images.setdefault(label, Counter())[split_of[member.image_id]] += 1
            parts.setdefault(label, Counter())[member.group] += 1
    of_category = _names(subset)
    table = []
    for label in sorted(set(of_category) | set(objects)):
        own, total = images.get(label, Counter()), sum(images.get(label, Counter()).values())
        sizes = sorted(Counter(parts.get(label, Counter()).values()).items())
        best = max(abs(nearest(sizes, aim * total) / total - aim) for aim in aims.values()) if total else None
        shares = {name: own[name] / total for name in names} if total else None
        table.append(
            {
                "category_id": label,
                "name": of_category.get(label, ""),
                "images": {name: own[name] for name in names},
                "objects": {name: objects.get(label, Counter())[name] for name in names},
                "shares": None if shares is None else {name: round(share, 6) for name, share in shares.items()},
                "deviation": shares and round(max(abs(shares[name] - aims[name]) for name in names), 6),
                "best_possible": None if best is None else round(best, 6),
            }
        )
    return table


def _names(subset: RecordsByImage) -> dict[int, str]:
    return {int(category["id"]): str(category.get("name", "")) for category in subset.categories}


def _stability(members: Sequence[Member], settings: SplitSettings, split_of: dict[int, str]) -> dict[str, Any]:
    """Return how many images would change splits had a tenth of the images been added later."""
    kept = [p for p in members if rank(f"later:{settings.seed}", p.image_id) % 10 != 0]
    if settings.strategy == "lists":
        return {"images": len(members), "later": 0, "moved": 0}
    try:
        before = assign(kept, msgspec.structs.replace(settings, official=_present(kept, settings)))
    except CocomineError:
        return {"images": len(members), "later": len(members) - len(kept), "moved": None}
    moved = sum(split_of[m.image_id] != split for m, split in zip(kept, before.split, strict=True))
    return {"images": len(members), "later": len(members) - len(kept), "moved": moved}


def _present(members: Sequence[Member], settings: SplitSettings) -> dict[str, tuple[str, ...]]:
    there = {member.source_split for member in members}
    return {name: tuple(one for one in sources if one in there) for name, sources in settings.official.items()}


def _moves(before: dict[int, tuple[str, int]], split_of: dict[int, str]) -> dict[str, Any]:
    """Return how many images changed splits since an earlier split, came or went."""
    both = [image for image in split_of if image in before]
    ways = Counter((before[image][0], split_of[image]) for image in both if before[image][0] != split_of[image])
    return {
        "moved": ways.total(),
        "same_split": len(both) - ways.total(),
        "ways": [{"from": way[0], "to": way[1], "images": ways[way]} for way in sorted(ways)],
        "new": len(split_of) - len(both),
        "gone": len(before) - len(both),
    }
