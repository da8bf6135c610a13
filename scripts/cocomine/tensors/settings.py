"""The config's `tensors` section: the size of the tensors and how images are reduced to it."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from cocomine.base.settings import Section, says


class TensorSettings(Section, frozen=True):
    """How images and masks are resized and packed for training."""

    SECTION: ClassVar[str] = "tensors"

    pack: Annotated[
        bool,
        says(
            "Whether the tensors are built for their own sake, into results/SUBSET/tensors/SIZE: those of a subset "
            "that is trained or evaluated on are built anyway."
        ),
    ] = False
    size: Annotated[
        Annotated[int, Meta(ge=1, le=4096)],
        says("Side of the square tensors in pixels."),
    ] = 128
    fit: Annotated[
        Literal["stretch", "letterbox"],
        says(
            "How an image becomes square. stretch, as in the paper, changes its aspect. letterbox keeps it - the "
            "longer side fills the square, the rest is ImageNet's mean colour and void in the mask, and evaluation at "
            "full size leaves it out. Published figures are made with the aspect kept."
        ),
    ] = "stretch"
    image_filter: Annotated[
        Literal["bilinear", "bicubic", "lanczos", "box"],
        says(
            "Interpolation of the images. All are antialiased: the filter widens with the reduction, so every source "
            "pixel counts. Masks always take the nearest pixel, since labels cannot be averaged."
        ),
    ] = "bilinear"
    bad_images: Annotated[
        Literal["quarantine", "stop"],
        says(
            "What an image that is missing or undecodable, or whose mask is missing or has another size, does. "
            "quarantine: it gets no row in the tensors and one with its reason in refused.tsv. stop: the build "
            "ends there."
        ),
    ] = "quarantine"
