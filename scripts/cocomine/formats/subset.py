"""What an export reads of a subset: its splits, its labels, and the side tables that name files and hashes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_table
from cocomine.coco.labels import Labels, read_labels
from cocomine.coco.reader import Annotation, Image
from cocomine.splits.names import in_order, split_document

if TYPE_CHECKING:  # it brings NumPy, which planning a workflow does without
    from cocomine.coco.by_image import RecordsByImage

OTHER_TASKS = ("captions", "person_keypoints", "stuff", "panoptic")
BUILD_AGAIN = "run the rules assemble_subset and split_dataset first"


@dataclass(frozen=True)
class Item:
    """One image with its objects, in the split file's order."""

    image: Image
    objects: tuple[Annotation, ...]
    source: Path
    """Where the image's file lies in the image store."""
    sha256: str
    """Its SHA-256 when it was fetched, "" when no lock says."""
    exif_rotated: bool
    grouped: bool
    """True when the split found near-duplicates of it."""

    @property
    def name(self) -> PurePosixPath:
        """The image's file name, which may name folders."""
        return PurePosixPath(self.image.file_name)


@dataclass(frozen=True)
class Subset:
    """A subset folder, opened for exporting. Only small tables are in memory; records are read image by image."""

    folder: Path
    name: str
    labels: Labels
    splits: tuple[str, ...]
    store: Path
    store_path_of: dict[int, str]
    locked: dict[int, tuple[str, int]]
    """SHA-256 and size in bytes of each image when it was fetched; empty when no lock says."""
    grouped: frozenset[int]
    _documents: dict[Path, "RecordsByImage"] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes in label order, background left out: label 1 comes first."""
        return self.labels.names[1:]

    @cached_property
    def rotated(self) -> frozenset[int]:
        """Ids of the images whose EXIF orientation is known and not upright."""
        measures = self.folder / "images.parquet"
        return _rotated(measures) if measures.is_file() else frozenset()

    @cached_property
    def index_of(self) -> dict[int, int]:
        """From a category id to the place of its class in `classes`."""
        return {category: label - 1 for category, label in self.labels.category_to_label.items()}

    def document(self, path: Path) -> "RecordsByImage":
        """Open one of the subset's COCO documents, once."""
        from cocomine.coco.by_image import RecordsByImage

        if path not in self._documents:
            self._documents[path] = RecordsByImage(path)
        return self._documents[path]

    def path(self, split: str, task: str = "instances") -> Path:
        """Return where the records of a split lie."""
        return split_document(self.folder, split, task)

    def images(self, split: str) -> Iterator[Image]:
        """Yield the images of a split, in its file's order."""
        return self.document(self.path(split)).images()

    def items(self, split: str) -> Iterator[Item]:
        """Yield the images of a split with their objects.

        Raises CocomineError when images.tsv does not name an image of the split.
        """
        document = self.document(self.path(split))
        for image in document.images():
            if image.id not in self.store_path_of:
                raise CocomineError(
                    f"{self.path(split)} has image {image.id}, which images.tsv lacks",
                    "the folder mixes two builds: delete it and run snakemake again",
                )
            yield Item(
                image=image,
                objects=tuple(document.annotations(image.id)),
                source=self.store / self.store_path_of[image.id],
                sha256=self.locked.get(image.id, ("", 0))[0],
                exif_rotated=image.id in self.rotated,
                grouped=image.id in self.grouped,
            )

    def other_tasks(self, split: str) -> dict[str, "RecordsByImage"]:
        """Return the documents of the other tasks that this subset has for the split, by task."""
        files = {task: self.path(split, task) for task in OTHER_TASKS}
        return {task: self.document(file) for task, file in files.items() if file.is_file()}


def open_subset(folder: Path, store: Path) -> Subset:
    """Read the small files of a subset folder. Raises CocomineError when one that must be there is missing."""
    split = folder / "split.tsv"
    if not split.is_file():
        raise CocomineError(f"{split}: no such file", BUILD_AGAIN)
    splits = in_order(row["split"] for row in read_table(split))
    for path in (*(split_document(folder, one) for one in splits), folder / "images.tsv", folder / "labels.json"):
        if not path.is_file():
            raise CocomineError(f"{path}: no such file", BUILD_AGAIN)
    lock = folder / "images.lock.tsv"
    return Subset(
        folder=folder,
        name=folder.resolve().name,
        labels=read_labels(folder / "labels.json"),
        splits=splits,
        store=store,
        store_path_of={int(row["image_id"]): row["store_path"] for row in read_table(folder / "images.tsv")},
        locked=_locked(lock) if lock.is_file() else {},
        grouped=_grouped(split),
    )


def _locked(lock: Path) -> dict[int, tuple[str, int]]:
    return {int(row["image_id"]): (row["sha256"], int(row.get("bytes") or 0)) for row in read_table(lock)}


def _rotated(measures: Path) -> frozenset[int]:
    """Ids of the images whose EXIF orientation (1 to 8, 1 upright) is not upright."""
    from cocomine.base.parquet import read_columns  # not at the top: it takes as long as a small export to write

    table = read_columns(measures, columns=["image_id", "exif_orientation"])
    pairs = zip(table["image_id"].to_pylist(), table["exif_orientation"].to_pylist(), strict=True)
    return frozenset(image for image, orientation in pairs if orientation is not None and orientation > 1)


def _grouped(split: Path) -> frozenset[int]:
    """Ids of the images that share their group with another one."""
    members: dict[str, list[int]] = {}
    for row in read_table(split):
        members.setdefault(row["group"], []).append(int(row["image_id"]))
    return frozenset(image for group, ids in members.items() if group and len(ids) > 1 for image in ids)
