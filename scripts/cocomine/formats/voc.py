"""Pascal VOC, as its development kit lays it out and torchvision, mmdetection and TensorFlow Datasets read it.

Everingham et al., "The PASCAL Visual Object Classes Challenge 2012 Development Kit". Boxes are whole pixels counted
from 1, both ends included, so that a reader who takes 1 off the first corner has them counted from 0.
"""

import html
import math
from collections.abc import Iterable, Iterator
from typing import ClassVar

from cocomine.base.errors import CocomineError
from cocomine.coco.tasks import VOID
from cocomine.formats.boxes import Corners, cut_box
from cocomine.formats.format import Format, Writer
from cocomine.formats.masks import Drawn, check_narrow
from cocomine.formats.names import changed, writable_names
from cocomine.formats.output import Output
from cocomine.formats.subset import Item
from cocomine.formats.tally import Tally

ROOT = "VOCdevkit/VOC2012"
INSTANCE_VOID = 65535
PRESENT, DIFFICULT, ABSENT = 1, 0, -1


class Voc(Writer):
    """Writes Pascal VOC."""

    loses_of_classes: ClassVar[tuple[str, ...]] = ("category-id", "supercategory")

    def check(self) -> None:
        """Choose the names of the classes.

        Raises CocomineError for image names that its lists cannot hold, and for more than 254 classes in masks.
        """
        self._names = writable_names(self.subset.classes, self.subset.labels.category_ids[1:])
        self.class_names = changed(self.subset.classes, self._names)
        for split in self.subset.splits:
            for image in self.subset.images(split):
                stem = _stem(image.file_name)
                if stem != stem.strip() or "".join(stem.splitlines()) != stem:
                    raise CocomineError(
                        f"voc: the image {image.file_name!r} begins or ends with a space or holds a line break, which "
                        "ImageSets cannot name",
                        "rename it at the source, or leave it out with exclude_images",
                    )
        masks = self.subset.folder / "masks"
        self._drawn = Drawn(self.subset)
        self._kinds = [kind for kind in ("semantic", "instance") if (masks / kind).is_dir()]
        if "semantic" in self._kinds:
            check_narrow("voc", self.subset)
        self._stems: dict[str, list[str]] = {}
        self._segmented: dict[str, list[str]] = {}

    def write_split(self, split: str, items: Iterable[Item], tally: Tally, out: Output) -> None:
        """Write the images of a split, and the lists that name them."""
        stems, segmented = self._stems.setdefault(split, []), self._segmented.setdefault(split, [])
        shown: list[dict[int, int]] = []
        for item in items:
            stem = _stem(item.image.file_name)
            stems.append(stem)
            drawn = bool(self._kinds) and item.image.id not in self._drawn.refused
            objects = list(self._objects(item, tally))
            shown.append(_shown(objects))
            out.image(item, f"{ROOT}/JPEGImages/{item.name}")
            out.write(f"{ROOT}/Annotations/{stem}.xml", self._xml(item, objects, drawn))
            tally.image(item, empty=not objects)
            tally.note("only-uncarried", int(bool(item.objects) and not objects))
            tally.note("suffix", int(item.name.suffix != ".jpg"))
            tally.note("image-id")
            if drawn:
                segmented.append(stem)
                self._masks(item, stem, tally, out)
            else:
                tally.note("no-class-mask")
                tally.note("no-object-mask")
        self._lists(split, stems, segmented, shown, out)

    def _objects(self, item: Item, tally: Tally) -> Iterator[tuple[int, Corners, bool]]:
        """Yield class index, box and crowd flag of each object that can be carried."""
        for annotation in item.objects:
            tally.take(annotation)
            index = self.subset.index_of.get(annotation.category_id)
            if index is None:
                tally.drop("other-class")
                continue
            box = cut_box(annotation, item.image.width, item.image.height, tally)
            if box is None:
                continue
            tally.carry()
            tally.note("object-id")
            tally.note("rounded", int(any(side != int(side) for side in box)))
            tally.note("area", int(annotation.area is not None))
            tally.note("shape", int(bool(annotation.segmentation) and "instance" not in self._kinds))
            yield index, box, bool(annotation.iscrowd)

    def _xml(self, item: Item, objects: Iterable[tuple[int, Corners, bool]], drawn: bool) -> str:
        lines = [
            "<annotation>",
            "\t<folder>VOC2012</folder>",
            f"\t<filename>{html.escape(item.image.file_name, quote=False)}</filename>",
            f"\t<source><database>{html.escape(self.subset.name, quote=False)}</database></source>",
            f"\t<size><width>{item.image.width}</width><height>{item.image.height}</height><depth>3</depth></size>",
            f"\t<segmented>{int(drawn)}</segmented>",
        ]
        for index, (left, top, right, bottom), crowd in objects:
            low = f"<xmin>{math.floor(left) + 1}</xmin><ymin>{math.floor(top) + 1}</ymin>"
            high = f"<xmax>{math.ceil(right)}</xmax><ymax>{math.ceil(bottom)}</ymax>"
            lines += [
                "\t<object>",
                f"\t\t<name>{html.escape(self._names[index], quote=False)}</name>",
                "\t\t<pose>Unspecified</pose>",
                "\t\t<truncated>0</truncated>",
                f"\t\t<difficult>{int(crowd)}</difficult>",
                f"\t\t<bndbox>{low}{high}</bndbox>",
                "\t</object>",
            ]
        return "\n".join([*lines, "</annotation>", ""])

    def _masks(self, item: Item, stem: str, tally: Tally, out: Output) -> None:
        if "semantic" in self._kinds:
            out.link(self._drawn.mask("semantic", item), f"{ROOT}/SegmentationClass/{stem}.png")
        else:
            tally.note("no-class-mask")
        if "instance" not in self._kinds:
            tally.note("no-object-mask")
            return
        from cocomine.formats.pixels import palette_png, read_values

        values = read_values(self._drawn.mask("instance", item))
        behind = (values >= VOID) & (values != INSTANCE_VOID)
        tally.note("many-objects", int(behind.any()))
        values[values >= VOID] = VOID
        content = palette_png(values.astype("uint8"), object_palette())
        out.write(f"{ROOT}/SegmentationObject/{stem}.png", content)

    def _lists(
        self, split: str, stems: list[str], segmented: list[str], shown: list[dict[int, int]], out: Output
    ) -> None:
        out.write(f"{ROOT}/ImageSets/Main/{split}.txt", _lines(stems))
        if self._kinds:
            out.write(f"{ROOT}/ImageSets/Segmentation/{split}.txt", _lines(segmented))
        for index, name in enumerate(self._names):
            lines = (f"{stem} {classes.get(index, ABSENT):2d}" for stem, classes in zip(stems, shown, strict=True))
            out.write(f"{ROOT}/ImageSets/Main/{name}_{split}.txt", _lines(lines))

    def finish(self, out: Output) -> None:
        """Write the lists of train and val together, and which label is which class."""
        for kind, lists in (("Main", self._stems), ("Segmentation", self._segmented)):
            both = sorted(stem for split in ("train", "val") for stem in lists.get(split, []))
            if kind == "Main" or self._kinds:
                out.write(f"{ROOT}/ImageSets/{kind}/trainval.txt", _lines(both))
        out.copy(self.subset.folder / "labels.json", "labels.json")


def _shown(objects: Iterable[tuple[int, Corners, bool]]) -> dict[int, int]:
    """Return, of the classes of an image, whether it has an object of them or crowds only."""
    shown: dict[int, int] = {}
    for index, _, crowd in objects:
        shown[index] = max(shown.get(index, DIFFICULT), DIFFICULT if crowd else PRESENT)
    return shown


def _stem(file_name: str) -> str:
    folder, slash, name = file_name.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)


def _lines(lines: Iterable[str]) -> str:
    return "".join(line + "\n" for line in lines)


def object_palette() -> bytes:
    """Return VOC's 256 colours: a number's bits, from low to high, go round red, green and blue, high bits first."""
    colors = bytearray()
    for number in range(256):
        for channel in range(3):
            bits = (number >> channel & 1, number >> (channel + 3) & 1, number >> (channel + 6) & 1)
            colors.append(sum(bit << (7 - place) for place, bit in enumerate(bits)))
    return bytes(colors)


FORMATS = (
    Format(
        name="voc",
        writer=Voc,
        what="Pascal VOC below VOCdevkit/VOC2012: JPEGImages, Annotations (boxes as XML, whole pixels counted from 1; "
        "a crowd is `difficult`), ImageSets, and where the masks are drawn SegmentationClass (0 background, 255 void) "
        "and SegmentationObject.",
        read_by="torchvision's VOCDetection and VOCSegmentation, mmdetection, TensorFlow Datasets",
        load='torchvision.datasets.VOCSegmentation("{folder}", image_set="train")',
        uses=("semantic", "instance"),
        by_stem=True,
        one_folder=True,
    ),
)
