"""The whole of merge_sources: the annotation files of several sources in, the files of one source out.

Every record of every file comes through, in its file and at its place, so that what is said of it later (kept,
repaired, quarantined, left out) is said of the source's own record. What changes is what the sources number each for
themselves: categories, which are one where they have one name, and licences. Ids of images and annotations stay, and
the reader of several splits tells them apart (`cocomine.mining.identity`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from cocomine.annotations.lenient import LARGEST_SIDE, as_id, as_integer
from cocomine.annotations.schema import Index, open_index
from cocomine.base.errors import CocomineError
from cocomine.base.files import atomic_path, canonical_json, write_json, write_table
from cocomine.base.progress import Progress
from cocomine.base.staging import INCOMPLETE
from cocomine.coco.compressed import unpacked
from cocomine.merging.ids import MOST_COUNTED, common_ids
from cocomine.merging.records import category_with_id, image_of, panoptic_with_ids, with_ids
from cocomine.mining.arrays import Rows
from cocomine.mining.spans import SpanFile

log = logging.getLogger("cocomine")

COLUMNS: Final = ("source", "id", "name", "merged_id")
PIECE: Final = 1 << 20

Ids = Mapping[int, int]
Edit = tuple[int, int, Callable[[bytes], bytes]]
"""Where a piece of a file lies (offset and length in bytes), and what becomes of its text."""


@dataclass(frozen=True)
class File:
    """An annotation file of a source: its own and its merged name, and its index."""

    source: str
    path: Path
    name: str
    index: Index


def merge_sources(indexes: Sequence[Path], out: Path) -> None:
    """Write annotations/{task}_{source}.{split}.json, categories.tsv, licenses.tsv and at last merge.json below `out`.

    `indexes` are the manifests `{source}/index/{task}_{split}/index.json` of every file of every source; the files lie
    in `{source}`. Raises CocomineError where a file is not as it was indexed, and where categories of one name have
    other keypoints.
    """
    files = [_file_of(manifest) for manifest in indexes]
    sources = list(dict.fromkeys(file.source for file in files))
    categories = common_ids([_categories(one) for one in _by_source(sources, files)])
    licences = common_ids([_licences(one) for one in _by_source(sources, files)])
    _check_keypoints(sources, files, categories)
    with Progress("merge_sources", len(files), "file") as progress:
        for file in files:
            place = sources.index(file.source)
            _write(file, out, categories[place], licences[place])
            progress.advance()
    named = list(zip(sources, _by_source(sources, files), categories, licences, strict=True))
    write_table(out / "categories.tsv", COLUMNS, _rows([(one, _names(of), ids) for one, of, ids, _ in named]))
    write_table(out / "licenses.tsv", COLUMNS, _rows([(one, _licence_names(of), ids) for one, of, _, ids in named]))
    write_json(out / "merge.json", _manifest(sources, files))
    for source, of, ids, _ in named[1:]:
        names, first = _names(of), set(categories[0].values())
        shared = sum(ids[identity] in first for identity in names if identity in ids)
        log.info("%s: %d of its %d categories are categories of %s by name", source, shared, len(names), sources[0])


def _file_of(manifest: Path) -> File:
    folder, index = manifest.parents[2], open_index(manifest.parent)
    task, split = index.task, str(index.manifest["split"])
    return File(folder.name, folder / f"{task}_{split}.json", f"{task}_{folder.name}.{split}.json", index)


def _by_source(sources: Sequence[str], files: Iterable[File]) -> list[list[File]]:
    listed = list(files)
    return [[file for file in listed if file.source == source] for source in sources]


# -- what ids mean


def _names(files: Iterable[File]) -> dict[int, str]:
    """Return the names of a source's categories by id, as the first of its files states them; "" for none.

    A category that a file does not list, but that its annotations have, has the name that is made of a word, or none.
    """
    result: dict[int, str] = {}
    for file in files:
        manifest = file.index.manifest
        for value, span in zip(manifest["categories"], manifest["categories_spans"], strict=True):
            fields = value if isinstance(value, dict) else {}
            identity, name = as_id(fields.get("id"))[0], fields.get("name")
            told = bool(span[1]) or identity >= MOST_COUNTED
            if identity >= 0 and not result.get(identity):
                result[identity] = name if told and isinstance(name, str) else ""
    return result


def _categories(files: Sequence[File]) -> dict[int, Hashable]:
    """Return what the category ids of a source mean: a name, or where that is no category's alone, the id in it."""
    names = _names(files)
    listed = list(names.values())
    own = {identity: name for identity, name in names.items() if name and listed.count(name) == 1}
    used = {number for file in files for number in _used(file, "annotations", "category_id")}
    return {identity: own.get(identity) or (files[0].source, identity) for identity in names.keys() | used}


def _licence_records(files: Iterable[File]) -> dict[int, tuple[str, str]]:
    """Return the name and URL of each licence that a source's files list; the first of an id counts."""
    result: dict[int, tuple[str, str]] = {}
    for file in files:
        listed = file.index.manifest.get("licenses")
        for value in listed if isinstance(listed, list) else []:
            fields = value if isinstance(value, dict) else {}
            identity = as_integer(fields.get("id"), LARGEST_SIDE)[0]
            if identity >= 0:
                result.setdefault(identity, (str(fields.get("name") or ""), str(fields.get("url") or "")))
    return result


def _licence_names(files: Iterable[File]) -> dict[int, str]:
    return {identity: name or url for identity, (name, url) in _licence_records(files).items()}


def _licences(files: Sequence[File]) -> dict[int, Hashable]:
    """Return what the licence ids of a source mean: name and URL, or the id in it where these are another's too."""
    records = _licence_records(files)
    listed = list(records.values())
    own = {identity: one for identity, one in records.items() if any(one) and listed.count(one) == 1}
    used = {number for file in files for number in _used(file, "images", "license")}
    return {identity: own.get(identity) or (files[0].source, identity) for identity in records.keys() | used}


def _used(file: File, table: str, column: str) -> list[int]:
    """Return the ids that the records of a file have in a column."""
    rows = file.index.images([column]) if table == "images" else file.index.annotations([column])
    numbers = np.unique(rows.column(column).to_numpy())
    return [int(number) for number in numbers[numbers >= 0].tolist()]


def _check_keypoints(sources: Sequence[str], files: Iterable[File], categories: Sequence[Ids]) -> None:
    """Raise CocomineError where categories that become one name other keypoints: no list would fit both."""
    known: dict[int, tuple[str, Any]] = {}
    for file in files:
        ids = categories[sources.index(file.source)]
        for value in file.index.manifest["categories"] if file.index.task == "person_keypoints" else ():
            points = value.get("keypoints") if isinstance(value, dict) else None
            identity = as_id(value.get("id"))[0] if isinstance(value, dict) else -1
            if not points or identity not in ids:
                continue
            other, listed = known.setdefault(ids[identity], (file.source, points))
            if listed != points:
                raise CocomineError(
                    f"{file.source}: its category '{value.get('name')}' has other keypoints than that of {other}",
                    "rename the category in one of the two, or leave person_keypoints out of the tasks of one",
                )


# -- a file


def _write(file: File, out: Path, categories: Ids, licences: Ids) -> None:
    manifest = file.index.manifest
    with (
        unpacked(file.path, out / INCOMPLETE) as path,
        SpanFile(path, int(manifest["bytes"]), str(manifest["sha256"])) as text,
        atomic_path(out / "annotations" / file.name) as temporary,
        open(temporary, "wb") as target,
    ):
        done = 0
        for offset, length, change in _edits(file, categories, licences):
            _copy(text, done, offset, target)
            target.write(change(text.raw(offset, length)))
            done = offset + length
        _copy(text, done, text.size, target)


def _copy(text: SpanFile, begin: int, end: int, target: BinaryIO) -> None:
    for start in range(begin, end, PIECE):
        target.write(text.raw(start, min(PIECE, end - start)))


def _edits(file: File, categories: Ids, licences: Ids) -> Iterator[Edit]:
    """Yield what changes of a file, in the order in which it lies there."""
    manifest = file.index.manifest
    moved = {old: new for old, new in categories.items() if old != new}
    relicensed = {old: new for old, new in licences.items() if old != new}
    change = panoptic_with_ids if file.index.task == "panoptic" else with_ids
    kinds: list[Callable[[bytes], bytes]] = [
        lambda raw: image_of(file.source, raw, relicensed),
        lambda raw: change(raw, moved),
        lambda raw: category_with_id(raw, moved),
        lambda _: _renumbered_licences(manifest["licenses"], relicensed),
    ]
    spans = [_spans(file, "images"), _spans(file, "annotations") if moved else _none()]
    listed = [span for span in manifest["categories_spans"] if span[1]] if moved else []
    spans.append(np.array(listed, dtype=np.int64).reshape(-1, 2))
    stated = relicensed and isinstance(manifest.get("licenses"), list)
    spans.append(np.array([manifest["licenses_span"]], dtype=np.int64) if stated else _none())
    joined = np.concatenate(spans)
    kind = np.repeat(np.arange(len(spans)), [len(one) for one in spans])
    for at in np.argsort(joined[:, 0], kind="stable").tolist():
        offset, length = joined[at].tolist()
        yield offset, length, kinds[int(kind[at])]


def _none() -> Rows:
    return np.zeros((0, 2), dtype=np.int64)


def _spans(file: File, table: str) -> Rows:
    """Return where the records of a table lie, offset and length, each once."""
    read = file.index.images if table == "images" else file.index.annotations
    columns = read(["offset", "length"])
    both = np.stack([columns.column(name).to_numpy().astype(np.int64) for name in ("offset", "length")], axis=1)
    result: Rows = np.unique(both[both[:, 1] > 0], axis=0)
    return result


def _renumbered_licences(listed: Sequence[Any], ids: Ids) -> bytes:
    def renumbered(value: Any) -> Any:
        own = as_integer(value.get("id"), LARGEST_SIDE)[0] if isinstance(value, dict) else -1
        return {**value, "id": ids[own]} if own in ids else value

    return canonical_json([renumbered(value) for value in listed]).encode()


# -- what was done


def _rows(named: Iterable[tuple[str, Mapping[int, str], Ids]]) -> Iterator[tuple[object, ...]]:
    for source, names, ids in named:
        yield from ((source, identity, names.get(identity, ""), ids[identity]) for identity in sorted(ids))


def _manifest(sources: Sequence[str], files: Iterable[File]) -> dict[str, Any]:
    return {
        "sources": list(sources),
        "files": {file.name: {"source": file.source, **file.index.manifest["counts"]} for file in files},
    }
