"""Images beside label masks: one PNG an image, with the label of labels.json as the value of each pixel."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path, PurePosixPath

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json, read_table
from cocomine.coco.names import mask_name
from cocomine.coco.reader import Annotation
from cocomine.coco.tasks import VOID
from cocomine.formats.format import Format, Writer
from cocomine.formats.output import Output
from cocomine.formats.subset import Item, Subset
from cocomine.formats.tally import Tally


class Drawn:
    """What rasterize_masks says of a subset's objects and images."""

    def __init__(self, subset: Subset) -> None:
        self._subset = subset
        self._folder = subset.folder / "masks"

    def mask(self, kind: str, item: Item) -> Path:
        """Return where an image's mask of a kind (semantic, instance, panoptic) lies."""
        return self._folder / kind / mask_name(str(item.name))

    @cached_property
    def unseen(self) -> dict[int, str]:
        """Why objects have no pixel of their own in the masks, by annotation id; empty when the masks left no table."""
        table, codes = self._folder / "instances.tsv", {"hidden": "hidden", "empty": "no-pixel", "box": "box-only"}
        rows = read_table(table) if table.is_file() else iter(())
        return {int(row["annotation_id"]): codes[row["state"]] for row in rows if row["state"] in codes}

    @cached_property
    def fills_boxes(self) -> bool:
        """Whether objects without an outline have their boxes for masks."""
        manifest = self._folder.with_name("masks.json")
        return manifest.is_file() and read_json(manifest)["settings"].get("boxes") == "fill"

    @cached_property
    def refused(self) -> frozenset[int]:
        """Ids of the images that have no masks: all of them where none were asked for."""
        manifest = self._folder.with_name("masks.json")
        if manifest.is_file() and read_json(manifest)["settings"].get("outputs") == []:
            return frozenset(image.id for split in self._subset.splits for image in self._subset.images(split))
        table = self._folder / "refused.tsv"
        return frozenset(int(row["image_id"]) for row in read_table(table)) if table.is_file() else frozenset()


class Masks(Writer):
    """Writes images/{split}/ and masks/{split}/, the masks as they were drawn, and labels.json."""

    images_folder = "images"
    masks_folder = "masks"

    def write_split(self, split: str, items: Iterable[Item], tally: Tally, out: Output) -> None:
        """Place each image and its mask."""
        drawn = Drawn(self.subset)
        for item in items:
            if item.image.id in drawn.refused:
                tally.note("no-mask")
                for annotation in item.objects:
                    tally.take(annotation)
                    tally.drop("image-without-mask")
                continue
            name = self.name_of(item)
            out.image(item, f"{self.images_folder}/{split}/{name}")
            self.place_mask(drawn, item, f"{self.masks_folder}/{split}/{name.with_suffix('.png')}", out)
            tally_mask(item, self.subset, drawn, tally)

    def name_of(self, item: Item) -> PurePosixPath:
        """Return how an image is called below the folder of its split."""
        return item.name

    def place_mask(self, drawn: Drawn, item: Item, target: str, out: Output) -> None:
        """Place the mask of an image."""
        out.link(drawn.mask("semantic", item), target)

    def finish(self, out: Output) -> None:
        """Say which value is which class."""
        out.copy(self.subset.folder / "labels.json", "labels.json")


def tally_mask(item: Item, subset: Subset, drawn: Drawn, tally: Tally) -> None:
    """Count an image of which a semantic mask is written, and what the mask does not tell of its objects."""
    tally.image(item, empty=not item.objects)
    for annotation in item.objects:
        tally.take(annotation)
        why = why_unseen(annotation, subset, drawn)
        if why:
            tally.drop(why)
            continue
        tally.carry()
        for code, present in (
            ("object-id", True),
            ("instances", True),
            ("box", annotation.bbox is not None),
            ("area", annotation.area is not None),
            ("crowd-flag", bool(annotation.iscrowd)),
        ):
            tally.note(code, int(present))
    tally.note("image-id")


def why_unseen(annotation: Annotation, subset: Subset, drawn: Drawn) -> str:
    """Return the code of the loss by which an object has no pixel in the masks, "" when it has some."""
    if annotation.category_id not in subset.index_of:
        return "other-class"
    if annotation.id in drawn.unseen:
        return drawn.unseen[annotation.id]
    return "" if annotation.segmentation or drawn.fills_boxes else "no-segmentation"


def check_narrow(name: str, subset: Subset) -> None:
    """Raise CocomineError when the subset has more classes than the readers of a format can tell from void."""
    if subset.labels.void != VOID:
        raise CocomineError(
            f"{name}: its readers take {VOID} for void, and the masks of {len(subset.classes)} classes go beyond it",
            "export masks or masks-grey, whose void is then 65535, or mine a subset of at most 254 classes",
        )


class GreyMasks(Masks):
    """The same masks without a palette, for readers that turn a palette into colours."""

    def place_mask(self, drawn: Drawn, item: Item, target: str, out: Output) -> None:
        """Write the mask of an image anew, in greyscale."""
        from cocomine.formats.pixels import grey_png, read_values

        out.write(target, grey_png(read_values(drawn.mask("semantic", item))))


class MmSegmentation(GreyMasks):
    """mmsegmentation's layout."""

    images_folder = "img_dir"
    masks_folder = "ann_dir"

    def check(self) -> None:
        """Raise CocomineError for more than 254 classes."""
        check_narrow("mmsegmentation", self.subset)

    def finish(self, out: Output) -> None:
        """Say which value is which class, for people and in the words of a config of mmsegmentation."""
        super().finish(out)
        labels = self.subset.labels
        lines = ["metainfo = dict(", "    classes=("]
        lines += [f"        {name!r}," for name in labels.names]
        lines += ["    ),", "    palette=["]
        lines += [f"        {list(color)}," for color in labels.colors]
        lines += ["    ],", ")"]
        arguments = "metainfo=metainfo, img_suffix=SUFFIX, seg_map_suffix='.png', ignore_index=255"
        head = f"# Of a BaseSegDataset: {arguments}, reduce_zero_label=False"
        out.write("metainfo.py", "\n".join([head, *lines, ""]))


FORMATS = (
    Format(
        name="masks",
        writer=Masks,
        what="images/{split}/ holds the images and masks/{split}/ one PNG for each, with the label of labels.json "
        "as the value of each pixel (0 background, 255 void).",
        read_by="Pillow and what builds on it (torchvision, transformers): palette PNGs, read by index",
        load='[PIL.Image.open(path) for path in pathlib.Path("{folder}/masks/train").rglob("*.png")]',
        masks=("semantic",),
        by_stem=True,
    ),
    Format(
        name="masks-grey",
        writer=GreyMasks,
        what="As masks, but the PNGs are greyscale: OpenCV, imageio and scikit-image read a palette PNG as colours.",
        read_by="OpenCV, imageio, scikit-image, Pillow, torchvision",
        load='[cv2.imread(path, cv2.IMREAD_UNCHANGED) for path in glob.glob("{folder}/masks/train/*.png")]',
        masks=("semantic",),
        by_stem=True,
    ),
    Format(
        name="mmsegmentation",
        writer=MmSegmentation,
        what="mmsegmentation's layout: img_dir/{split}/ holds the images and ann_dir/{split}/ greyscale PNGs with the "
        "label as the value of each pixel (0 background, 255 void); metainfo.py holds classes and palette.",
        read_by="mmsegmentation's BaseSegDataset",
        load='BaseSegDataset(data_root="{folder}", data_prefix=dict(img_path="img_dir/train", '
        'seg_map_path="ann_dir/train"), reduce_zero_label=False, metainfo=metainfo)',
        masks=("semantic",),
        by_stem=True,
    ),
)
