"""The config's `images` section: which images are decoded."""

from typing import Annotated, ClassVar

from cocomine.base.settings import Section, says


class ImageSettings(Section, frozen=True):
    """Which images are decoded. docs/images.md says what becomes of every mode and depth."""

    SECTION: ClassVar[str] = "images"

    # Above 4000 some counts of pixels would not fit into 32 bits.
    max_megapixels: Annotated[
        int,
        says(
            "An image of more million pixels (width times height) is not decoded and gets the reason image-too-large. "
            "An image of 200 takes about 1.5 GB of memory to decode; those over 64 are decoded one at a time.",
            ge=1,
            le=4000,
        ),
    ] = 200

    @property
    def most_pixels(self) -> int:
        """The pixels that an image may have."""
        return self.max_megapixels * 1_000_000
