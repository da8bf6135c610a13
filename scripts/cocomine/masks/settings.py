"""The config's `masks` section: which masks are drawn, and who owns a pixel that several objects claim."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, get_args

import msgspec

from cocomine.base.settings import Problem, Section, Text, says, twice

Output = Literal["semantic", "instance", "panoptic"]


class MaskSettings(Section, frozen=True):
    """How the ground truth is drawn. docs/masks.md shows each choice."""

    SECTION: ClassVar[str] = "masks"

    outputs: Annotated[
        tuple[Output, ...] | None,
        says(
            "Which masks to write. semantic: a PNG with a palette whose pixels are labels (0 background, 1..n classes, "
            "255 void; for more than 254 classes 16-bit grey, 65535 void). instance: a 16-bit PNG whose pixels number "
            "the objects of the image (0 none, 65535 void). panoptic: COCO's own PNG (id = R + 256 G + 65536 "
            "B) and JSON "
            "form. Training needs semantic. []: none, for datasets of boxes. null: semantic, or none where no "
            "object of "
            "the subset has an outline."
        ),
    ] = None
    draw_from: Annotated[
        Literal["instances", "stuff", "instances+stuff", "panoptic"],
        says(
            "Which annotations are drawn, and so which categories get a label: instances - the subset's own; "
            "stuff - the stuff file's; instances+stuff - both, the objects painted over the stuff regions; "
            "panoptic - the segments of COCO's panoptic PNGs, of which things need to be among the subset's "
            "categories. The source must have that task."
        ),
    ] = "instances"
    stuff_categories: Annotated[
        tuple[int | Text, ...],
        says(
            "The stuff categories that get a label, by name or id, where stuff is drawn. Empty - all of the "
            "source's. The others are unwanted."
        ),
    ] = ()
    overlap: Annotated[
        Literal["annotation-order", "smaller-on-top", "void", "refuse"],
        says(
            "Who owns a pixel that several objects claim. annotation-order: the later record of the file. "
            "smaller-on-top: the object with fewer pixels, the later record where both have the same. void: "
            "nobody, if their values differ (their labels in semantic masks, the objects themselves in instance "
            "and panoptic masks). refuse: the image is set aside."
        ),
    ] = "smaller-on-top"
    crowds: Annotated[
        Literal["void", "class"],
        says(
            "What a crowd region (iscrowd 1) is in semantic and instance masks: void, or its class. Crowds lie "
            "beneath every single object either way. Panoptic masks always keep them as segments with iscrowd 1."
        ),
    ] = "void"
    unwanted: Annotated[
        Literal["background", "void"],
        says(
            "What objects of classes without a label become where no wanted object lies: background, as if they "
            "were not annotated, or void, which neither trains nor counts. A subset with categories keeps such "
            "objects only with keep_other_annotations: true."
        ),
    ] = "background"
    boxes: Annotated[
        Literal["void", "fill", "exclude"],
        says(
            "What an object with a box and no outline is. void: its box is void, beneath every object with an "
            "outline, since which pixels of it belong to the object is not known. fill: its box is drawn as if it"
            " were the outline. exclude: the image gets no mask and a row with the reason box-without-outline in "
            "masks/refused.tsv."
        ),
    ] = "void"
    border: Annotated[
        int,
        says(
            "Width in pixels of a void border - a pixel becomes void if another value lies at most this many rows"
            " and columns away.",
            ge=0,
            le=255,
        ),
    ] = 0
    bad_images: Annotated[
        Literal["quarantine", "stop"],
        says(
            "What an image that cannot be drawn does. quarantine: it gets no mask and a row with its reason in "
            "masks/refused.tsv. stop: the build ends there."
        ),
    ] = "quarantine"
    contact_sheet: Annotated[
        int,
        says(
            "Number of images on contact_sheet.png, spread evenly over the subset; with 0 it holds only its title.",
            ge=0,
            le=400,
        ),
    ] = 24

    def __post_init__(self) -> None:
        """Keep `outputs` in one order, however they were written."""
        stated = self.outputs or ()
        ordered = tuple(output for output in get_args(Output) if output in stated)
        if len(ordered) == len(stated) > 0:
            msgspec.structs.force_setattr(self, "outputs", ordered)

    def problems(self) -> Iterator[Problem]:
        """An output that is named twice."""
        yield from twice("outputs", self.outputs or ())
