"""Known edits of a COCO document, one an image, each with the finding that it must give."""

import copy
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
from cocomine.evaluation.run_lengths import rle_of
from pycocotools import mask as coco_mask

KINDS = ("only-first", "only-second", "split", "merged", "crowd", "relabelled", "outline")
SHIFT = 9
"""Pixels by which an outline is moved: over half of the 16 that boundary regions of COCO's images are wide."""


@dataclass(frozen=True)
class Planted:
    """What an edit must be found as: its kind, the image, and the ids of both documents that it is about."""

    kind: str
    image_id: int
    first: tuple[int, ...]
    second: tuple[int, ...]


def pixels(record: dict[str, Any], image: dict[str, Any]) -> np.ndarray:
    """Return the mask of a record, bool (h, w)."""
    shape = rle_of(record["segmentation"], image["height"], image["width"])
    return np.asarray(coco_mask.decode(shape), dtype=bool)


def as_segmentation(mask: np.ndarray) -> dict[str, Any]:
    """Return a mask as a segmentation of a JSON document."""
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(number) for number in rle["size"]], "counts": rle["counts"].decode("ascii")}


class Editor:
    """Edits a document in place of a second annotator."""

    def __init__(self, document: dict[str, Any], seed: int, kinds: tuple[str, ...] = KINDS) -> None:
        self.kinds = kinds
        self.document = copy.deepcopy(document)
        self.random = random.Random(seed)
        self.images = {image["id"]: image for image in document["images"]}
        self.next_id = 10**9
        self.categories = [category["id"] for category in document["categories"]]

    def plant(self) -> list[Planted]:
        """Edit each image once, as far as it has objects that an edit can be made of; return the edits."""
        planted = []
        for number, image in enumerate(sorted(self.images)):
            kind = self.kinds[number % len(self.kinds)]
            records = [one for one in self.document["annotations"] if one["image_id"] == image]
            found = getattr(self, "_" + kind.replace("-", "_"))(self.images[image], records)
            if found is not None:
                planted.append(Planted(kind, image, tuple(found[0]), tuple(found[1])))
        self.random.shuffle(self.document["annotations"])
        return planted

    def _single(self, records: list[dict[str, Any]], least: float = 0) -> dict[str, Any] | None:
        """Choose a single object whose sides are `least` px and that shares its pixels with none of its class."""
        singles = []
        for one in records:
            others = [other for other in records if other is not one and other["category_id"] == one["category_id"]]
            if not one["iscrowd"] and min(one["bbox"][2:]) >= least and not any(_touch(one, other) for other in others):
                singles.append(one)
        return self.random.choice(singles) if singles else None

    def _new(self, **record: Any) -> int:
        self.next_id += 1
        mask = record["segmentation"]
        box, area = coco_mask.toBbox(mask).tolist(), float(coco_mask.area(mask))
        self.document["annotations"].append({"iscrowd": 0, "id": self.next_id, "area": area, "bbox": box, **record})
        return self.next_id

    def _remove(self, *records: dict[str, Any]) -> list[int]:
        for record in records:
            self.document["annotations"].remove(record)
        return sorted(record["id"] for record in records)

    def _nothing(self, image: dict[str, Any], records: list[dict[str, Any]]) -> Any:
        return None

    def _only_first(self, image: dict[str, Any], records: list[dict[str, Any]]) -> Any:
        one = self._single(records, 3)
        return one and (self._remove(one), ())

    def _only_second(self, image: dict[str, Any], records: list[dict[str, Any]]) -> Any:
        absent = sorted(set(self.categories) - {record["category_id"] for record in records})
        mask = np.zeros((image["height"], image["width"]), bool)
        mask[5:45, 7:60] = True
        segmentation = as_segmentation(mask)
        made = self._new(image_id=image["id"], category_id=self.random.choice(absent), segmentation=segmentation)
        return (), [made]

    def _split(self, image: dict[str, Any], records: list[dict[str, Any]]) -> Any:
        one = self._single(records, 12)
        if one is None:
            return None
        mask = pixels(one, image)
        # A third and two thirds of the pixels, so that one of the parts alone would pass for the whole.
        cut = int(np.searchsorted(np.cumsum(mask.sum(axis=0)), mask.sum() / 3)) + 1
        halves = mask.copy(), mask.copy()
        halves[0][:, cut:], halves[1][:, :cut] = False, False
        parts = [
            self._new(image_id=image["id"], category_id=one["category_id"], segmentation=as_segmentation(half))
            for half in halves
        ]
        return self._remove(one), parts

    def _of_one_class(self, records: list[dict[str, Any]], least: int) -> list[dict[str, Any]]:
        """Choose all single objects of a class that has no crowd, when there are enough and each has some pixels."""
        for category in sorted({record["category_id"] for record in records}):
            of_class = [record for record in records if record["category_id"] == category]
            if len(of_class) >= least and not any(record["iscrowd"] for record in of_class):
                return of_class
        return []

    def _merged(self, image: dict[str, Any], records: list[dict[str, Any]]) -> Any:
        several = self._of_one_class(records, 2)[:2]
        masks = [pixels(one, image) for one in several]
        # Parts must be smaller than the whole and more than an edge of one another.
        if len(several) < 2 or min((one & ~other).sum() for one, other in (masks, masks[::-1])) < 20:
            return None
        whole = as_segmentation(masks[0] | masks[1])
        made = self._new(image_id=image["id"], category_id=several[0]["category_id"], segmentation=whole)
        return self._remove(*several), [made]

    def _crowd(self, image: dict[str, Any], records: list[dict[str, Any]]) -> Any:
        several = self._of_one_class(records, 3)
        if not several:
            return None
        region = as_segmentation(np.any([pixels(one, image) for one in several], axis=0))
        made = self._new(image_id=image["id"], category_id=several[0]["category_id"], segmentation=region, iscrowd=1)
        return self._remove(*several), [made]

    def _relabelled(self, image: dict[str, Any], records: list[dict[str, Any]]) -> Any:
        one = self._single(records, 3)
        if one is None:
            return None
        one["category_id"] = self.random.choice(sorted(set(self.categories) - {r["category_id"] for r in records}))
        return [one["id"]], [one["id"]]

    def _outline(self, image: dict[str, Any], records: list[dict[str, Any]]) -> Any:
        one = self._single(records, 40)
        if one is None:
            return None
        mask = pixels(one, image)
        moved = np.zeros_like(mask)
        moved[SHIFT:, SHIFT:] = mask[:-SHIFT, :-SHIFT]
        # What is thinner than the shift would no longer be the same object.
        if (mask & moved).sum() < mask.sum() / 2:
            return None
        one["segmentation"] = as_segmentation(moved)
        return [one["id"]], [one["id"]]


def _touch(one: dict[str, Any], other: dict[str, Any]) -> bool:
    (x, y, width, height), (left, top, wide, high) = one["bbox"], other["bbox"]
    return bool(x < left + wide and left < x + width and y < top + high and top < y + height)
