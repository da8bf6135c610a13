"""COCO documents of imported labels: one for each split and task, the same bytes for the same folder."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from cocomine.base.files import canonical_json
from cocomine.coco.writer import write_document
from cocomine.imports.labels import LabelledImage, Object

DIGITS: Final = 3
"""Decimals of a pixel that are written: YOLO's six decimals of a share are coarser in any image of over 1,000 px."""

ID_BYTES: Final = 5


class _Record(NamedTuple):
    """An annotation without its own id and that of its category, as JSON text; what keypoints add stands apart."""

    image_id: int
    category: int | str | None
    body: bytes
    keypoints: bytes


class Documents:
    """Collects images and objects, as the text of their records, and writes the documents.

    An image's id is made of the SHA-256 of its path, so that a folder to which images are added keeps the ids (and the
    split) of those it had. Categories count from 1: a class index plus one, or the place of a name among the sorted.
    """

    def __init__(self, splits: Sequence[str], classes: list[str] | None, keypoints: list[str]) -> None:
        self._classes, self._keypoints = classes, keypoints
        self._images: dict[str, list[bytes]] = {split: [] for split in splits}
        self._records: dict[str, list[_Record]] = {split: [] for split in splits}
        self._objects = dict.fromkeys(splits, 0)
        self._taken: set[int] = set()
        self._names: dict[str, str] = {}

    def add(self, image: LabelledImage) -> None:
        """Take an image in."""
        number = self._free_id(image.path)
        width, height = image.size
        row = {"id": number, "file_name": image.path, "width": width, "height": height}
        self._images[image.split].append(msgspec.json.encode(row))
        self._objects[image.split] += sum(not one.lost for one in image.objects)
        self._records[image.split] += [self._record(number, one) for one in image.objects]

    def images(self, split: str) -> int:
        """Return how many images a split has."""
        return len(self._images[split])

    def objects(self, split: str) -> int:
        """Return how many objects a split has, those that are lost not counted."""
        return self._objects[split]

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in the order of their ids, which count from 1."""
        return sorted(self._names) if self._classes is None else self._classes

    def write(self, folder: Path, tasks: Sequence[str], form: str) -> None:
        """Write `{task}_{split}.json` below `folder`, for every split and every one of `tasks`."""
        info = canonical_json({"description": f"labels of the form {form}, imported by cocomine"}).encode()
        for task in tasks:
            first = 1
            for split, images in self._images.items():
                path = folder / f"{task}_{split}.json"
                write_document(
                    path, info, None, images, self._annotations(split, first, task), list(self._categories(task))
                )
                first += len(self._records[split])

    def _free_id(self, path: str) -> int:
        """Return a number below 2^40 that hangs on the path alone, but where two of a million meet."""
        number = int.from_bytes(hashlib.sha256(path.encode()).digest()[:ID_BYTES], "big")
        while number in self._taken or not number:
            number += 1
        self._taken.add(number)
        return number

    def _record(self, image_id: int, one: Object) -> _Record:
        if isinstance(one.category, str):
            one.category = self._names.setdefault(one.category, one.category)  # one copy of a name for all
        box = [_rounded(side) for side in one.bbox or ()]
        fields: dict[str, Any] = {
            "iscrowd": one.iscrowd,
            "bbox": box,
            "area": _rounded(one.area if one.area is not None else box[2] * box[3] if box else 0),
            "segmentation": _segmentation(one),
            **one.more,
            **({"lost_at_import": one.lost} if one.lost else {}),
        }
        points = b""
        if self._keypoints:
            values = one.keypoints or [0.0] * (3 * len(self._keypoints))
            labelled = sum(seen > 0 for seen in values[2::3])
            points = msgspec.json.encode(
                {"keypoints": [_rounded(value) for value in values], "num_keypoints": labelled}
            )
        return _Record(image_id, one.category, msgspec.json.encode(fields), points)

    def _annotations(self, split: str, first: int, task: str) -> Iterator[bytes]:
        ids = {name: number for number, name in enumerate(self.classes, 1)}
        for number, record in enumerate(self._records[split], first):
            category = self._category_id(record.category, ids)
            more = record.keypoints[1:-1] + b"," if task == "person_keypoints" else b""
            head = b'{"id":%d,"image_id":%d,"category_id":%d,' % (number, record.image_id, category)
            yield head + more + record.body[1:]

    @staticmethod
    def _category_id(category: int | str | None, ids: dict[str, int]) -> int:
        """Return the id of a category; 0, which none has, where it is not known."""
        if category is None:
            return 0
        return ids[category] if isinstance(category, str) else category + 1

    def _categories(self, task: str) -> Iterator[bytes]:
        points = {"keypoints": self._keypoints, "skeleton": []} if task == "person_keypoints" else {}
        for number, name in enumerate(self.classes, 1):
            yield msgspec.json.encode({"id": number, "name": name, **points})


def _segmentation(one: Object) -> object:
    if isinstance(one.segmentation, list):
        return [[_rounded(value) for value in part] for part in one.segmentation]
    return one.segmentation or []


def _rounded(value: float) -> float | int:
    """Return a number without needless decimals, as JSON shows it shortest."""
    rounded = round(value, DIGITS)
    return int(rounded) if rounded == int(rounded) else rounded
