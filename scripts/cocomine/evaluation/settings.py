"""The config's `predictions` section, and the keys of an experiment that a program of the user's is."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated, ClassVar, Literal

from cocomine.base.settings import Natural, Positive, Problem, Section, Seed, Text, braces, says, twice
from cocomine.formats.settings import Format

Task = Literal["boxes", "masks", "keypoints", "panoptic", "semantic"]
IN_FOLDERS = ("panoptic", "semantic")
"""The tasks whose predictions are PNGs in a folder."""

CategoryIds = Literal["source", "labels", "indices"]
ImageIds = Literal["source", "stems"]


class JudgingSettings(Section, frozen=True, kw_only=True):
    """How predictions are judged, whatever they are of."""

    SECTION: ClassVar[str] = "predictions"

    split: Annotated[
        Text | None,
        says(
            "Split that is judged: one of those in the subset's split.tsv, or all; without it test where there is one, "
            "and val otherwise. Of a source, the split of its annotation file, such as val2017."
        ),
    ] = None
    category_ids: Annotated[
        CategoryIds | None,
        says(
            "What the predictions' classes are: ids of the source; labels of labels.json (1, 2, …, as Ultralytics "
            "writes for data of one's own); or indices (0, 1, …). Labels of a source are its categories in the file's "
            "order. Without it - labels for semantic masks, the source's ids otherwise (a subset with `classes` wants "
            "it said). Ids that fit another of the three better are an error."
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
    boundary: Annotated[
        float,
        says(
            "Width of the boundary regions of masks, as a share of the image's diagonal; 0 leaves them out.", ge=0, le=1
        ),
    ] = 0.02
    slice_images: Annotated[int, says("Images that a slice needs in order to be judged.", ge=2)] = 10
    pictures: Annotated[Natural, says("Number of worst and of best semantic masks that are drawn.")] = 4

    label_errors: Annotated[
        Natural,
        says(
            "How many labels to list that these masks contradict with confidence, the most suspicious first, in "
            "results/label_errors/NAME and in the report; 0 lists none. The model must not have seen these images."
        ),
    ] = 0

    def categories_of(self, task: str) -> CategoryIds:
        """Return what the classes of predictions of `task` are."""
        return self.category_ids or ("labels" if task == "semantic" else "source")


TAGS = (
    "A table of tags of images, tab-separated, with a column image_id or file_name; each other column is an attribute "
    "that errors are sliced by. Its path is from the working directory."
)


class PredictionSettings(JudgingSettings, frozen=True, kw_only=True):
    """Predictions of any program, judged alike into results/predictions/NAME.

    `{subset: animals, task: boxes, file: results.json}` judges a COCO results file on the images of a subset
    that were kept for it.
    """

    PLACES: ClassVar[frozenset[str]] = frozenset({"file", "folder", "tags"})

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
    tags: Annotated[Text | None, says(f"{TAGS} Without it - those of the subset.")] = None

    def problems(self) -> Iterator[Problem]:
        """Yield what contradicts: where they are judged, and what their task needs."""
        if (self.subset is None) == (self.source is None):
            yield Problem("", "give subset or source, one of the two", "a source is judged on its own annotation file")
        if self.source is not None and self.task == "semantic":
            yield Problem("task", "semantic masks are drawn of a subset", "mine a subset of all classes and name it")
        if self.label_errors and self.task != "masks":
            yield Problem("label_errors", f"predictions of {self.task} are held against no label", "give masks")
        for key, needed in (("file", self.task != "semantic"), ("folder", self.task in IN_FOLDERS)):
            given = getattr(self, key)
            if needed and given is None:
                yield Problem(key, f"predictions of {self.task} need a {key}", f"add {key}: PATH")
            elif given is not None and not needed:
                yield Problem(key, f"predictions of {self.task} have no {key}", f"leave {key} out")
            yield from braces(key, given)
        if self.task == "semantic" and self.category_ids == "indices":
            yield Problem("category_ids", "semantic masks have 0 for the background", "use labels or source")


class ProgramPredictions(JudgingSettings, frozen=True, kw_only=True):
    """What a program predicted, in its output folder."""

    subset: Annotated[Text | None, says("The subset that they are judged on. Without it - the experiment's.")] = None
    file: Annotated[Text | None, says("The JSON file, in the program's output folder.")] = None
    folder: Annotated[Text | None, says("The folder of the PNGs, in the program's output folder.")] = None

    def problems(self) -> Iterator[Problem]:
        """Yield paths that lead out of the output folder."""
        for key in ("file", "folder"):
            given = getattr(self, key)
            yield from braces(key, given)
            if given is not None and (PurePosixPath(given).is_absolute() or ".." in PurePosixPath(given).parts):
                yield Problem(key, f"{given!r} is no path in the output folder", "let the program write into it")


Command = Annotated[
    Text | None,
    says(
        "A program of your own instead of model and train: a command for the shell, started in its output folder, with "
        "COCOMINE_EXPORT, COCOMINE_SUBSET, COCOMINE_OUTPUT, COCOMINE_WORK, COCOMINE_SEED and COCOMINE_THREADS set "
        "(docs/evaluation.md)."
    ),
]
Environment = Annotated[
    Text | None,
    says("Folder of the environment whose bin comes first on the command's PATH, from the working directory."),
]
ExportOfProgram = Annotated[
    Format, says("The format of the subset that the command gets; it need not be among `exports`.")
]
Threads = Annotated[Positive, says("Threads that the command is told to use.")]
TimeLimit = Annotated[Positive, says("Minutes after which the command is ended.")]
Gpus = Annotated[Natural, says("GPUs to ask a cluster for, for the command.")]
Memory = Annotated[Positive, says("Memory to ask a cluster for, for the command, in MB.")]
Predicted = Annotated[
    dict[Task, ProgramPredictions],
    says(
        "What the command predicts, by task, each judged as `predictions` are, into results/predictions/NAME, or "
        "NAME-TASK where there are several."
    ),
]


class ProgramSettings(Section, frozen=True, kw_only=True):
    """A command and what it is told."""

    SECTION: ClassVar[str] = "experiment"
    PLACES: ClassVar[frozenset[str]] = frozenset({"environment"})

    command: Command = None
    environment: Environment = None
    threads: Threads = 2
    time_limit: TimeLimit = 1440
    seed: Seed = 0


class ProgramExperiment(Section, frozen=True, kw_only=True):
    """An experiment that is a program of the user's: the keys that it takes."""

    SECTION: ClassVar[str] = "experiment"

    command: Command = None
    environment: Environment = None
    export: ExportOfProgram = "coco"
    subset: Text
    seeds: tuple[Seed, ...] = (0,)
    threads: Threads = 2
    time_limit: TimeLimit = 1440
    gpus: Gpus = 0
    memory_mb: Memory = 4000
    predictions: Predicted = {}

    def problems(self) -> Iterator[Problem]:
        """Yield seeds that stand twice, and predictions that lack a path."""
        yield from twice("seeds", self.seeds)
        for task, given in self.predictions.items():
            if given.label_errors and task != "masks":
                yield Problem(f"predictions.{task}.label_errors", "only masks are held against labels", "give masks")
            for key, needed in (("file", task != "semantic"), ("folder", task in IN_FOLDERS)):
                if needed and getattr(given, key) is None:
                    yield Problem(f"predictions.{task}", f"it has no {key}", f"add {key}: PATH")
