"""The settings of the demo source (the config's `sources.NAME.synthetic`)."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from msgspec import Meta

from cocomine.base.settings import Problem, Section, Seed, Share, says

Pixels = Annotated[int, Meta(ge=96, le=2048)]


class SyntheticSettings(Section, frozen=True):
    """A demo source. It draws a small bucket of COCO's shape from a seed; nothing in it is a photograph."""

    SECTION: ClassVar[str] = "synthetic"

    images: Annotated[Annotated[int, Meta(ge=2, le=400_000)], says("Images in all, near-duplicates included.")] = 680
    seed: Annotated[Seed, says("Salts everything that is drawn; the same seed gives the same bytes.")] = 0
    val_share: Annotated[
        Share, says("Share of the pictures (0 to 1) in the source's split `val`; the others are in `train`.")
    ] = 0.2
    width: Annotated[
        Pixels, says("Usual width of a picture in pixels; a part is drawn upright or a little smaller.")
    ] = 320
    height: Annotated[Pixels, says("Usual height of a picture in pixels.")] = 240
    near_duplicates: Annotated[
        Annotated[int, Meta(ge=0, le=100_000)],
        says(
            "Pictures that are near-copies of others (re-encoded, or brighter or darker), some of them across "
            "the splits."
        ),
    ] = 16
    broken: Annotated[
        Annotated[int, Meta(ge=0, le=1000)],
        says("Records and files of each kind of damage that are planted on purpose and listed in truth.json."),
    ] = 2
    empty: Annotated[Share, says("Share of the pictures (0 to 1) without a labelled object.")] = 0.04
    grey: Annotated[Share, says("Share of the pictures (0 to 1) stored as greyscale JPEG.")] = 0.03

    def problems(self) -> Iterator[Problem]:
        """More damage than pictures to hold it."""
        needed = self.near_duplicates + 8 * self.broken
        if self.images < needed + 2:
            yield Problem(
                "images",
                f"{self.images} images cannot hold {self.near_duplicates} near-duplicates and the damage of "
                f"{self.broken} rounds",
                f"ask for {needed + 2} images or more, or for fewer `near_duplicates` and `broken`",
            )
