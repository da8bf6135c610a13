"""The config's `split` section."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from cocomine.base.settings import Problem, Section, Seed, Text, braces, says, twice
from cocomine.splits.names import in_order

ImageList = tuple[int | Text, ...] | Text

# Words that mean something else where the name of a split may stand, in the config or in a file of another tool.
TAKEN = ("all", "annotations", "download", "flip_idx", "images", "kpt_shape", "masks_dir", "names", "nc", "path",
         "shares", "stop", "trainval")  # fmt: skip

SplitName = Annotated[
    str,
    Meta(
        pattern=rf"^(?!({'|'.join(TAKEN)})$)[a-z][a-z0-9_]*$(?!\n)",
        description="names become files: lower-case letters, digits and '_', beginning with a letter; taken: "
        + ", ".join(TAKEN),
    ),
]
PartOfAll = Annotated[float, Meta(gt=0, lt=1)]


def _usual_shares() -> dict[SplitName, PartOfAll]:
    return {"train": 0.8, "val": 0.2}


class SplitSettings(Section, frozen=True):
    """How a subset is parted into named splits. docs/splits.md explains the strategies and the near-duplicates."""

    SECTION: ClassVar[str] = "split"

    strategy: Annotated[
        Literal["hash", "stratified", "official", "kfold", "stratified-kfold", "lists"],
        says(
            "hash: by a salted hash of the image id, so images added later move next to none. stratified: each "
            "class has the same share of every split, as nearly as can be. official: the source's own splits are "
            "kept. kfold: `folds` equal parts, of which `fold` is val and the others are train. stratified-kfold: so, "
            "and each class has the same share of every fold. lists: the images of `lists`."
        ),
    ] = "hash"
    shares: Annotated[
        dict[SplitName, PartOfAll],
        says(
            "The splits, by names of your choice, and the share of the images in each: {train: 0.7, val: 0.2, test: "
            "0.1}; together 1. Without it {train: 0.8, val: 0.2}. With folds, what train and val have together is cut "
            "into them, and other splits are set aside first. A subset's own shares replace those at the top."
        ),
    ] = msgspec.field(default_factory=_usual_shares)
    seed: Annotated[Seed, says("Salts the hash; another seed gives another split.")] = 0
    folds: Annotated[
        int, says("Number of parts (kfold). The column `fold` of split.tsv names each image's part.", ge=2, le=1000)
    ] = 5
    fold: Annotated[int, says("Which part is val, counted from 0 (kfold).", ge=0, le=999)] = 0
    official: Annotated[
        dict[SplitName, tuple[str, ...]],
        says(
            "Which of the source's splits each split is made of, {val: [minival2014], test: [val2014]} (official). "
            "Empty - train, val and test of those whose names begin so."
        ),
    ] = {}
    lists: Annotated[
        dict[SplitName, ImageList],
        says("Of each split the image ids or file names, or a text file with one a line (lists)."),
    ] = {}
    unlisted: Annotated[
        Text,
        says(
            "What becomes of images that are in none of `lists` or `official`: stop ends the build and names them, "
            "the name of a split puts them into it, shares deals them out by hash as `shares` says."
        ),
    ] = "stop"
    near_duplicates: Annotated[
        Literal["together", "allow"],
        says(
            "together: near-duplicates stay in one split. allow: they may lie in several; the audit then lists those "
            "that do. Identical files and photographs stay together either way."
        ),
    ] = "together"
    near_duplicate_changes: Annotated[
        tuple[Literal["mirrored", "turned", "cropped"], ...],
        says(
            "What else makes near-duplicates of two images: one is the other mirrored, turned by quarter turns (with "
            "mirrored, both at once too), or cropped to no less than 70 % of its width and height, both alike. Empty - "
            "only what docs/splits.md calls near-duplicates. Cropped takes some 8 ms of "
            "processor time an image, the others next to none."
        ),
    ] = ()
    near_duplicate_distance: Annotated[
        int,
        says(
            "Bits (of 64) by which the perceptual hashes of two images may differ, one of them cropped in one of "
            "25 ways, to be compared as near-duplicates. Every pair within it is found; each further bit takes "
            "longer.",
            ge=0,
            le=12,
        ),
    ] = 6
    near_duplicate_similarity: Annotated[
        float,
        says(
            "Least cosine similarity of the low frequencies (0.5 to 1) for two images to be near-duplicates.",
            ge=0.5,
            le=1,
        ),
    ] = 0.9
    largest_group: Annotated[
        int,
        says(
            "Most images in a group of near-duplicates. A chain of look-alikes longer than this is cut at its "
            "weakest links, which the audit lists; identical files and photographs are never parted.",
            ge=1,
            le=1000000,
        ),
    ] = 20

    @property
    def named(self) -> tuple[str, ...]:
        """The splits that it asks for by name, in their order; none where the source's names decide."""
        if self.strategy not in ("official", "lists"):
            return in_order(self.shares)
        fixed = set(self.official if self.strategy == "official" else self.lists)
        rest = set(self.shares) if self.unlisted == "shares" else {self.unlisted} - {"stop"}
        return in_order(fixed | rest) if fixed else ()

    def problems(self) -> Iterator[Problem]:
        """Shares that do not add up; a fold that is none of the folds; lists that are not there."""
        for name, listed in self.lists.items():
            yield from braces(f"lists.{name}", listed)
        yield from self._of_shares()
        if self.fold >= self.folds:
            yield Problem(
                "fold",
                f"there is no fold {self.fold} of {self.folds}",
                f"folds are counted from 0: choose 0 to {self.folds - 1}, or raise split.folds",
            )
        if self.strategy == "lists" and not self.lists:
            yield Problem("strategy", "lists, and there is no list", "give split.lists, as {val: val.txt}")
        yield from twice("near_duplicate_changes", self.near_duplicate_changes)
        yield from twice("official", [name for names in self.official.values() for name in names])
        known = in_order([*self.shares, *self.lists, *self.official])
        if self.unlisted not in ("stop", "shares", *known):
            yield Problem(
                "unlisted", f"there is no split {self.unlisted!r}", f"choose stop, shares or one of: {', '.join(known)}"
            )

    def _of_shares(self) -> Iterator[Problem]:
        total = sum(self.shares.values())
        if abs(total - 1) > 1e-6:
            shown = ", ".join(f"{name}: {share:g}" for name, share in self.shares.items())
            yield Problem("shares", f"{{{shown}}} add up to {total:g}", "make them 1 together")
        if self.strategy.endswith("kfold") and not {"train", "val"} <= self.shares.keys():
            yield Problem("shares", "folds need train and val", "name both; their folds share what the others leave")
