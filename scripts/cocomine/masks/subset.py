"""The records of a subset that masks are drawn from, image by image, in batches."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cocomine.base.errors import CocomineError
from cocomine.coco.by_image import RecordsByImage
from cocomine.coco.labels import Labels
from cocomine.masks.batch import Task, may_have_outline
from cocomine.masks.inputs import ImageRow
from cocomine.masks.settings import MaskSettings

IMAGES_IN_A_BATCH = 16
PIXELS_IN_A_BATCH = 16 * 640 * 480
OBJECTS_IN_A_BATCH = 1000
"""An image of more annotations makes a batch by itself."""


@dataclasses.dataclass(frozen=True)
class Sources:
    """The files that masks are drawn from; which of them are needed depends on `draw_from` of the settings."""

    images: Path
    labels: Path
    subset: Path | None = None
    stuff: Path | None = None
    void: Path | None = None
    panoptic: Path | None = None
    panoptic_pngs: tuple[Path, ...] = ()
    store: Path | None = None
    images_lock: Path | None = None


class Records:
    """The annotations of a subset, as the settings draw them."""

    def __init__(self, settings: MaskSettings, sources: Sources) -> None:
        self._panoptic = self._objects = self._stuff = self._void = None
        if settings.draw_from == "panoptic":
            self._panoptic = _records(sources.panoptic, "--panoptic-json", settings)
            if not sources.panoptic_pngs:
                raise CocomineError("masks.draw_from: panoptic needs the folder of PNGs", "give --panoptic-png-dir")
        else:
            self._objects = _records(sources.subset, "--subset", settings)
            self._void = None if sources.void is None else RecordsByImage(sources.void)
        if settings.draw_from == "instances+stuff":
            self._stuff = _records(sources.stuff, "--stuff-json", settings)
        self._files = [part for part in (self._panoptic, self._objects, self._stuff) if part is not None]
        self.names = [part.path.name for part in self._files]
        self.category_ids = {
            category["id"]
            for part in self._files
            for category in part.categories
            if isinstance(category.get("id"), int)
        }
        self.isthing = {
            category["id"]: _isthing(category, part is not self._stuff and settings.draw_from != "stuff")
            for part in self._files
            for category in part.categories
            if isinstance(category.get("id"), int)
        }

    def check(self, labels: Labels) -> None:
        """Raise CocomineError for a file none of whose categories has a label: nothing would be drawn."""
        for part in self._files:
            ids = {category.get("id") for category in part.categories}
            if ids and not any(isinstance(one, int) and one in labels.category_to_label for one in ids):
                raise CocomineError(
                    f"{part.path}: none of its {len(ids)} categories has a label",
                    "labels.json was made for other annotations: give assemble_subset the same --draw-from",
                )

    def has_outline(self, rows: Sequence[ImageRow], labels: Labels) -> bool:
        """Tell whether any annotation of the images with a label has an outline; panoptic segments always have."""
        if self._panoptic is not None:
            return True
        for row in rows:
            task = self.task(row)
            if any(may_have_outline(text, labels) for text in (*task.objects, *task.stuff)):
                return True
        return False

    def __len__(self) -> int:
        """Return the number of annotations, of every image."""
        return sum(map(len, self._files))

    def task(self, row: ImageRow) -> Task:
        """Return the work of drawing one image."""
        panoptic, objects, stuff = (
            None if part is None else part.of_image(row.image_id)
            for part in (self._panoptic, self._objects, self._stuff)
        )
        lost = [] if self._void is None else self._void.of_image(row.image_id)
        return Task(row, objects or [], stuff or [], panoptic, lost)

    def close(self) -> None:
        """Close the files."""
        for part in (*self._files, *([self._void] if self._void is not None else [])):
            part.close()


def _isthing(category: Mapping[str, Any], default: bool) -> int:
    """Return 1 for a category of objects and 0 for one of stuff: what it says, if it says 0 or 1."""
    stated = category.get("isthing")
    return int(stated) if stated in (0, 1) else int(default)


def _records(path: Path | None, option: str, settings: MaskSettings) -> RecordsByImage:
    if path is None:
        raise CocomineError(f"masks.draw_from: {settings.draw_from} needs a file that was not given", f"give {option}")
    return RecordsByImage(path)


def batches(rows: Sequence[ImageRow], records: Records) -> Iterator[list[Task]]:
    """Yield the images' tasks in batches that do not depend on how many processes there are."""
    batch: list[Task] = []
    pixels = 0
    for row in rows:
        size = row.width * row.height
        task = records.task(row)
        alone = len(task.objects) + len(task.stuff) > OBJECTS_IN_A_BATCH
        if batch and (alone or len(batch) == IMAGES_IN_A_BATCH or pixels + size > PIXELS_IN_A_BATCH):
            yield batch
            batch, pixels = [], 0
        batch.append(task)
        pixels += PIXELS_IN_A_BATCH if alone else size
    if batch:
        yield batch
