"""COCO's own layout. It loses nothing: every record is the subset's, byte for byte."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, ClassVar

import msgspec

from cocomine.base.commands import commands
from cocomine.base.errors import CocomineError
from cocomine.formats.format import Format, Writer
from cocomine.formats.output import Output
from cocomine.formats.subset import Item
from cocomine.formats.tally import Tally

if TYPE_CHECKING:
    from cocomine.coco.by_image import RecordsByImage


class Named(msgspec.Struct, gc=False):
    """The file name of a panoptic record."""

    file_name: str


class Coco(Writer):
    """Writes COCO's layout."""

    loses_of_classes: ClassVar[tuple[str, ...]] = ()
    carries: ClassVar[tuple[str, ...]] = ("licence", "captions", "person_keypoints", "stuff", "panoptic")

    def write_split(self, split: str, items: Iterable[Item], tally: Tally, out: Output) -> None:
        """Place the images in {split}/ and copy the documents to annotations/."""
        for item in items:
            tally.image(item, empty=not item.objects)
            for annotation in item.objects:
                tally.take(annotation)
                tally.carry()
            out.image(item, f"{split}/{item.image.file_name}")
        out.image_list(split)
        out.copy(self.subset.path(split), f"annotations/instances_{split}.json")
        for task, document in self.subset.other_tasks(split).items():
            if task == "panoptic":
                if not self.options.panoptic_pngs:
                    tally.note("panoptic-without-pngs", len(document))
                    continue
                self._copy_pngs(split, document, out)
            out.copy(document.path, f"annotations/{task}_{split}.json")

    def _copy_pngs(self, split: str, document: "RecordsByImage", out: Output) -> None:
        for name in panoptic_names(document):
            holders = [folder for folder in self.options.panoptic_pngs if (folder / name).is_file()]
            if not holders:
                raise CocomineError(
                    f"{document.path}: its PNG {name} is in none of {', '.join(map(str, self.options.panoptic_pngs))}",
                    f"fetch it again with: {commands().again('sync_annotations', until='sync_annotations')}",
                )
            out.copy(holders[0] / name, f"annotations/panoptic_{split}/{name}")


def panoptic_names(document: "RecordsByImage") -> Iterator[str]:
    """Yield the names of the PNGs of a panoptic document."""
    for text in document.texts():
        yield msgspec.json.decode(text, type=Named).file_name


FORMATS = (
    Format(
        name="coco",
        writer=Coco,
        what="COCO's own layout: {split}/ holds the images, annotations/instances_{split}.json their records, "
        "byte for byte as in the subset; the other tasks lie beside it. Reads with pycocotools.",
        read_by="pycocotools, torchvision's CocoDetection, Detectron2, mmdetection, FiftyOne",
        load='pycocotools.coco.COCO("{folder}/annotations/instances_train.json")',
        images="listed",
    ),
)
