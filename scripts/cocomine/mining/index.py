"""A source as the miner sees it: the tables of its index, and what follows from them for all splits together."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from cocomine.annotations.lenient import as_id
from cocomine.annotations.reasons import Reason, mask_of, masks_by_policy, policies
from cocomine.base.arrays import Array
from cocomine.base.errors import CocomineError
from cocomine.base.files import canonical_json
from cocomine.coco.names import mask_name
from cocomine.mining.arrays import Mask, Rows
from cocomine.mining.categories import Category, CategoryRecord, Crosswalk, told_apart
from cocomine.mining.identity import Images, identify_images, new_ids, repeated
from cocomine.mining.tables import Split, Table, read_split, splits_of

log = logging.getLogger("cocomine")


def bad_categories_under(chosen: Mapping[Reason, str]) -> int:
    """Return the bits of the reasons for which a category record is quarantined under policies.

    NaN in a category has no repair, nor has an id that two categories share, and what cannot be repaired is
    quarantined; so are its annotations, hence early.
    """
    beyond_repair = (reason for reason in (Reason.NOT_FINITE, Reason.DUPLICATE_ID) if chosen[reason] == "repair")
    return masks_by_policy(chosen)["quarantine"] | mask_of(*beyond_repair)


DEFAULT_BAD: Final = bad_categories_under(policies())


class Source:
    """The indexes of all splits of a source that a subset may draw from, for one task.

    `bad_categories` are the bits of the reasons for which a category record is quarantined; its annotations then have
    no category. `crosswalk` makes classes of the categories; without one they are the source's own.
    """

    def __init__(
        self, splits: Sequence[Split], bad_categories: int = DEFAULT_BAD, crosswalk: Crosswalk | None = None
    ) -> None:
        self.splits = tuple(splits)
        self.bad_categories = bad_categories
        self.crosswalk = crosswalk
        self.images = Table([split.images for split in splits])
        self.annotations = Table([split.annotations for split in splits])
        self.sized_late: Mask = np.zeros(self.images.rows, dtype=bool)
        """Images whose size is no statement of the file: it was measured, or another task's file has it."""

    @cached_property
    def category_records(self) -> tuple[CategoryRecord, ...]:
        """Every category record, split by split, as in the files."""
        records: list[CategoryRecord] = []
        first_split: dict[int, int] = {}
        listed = {
            as_id(value.get("id"))[0]
            for split in self.splits
            for value, span in zip(split.manifest["categories"], split.manifest["categories_spans"], strict=True)
            if span[1] and isinstance(value, dict)
        }
        for number, split in enumerate(self.splits):
            values, spans = split.manifest["categories"], split.manifest["categories_spans"]
            reasons = split.manifest.get("categories_reasons") or [0] * len(values)
            for place, (value, span, bits) in enumerate(zip(values, spans, reasons, strict=True)):
                fields = value if isinstance(value, dict) else {}
                identity = as_id(fields.get("id"))[0]
                made = not span[1]
                gives_way = made and identity in listed
                name, parent = fields.get("name"), fields.get("supercategory")
                records.append(
                    CategoryRecord(
                        split=number,
                        place=place,
                        offset=int(span[0]),
                        length=int(span[1]),
                        id=identity,
                        written_id=identity if identity >= 0 or "id" not in fields else canonical_json(fields["id"]),
                        name=name if isinstance(name, str) else "",
                        supercategory=parent if isinstance(parent, str) else "",
                        reasons=int(bits),
                        made=made,
                        repeats=first_split.get(identity, number) < number or gives_way,
                    )
                )
                if identity >= 0 and not int(bits) & self.bad_categories and not gives_way:
                    first_split.setdefault(identity, number)
        return tuple(records)

    @cached_property
    def stated_categories(self) -> tuple[Category, ...]:
        """The files' own categories, by id. Raises CocomineError when two splits give one id different names."""
        found: dict[int, tuple[int, Category]] = {}
        for record in self.category_records:
            if record.reasons & self.bad_categories or record.id < 0 or (record.made and record.repeats):
                continue
            category = Category(record.id, record.name, record.supercategory, record.name)
            split, known = found.setdefault(record.id, (record.split, category))
            if known.name != category.name and split != record.split:
                raise CocomineError(
                    f"category {record.id}: '{known.name}' in {self.splits[split].source_file}, '{category.name}' in "
                    f"{self.splits[record.split].source_file}",
                    "put splits with different categories into sources of their own",
                )
            if known.supercategory != category.supercategory and split != record.split:
                log.warning(
                    "note: category %d (%s) is of '%s' in %s and of '%s' in %s; the former counts",
                    *(record.id, record.name, known.supercategory, self.splits[split].source_file),
                    *(category.supercategory, self.splits[record.split].source_file),
                )
        return told_apart([found[identity][1] for identity in sorted(found)])

    @cached_property
    def _applied(self) -> tuple[Category, ...]:
        """What each of the files' categories is in a subset."""
        walk = self.crosswalk
        return self.stated_categories if walk is None else tuple(map(walk.applied, self.stated_categories))

    @cached_property
    def categories(self) -> tuple[Category, ...]:
        """The categories as a subset has them, by id: the files' own, or the classes made of them."""
        by_id = {category.id: category for category in self._applied}
        return tuple(by_id[identity] for identity in sorted(by_id))

    def category_of(self, identity: int) -> Category | None:
        """Return what the category that has this id in the files is in a subset; None where they have no such."""
        return self._by_stated_id.get(identity)

    @cached_property
    def _by_stated_id(self) -> dict[int, Category]:
        return {stated.id: made for stated, made in zip(self.stated_categories, self._applied, strict=True)}

    @cached_property
    def class_of(self) -> npt.NDArray[np.int32]:
        """The class number of each annotation: the position of its category in `categories`, -1 when it has none.

        Shape (annotations,), int32.
        """
        if self.crosswalk is None:
            return self._stated_class_of
        place = {category.id: number for number, category in enumerate(self.categories)}
        table = np.array([*(place[category.id] for category in self._applied), -1], dtype=np.int32)
        return table[self._stated_class_of]

    @cached_property
    def category_ids(self) -> Array:
        """The id of each annotation's category as a subset has it; the file's where that is unknown. Shape (n,)."""
        stated: Array = self.annotations["category_id"]
        if self.crosswalk is None:
            return stated
        ids = np.array([category.id for category in self.categories], dtype=np.int64)
        return np.where(self.class_of >= 0, ids[self.class_of], stated) if len(ids) else stated

    @cached_property
    def _stated_class_of(self) -> npt.NDArray[np.int32]:
        ids = np.array([category.id for category in self.stated_categories], dtype=np.int64)
        category_id = self.annotations["category_id"]
        if not len(ids):
            return np.full(len(category_id), -1, dtype=np.int32)
        if ids[0] >= 0 and ids[-1] < 1_000_000:
            table = np.full(int(ids[-1]) + 2, -1, dtype=np.int32)
            table[ids] = np.arange(len(ids), dtype=np.int32)
            # Ids outside the table are sent to its last cell, which is -1.
            inside = np.where((category_id < 0) | (category_id > ids[-1]), len(table) - 1, category_id)
            return table[inside]
        at = np.minimum(np.searchsorted(ids, category_id), len(ids) - 1)
        return np.where(ids[at] == category_id, at, -1).astype(np.int32)

    def of_task(self, index_dir: Path, task: str, splits: Sequence[str]) -> Source:
        """Open the index of another task of the same source, whose categories become the same classes."""
        return read_source(index_dir, splits, task, self.bad_categories, self.crosswalk)

    @cached_property
    def image_row(self) -> npt.NDArray[np.int64]:
        """The global row of each annotation's image, -1 when it has none. Shape (annotations,), int64."""
        if len(self.splits) == 1:
            return self.annotations["image_row"].astype(np.int64)
        local = [split.annotations.numpy("image_row").astype(np.int64) for split in self.splits]
        starts = self.images.starts
        return np.concatenate([np.where(rows < 0, -1, rows + starts[i]) for i, rows in enumerate(local)])

    @cached_property
    def identity(self) -> Images:
        """Which image records are of one file, and the ids that tell the others apart."""
        ids, reasons = self.images["id"], self.images["reasons"]
        suspect = np.uint64(mask_of(Reason.DUPLICATE_ID, Reason.DUPLICATE_FILE_NAME))
        if len(self.splits) == 1 and not (reasons & suspect).any():
            return Images(ids, np.arange(len(ids), dtype=np.int64), np.zeros(len(ids), dtype=bool))
        return identify_images(ids, self.images.starts, self.images.codes("store_path"), self.split_names)

    @property
    def split_names(self) -> list[str]:
        """The names of the splits, in their order."""
        return [split.name for split in self.splits]

    @property
    def image_ids(self) -> Array:
        """The ids under which a subset holds the images. Shape (images,)."""
        return self.identity.ids

    @cached_property
    def new_names(self) -> dict[int, str]:
        """The file names of images whose mask an image of an earlier split has by name: their path in the store.

        By global row; the others keep the name that their file states.
        """
        if len(self.splits) == 1:
            return {}
        every = np.arange(self.images.rows)
        stated, paths = (self.images.texts(name, every) for name in ("file_name", "store_path"))
        splits, repeats = self.images.split_of(every).tolist(), self.identity.repeats.tolist()
        first: dict[str, int] = {}
        result: dict[int, str] = {}
        for row, (name, path, split, again) in enumerate(zip(stated, paths, splits, repeats, strict=True)):
            if name is None or path is None or again:
                continue
            if first.setdefault(mask_name(name), split) < split:
                result[row] = path
        return result

    def file_names(self, rows: Rows) -> list[str]:
        """Return the file names under which a subset holds the images at global `rows`."""
        stated = self.images.texts("file_name", rows)
        return [self.new_names.get(row) or name or "" for row, name in zip(rows.tolist(), stated, strict=True)]

    @cached_property
    def restarted(self) -> Mask:
        """Annotations whose id an earlier one has, of this split or of another. Shape (annotations,)."""
        bit = np.uint64(mask_of(Reason.DUPLICATE_ID))
        within: Mask = (self.annotations["reasons"] & bit) != 0
        return within | repeated(self.annotations["id"], self.annotations.starts)

    @cached_property
    def annotation_ids(self) -> Array:
        """The ids under which a subset holds the annotations. Shape (annotations,)."""
        ids, names = self.annotations["id"], self.split_names
        rows = np.flatnonzero(self.restarted)
        if not len(rows):
            return ids
        word = {
            row: f"{names[split]}/{image}/{identity}"
            for row, split, image, identity in zip(
                rows.tolist(),
                self.annotations.split_of(rows).tolist(),
                self.annotations["image_id"][rows].tolist(),
                ids[rows].tolist(),
                strict=True,
            )
        }
        return new_ids(ids, self.restarted, word.__getitem__)


def read_source(
    index_dir: Path,
    splits: Sequence[str],
    task: str = "instances",
    bad_categories: int = DEFAULT_BAD,
    crosswalk: Crosswalk | None = None,
) -> Source:
    """Open the index of a source: the given splits, or all that are there when none is given."""
    names = list(splits) or splits_of(index_dir, task)
    if not names:
        raise CocomineError(f"{index_dir}: holds no index of {task}", "run index_annotations first")
    return Source([read_split(index_dir, task, name) for name in names], bad_categories, crosswalk)


def nearest(word: str, words: Sequence[str]) -> str:
    """Return advice on a misspelt word: the nearest ones, or the first few there are."""
    lower = {name.lower(): name for name in words}
    near = [lower[name] for name in get_close_matches(word.lower(), list(lower), n=3, cutoff=0.6)]
    if near:
        return "did you mean " + " or ".join(f"'{name}'" for name in near) + "?"
    return "there are: " + ", ".join(list(words)[:100])
