"""A built subset as Python has it: its images, masks, boxes, captions and splits, read when they are asked for.

Needs NumPy, Pillow and msgspec. PyTorch and pandas are imported by what returns their types.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, overload

import numpy as np
import numpy.typing as npt
from PIL import Image

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json
from cocomine.coco.labels import Labels
from cocomine.coco.names import mask_name
from cocomine.coco.reader import Annotation
from cocomine.coco.reader import Image as Record
from cocomine.formats.boxes import box_of
from cocomine.formats.subset import Subset, open_subset
from cocomine.images.opening import ImageError, load_rgb, opened, read_file

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor
    from torch.utils.data import Dataset

Values = npt.NDArray[np.unsignedinteger]
Table = Literal["images", "objects", "captions"]
DRAWN: Final = "masks: {outputs: [semantic]} in the config has them drawn"
TABLES: Final[tuple[Table, ...]] = ("images", "objects", "captions")


def load(folder: str | Path, store: str | Path | None = None) -> "Loaded":
    """Open a subset that was built, such as `results/animals`; nothing is read yet but its tables.

    `store` is the folder of the images, `data/images/NAME`; by default the one beside `results`. Raises CocomineError
    when `folder` is no subset.
    """
    return Loaded(Path(folder), [Path(store)] if store is not None else _stores(Path(folder)))


class Sample:
    """One image of a subset. What lies on disk is read when it is asked for, each time anew."""

    def __init__(self, subset: "Loaded", record: Record, split: str) -> None:
        self._subset, self._record = subset, record
        self.id, self.file_name, self.split = record.id, record.file_name, split
        self.width, self.height = record.width, record.height

    def __repr__(self) -> str:
        """Say which image it is."""
        return f"Sample({self.id}, {self.file_name!r}, {self.split!r}, {self.width} x {self.height})"

    @property
    def path(self) -> Path:
        """Where the image's file lies. Raises CocomineError when it is in no store."""
        return self._subset.path_of(self.id)

    @property
    def mask_path(self) -> Path:
        """Where its mask of labels lies, whether there is one or not."""
        return self._subset.folder / "masks" / "semantic" / mask_name(self.file_name)

    @property
    def image(self) -> Image.Image:
        """The image in RGB, height × width as the annotations have it. Raises CocomineError when it cannot be read."""
        return read_image(self.path, (self.width, self.height))

    @property
    def mask(self) -> Values:
        """The label of each pixel, (height, width): 0 background, 1..n the classes, `labels.void` void.

        uint8, or uint16 for more than 254 classes. Raises CocomineError when the subset has no such mask.
        """
        return read_mask(self.mask_path)

    @cached_property
    def objects(self) -> tuple[Annotation, ...]:
        """Its objects of the subset's classes, as COCO's records: box, outline or run lengths, area, crowd flag."""
        records = self._subset.annotations(self.split, self.id)
        return tuple(one for one in records if one.category_id in self._subset.labels.category_to_label)

    @property
    def boxes(self) -> npt.NDArray[np.float64]:
        """Left, top, right and bottom of each object in pixels, (n, 4); NaN where nothing tells them."""
        found = (box_of(one) or (np.nan,) * 4 for one in self.objects)
        rows = [(x, y, x + width, y + height) for x, y, width, height in found]
        return np.array(rows, np.float64).reshape(-1, 4)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """The label of each object, (n,), 1..n as in masks and labels.json."""
        return np.array([self._subset.labels.category_to_label[one.category_id] for one in self.objects], np.int64)

    @property
    def crowds(self) -> npt.NDArray[np.bool_]:
        """Whether each object is a crowd, (n,)."""
        return np.array([bool(one.iscrowd) for one in self.objects], bool)

    @property
    def captions(self) -> tuple[str, ...]:
        """Its captions; none where the source has none."""
        return tuple(one.caption for one in self._subset.other("captions", self.split, self.id) if one.caption)

    @property
    def keypoints(self) -> dict[int, npt.NDArray[np.float64]]:
        """The keypoints of objects that have some, by annotation id: x, y in pixels and visibility, (k, 3)."""
        records = self._subset.other("person_keypoints", self.split, self.id)
        return {one.id: np.array(one.keypoints, np.float64).reshape(-1, 3) for one in records if one.keypoints}


class Split(Sequence[Sample]):
    """The images of one split, in the order of its file."""

    def __init__(self, subset: "Loaded", name: str) -> None:
        self.name, self._subset = name, subset
        self._records = subset.records(name)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._records)

    @overload
    def __getitem__(self, place: int) -> Sample: ...
    @overload
    def __getitem__(self, place: slice) -> list[Sample]: ...
    def __getitem__(self, place: int | slice) -> Sample | list[Sample]:
        """Return an image, or those of a slice."""
        if isinstance(place, slice):
            return [Sample(self._subset, record, self.name) for record in self._records[place]]
        return Sample(self._subset, self._records[place], self.name)

    def __repr__(self) -> str:
        """Say how many images it has."""
        return f"Split({self.name!r}, {len(self)} images)"


class Loaded:
    """A subset: `subset["train"][0].image`. `splits` are the splits that its split.tsv names, whatever they are called.

    `labels` maps labels, names, colours and category ids; `classes[i]` is the name of label i + 1.
    """

    def __init__(self, folder: Path, stores: list[Path]) -> None:
        self.folder = folder
        self._stores = stores
        self._subset: Subset = open_subset(folder, stores[0] if stores else Path())
        self.name = self._subset.name
        self.splits: tuple[str, ...] = self._subset.splits
        self.labels: Labels = self._subset.labels
        self.classes: tuple[str, ...] = self._subset.classes
        self._records: dict[str, list[Record]] = {}

    def __getitem__(self, split: str) -> Split:
        """Return the images of a split. Raises CocomineError, which names the splits, for one that is none."""
        if split not in self.splits:
            raise CocomineError(f"{self.name} has no split {split!r}", f"its splits: {', '.join(self.splits)}")
        return Split(self, split)

    def __iter__(self) -> Iterator[Sample]:
        """Yield every image, split by split."""
        for split in self.splits:
            yield from self[split]

    def __len__(self) -> int:
        """Return the number of images of all splits."""
        return sum(len(self[split]) for split in self.splits)

    def __repr__(self) -> str:
        """Say what is in it."""
        splits = ", ".join(f"{split}: {len(self[split])} images" for split in self.splits)
        return f"Loaded({self.name!r}, {splits}, classes: {', '.join(self.classes)})"

    def torch(
        self, split: str, size: int | tuple[int, int] | None = None, packed: int | None = None
    ) -> "Dataset[tuple[Tensor, Tensor]]":
        """Return a PyTorch dataset of (image, mask) pairs; it can be pickled for the workers of a DataLoader.

        Images are float32 (3, height, width) in 0..1, masks int64 (height, width) with void as `labels.void`, for
        `ignore_index`. They have their own sizes, or `size` (a side, or height and width: stretched, masks by the
        nearest pixel), or come from the tensors of side `packed`, which `tensors: {pack: true}` has built. Images of
        which no mask could be drawn (masks/refused.tsv) are left out. Raises CocomineError when PyTorch is not
        installed, or there are no masks or no such tensors.
        """
        try:
            from cocomine.reader.torch_dataset import masks_dataset, packed_dataset
        except ImportError as error:
            raise CocomineError(f"PyTorch cannot be imported: {error}", "pip install torch") from error
        samples = self[split]
        if packed is not None:
            return packed_dataset(self.folder / "tensors" / str(packed), split)
        if not (self.folder / "masks" / "semantic").is_dir():
            raise CocomineError(f"{self.name} has no masks", DRAWN)
        drawn = [one for one in samples if one.mask_path.is_file()]
        return masks_dataset([(one.path, one.mask_path, (one.width, one.height)) for one in drawn], size)

    def frame(self, what: Table = "objects") -> "pd.DataFrame":
        """Return the images, objects or captions as a table of pandas, a row each. Boxes and areas are in pixels.

        Raises CocomineError when pandas is not installed, or there is no such table.
        """
        if what not in TABLES:
            raise CocomineError(f"no table is called {what!r}", f"there are {', '.join(TABLES)}")
        try:
            import pandas as pd
        except ImportError as error:
            raise CocomineError(f"pandas cannot be imported: {error}", "pip install pandas") from error
        rows = [row for sample in self for row in _ROWS[what](self, sample)]
        return pd.DataFrame(rows, columns=_COLUMNS[what])

    # -- what samples ask for

    def records(self, split: str) -> list[Record]:
        """Return the image records of a split, read once."""
        if split not in self._records:
            self._records[split] = list(self._subset.images(split))
        return self._records[split]

    def annotations(self, split: str, image_id: int) -> list[Annotation]:
        """Return the objects of an image, of whatever category."""
        return list(self._subset.document(self._subset.path(split)).annotations(image_id))

    def other(self, task: str, split: str, image_id: int) -> list[Annotation]:
        """Return the records that another task has of an image; none where the subset does not have the task."""
        document = self._subset.other_tasks(split).get(task)
        return [] if document is None else list(document.annotations(image_id))

    def path_of(self, image_id: int) -> Path:
        """Return where an image's file lies. Raises CocomineError when it is in no store."""
        inside = self._subset.store_path_of[image_id]
        for store in self._stores:
            if (store / inside).is_file():
                return store / inside
        looked = ", ".join(map(str, self._stores)) or "data/images beside results"
        raise CocomineError(
            f"{self.name}: the image {inside} is not in {looked}", 'say where the images lie: load(…, store="…/NAME")'
        )


def read_image(path: Path, size: tuple[int, int]) -> Image.Image:
    """Return an image in RGB at the (width, height) that its record says. Raises CocomineError."""
    try:
        return load_rgb(path, size)
    except ImageError as error:
        raise CocomineError(f"{path}: {error}", "verify_build.py names every file that is not as it was") from error


def read_mask(path: Path) -> Values:
    """Return the values of a label mask, (height, width). Raises CocomineError when it is missing or no PNG."""
    try:
        with opened(read_file(path)) as picture:
            values = np.asarray(picture)
    except (ImageError, OSError) as error:
        raise CocomineError(f"{path}: {error}", DRAWN) from error
    return values.astype(np.uint8 if values.dtype == np.uint8 else np.uint16)


def _stores(folder: Path) -> list[Path]:
    """Return the image stores of the build that a subset lies in, first the one that the build's lock names."""
    work = folder.resolve().parent.parent
    known = sorted(path for path in (work / "data" / "images").glob("*") if path.is_dir())
    try:
        config: Any = read_json(work / "results" / "build.lock.json")["config"]
        source = config["subsets"][folder.resolve().name]["source"]
        own = work / "data" / "images" / (config["sources"][source]["store"] or source)
    except (CocomineError, KeyError, TypeError):
        return known
    return [own, *(path for path in known if path != own)]


_COLUMNS: Final[dict[Table, list[str]]] = {
    "images": ["image_id", "file_name", "split", "width", "height", "license", "objects"],
    "objects": [
        "annotation_id", "image_id", "split", "label", "class", "left", "top", "right", "bottom", "area", "crowd",
    ],
    "captions": ["image_id", "split", "caption"],
}  # fmt: skip


def _image_rows(_: Loaded, one: Sample) -> Iterator[tuple[object, ...]]:
    yield one.id, one.file_name, one.split, one.width, one.height, one._record.license, len(one.objects)


def _object_rows(subset: Loaded, one: Sample) -> Iterator[tuple[object, ...]]:
    for record, box, label in zip(one.objects, one.boxes.tolist(), one.labels.tolist(), strict=True):
        name = subset.labels.names[label]
        yield record.id, one.id, one.split, label, name, *box, record.area, bool(record.iscrowd)


def _caption_rows(_: Loaded, one: Sample) -> Iterator[tuple[object, ...]]:
    yield from ((one.id, one.split, caption) for caption in one.captions)


_ROWS: Final = {"images": _image_rows, "objects": _object_rows, "captions": _caption_rows}
