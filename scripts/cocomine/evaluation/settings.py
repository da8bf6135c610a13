"""The config's `predictions` section, and the part of it that says how predictions are judged."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from cocomine.base.settings import Natural, Problem, Section, Text, braces, says

Task = Literal["boxes", "masks", "keypoints", "panoptic", "semantic"]
IN_FOLDERS = ("panoptic", "semantic")
"""The tasks whose predictions are PNGs in a folder."""

CategoryIds = Literal["source", "labels", "indices"]
ImageIds = Literal["source", "stems"]


class JudgingSettings(Section, frozen=True, kw_only=True):
    """How predictions are judged, whatever they are of."""

    SECTION: ClassVar[str] = "predictions"

    split: Annotated[
        Text,
        says(
            "Split that is judged: one of those in the subset's split.tsv, or all; of a source, the split of its "
            "annotation file, such as val2017."
        ),
    ] = "val"
    category_ids: Annotated[
        CategoryIds | None,
        says(
            "What the predictions' classes are: ids of the source; labels of labels.json (1, 2, …, as Ultralytics "
            "writes for data of one's own); or indices (0, 1, …). Labels of a source are its categories in the file's "
            "order. Without it - labels for semantic masks, the source's ids otherwise. Ids that fit another of the "
            "three better are an error."
        ),
    ] = None
    image_ids: Annotated[
        ImageIds,
        says("What image_id is: the id of the source, or the image's file name without its ending (stems)."),
    ] = "source"
    bootstrap: Annotated[
        Natural, says("Draws of the bootstrap over images that gives the intervals; 0 gives none.")
    ] = 1000
    confidence: Annotated[float, says("Share that an interval encloses.", ge=0.5, le=0.999)] = 0.95
    slice_images: Annotated[int, says("Images that a slice needs in order to be judged.", ge=2)] = 10
    pictures: Annotated[Natural, says("Number of worst and of best semantic masks that are drawn.")] = 4

    def categories_of(self, task: str) -> CategoryIds:
        """Return what the classes of predictions of `task` are."""
        return self.category_ids or ("labels" if task == "semantic" else "source")


class PredictionSettings(JudgingSettings, frozen=True, kw_only=True):
    """Predictions of any program, judged alike into results/predictions/NAME.

    `{subset: animals, task: boxes, file: results.json}` judges a COCO results file on the validation images of a
    subset.
    """

    PLACES: ClassVar[frozenset[str]] = frozenset({"file", "folder"})

    subset: Annotated[Text | None, says("The subset that they are judged on.")] = None
    source: Annotated[
        Text | None,
        says(
            "Instead of a subset - the source whose annotation file of `split` they are judged on as it is, with all "
            "its images and classes, so that the figures are those of a leaderboard."
        ),
    ] = None
    task: Annotated[
        Task,
        says(
            "What is predicted: boxes, masks or keypoints (a COCO results file), panoptic (a panoptic JSON and its "
            "PNGs) or semantic (a PNG of labels for each image)."
        ),
    ]
    file: Annotated[Text | None, says("The JSON file, from the working directory; semantic masks have none.")] = None
    folder: Annotated[
        Text | None, says("The folder of the PNGs, from the working directory, for panoptic and semantic.")
    ] = None

    def problems(self) -> Iterator[Problem]:
        """Yield what contradicts: where they are judged, and what their task needs."""
        if (self.subset is None) == (self.source is None):
            yield Problem("", "give subset or source, one of the two", "a source is judged on its own annotation file")
        if self.source is not None and self.task == "semantic":
            yield Problem("task", "semantic masks are drawn of a subset", "mine a subset of all classes and name it")
        for key, needed in (("file", self.task != "semantic"), ("folder", self.task in IN_FOLDERS)):
            given = getattr(self, key)
            if needed and given is None:
                yield Problem(key, f"predictions of {self.task} need a {key}", f"add {key}: PATH")
            elif given is not None and not needed:
                yield Problem(key, f"predictions of {self.task} have no {key}", f"leave {key} out")
            yield from braces(key, given)
        if self.task == "semantic" and self.category_ids == "indices":
            yield Problem("category_ids", "semantic masks have 0 for the background", "use labels or source")
