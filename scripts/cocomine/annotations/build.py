"""Building the index of an annotation file: all records as rows, and every fact that needs no image and no drawing."""

import json
import logging
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from cocomine.annotations import schema
from cocomine.annotations.chunks import no_records
from cocomine.annotations.columns import Columns, Texts
from cocomine.annotations.drawing import mark_boxes, polygon_facts
from cocomine.annotations.images import check_images
from cocomine.annotations.layout import TASKS, Layout, parse_value, walk
from cocomine.annotations.lenient import (
    FIRST_WORD_ID,
    Facts,
    as_id,
    as_polygons,
    mapped,
    parse_leniently,
    replace_non_finite,
)
from cocomine.annotations.outlines import mark
from cocomine.annotations.reasons import TABLE, Reason, mask_of
from cocomine.annotations.records import CategoryFacts, read_category
from cocomine.annotations.values import later_of_equal, mixed, repeated_values, rows_of
from cocomine.annotations.writing import table_of, write_index_table
from cocomine.base.arrays import Array
from cocomine.base.errors import CocomineError
from cocomine.base.files import sha256_of_file, write_json
from cocomine.base.progress import Progress
from cocomine.coco.compressed import unpacked
from cocomine.coco.scan import Source
from cocomine.sources.proof import CHANGED_MEANWHILE, changed_annotations

log = logging.getLogger("cocomine")


KNOWN_KEYS: Final = ("info", "licenses", "images", "annotations", "categories")


CACHED_ROWS: Final = 1 << 15
"""Rows compared at a time, so that what is computed on the way stays in the processor's cache."""


def build_index(
    annotations: Path,
    task: str,
    split: str,
    folder: Path,
    threads: int = 1,
    locked: str = "",
    below_split: bool = False,
) -> dict[str, Any]:
    """Index the annotation file and write index.json, images.parquet and annotations.parquet into `folder`.

    `split` names the folder of images in the store that holds images whose `file_name` has no folder of its own, and
    with `below_split` all images. Returns the manifest. Raises CocomineError for an unknown task, a missing or
    malformed file, and where `locked` is given for one that has another SHA-256: only what the sync brought is indexed.
    """
    if task not in TASKS:
        raise CocomineError(f"task {task!r} is none that COCO has", "use one of: " + ", ".join(TASKS))
    check = partial(check_images, split=split, below_split=below_split)
    with unpacked(annotations, folder) as text:
        if text != annotations and locked:
            _hold(annotations, sha256_of_file(annotations), locked)
            locked = ""
        return _build_index(text, task, split, folder, threads, locked, check)


def _hold(annotations: Path, sha256: str, locked: str) -> None:
    if locked not in ("", sha256):
        raise changed_annotations(annotations, f"its SHA-256 is {sha256}, and {locked} was locked")


def _build_index(
    annotations: Path,
    task: str,
    split: str,
    folder: Path,
    threads: int,
    locked: str,
    check: Callable[[list[Columns]], tuple[Columns, Texts]],
) -> dict[str, Any]:
    with Progress(f"index {annotations.name}", _size(annotations), "B", scale=True) as progress:
        checked: list[tuple[Columns, Texts]] = []
        layout, source = walk(
            annotations,
            task,
            threads,
            progress.advance,
            lambda parts: checked.append(check(parts)),
        )
        # Compressing a table leaves the interpreter free: that of the images is written beside the annotations' checks.
        with source, ThreadPoolExecutor(1) as beside:
            _hold(annotations, layout.sha256, locked)
            tables = _Tables(layout, source, task, split, *(checked[0] if checked else check(layout.images)))
            written = beside.submit(write_index_table, folder / "images.parquet", tables.image_table())
            tables.check_annotations()
            manifest = tables.manifest()
            for counted in ("images", "annotations", "categories"):
                progress.count(counted, manifest["counts"][counted])
            write_index_table(folder / "annotations.parquet", tables.annotation_table())
            written.result()
            if source.changed():
                raise changed_annotations(annotations, CHANGED_MEANWHILE)
        write_json(folder / "index.json", manifest)
    for kind, found in manifest["reasons"].items():
        for code, number in found.items():
            log.info("  %s: %s: %d", kind, code, number)
    return manifest


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


class _Tables:
    """The index in memory. Facts are added to the `reasons` of annotations in place."""

    def __init__(self, layout: Layout, source: Source, task: str, split: str, images: Columns, paths: Texts) -> None:
        self.layout, self.source, self.task, self.split = layout, source, task, split
        self.images, self.store_paths = images, paths
        self.annotations = Columns.join(layout.annotations or [no_records(TASKS[task])])
        self.categories = _read_categories(layout, source) or self._made_categories()
        self.small = _read_small(layout, source)
        self.image_rows: Array = np.zeros(0, np.int32)

    # annotations

    def check_annotations(self) -> None:
        """Check what takes several records: ids, images and categories that are there, boxes and outlines in images."""
        table, images = self.annotations, self.images
        reasons = table["reasons"]
        if TASKS[self.task] == "panoptic":
            self._check_panoptic_ids()
        else:
            _number_by_place(table)
            mark(reasons, later_of_equal(table["id"]), Reason.DUPLICATE_ID)
        image_rows = rows_of(images["id"], table["image_id"])
        mark(reasons, (image_rows < 0) & (table["image_id"] >= 0), Reason.MISSING_IMAGE)
        if "category_id" in table.arrays:
            known = np.array(sorted({c.id for c in self.categories if c.id >= 0}), np.int64)
            rows = rows_of(known, table["category_id"])
            mark(reasons, (rows < 0) & (table["category_id"] >= 0), Reason.MISSING_CATEGORY)
            if TASKS[self.task] != "panoptic":
                _mark_mostly_crowds(table, rows)
            self._check_against_images(image_rows)
        if TASKS[self.task] != "panoptic":
            self._mark_exact_duplicates()
        self.image_rows = image_rows

    def _made_categories(self) -> list[CategoryFacts]:
        """Return a category for each id that annotations use, for a file that lists none."""
        table = self.annotations
        ids, first = np.unique(table.arrays.get("category_id", np.zeros(0, np.int64)), return_index=True)
        result = []
        for identity, row in zip(ids.tolist(), first.tolist(), strict=True):
            if identity >= 0:
                name = self._word_of(identity, row) or f"category {identity}"
                value = {"id": identity, "name": name}
                result.append(CategoryFacts(identity, name, value, Facts(mask_of(Reason.NO_CATEGORIES))))
        return result

    def _word_of(self, identity: int, row: int) -> str | None:
        """Return the word that a category id stands for in the record of a row, None where it is a number."""
        if identity < FIRST_WORD_ID:
            return None
        record = self._parsed(row)
        segments = record.get("segments_info")
        holders = [record, *(segments if isinstance(segments, list) else [])]
        words = [holder.get("category_id") for holder in holders if isinstance(holder, dict)]
        return next((word for word in words if isinstance(word, str) and as_id(word)[0] == identity), None)

    def _parsed(self, row: int) -> dict[str, Any]:
        """Read the record of a row again; {} where it is no object."""
        table = self.annotations
        text = self.source.read(int(table["offset"][row]), int(table["length"][row]))
        record = parse_leniently(text, Facts())
        return record if isinstance(record, dict) else {}

    def _check_panoptic_ids(self) -> None:
        """Segment ids are unique within an image's record; records are unique by image."""
        table = self.annotations
        reasons = table["reasons"]
        order = np.lexsort((table["id"], table["record"]))  # stable: of equal ones the first comes first
        records, ids = table["record"][order], table["id"][order]
        is_again = (records[1:] == records[:-1]) & (ids[1:] == ids[:-1]) & (ids[1:] >= 0)
        reasons[order[1:][is_again]] |= np.uint64(mask_of(Reason.DUPLICATE_ID))
        firsts = np.flatnonzero(np.diff(table["record"], prepend=-1))
        repeated = later_of_equal(table["image_id"][firsts])
        mark(reasons, np.isin(table["record"], table["record"][firsts[repeated]]), Reason.DUPLICATE_SEGMENT)

    def _check_against_images(self, image_rows: Array) -> None:
        """Compare boxes, polygons and sizes of run lengths with the image's width and height (in pixels)."""
        table, images, reasons = self.annotations, self.images, self.annotations["reasons"]
        if not images.rows:
            return
        sides = images["width"].astype(np.float64), images["height"].astype(np.float64)
        for start in range(0, table.rows, CACHED_ROWS):
            part = slice(start, start + CACHED_ROWS)
            columns = {name: values[part] for name, values in table.arrays.items()}
            rows = image_rows[part]
            width, height = sides[0][rows], sides[1][rows]
            known = (rows >= 0) & (width > 0) & (height > 0)
            mark_boxes(columns, known, width, height)
            if "reach_x" not in columns:
                continue
            reaches = (columns["reach_x"] > width) | (columns["reach_y"] > height)
            reaches |= (columns["near_x"] >= width) | (columns["near_y"] >= height)
            for row in np.flatnonzero(known & reaches).tolist():
                text = self.source.read(int(columns["offset"][row]), int(columns["length"][row]))
                record = parse_leniently(text, Facts())
                found = polygon_facts(as_polygons(record["segmentation"]), float(width[row]), float(height[row]))
                reasons[start + row] |= np.uint64(mask_of(*found))
            sized = known & (columns["rle_height"] >= 0)
            differs = (columns["rle_height"] != height) | (columns["rle_width"] != width)
            mark(columns["reasons"], sized & differs, Reason.RLE_SIZE_DIFFERS)

    def _mark_exact_duplicates(self) -> None:
        """Mark records that equal an earlier one but for `id`.

        Rows whose columns agree are looked up through a 64-bit mixture of them; those found are compared in full, by
        a digest of their values.
        """
        table = self.annotations
        if table.rows < 2:
            return
        names = ("image_id", "category_id", "bbox_x", "bbox_y", "bbox_w", "bbox_h", "area", "vertices")
        keys = [table[name] for name in names if name in table.arrays]
        if "caption" in table.texts:
            captions = [
                zlib.crc32(caption.encode()) for caption in table.texts["caption"].values() if caption is not None
            ]
            keys.append(np.array(captions, np.int64))
        mixture = mixed(keys)
        repeated = repeated_values(mixture)
        if not len(repeated):
            return
        seen: set[bytes] = set()
        for row in np.flatnonzero(np.isin(mixture, repeated)).tolist():
            record = self._parsed(row)
            if not record:
                continue
            record.pop("id", None)
            digest = _digest(record)
            if digest is not None and digest in seen:
                table["reasons"][row] |= np.uint64(mask_of(Reason.EXACT_DUPLICATE))
            seen.add(digest or b"")

    # results

    def image_table(self) -> pa.Table:
        """Return images.parquet's content."""
        values: dict[str, Any] = dict(self.images.arrays) | dict(self.images.texts)
        values["row"] = np.arange(self.images.rows)
        values["store_path"] = self.store_paths
        return table_of(schema.IMAGES, values, self.images.rows)

    def annotation_table(self) -> pa.Table:
        """Return annotations.parquet's content."""
        values: dict[str, Any] = dict(self.annotations.arrays) | dict(self.annotations.texts)
        values["row"] = np.arange(self.annotations.rows)
        values["image_row"] = self.image_rows
        return table_of(schema.ANNOTATIONS, values, self.annotations.rows)

    def manifest(self) -> dict[str, Any]:
        """Return index.json's content."""
        layout, source = self.layout, self.source
        return {
            "format": schema.FORMAT,
            "task": self.task,
            "split": self.split,
            "source_file": source.path.name,
            "bytes": source.size,
            "sha256": layout.sha256,
            "byte_order_mark": layout.byte_order_mark,
            "missing_top_level_keys": [key for key in KNOWN_KEYS if key not in layout.values],
            "unknown_top_level_keys": {key: list(span) for key, span in layout.values.items() if key not in KNOWN_KEYS},
            "info": self.small.get("info"),
            "info_span": _span(layout, "info"),
            "licenses": self.small.get("licenses"),
            "licenses_span": _span(layout, "licenses"),
            "categories": [category.value for category in self.categories],
            "categories_spans": [list(span) for span in layout.categories] or [[0, 0] for _ in self.categories],
            "categories_reasons": [category.facts.mask for category in self.categories],
            "counts": {
                "images": self.images.rows,
                "annotations": self.annotations.rows,
                "annotation_records": self.annotations.records,
                "categories": len(self.categories),
            },
            "reasons": {
                "image": count_reasons(self.images["reasons"]),
                "annotation": count_reasons(self.annotations["reasons"]),
                "category": count_reasons(np.array([c.facts.mask for c in self.categories], np.uint64)),
            },
            "unknown_keys": {
                "image": dict(sorted(self.images.unknown.items())),
                "annotation": dict(sorted(self.annotations.unknown.items())),
            },
        }


def _mark_mostly_crowds(table: Columns, category: Array) -> None:
    """Mark the crowds of categories of which two objects or more, and at least half, are crowds.

    `category` is the number of each row's category, -1 for none. In COCO no category comes near: 5 % at most.
    """
    is_crowd = (table["iscrowd"] == 1) & (category >= 0)
    if is_crowd.any():
        crowds, objects = (np.bincount(category[chosen], minlength=1) for chosen in (is_crowd, category >= 0))
        mostly = (crowds >= 2) & (2 * crowds >= objects[: len(crowds)])
        is_crowd[is_crowd] = mostly[category[is_crowd]]
        mark(table["reasons"], is_crowd, Reason.MOSTLY_CROWDS)


def _number_by_place(table: Columns) -> None:
    """Give records without an id the numbers that the repair of `no-id` gives them."""
    ids = table["id"]
    lacking = table["reasons"] & np.uint64(mask_of(Reason.NO_ID)) != 0
    if lacking.any():
        largest = int(ids[ids < FIRST_WORD_ID].max(initial=0))
        ids[lacking] = largest + 1 + table["record"][lacking].astype(np.int64)


def _span(layout: Layout, key: str) -> list[int] | None:
    return list(layout.values[key]) if key in layout.values else None


def _read_categories(layout: Layout, source: Source) -> list[CategoryFacts]:
    categories: list[CategoryFacts] = [parse_value(source, span, read_category) for span in layout.categories]
    ids: set[int] = set()
    names: set[str] = set()
    for category in categories:
        if category.id >= 0 and category.id in ids:
            category.facts.add(Reason.DUPLICATE_ID)
        elif category.name is not None and category.name in names:
            category.facts.add(Reason.DUPLICATE_NAME)
        ids.add(category.id)
        names.add(category.name or "")
    return [CategoryFacts(c.id, c.name, replace_non_finite(c.value, lambda _: None), c.facts) for c in categories]


def _read_small(layout: Layout, source: Source) -> dict[str, Any]:
    """Return `info` and `licenses`, parsed. Raises CocomineError when a top-level value that is no array is no JSON."""
    for key, span in layout.values.items():
        if key not in KNOWN_KEYS:
            _require_json(source, span)
    return {key: _parse_small(source, layout.values[key]) for key in ("info", "licenses") if key in layout.values}


def _parse_small(source: Source, span: tuple[int, int]) -> Any:
    facts = Facts()
    return replace_non_finite(parse_value(source, span, lambda text: parse_leniently(text, facts)), lambda _: None)


def _require_json(source: Source, span: tuple[int, int]) -> None:
    """Raise CocomineError when the value at `span` is no JSON even to a lenient reader."""
    try:
        msgspec.json.decode(source.read(*span), type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        parse_value(source, span, lambda text: parse_leniently(text, Facts()))


def _digest(record: dict[str, Any]) -> bytes | None:
    """Return 16 bytes that are equal for equal records: 1 and 1.0 are, and so are keys in another order.

    None for a record that is nested too deeply to say.
    """
    try:
        plain = mapped(record, lambda one: int(one) if isinstance(one, float) and one.is_integer() else one)
        return blake2b(json.dumps(plain, sort_keys=True).encode(), digest_size=16).digest()
    except RecursionError:
        return None


def count_reasons(reasons: Array) -> dict[str, int]:
    """Return how many of the masks have each reason, those of zero left out."""
    used = int(np.bitwise_or.reduce(reasons)) if len(reasons) else 0
    return {
        str(rule.reason): int(np.count_nonzero(reasons & np.uint64(1 << rule.bit)))
        for rule in TABLE
        if used >> rule.bit & 1
    }
