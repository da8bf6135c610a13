"""The config's `split` section."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from cocomine.base.settings import Problem, Section, Seed, Text, braces, says

ImageList = tuple[int | Text, ...] | Text


class SplitSettings(Section, frozen=True):
    """How a subset is parted into train and val. docs/splits.md explains the strategies and the near-duplicates."""

    SECTION: ClassVar[str] = "split"

    strategy: Annotated[
        Literal["hash", "stratified", "official", "kfold", "lists"],
        says(
            "hash: by a salted hash of the image id, so images added later move next to none. stratified: each "
            "class has the same share on both sides, as nearly as can be. official: the source's own splits are "
            "kept. kfold: `folds` equal parts, of which `fold` is val. lists: the images of `train_list` and "
            "`val_list`."
        ),
    ] = "hash"
    val_share: Annotated[
        float, says("Share of the images in val, between 0 and 1 (hash and stratified).", gt=0, lt=1)
    ] = 0.2
    seed: Annotated[Seed, says("Salts the hash; another seed gives another split.")] = 0
    folds: Annotated[
        int, says("Number of parts (kfold). The column `fold` of split.tsv names each image's part.", ge=2, le=1000)
    ] = 5
    fold: Annotated[int, says("Which part is val, counted from 0 (kfold).", ge=0, le=999)] = 0
    official_val: Annotated[
        tuple[str, ...],
        says("The source's splits that are val (official). Empty - those whose names begin with `val`."),
    ] = ()
    train_list: Annotated[
        ImageList, says("Image ids or file names of train, or a text file with one a line (lists).")
    ] = ()
    val_list: Annotated[ImageList, says("Image ids or file names of val, or a text file with one a line (lists).")] = ()
    unlisted: Annotated[
        Literal["stop", "train", "val"],
        says("Where images go that are on neither list (lists); stop ends the build and names them."),
    ] = "stop"
    near_duplicates: Annotated[
        Literal["together", "allow"],
        says(
            "together: near-duplicates stay on one side. allow: they may lie on both; the audit then lists those "
            "that do. Identical files and photographs stay together either way."
        ),
    ] = "together"
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

    def problems(self) -> Iterator[Problem]:
        """A fold that is none of the folds; lists that are not there."""
        yield from braces("train_list", self.train_list)
        yield from braces("val_list", self.val_list)
        if self.fold >= self.folds:
            yield Problem(
                "fold",
                f"there is no fold {self.fold} of {self.folds}",
                f"folds are counted from 0: choose 0 to {self.folds - 1}, or raise split.folds",
            )
        if self.strategy == "lists" and not (self.train_list or self.val_list):
            yield Problem("strategy", "lists, and there is no list", "give split.val_list or split.train_list, or both")
