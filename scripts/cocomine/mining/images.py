"""The images of a selection, judged: which were measured as broken, which spares take their place."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cocomine.annotations.reasons import Reason
from cocomine.base.errors import CocomineError
from cocomine.base.files import read_table
from cocomine.base.parquet import read_columns
from cocomine.coco.orientation import fits_turned
from cocomine.mining import clauses
from cocomine.mining.arrays import Rows
from cocomine.mining.clauses import Pairs
from cocomine.mining.index import Source
from cocomine.mining.sampling import NEGATIVE, SPARE, WANTED
from cocomine.mining.settings import SubsetSettings


@dataclass(frozen=True)
class Picked:
    """The rows of selection.tsv found in the index: global image rows, with role, rank and what a spare replaces."""

    rows: Rows
    roles: tuple[str, ...]
    ranks: tuple[int, ...]
    replaces: tuple[str, ...]


def find_rows(source: Source, selection_path: Path) -> Picked:
    """Find the rows of selection.tsv in the index. Raises CocomineError for a row that is not there."""
    keys, more = [], []
    for row in read_table(selection_path):  # only what is needed is kept of each, since there may be very many
        key = (row["source_split"], int(row["image_id"]), row["file_name"], int(row["width"]), int(row["height"]))
        keys.append((sys.intern(key[0]), *key[1:]))
        more.append((sys.intern(row["role"]), int(row["rank"]), sys.intern(row.get("replaces", ""))))
    ids = np.array(sorted({key[1] for key in keys}), dtype=np.int64)
    candidates = np.flatnonzero(np.isin(source.image_ids, ids))
    splits = [source.splits[number].name for number in source.images.split_of(candidates).tolist()]
    names = source.images.texts("file_name", candidates)
    place: dict[tuple[str, int, str, int, int], list[int]] = {}
    columns = (source.image_ids, source.images["width"], source.images["height"])
    values = (column[candidates].tolist() for column in columns)
    for row, split, name, identity, width, height in zip(candidates.tolist(), splits, names, *values, strict=True):
        place.setdefault((split, identity, name or "", width, height), []).append(row)
    found = []
    for key in keys:
        if not place.get(key):
            raise CocomineError(
                f"{selection_path}: image {key[1]} ({key[2]}) is not in the index",
                "the index was built again since: run mine_subset again",
            )
        found.append(place[key].pop(0))  # records that policy keeps beside an equal one come in the file's order
    roles, ranks, replaces = zip(*more, strict=True) if more else ((), (), ())
    return Picked(np.array(found, dtype=np.int64), roles, ranks, replaces)


def take_sizes(source: Source, rows: Rows, sizes: Sequence[tuple[int, int]]) -> None:
    """Give images that state no width or no height the size that was found of them, and say so in `sized_late`.

    `sizes` are widths and heights in pixels, one for each of `rows`. A side that is stated and differs is left as it
    is, and so is the other.
    """
    images = source.images
    stated = np.stack([images[name][rows] for name in ("width", "height")], axis=1)
    found = np.array(sizes, dtype=np.int64).reshape(-1, 2)
    fits = ((stated == found) | (stated <= 0)).all(axis=1) & (stated <= 0).any(axis=1) & (found > 0).all(axis=1)
    for name, sides in zip(("width", "height"), found[fits].T, strict=True):
        images.update(name, rows[fits], sides.tolist())
    source.sized_late[rows[fits]] = True


def share_sizes(source: Source, other: Source, owner: Rows) -> None:
    """Give another task's images that state no size that of the instances' image, whose row is `owner`."""
    lacking = (other.images["width"] <= 0) | (other.images["height"] <= 0)
    rows = np.flatnonzero(lacking & (owner >= 0))
    sizes = (source.images[name][owner[rows]].tolist() for name in ("width", "height"))
    take_sizes(other, rows, list(zip(*sizes, strict=True)))


def image_facts(source: Source, rows: Rows, measures_path: Path) -> dict[int, list[tuple[Reason, str]]]:
    """Return what the measured images say against them: global row to reasons with details.

    Images that state no size get the measured one. Raises CocomineError for an image that was not measured.
    """
    columns = ["image_id", "source_split", "file_name", "status", "detail", "width", "height", "exif_orientation"]
    table = read_columns(measures_path, columns=columns).to_pydict()
    measured = {
        (split, identity, name): (status, detail, width, height, orientation)
        for identity, split, name, status, detail, width, height, orientation in zip(
            *(table[name] for name in columns), strict=True
        )
    }
    images = source.images
    result: dict[int, list[tuple[Reason, str]]] = {}
    splits = [source.splits[number].name for number in images.split_of(rows).tolist()]
    names = images.texts("file_name", rows)
    keys = zip(splits, source.image_ids[rows].tolist(), (name or "" for name in names), strict=True)
    decoded = (measured.get(key, ("", "", -1, -1, 0)) for key in keys)
    take_sizes(source, rows, [(width or -1, height or -1) for _, _, width, height, _ in decoded])
    stated = [column[rows].tolist() for column in (source.image_ids, images["width"], images["height"])]
    for row, split, name, identity, width, height in zip(rows.tolist(), splits, names, *stated, strict=True):
        found = measured.get((split, identity, name or ""))
        if found is None:
            raise CocomineError(
                f"{measures_path}: image {identity} of {split} was not measured", "run measure_images again"
            )
        status, detail, real_width, real_height, orientation = found
        orientation = orientation or 0
        facts: list[tuple[Reason, str]] = []
        if status != "ok":
            try:
                facts.append((Reason(status), detail or ""))
            except ValueError as error:
                raise CocomineError(
                    f"{measures_path}: image {identity} has the unknown status {status!r}", "run measure_images again"
                ) from error
        else:
            sizes = f"{width} x {height} stated, {real_width} x {real_height} decoded"
            if fits_turned((real_width, real_height), (width, height), orientation):
                facts.append((Reason.IMAGE_SIZE_TURNED, f"{sizes}, EXIF orientation {orientation}"))
            elif (real_width, real_height) != (width, height):
                facts.append((Reason.IMAGE_SIZE_DIFFERS, f"{sizes}, EXIF orientation {orientation or 'not stated'}"))
            elif orientation > 1:
                facts.append((Reason.IMAGE_EXIF_ROTATED, f"orientation {orientation}"))
        if facts:
            result[row] = facts
    return result


def judge(
    source: Source, query: SubsetSettings, picked: Picked, measures_path: Path | None
) -> tuple[dict[int, tuple[Reason, str]], set[int]]:
    """Return the images that are lost, wanted and negative ones, with reason and detail; and the spares that are.

    `measures_path` is the table of measured images; without it no image is judged. Raises CocomineError where policy
    says stop.
    """
    lost: dict[int, tuple[Reason, str]] = {}
    spares: set[int] = set()
    if measures_path is None:
        return lost, spares
    roles = dict(zip(picked.rows.tolist(), picked.roles, strict=True))
    chosen = query.policies
    for row, facts in sorted(image_facts(source, picked.rows, measures_path).items()):
        for reason, detail in facts:
            policy = chosen[reason]
            if policy == "stop" and roles[row] != SPARE:
                raise CocomineError(
                    f"image {int(source.images['id'][row])} has the reason {reason} ({detail or 'as measured'}), for "
                    "which policy says stop",
                    f"replace the image, or set policy: {{{reason}: quarantine}}",
                )
            if policy in ("quarantine", "stop"):
                if roles[row] == SPARE:
                    spares.add(row)
                else:
                    lost[row] = reason, detail
                break
    return lost, spares


def refill(
    source: Source,
    picked: Picked,
    pairs: Pairs,
    caps: Mapping[int, int],
    chosen: Mapping[int, str],
    lost: Sequence[str],
    broken: set[int],
) -> dict[int, str]:
    """Choose spares for lost images: survivors stay, spares come in the order of drawing while caps allow.

    `chosen` maps the rows of survivors to their roles, `lost` are the roles of those that went, `broken` the spares
    that cannot be used, `pairs` the images and classes of objects that count. Returns rows and roles.
    """
    spares = sorted(
        (rank, row, replaces)
        for row, role, rank, replaces in zip(
            picked.rows.tolist(), picked.roles, picked.ranks, picked.replaces, strict=True
        )
        if role == SPARE and row not in broken
    )
    wanted = np.array(sorted(row for row, role in chosen.items() if role == WANTED), dtype=np.int64)
    survivors = clauses.marked(wanted, source.images.rows)
    taken = np.bincount(pairs.cls[survivors[pairs.image]], minlength=len(source.categories))
    order = np.array([row for _, row, replaces in spares if replaces == WANTED], dtype=np.int64)
    room = {cls: int(taken[cls]) for cls in caps}
    drawn = clauses.draw_under_caps(order, pairs, dict(caps), room, limit=lost.count(WANTED))
    negatives = [row for _, row, replaces in spares if replaces == NEGATIVE]
    return dict.fromkeys(order[drawn].tolist(), WANTED) | dict.fromkeys(negatives[: lost.count(NEGATIVE)], NEGATIVE)
