"""What an export reads of a subset: its two splits, its labels, and the side tables that name files and hashes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as parquet

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json, read_table
from cocomine.coco.reader import Annotation, Image, load_document

SPLITS = ("train", "val")
OTHER_TASKS = ("captions", "person_keypoints", "stuff", "panoptic")


@dataclass(frozen=True)
class Labels:
    """The subset's classes in label order, background left out: label 1 has index 0."""

    names: tuple[str, ...]
    index_of: dict[int, int]
    """COCO category id to class index, 0-based."""


@dataclass(frozen=True)
class Item:
    """One image with its objects, in the split file's order."""

    image: Image
    objects: tuple[Annotation, ...]
    source: Path
    """Where the photograph lies in the image store."""
    sha256: str
    """Its SHA-256 when it was fetched, "" when no lock says."""
    exif_rotated: bool
    grouped: bool
    """True when the split found near-duplicates of it."""


@dataclass(frozen=True)
class Subset:
    """A subset folder, opened for exporting."""

    folder: Path
    name: str
    labels: Labels
    store: Path
    store_path_of: dict[int, str]
    sha256_of: dict[int, str]
    rotated: frozenset[int]
    grouped: frozenset[int]

    def items(self, split: str) -> Iterator[Item]:
        """Yield the images of a split with their objects.

        Raises CocomineError when images.tsv does not name an image of the split.
        """
        document = load_document(self.folder / f"{split}.json")
        objects: dict[int, list[Annotation]] = {}
        for annotation in document.annotations:
            objects.setdefault(annotation.image_id, []).append(annotation)
        for image in document.images:
            if image.id not in self.store_path_of:
                raise CocomineError(
                    f"{split}.json has image {image.id}, which images.tsv in {self.folder} lacks",
                    "the folder mixes two builds: delete it and run snakemake again",
                )
            yield Item(
                image=image,
                objects=tuple(objects.get(image.id, ())),
                source=self.store / self.store_path_of[image.id],
                sha256=self.sha256_of.get(image.id, ""),
                exif_rotated=image.id in self.rotated,
                grouped=image.id in self.grouped,
            )

    def other_tasks(self, split: str) -> dict[str, Path]:
        """Return the files of the other tasks that this subset has for the split, by task."""
        files = {task: self.folder / "split_tasks" / f"{split}_{task}.json" for task in OTHER_TASKS}
        return {task: file for task, file in files.items() if file.is_file()}


def open_subset(folder: Path, store: Path) -> Subset:
    """Read the small files of a subset folder. Raises CocomineError when one that must be there is missing."""
    for name in ("train.json", "val.json", "images.tsv", "labels.json"):
        if not (folder / name).is_file():
            raise CocomineError(
                f"{folder / name}: no such file", "run the rules assemble_subset and split_dataset first"
            )
    lock, measures, split = folder / "images.lock.tsv", folder / "images.parquet", folder / "split.tsv"
    return Subset(
        folder=folder,
        name=folder.resolve().name,
        labels=labels_from(read_json(folder / "labels.json")),
        store=store,
        store_path_of={int(row["image_id"]): row["store_path"] for row in read_table(folder / "images.tsv")},
        sha256_of={int(row["image_id"]): row["sha256"] for row in read_table(lock)} if lock.is_file() else {},
        rotated=_rotated(measures) if measures.is_file() else frozenset(),
        grouped=_grouped(split) if split.is_file() else frozenset(),
    )


def labels_from(document: dict[str, list[dict[str, object]]]) -> Labels:
    """Read labels.json: the labels from 1 on, and which category each stands for.

    Raises CocomineError when the labels are not 0, 1, 2, … without a gap.
    """
    rows = document["labels"]
    if [row["label"] for row in rows] != list(range(len(rows))):
        raise CocomineError("labels.json: the labels are not 0, 1, 2, … in order", "run assemble_subset again")
    return Labels(
        names=tuple(str(row["name"]) for row in rows[1:]),
        index_of={int(str(row["category_id"])): number for number, row in enumerate(rows[1:])},
    )


def _rotated(measures: Path) -> frozenset[int]:
    """Ids of the images whose EXIF orientation (1 to 8, 1 upright) is not upright."""
    table = parquet.read_table(measures, columns=["image_id", "exif_orientation"])
    pairs = zip(table["image_id"].to_pylist(), table["exif_orientation"].to_pylist(), strict=True)
    return frozenset(image for image, orientation in pairs if orientation is not None and orientation > 1)


def _grouped(split: Path) -> frozenset[int]:
    """Ids of the images that share their group with another one."""
    members: dict[str, list[int]] = {}
    for row in read_table(split):
        members.setdefault(row["group"], []).append(int(row["image_id"]))
    return frozenset(image for group, ids in members.items() if group and len(ids) > 1 for image in ids)
