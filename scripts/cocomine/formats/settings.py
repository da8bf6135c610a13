"""The config's `exports`: the formats that a subset is exported to."""

from collections.abc import Collection, Iterator, Sequence
from typing import Annotated, Literal

from cocomine.base.settings import Problem, says
from cocomine.formats.registry import FORMATS

Format = Literal[
    "coco",
    "yolo-detect",
    "yolo-segment",
    "yolo-pose",
    "yolo-semantic",
    "masks",
    "masks-grey",
    "mmsegmentation",
    "voc",
    "panoptic",
    "datumaro",
    "huggingface",
    "webdataset",
    "croissant",
]
DEFAULT: tuple[Format, ...] = ("coco", "yolo-detect", "yolo-segment", "masks")
"""What is exported where the config does not say."""

Exports = Annotated[
    tuple[Format, ...],
    says(
        "The formats in which a subset is handed on, each in its own folder results/{subset}/exports/{format}/ with a "
        "manifest of what the format could not carry. An empty list exports nothing. coco: as pycocotools reads it, "
        "without any loss. yolo-detect, yolo-segment, yolo-pose: a box, an outline or a box with keypoints a line, in "
        "the layout that Ultralytics trains on. yolo-semantic: its layout of images and masks. masks: images/ and "
        "masks/ by split, PNGs whose values are the labels of labels.json. masks-grey: the same without palettes, for "
        "OpenCV, imageio and scikit-image. mmsegmentation: the same in its layout. voc: Pascal VOC. panoptic: COCO's "
        "panoptic layout. datumaro: Datumaro's own. huggingface: Parquet with a dataset card. webdataset: tar shards. "
        "croissant: tables and their "
        "description for machines, with Responsible-AI fields. docs/formats.md has the table of all."
    ),
]

ExportImages = Annotated[
    Literal["hardlink", "symlink", "copy", "none"],
    says(
        "How image files come into exports. hardlink: they share their bytes with the image store, or, where that is "
        "somebody else's folder used in place, with one copy below data/copies/{store}/ that all exports share. "
        "symlink: links by name, as seen from the export, which break when either is moved. copy: files of their own. "
        "none: images/{split}.txt says where they lie; for formats whose readers need no more (coco). Formats that "
        "hold images in files of their own, as huggingface, do so in any case."
    ),
]


def problems(formats: Sequence[str], images: str, drawn: Sequence[str], tasks: Collection[str]) -> Iterator[Problem]:
    """Yield what a subset lacks for the exports that it asks for.

    `drawn` are the kinds of masks that it draws (where it draws none at all, formats of masks hold no image, which is
    no contradiction), `tasks` the annotation files that its source has for its splits.
    """
    for place, name in enumerate(formats):
        wanted, key = FORMATS[name], f"exports[{place}]"
        for kind in wanted.masks:
            if drawn and kind not in drawn:
                hint = f"add {kind} to masks.outputs, or leave {name} out"
                yield Problem(key, f"{name} shows {kind} masks, which masks.outputs does not ask for", hint)
        for task in wanted.tasks:
            if task not in tasks:
                hint = f"add {task} to the tasks of its source, or leave {name} out"
                yield Problem(key, f"{name} needs {task}, which its source does not have for its splits", hint)
        if images == "none" and wanted.images == "placed":
            hint = "use hardlink, symlink or copy, or leave it out"
            yield Problem("export_images", f"none: readers of {name} look for image files beside its labels", hint)
