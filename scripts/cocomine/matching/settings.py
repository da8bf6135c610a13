"""The config's `comparisons` section."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from cocomine.base.settings import Natural, Problem, Section, Share, Text, says


class MatchSettings(Section, frozen=True):
    """When two objects are taken for one, and when their outlines differ. docs/matching.md has the definitions."""

    SECTION: ClassVar[str] = "matching"

    iou: Annotated[
        float,
        says(
            "The least IoU of two masks that are taken for one object; also that of a whole and its parts together.",
            gt=0,
            le=1,
        ),
    ] = 0.5
    loose_iou: Annotated[
        float,
        says(
            "The least IoU of two objects of one class that are still taken for one, with outlines that differ, when "
            "all else has been matched.",
            gt=0,
            le=1,
        ),
    ] = 0.2
    part: Annotated[
        float,
        says(
            "The least share of an object's pixels inside another for it to be a part of it (split, merged) or of a "
            "crowd.",
            gt=0,
            le=1,
        ),
    ] = 0.6
    boundary_iou: Annotated[Share, says("Two outlines of one object differ when their boundary IoU is below this.")] = (
        0.75
    )
    boundary_width: Annotated[
        float,
        says("The width of boundary regions, as a share of the image's diagonal.", gt=0, le=1),
    ] = 0.02
    finer: Annotated[
        float,
        says("An outline is the finer one when it has at least so many times the vertices of the other.", gt=1),
    ] = 1.5


class ComparisonSettings(Section, frozen=True):
    """Two sources of annotations set side by side.

    results/comparisons/NAME/ holds the counts of both, in all and by class, and every object of both matched with the
    other source's, as pages, tables, JSON and a picture.
    """

    SECTION: ClassVar[str] = "comparison"

    first: Annotated[Text, says("The source that the other is held against.")]
    second: Annotated[
        Text, says("The source that is held against the first; differences are its counts less those of the first.")
    ]
    splits: Annotated[
        tuple[Text, ...], says("The splits that are counted together. Empty: those that both sources have.")
    ] = ()
    first_splits: Annotated[
        tuple[Text, ...], says("The first source's splits, where the two do not call them the same.")
    ] = ()
    second_splits: Annotated[tuple[Text, ...], says("The second source's splits, likewise.")] = ()
    task: Annotated[
        Literal["instances", "person_keypoints", "stuff", "panoptic"],
        says("The task whose annotations are compared. Panoptic segments are counted only: they have no outlines."),
    ] = "instances"
    crosswalk: Annotated[
        str | dict[str, str | tuple[str, ...]],
        says(
            "Which classes mean the same where the sources name them differently: {class of the first: class or "
            "classes of the second}, or the path of a table with the columns first and second, such as the proposed "
            "crosswalk.tsv after you have read it. An empty second says that a class has no counterpart. Classes that "
            "it does not name are matched by name, letter case aside."
        ),
    ] = ""
    matching: Annotated[MatchSettings, says("When two objects are taken for one.")] = MatchSettings()

    shown: Annotated[
        Natural, says("How many of the images that disagree most are shown, the kinds of differences in equal shares.")
    ] = 200

    def problems(self) -> Iterator[Problem]:
        """Yield what the types cannot say."""
        if bool(self.first_splits) != bool(self.second_splits):
            lacking = "second_splits" if self.first_splits else "first_splits"
            yield Problem(lacking, "the splits of one source only are named", "name those of both, or use splits")
        if self.splits and self.first_splits:
            yield Problem("splits", "stands beside first_splits and second_splits", "say it in one way")
