"""COCO's panoptic layout, of the panoptic masks that the subset drew."""

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import ClassVar

import msgspec

from cocomine.base.files import canonical_json
from cocomine.coco.writer import write_document
from cocomine.formats.coco import Named
from cocomine.formats.format import Format, Writer
from cocomine.formats.masks import Drawn, why_unseen
from cocomine.formats.output import Output
from cocomine.formats.subset import Item
from cocomine.formats.tally import Tally


class Panoptic(Writer):
    """Writes COCO's panoptic layout."""

    loses_of_classes: ClassVar[tuple[str, ...]] = ()
    carries: ClassVar[tuple[str, ...]] = ()

    def write_split(self, split: str, items: Iterable[Item], tally: Tally, out: Output) -> None:
        """Place the images in {split}/ and the masks in annotations/panoptic_{split}/, and write their document."""
        document = self.subset.document(self.subset.folder / "masks" / "panoptic.json")
        drawn = Drawn(self.subset)

        def images() -> Iterator[bytes]:
            for image in self.subset.images(split):
                if document.of_image(image.id):
                    row = {"id": image.id, "file_name": image.file_name, "width": image.width, "height": image.height}
                    yield canonical_json(row).encode()

        def records() -> Iterator[bytes]:
            for item in items:
                found = document.of_image(item.image.id)
                if not found:
                    tally.note("no-mask")
                    for annotation in item.objects:
                        tally.take(annotation)
                        tally.drop("image-without-mask")
                    continue
                out.image(item, f"{split}/{item.image.file_name}")
                for text in found:
                    name = PurePosixPath(msgspec.json.decode(text, type=Named).file_name)
                    source = self.subset.folder / "masks" / "panoptic" / name
                    out.link(source, f"annotations/panoptic_{split}/{name}")
                    yield text
                self._tally(item, drawn, tally)

        path = f"annotations/panoptic_{split}.json"
        categories = [canonical_json(category).encode() for category in document.categories]
        write_document(out.path(path), None, None, images(), records(), categories)
        out.written(path)

    def _tally(self, item: Item, drawn: Drawn, tally: Tally) -> None:
        tally.image(item, empty=not item.objects)
        for annotation in item.objects:
            tally.take(annotation)
            why = why_unseen(annotation, self.subset, drawn)
            if why:
                tally.drop(why)
                continue
            tally.carry()
            tally.note("object-id")
            tally.note("stated-shape")


FORMATS = (
    Format(
        name="panoptic",
        writer=Panoptic,
        what="COCO's panoptic layout: {split}/ holds the images, annotations/panoptic_{split}/ a PNG for each (segment "
        "id = R + 256 G + 65536 B, 0 void or nothing) and annotations/panoptic_{split}.json the segments.",
        read_by="panopticapi, Detectron2, mmdetection, transformers",
        load='json.load(open("{folder}/annotations/panoptic_train.json"))',
        masks=("panoptic",),
        by_stem=True,
    ),
)
