"""Records that are broken on purpose, one kind for each thing that can be wrong with a COCO file.

What can be put right from the rest of the record is done to real objects (a wrong box, a wrong area), so that repairing
it restores the truth; what cannot is done to extra records, so that nothing visible goes unlabelled when they go.
"""

import copy
import json
from collections.abc import Callable
from typing import Any, Final

from cocomine.base.errors import CocomineError
from cocomine.base.files import rank

Record = dict[str, Any]

DAMAGED_OBJECTS: Final = 15
"""How many objects one round of damage takes."""


class Damage:
    """Damages one instances document in place and notes what it did, by reason code."""

    def __init__(self, document: dict[str, Any], split: str, salt: str, free_annotation_id: int, free_ids: list[int]):
        self.document = document
        self.split = split
        self.notes: list[Record] = []
        self.next_id = free_annotation_id
        self.free_ids = list(free_ids)
        images = {image["id"]: image for image in document["images"]}
        objects: list[Record] = [
            record
            for record in document["annotations"]
            if isinstance(record["segmentation"], list) and record["area"] > 300
        ]
        objects.sort(key=lambda record: rank(salt, record["id"]))
        self.objects = objects
        self.images = images
        self.used: set[int] = set()
        self.used_images: set[int] = set()

    def victim(self) -> Record:
        """Return an object that nothing has been done to yet, in an image of its own as long as there is one.

        Raises CocomineError when there is none.
        """
        free = [record for record in self.objects if record["id"] not in self.used]
        alone = (record for record in free if record["image_id"] not in self.used_images)
        record = next(alone, free[0] if free else None)
        if record is None:
            raise CocomineError(
                f"synthetic.images: the images of {self.split} have too few objects for {DAMAGED_OBJECTS} kinds of "
                "damage",
                "ask for more `images`, for another `val_share`, or for fewer `broken`",
            )
        self.used.add(record["id"])
        self.used_images.add(record["image_id"])
        return record

    def note(self, reason: str, kind: str, identity: int, image_id: int | None, what: str) -> None:
        """Write down one damaged record."""
        self.notes.append(
            {
                "reason": reason,
                "kind": kind,
                "task": "instances",
                "split": self.split,
                "id": identity,
                "image_id": image_id,
                "what": what,
            }
        )

    def extra_object(self, reason: str, what: str, **changes: Any) -> Record:
        """Append a copy of an object with a new id and `changes`, and note it."""
        record: Record = copy.deepcopy(self.victim()) | {"id": self.next_id} | changes
        self.next_id += 1
        self.document["annotations"].append(record)
        self.note(reason, "annotation", record["id"], record["image_id"], what)
        return record

    def change(self, reason: str, what: str, change: Callable[[Record], Record]) -> None:
        """Change an object where it stands, and note it."""
        record = self.victim()
        record.update(change(record))
        self.note(reason, "annotation", record["id"], record["image_id"], what)

    def extra_image(self, reason: str, what: str, **changes: Any) -> Record:
        """Append a copy of an image record with `changes`, and note it."""
        image = dict(self.images[self.victim()["image_id"]]) | changes
        self.document["images"].append(image)
        self.note(reason, "image", image["id"], image["id"], what)
        return image


def damage(
    document: dict[str, Any], split: str, salt: str, free_annotation_id: int, free_image_ids: list[int]
) -> Damage:
    """Plant one record of each kind into an instances document.

    `free_image_ids` are three image ids that the source does not use. Raises CocomineError when it has too few objects.
    """
    work = Damage(document, split, salt, free_annotation_id, free_image_ids)
    missing, unsafe, again = free_image_ids
    work.change("box-outside", "the box lies left of the image", lambda r: {"bbox": [-900.0, *r["bbox"][1:]]})
    work.change("box-zero-side", "the box has height 0", lambda r: {"bbox": [*r["bbox"][:3], 0.0]})
    work.change("area-mismatch", "the area is three times the mask's", lambda r: {"area": r["area"] * 3})
    work.change("not-finite", "a side of the box is NaN", lambda r: {"bbox": [*r["bbox"][:2], float("nan"), 5.0]})
    work.extra_object("missing-image", "its image does not exist", image_id=missing)
    work.extra_object("missing-category", "its category does not exist", category_id=999)
    work.extra_object("polygon-too-short", "its only polygon has 4 numbers", segmentation=[[10.0, 10.0, 40.0, 40.0]])
    odd = [[10.0, 10.0, 40.0, 10.0, 40.0, 40.0, 10.0]]
    work.extra_object("polygon-odd", "its only polygon has 7 numbers", segmentation=odd)
    width = work.images[next(iter(work.images))]["width"] + 5000.0
    off = [width, 10.0, width + 30, 10.0, width + 30, 40.0]
    work.extra_object(
        "polygon-outside", "its polygon lies right of the image", segmentation=[off], bbox=[width, 10.0, 30.0, 30.0]
    )
    short = {"counts": [100, 50, 25], "size": [0, 0]}
    record = work.extra_object("rle-sum", "its run lengths add up to 175 pixels", segmentation=short, iscrowd=1)
    own = work.images[record["image_id"]]
    record["segmentation"]["size"] = [own["height"], own["width"]]
    work.extra_object("exact-duplicate", "says the same as another record, but for its id")
    same = copy.deepcopy(work.victim()) | {"area": 12.0}
    document["annotations"].append(same)
    work.note(
        "duplicate-id", "annotation", same["id"], same["image_id"], "a second record has this id, and another area"
    )
    work.extra_image(
        "unsafe-file-name", "the file name climbs out of its folder", id=unsafe, file_name="../../stray.jpg"
    )
    work.extra_image("duplicate-file-name", "another image has this file name", id=again)
    work.extra_image(
        "duplicate-id", "a second image has this id, and another size", width=11, height=11, file_name="twice.jpg"
    )
    return work


def as_text(value: Any) -> str:
    """Return JSON in the key order given, NaN included: real files have it although the format does not."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
