"""Datumaro's own layout: what CVAT and Datumaro convert from and to, one JSON file a split.

Written as Datumaro 1.13 writes it (`dm_format_version` 1.0): an item an image, and a `group` an object. Coordinates are
pixels, as in COCO.
"""

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import msgspec

from cocomine.base.files import canonical_json
from cocomine.coco.reader import Annotation
from cocomine.formats.boxes import box_of
from cocomine.formats.format import Format, Writer
from cocomine.formats.output import Output
from cocomine.formats.subset import Item
from cocomine.formats.tally import Tally

IMAGES = 2
"""What the format calls a set of images (`media_type`)."""

FEWEST_NUMBERS = 6
"""Of a polygon: three points."""

Marks = list[dict[str, Any]]


class Datumaro(Writer):
    """Writes annotations/{split}.json and images/{split}/."""

    loses_of_classes: ClassVar[tuple[str, ...]] = ("category-id",)
    carries: ClassVar[tuple[str, ...]] = ("captions",)

    def write_split(self, split: str, items: Iterable[Item], tally: Tally, out: Output) -> None:
        """Place the images of a split, and write its file item by item."""
        path = f"annotations/{split}.json"
        head = {"dm_format_version": "1.0", "media_type": IMAGES, "infos": {}, "categories": self._categories()}
        with open(out.path(path), "wb") as file:
            file.write(canonical_json(head).encode().removesuffix(b"}") + b', "items": [')
            for number, item in enumerate(items):
                file.write(b",\n" if number else b"\n")
                file.write(msgspec.json.encode(self._item(split, item, tally)))
                out.image(item, f"images/{split}/{item.name}")
            file.write(b"\n]}\n")
        out.written(path)

    def _categories(self) -> dict[str, Any]:
        parents = self.subset.labels.supercategories[1:]
        labels = [
            {"name": name, "parent": parent or "", "attributes": []}
            for name, parent in zip(self.subset.classes, parents, strict=True)
        ]
        return {"label": {"labels": labels, "label_groups": [], "attributes": []}}

    def _item(self, split: str, item: Item, tally: Tally) -> dict[str, Any]:
        marks: Marks = []
        for annotation in item.objects:
            tally.take(annotation)
            index = self.subset.index_of.get(annotation.category_id)
            if index is None:
                tally.drop("other-class")
            else:
                marks += self._object(annotation, index, item, tally)
        tally.image(item, empty=not marks)
        tally.note("only-uncarried", int(bool(item.objects) and not marks))
        captions = self.subset.other_tasks(split).get("captions")
        for caption in captions.annotations(item.image.id) if captions is not None else ():
            marks.append(
                {"id": caption.id, "type": "caption", "attributes": {}, "group": 0, "caption": caption.caption}
            )
        return {
            "id": str(item.name.with_suffix("")),
            "annotations": marks,
            "attr": {"id": item.image.id},
            "image": {"path": str(item.name), "size": [item.image.height, item.image.width]},
        }

    def _object(self, annotation: Annotation, index: int, item: Item, tally: Tally) -> Marks:
        """Return the marks of an object: its outlines or its pixels, and its box; none when the tally says why."""
        shapes = list(_shapes(annotation, item, tally))
        box = box_of(annotation)
        if box is None and not shapes:
            tally.drop("no-box")
            return []
        if box is not None:
            shapes.append({"type": "bbox", "bbox": list(box)})
        tally.carry()
        tally.note("area", int(annotation.area is not None))
        same = {
            "id": annotation.id,
            "attributes": {"is_crowd": bool(annotation.iscrowd)},
            "group": annotation.id,
            "label_id": index,
            "z_order": 0,
        }
        return [{**same, **shape} for shape in shapes]


def _shapes(annotation: Annotation, item: Item, tally: Tally) -> Iterator[dict[str, Any]]:
    segmentation = annotation.segmentation
    if isinstance(segmentation, list):
        parts = [part[: len(part) // 2 * 2] for part in segmentation if len(part) >= FEWEST_NUMBERS]
        tally.note("parts-dropped", int(0 < len(parts) < len(segmentation)))
        tally.note("shape", int(bool(segmentation) and not parts))
        yield from ({"type": "polygon", "points": part} for part in parts)
    elif segmentation:
        from cocomine.formats import trace  # not at the top: most objects do without, and NumPy takes its time

        mask = trace.mask_of(segmentation, item.image.width, item.image.height)
        tally.note("shape", int(mask is None))
        if mask is not None:
            yield {"type": "mask", "rle": trace.run_lengths(mask)}


FORMATS = (
    Format(
        name="datumaro",
        writer=Datumaro,
        what="Datumaro's own layout: images/{split}/ holds the images and annotations/{split}.json their objects (box "
        "and outlines or mask, one group an object), captions and classes.",
        read_by="Datumaro, which converts it to CVAT's and many other formats",
        load='datumaro.Dataset.import_from("{folder}", "datumaro")',
        by_stem=True,
    ),
)
