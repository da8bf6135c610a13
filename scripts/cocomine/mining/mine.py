"""From a query to selection.tsv and funnel.json: the first half of mining, which needs no image."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cocomine.base.errors import CocomineError
from cocomine.base.files import write_json, write_table
from cocomine.coco.tasks import MOST_CLASSES
from cocomine.mining.index import Source, bad_categories_under, read_source
from cocomine.mining.losses import warn
from cocomine.mining.outputs import too_many_labels
from cocomine.mining.resolve import crosswalk_of, pinned_labels, refuse_lost_labels
from cocomine.mining.sampling import NEGATIVE, SPARE, WANTED
from cocomine.mining.select import Selection, select
from cocomine.mining.settings import SubsetSettings
from cocomine.mining.tables import splits_of

log = logging.getLogger("cocomine")

SELECTION_COLUMNS = (
    "image_id",
    "source_split",
    "file_name",
    "store_path",
    "width",
    "height",
    "role",
    "rank",
    "replaces",
)


def mine(
    query: SubsetSettings,
    index_dir: Path,
    splits: Sequence[str],
    selection_path: Path,
    funnel_path: Path,
    images_from: Path | None = None,
) -> Selection:
    """Select a subset and write its selection and funnel. Returns the selection.

    Raises CocomineError when nothing is left, or more categories are wanted than labels.json can hold.
    """
    source = read_source_of(query, index_dir, splits)
    selection = select(source, query, index_dir, images_from)
    if len(selection.wanted.classes) > MOST_CLASSES:
        raise too_many_labels(len(selection.wanted.classes))
    _refuse_lost_labels(query, source, selection)
    write_table(selection_path, SELECTION_COLUMNS, selection_rows(source, selection))
    document = funnel_document(source, selection)
    write_json(funnel_path, document)
    warn(document["losses"])
    roles = selection.chosen.roles
    kept = int(np.count_nonzero(selection.funnel.annotation_alive))
    log.info(
        "mine_subset: %d images in, %d wanted, %d negative, %d spare; %d annotations in, %d kept",
        source.images.rows,
        roles.count(WANTED),
        roles.count(NEGATIVE),
        roles.count(SPARE),
        source.annotations.rows,
        kept,
    )
    return selection


def _refuse_lost_labels(query: SubsetSettings, source: Source, selection: Selection) -> None:
    """Refuse early what assemble_subset would refuse once the images are there; it knows of stuff, too."""
    if not query.keep_other_annotations:
        unwanted = {category.name for category in source.categories}
        unwanted -= {source.categories[cls].name for cls in selection.wanted.classes}
        pinned = pinned_labels(query)
        refuse_lost_labels(query, pinned, set(pinned) - unwanted)


def read_source_of(query: SubsetSettings, index_dir: Path, splits: Sequence[str]) -> Source:
    """Open the index of the splits that a query draws from, with its policy for categories and its classes."""
    bad = bad_categories_under(query.policies)
    source = read_source(index_dir, chosen_splits(query, splits or splits_of(index_dir)), bad_categories=bad)
    crosswalk = crosswalk_of(query, source, pinned_labels(query))
    return source if crosswalk is None else Source(source.splits, bad, crosswalk)


def chosen_splits(query: SubsetSettings, splits: Sequence[str]) -> list[str]:
    """Return the splits to read: those that the query names, or all. Raises CocomineError for a wrong one."""
    for name in query.source_splits:
        if name not in splits:
            raise CocomineError(
                f"subset: source_splits: the source has no split '{name}'", f"its splits are {', '.join(splits)}"
            )
    return [name for name in splits if not query.source_splits or name in query.source_splits]


def selection_rows(source: Source, selection: Selection) -> Iterator[tuple[object, ...]]:
    """Yield the rows of selection.tsv: wanted, negative and spare images by image id, then split and file name."""
    chosen = selection.chosen
    images = source.images
    names = images.texts("file_name", chosen.rows)
    paths = images.texts("store_path", chosen.rows)
    splits = [source.split_names[number] for number in images.split_of(chosen.rows).tolist()]
    columns = [column[chosen.rows].tolist() for column in (source.image_ids, images["width"], images["height"])]
    rows = zip(
        columns[0],
        splits,
        names,
        paths,
        columns[1],
        columns[2],
        chosen.roles,
        chosen.ranks.tolist(),
        chosen.replaces,
        strict=True,
    )
    yield from sorted(rows, key=lambda row: (row[0], row[1], row[2] or ""))


def funnel_document(source: Source, selection: Selection) -> dict[str, Any]:
    """Return what funnel.json holds: the query, what it resolved to, every step, and the sums."""
    roles = selection.chosen.roles
    return {
        "query": query_values(selection.query),
        "words": query_words(selection),
        "splits": [split.name for split in source.splits],
        "wanted": [source.categories[cls].values() for cls in selection.wanted.classes],
        "caps": {str(source.categories[cls].id): cap for cls, cap in sorted(selection.caps.items())},
        "roles": {role: roles.count(role) for role in (WANTED, NEGATIVE, SPARE)},
        "notes": selection.notes,
        "losses": [loss.document(selection.query.policies) for loss in selection.losses],
        "funnel": selection.funnel.as_dict(),
        "by_split": selection.funnel.by_split(source.images.starts, source.annotations.starts, source.split_names),
    }


def query_values(query: SubsetSettings) -> dict[str, Any]:
    """Return the settings that differ from their defaults, as plain values."""
    default = SubsetSettings().as_mapping()
    return {key: value for key, value in query.as_mapping().items() if value != default[key]}


def query_words(selection: Selection) -> str:
    """Return the query as one English sentence, made of the funnel's clauses."""
    skipped = ("records", "other_annotations")
    words = [step.words for step in selection.funnel.steps if step.clause not in skipped]
    tail = "with their annotations of every category" if selection.query.keep_other_annotations else ""
    return "; ".join([f"images with {words[0]}" if words else "all images", *words[1:], *([tail] if tail else [])])
