"""The config's `exports`: the formats that a subset is exported to."""

from typing import Annotated, Literal

from cocomine.base.settings import says

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
        "panoptic layout. huggingface: Parquet with a dataset card. webdataset: tar shards. croissant: tables "
        "and their "
        "description for machines, with Responsible-AI fields. docs/formats.md has the table of all."
    ),
]
