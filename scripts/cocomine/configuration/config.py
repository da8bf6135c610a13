"""The whole config: its sections, each defined in the settings of its stage."""

from typing import Annotated, Any

from msgspec import Meta

from cocomine.base.settings import FolderName, Natural, Section, Text, says
from cocomine.evaluation.settings import (
    TAGS,
    Command,
    Environment,
    ExportOfProgram,
    Gpus,
    Memory,
    Predicted,
    PredictionSettings,
    Threads,
    TimeLimit,
)
from cocomine.formats.settings import DEFAULT, ExportImages, Exports
from cocomine.images.settings import ImageSettings
from cocomine.learning.settings import ExperimentSettings
from cocomine.masks.settings import MaskSettings
from cocomine.matching.settings import ComparisonSettings
from cocomine.mining.settings import SubsetSettings
from cocomine.sources.settings import SourceSettings, StoreSettings
from cocomine.splits.settings import SplitSettings
from cocomine.tensors.settings import TensorSettings


def _folder_but(*taken: str) -> Any:
    """Return the annotation of a name that becomes a folder and is none of those that the workflow itself makes."""
    pattern = rf"^(?!({'|'.join(taken)})$)[a-z0-9][a-z0-9_-]*$(?!\n)"
    letters = "lower-case letters, digits, '-' and '_', beginning with a letter or digit"
    return Meta(pattern=pattern, description=f"names become folders: {letters}; taken: {', '.join(taken)}")


SubsetName = Annotated[str, _folder_but("experiments", "comparisons", "predictions")]
ExperimentName = Annotated[str, _folder_but("comparison")]


class SubsetEntry(SubsetSettings, frozen=True):
    """Which images and objects of a source a subset holds. `{source: coco, categories: [giraffe]}` is a whole one.

    Clauses are applied in the fixed order that docs/mining.md lists; results/{subset}/funnel.json counts what each
    removed.
    """

    images: Annotated[
        ImageSettings, says("This subset's own images settings; each stands over that of the top-level `images`.")
    ] = ImageSettings()
    masks: Annotated[
        MaskSettings, says("This subset's own masks settings; each stands over that of the top-level `masks`.")
    ] = MaskSettings()
    split: Annotated[
        SplitSettings, says("This subset's own split settings; each stands over that of the top-level `split`.")
    ] = SplitSettings()
    tensors: Annotated[
        TensorSettings, says("This subset's own tensors settings; each stands over that of the top-level `tensors`.")
    ] = TensorSettings()
    exports: Annotated[Exports, says("This subset's own list of exports, instead of the top-level `exports`.")] = (
        DEFAULT
    )
    export_images: Annotated[
        ExportImages, says("How image files come into this subset's exports, instead of the top-level `export_images`.")
    ] = "hardlink"
    tags: Annotated[Text | None, says(TAGS)] = None
    single_file: Annotated[
        bool,
        says(
            "Also write results/{subset}/explorer/single.html, an explorer with all that it shows in one file, to be "
            "mailed: some 60 kB an image."
        ),
    ] = False


class ExperimentEntry(ExperimentSettings, frozen=True, kw_only=True):
    """What to train and evaluate: a model of ours, or a program of your own.

    Every combination of subset, model and seed is a run; each run is evaluated on every subset of evaluate_on. Exactly
    one of subset, subsets and arms is given. With `command` it is a program of your own, which takes subset and seeds
    of the other keys, and what it predicts is judged.
    """

    command: Command = None
    environment: Environment = None
    export: ExportOfProgram = "coco"
    threads: Threads = 2
    time_limit: TimeLimit = 1440
    gpus: Gpus = 0
    memory_mb: Memory = 4000
    predictions: Predicted = {}  # noqa: RUF012


class Config(Section, frozen=True, kw_only=True):
    """What to mine, from where, and what to do with it."""

    seed: Annotated[
        Natural,
        says(
            "Salt of every choice that is not given by the data: samples, negatives, the split, the order of training. "
            "A section may set its own."
        ),
    ] = 0
    shared: Annotated[
        str,
        says(
            "A folder for what is fetched, where builds of several work folders and users find each other's "
            "photographs and annotation files: nothing is fetched twice. Who may not write there uses what is there. "
            "Without it each work folder keeps its own, in data/."
        ),
    ] = ""
    stores: Annotated[
        dict[FolderName, StoreSettings],
        says(
            "Where images lie, by name. Several sources of annotations can share one store, so that the images are "
            "fetched once. A synthetic source brings its own store."
        ),
    ] = {}  # noqa: RUF012 - msgspec copies the empty defaults of a Struct
    sources: Annotated[
        dict[FolderName, SourceSettings],
        says("Where annotations come from, by name, and which store holds their images."),
    ] = {}  # noqa: RUF012
    subsets: Annotated[
        dict[SubsetName, SubsetEntry],
        Meta(
            description="The datasets to mine, by name. Each has one source or several and becomes results/NAME.",
            min_length=1,
        ),
    ]
    comparisons: Annotated[
        dict[FolderName, ComparisonSettings],
        says("Which sources of annotations to set side by side, by name. A source needs no subset for that."),
    ] = {}  # noqa: RUF012
    images: Annotated[ImageSettings, says("Which images are decoded.")] = ImageSettings()
    masks: Annotated[MaskSettings, says("How the ground truth is drawn.")] = MaskSettings()
    split: Annotated[SplitSettings, says("How a subset is split into train and val.")] = SplitSettings()
    tensors: Annotated[TensorSettings, says("How images and masks are resized and packed.")] = TensorSettings()
    exports: Exports = DEFAULT
    export_images: ExportImages = "hardlink"
    experiments: Annotated[
        dict[ExperimentName, ExperimentEntry],
        says("What to train and evaluate, by name. Without any, cocomine stops after the dataset and its report."),
    ] = {}  # noqa: RUF012
    predictions: Annotated[
        dict[FolderName, PredictionSettings],
        says("Predictions of programs of your own, by name, each judged on a subset or on a source's annotation file."),
    ] = {}  # noqa: RUF012
