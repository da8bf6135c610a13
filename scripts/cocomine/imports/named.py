"""Images that labels name: found near the file that names them, measured, and each taken once."""

import posixpath
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from cocomine.base.errors import CocomineError
from cocomine.base.words import counted
from cocomine.imports.files import FileProblem, stem_of
from cocomine.imports.labels import Job, LabelledImage, Object
from cocomine.imports.reasons import Reason
from cocomine.transfer.finding import SPLIT_LIKE
from cocomine.transfer.names import folded, refusal

BESIDE = ("", "JPEGImages", "../JPEGImages", "images", "../images")
"""Where images lie, seen from the folder of their labels."""


class Named:
    """Finds the images that labels name, below the folder, and remembers which are taken."""

    def __init__(self, job: Job) -> None:
        self._files, self._tally = job.files, job.tally
        self._by_stem: dict[str, list[str]] = {}
        self._by_name: dict[str, list[str]] = {}
        for path in self._files.images:
            self._by_stem.setdefault(stem_of(path), []).append(path)
            self._by_name.setdefault(folded(posixpath.basename(path)), []).append(path)
        self._there = frozenset(self._files.images)
        self.taken: set[str] = set()

    def find(self, folder: str, said: str) -> str | None:
        """Return the image that labels in `folder` call `said`: near them, or the only one whose path ends like it."""
        said = posixpath.normpath(said.replace("\\", "/")) if said else ""
        for base in (*(posixpath.join(folder, place) for place in BESIDE), "", "images"):
            path = posixpath.normpath(posixpath.join(base, said))
            if path in self._there:
                return path
        alike = self._by_name.get(folded(posixpath.basename(said)), [])
        most = max((_common_end(path, said) for path in alike), default=0)
        nearest = [path for path in alike if _common_end(path, said) == most]
        return nearest[0] if len(nearest) == 1 else None

    def of_stem(self, folder: str, stem: str) -> list[str]:
        """Return the images near the labels in `folder` that have the stem, of whatever ending."""
        for place in BESIDE:
            found = self._by_stem.get(posixpath.normpath(posixpath.join(folder, place, stem)))
            if found:
                return found
        return []

    def size(self, path: str) -> tuple[int, int] | None:
        """Take an image and return its (width, height) in pixels; None where the tally says why it is set aside."""
        self.taken.add(path)
        unsafe = refusal(path)
        if unsafe is not None:
            self._tally.set_aside("image", path, "", Reason.UNSAFE_NAME, unsafe)
            return None
        try:
            size = self._files.size(path)
        except FileProblem as problem:
            self._tally.set_aside("image", path, "", Reason.IMAGE_UNREADABLE, problem)
            return None
        self._tally.keep("image")
        return size

    def without_labels(self, among: Callable[[str], bool]) -> None:
        """Count the images that no labels name; `among` tells which are of the splits that are asked for."""
        for path in self._files.images:
            if path not in self.taken and among(path):
                self._tally.set_aside("image", path, "", Reason.NO_LABELS)


def own_splits(paths: Sequence[str]) -> tuple[str, ...]:
    """Return the splits that folders name, where every one of `paths` lies in a folder like train, valid or test."""
    first = dict.fromkeys(path.partition("/")[0] if "/" in path else "" for path in paths)
    return tuple(first) if first and all(map(SPLIT_LIKE.fullmatch, first)) else ()


def by_split(job: Job, paths: Sequence[str], known: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the files of labels of each split: of the folder {split}/, or all where no split is asked for.

    Raises CocomineError for a split of which there is none.
    """
    if not job.splits:
        return {job.all_as: list(paths)}
    found = {split: [path for path in paths if path.startswith(f"{split}/")] for split in job.splits}
    for split, of_split in found.items():
        if not of_split:
            raise no_such_split(job, split, known)
    left = len(paths) - sum(map(len, found.values()))
    if left:
        job.tally.said.append(f"{counted(left, 'file')} of labels in none of the splits asked for")
    return found


def no_such_split(job: Job, split: str, known: tuple[str, ...]) -> CocomineError:
    """Return the error for a split that the folder does not have."""
    return CocomineError(
        f"{job.files.root}: it has no split {split!r}",
        f"its splits: {', '.join(known)}" if known else "leave `splits` out: all labels are then one split, `all`",
    )


T = TypeVar("T")


class Sheet(NamedTuple, Generic[T]):
    """What a file of labels says: the name of its image, the size that it states, and its labels."""

    image: str
    size: tuple[int, int] | None
    labels: list[T]


class OneFileAnImage(ABC, Generic[T]):
    """Reads a form that has a file of labels for each image. A subclass says how a file is read."""

    classes: list[str] | None = None
    keypoints: list[str] = []  # noqa: RUF012 - none of these forms has any

    def __init__(self, job: Job, of_splits: dict[str, list[str]]) -> None:
        self._job, self._files, self._tally = job, job.files, job.tally
        self._named = Named(job)
        self._of_splits = of_splits
        self._whole = not job.splits

    @abstractmethod
    def read(self, path: str) -> Sheet[T] | None:
        """Return what a file says; None for a file that is none of the form. Raises FileProblem."""

    @abstractmethod
    def objects(self, path: str, size: tuple[int, int], labels: list[T]) -> Iterator[Object]:
        """Yield the objects of an image; count each label."""

    @abstractmethod
    def image_of(self, path: str, said: str) -> str | Reason:
        """Return the image of a file of labels, or why there is none."""

    def images(self) -> Iterator[LabelledImage]:
        """Yield every image that a file of labels is of."""
        for split, paths in self._of_splits.items():
            for path in paths:
                image = self._image(path, split)
                if image is not None:
                    yield image
        splits = tuple(f"{split}/" for split in self._of_splits)
        self._named.without_labels(lambda path: self._whole or path.startswith(splits))

    def _image(self, path: str, split: str) -> LabelledImage | None:
        try:
            sheet = self.read(path)
        except FileProblem as problem:
            self._tally.set_aside("file", path, "", Reason.UNREADABLE_FILE, problem)
            self._without_sheet(path)
            return None
        if sheet is None:
            return None
        self._tally.keep("file")
        image = self.image_of(path, sheet.image)
        if not isinstance(image, Reason) and image in self._named.taken:
            image = Reason.TWO_FILES
        size = None if isinstance(image, Reason) else self._named.size(image)
        if isinstance(image, Reason) or size is None:
            reason = image if isinstance(image, Reason) else Reason.MISSING_IMAGE
            for number in range(1, len(sheet.labels) + 1):
                self._tally.set_aside("label", path, number, reason, sheet.image)
            return None
        # Of a stated size that is not the image's the index and the measuring speak; nothing here is drawn in it.
        drawn = sheet.size if sheet.size in (size, size[::-1]) else size
        return LabelledImage(image, split, sheet.size or size, list(self.objects(path, drawn, sheet.labels)))

    def _without_sheet(self, path: str) -> None:
        """Set the image aside of which the labels cannot be read: it is not one without objects."""
        image = self.image_of(path, "")
        if not isinstance(image, Reason) and image not in self._named.taken:
            self._named.taken.add(image)
            self._tally.set_aside("image", image, "", Reason.UNREADABLE_FILE, path)


def _common_end(path: str, said: str) -> int:
    parts, wanted = path.split("/")[::-1], said.split("/")[::-1]
    return next(
        (place for place, (one, other) in enumerate(zip(parts, wanted, strict=False)) if folded(one) != folded(other)),
        min(len(parts), len(wanted)),
    )
