"""The config's `comparisons` section."""

from typing import Annotated, ClassVar, Literal

from cocomine.base.settings import Section, Text, says


class ComparisonSettings(Section, frozen=True):
    """Two sources of annotations set side by side.

    results/comparisons/NAME/ holds the counts of both, in all and by class, as Markdown, tables, JSON and a picture.
    """

    SECTION: ClassVar[str] = "comparison"

    first: Annotated[Text, says("The source that the other is held against.")]
    second: Annotated[
        Text, says("The source that is held against the first; differences are its counts less those of the first.")
    ]
    splits: Annotated[
        tuple[Text, ...], says("The splits that are counted together. Empty: those that both sources have.")
    ] = ()
    task: Annotated[
        Literal["instances", "person_keypoints", "stuff", "panoptic"], says("The task whose annotations are counted.")
    ] = "instances"
