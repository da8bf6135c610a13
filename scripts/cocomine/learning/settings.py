"""What the config's `experiments` section may say: model, training and evaluation, and the grid of its runs.

Nothing here imports torch, since the workflow reads it while it plans.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from cocomine.base.errors import CocomineError
from cocomine.base.settings import (
    FileNamePart,
    Natural,
    Positive,
    Problem,
    Section,
    Seed,
    Text,
    braces,
    read,
    says,
)
from cocomine.learning.presets import apply_preset

ENCODER_STAGES = ("stem", "stage1", "stage2", "stage3", "stage4")

NotNegative = Annotated[float, says("", ge=0)]
Freeze = Literal["none", "stem", "stage1", "stage2", "stage3", "stage4"]


class LinkNetOptions(Section, frozen=True):
    """LinkNet's own options: how its decoder enlarges."""

    up: Literal["full-3x3", "transposed-4x4"] = "full-3x3"


class MaskFormerOptions(Section, frozen=True):
    """MaskFormer's own options: number of queries, decoder layers, and the width of decoder and mask features."""

    queries: Positive = 100
    decoder_layers: Positive = 6
    width: Annotated[int, says("", ge=32)] = 256


class SegFormerOptions(Section, frozen=True):
    """SegFormer's own options: the width of its decoder; null is the paper's for the encoder."""

    width: Positive | None = None


class UperNetOptions(Section, frozen=True):
    """UPerNet's own options: the width of its pyramid."""

    width: Positive = 512


OPTIONS: dict[str, type[Section]] = {
    "linknet": LinkNetOptions,
    "maskformer": MaskFormerOptions,
    "segformer": SegFormerOptions,
    "upernet": UperNetOptions,
}
Resnet = Literal["resnet18", "resnet34", "resnet50", "resnet101"]
MixTransformer = Literal["mit-b0", "mit-b1", "mit-b2", "mit-b3", "mit-b4", "mit-b5"]


class ModelSettings(Section, frozen=True):
    """Which network."""

    SECTION: ClassVar[str] = "model"
    PLACES: ClassVar[frozenset[str]] = frozenset({"weights_folder"})

    family: Annotated[
        Literal["linknet", "maskformer", "segformer", "upernet"],
        says(
            "Family of the network. linknet (arXiv 1707.03718), maskformer (arXiv 2107.06278), segformer (arXiv "
            "2105.15203) or upernet (arXiv 1807.10221)."
        ),
    ] = "linknet"
    encoder: Annotated[
        Resnet | MixTransformer,
        says("Encoder under it. segformer takes mit-b0 to mit-b5, the other families a ResNet."),
    ] = "resnet18"
    weights: Annotated[
        str,
        says(
            "Weights that the encoder starts from. none, imagenet (fetched from the hub, or beforehand by "
            "fetch_encoder.py), the path of a .safetensors or .pth file with transformers', torchvision's or timm's "
            "parameter names, or of a folder that transformers' save_pretrained wrote."
        ),
    ] = "none"
    weights_folder: Annotated[str, says("Folder of fetched ImageNet weights.")] = "data/encoders"
    freeze: Annotated[
        Freeze,
        says(
            "Last encoder stage that is frozen, its batch statistics too; all stages below it are frozen with it."
            " Refused without weights, since frozen noise is no encoder."
        ),
    ] = "none"
    options: Annotated[
        dict[str, Any],
        says(
            "The family's own options. linknet - up, full-3x3 (the paper's, the default) or transposed-4x4 (as in"
            " segmentation_models_pytorch). maskformer - queries (100), decoder_layers (6), width (256). segformer -"
            " width (256 for mit-b0 and mit-b1, else 768). upernet - width (512)."
        ),
    ] = {}

    @property
    def family_options(self) -> Section:
        """The options of its family; raises CocomineError for one that the family does not have."""
        return read(OPTIONS[self.family], self.options, "options")

    def problems(self) -> Iterator[Problem]:
        """Frozen noise; options of another family."""
        if self.freeze != "none" and self.weights == "none":
            yield Problem(
                "freeze",
                f"{self.freeze!r} while weights is 'none': frozen noise is no encoder",
                "set weights to 'imagenet' or to a file of weights, or freeze to 'none'",
            )
        wanted = get_args(MixTransformer if self.family == "segformer" else Resnet)
        if self.encoder not in wanted:
            yield Problem("encoder", f"{self.encoder!r} under {self.family}", f"use one of {', '.join(wanted)}")
        yield from braces("weights", self.weights)
        try:
            _ = self.family_options
        except CocomineError as error:
            key, _, message = error.message.partition(": ")
            yield Problem(key, message, error.hint)


class AugmentSettings(Section, frozen=True):
    """Random changes of a training image; each is drawn anew per image and step."""

    flip: Annotated[bool, says("Mirror left to right half of the time.")] = True
    scale: Annotated[float, says("Zoom by a factor between 1/(1+scale) and 1+scale.", ge=0, le=3)] = 0.0
    crop: Annotated[
        Positive | None,
        says(
            "Side in pixels of a square cut out at random, on which the network trains; null trains on whole tensors. "
            "Evaluation sees them whole. A multiple of 32, no larger than tensors.size."
        ),
    ] = None
    shift: Annotated[float, says("Move by up to this share of the side.", ge=0, le=0.5)] = 0.0
    brightness: Annotated[float, says("Multiply by a factor between 1-brightness and 1+brightness.", ge=0, le=0.9)] = (
        0.0
    )
    contrast: Annotated[
        float, says("Stretch around the image's mean by a factor between 1-contrast and 1+contrast.", ge=0, le=0.9)
    ] = 0.0


class TrainSettings(Section, frozen=True):
    """How the network is trained. Thread count and precision change its weights, so they are settings."""

    SECTION: ClassVar[str] = "train"
    PLACES: ClassVar[frozenset[str]] = frozenset({"checkpoint_copy", "checkpoint_copy_seconds"})

    iterations: Annotated[Positive, says("Number of batches to train on.")] = 1000
    batch: Annotated[Positive, says("Images in a batch.")] = 32
    optimiser: Annotated[Literal["sgd", "adamw"], says("Optimiser.")] = "sgd"
    learning_rate: Annotated[float, says("Learning rate, before warmup and schedule.", ge=0)] = 0.01
    momentum: Annotated[float, says("Momentum of sgd.", ge=0, le=1)] = 0.9
    weight_decay: Annotated[float, says("Weight decay.", ge=0)] = 0.0001
    schedule: Annotated[
        Literal["constant", "cosine", "polynomial"],
        says("Course of the learning rate over the iterations; cosine and polynomial (power 0.9) end at 0."),
    ] = "constant"
    warmup: Annotated[Natural, says("Iterations over which the learning rate rises linearly at the start.")] = 0
    gradient_clip: Annotated[NotNegative | None, says("Largest norm of the gradient; null does not clip.")] = None
    class_weights: Annotated[
        Literal["none", "balanced", "median"] | dict[str, float],
        says(
            "Weight of each class in the cross-entropy. none, balanced (inverse of its pixels), median (median "
            "frequency over its own), or weights by class name, 1 for the rest."
        ),
    ] = "none"
    dice_weight: Annotated[float, says("Weight of a soft Dice term that is added to the cross-entropy.", ge=0)] = 0.0
    augment: Annotated[
        AugmentSettings, says("Random changes of the training images, drawn anew each time an image is used.")
    ] = AugmentSettings()
    average: Annotated[
        Annotated[float, says("", gt=0, lt=1)] | None,
        says(
            "Decay of a moving average of the weights, such as 0.999, which is then what is validated, kept and "
            "evaluated; null keeps the weights themselves. The decay of iteration n is at most (1 + n) / (10 + n)."
        ),
    ] = None
    images: Annotated[
        Positive | None,
        says(
            "Number of training images, chosen by a hash of their ids; null takes all. Fewer than asked for is an"
            " error."
        ),
    ] = None
    device: Annotated[Literal["auto", "cpu", "cuda"], says("Where to compute; auto takes a GPU if there is one.")] = (
        "auto"
    )
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        says(
            "Precision of the forward pass; weights stay fp32. auto takes bf16 where the hardware has it. Give "
            "fp32 or bf16 where machines of different kinds should be comparable. What auto became is written "
            "into training.json."
        ),
    ] = "auto"
    channels_last: Annotated[
        bool, says("Keep images and weights in the memory order that CPUs and tensor cores are faster with.")
    ] = True
    threads: Annotated[
        Positive,
        says(
            "Compute threads. They change the last bits of the weights, so that this number holds whatever "
            "--cores says."
        ),
    ] = 2
    processes: Annotated[
        Positive,
        says(
            "Processes that each run is spread over, each on a GPU or on `threads` of its own, by torchrun. The batch "
            "is parted among them; the weights are those of one process but for the rounding of sums, and "
            "training.json says so. Not for maskformer."
        ),
    ] = 1
    log_every: Annotated[Positive, says("Iterations between two rows of history.csv.")] = 20
    validate_every: Annotated[Positive, says("Iterations between two validations while training.")] = 200
    validate_images: Annotated[
        Positive, says("Most validation images used while training; the evaluation afterwards uses all.")
    ] = 256
    early_stop: Annotated[
        Positive | None,
        says(
            "Stop after so many validations without a better foreground IoU; null trains to the end. Refused with"
            " arms, each of which would be stopped by validation images of its own."
        ),
    ] = None
    keep: Annotated[
        Literal["last", "best"],
        says(
            "Which weights to keep. best chooses on the validation images, which makes their figures a little too"
            " good, and is refused with arms."
        ),
    ] = "last"
    checkpoint_seconds: Annotated[
        float, says("Seconds between two checkpoints; 0 writes one after every iteration.", ge=0)
    ] = 60.0
    checkpoint_copy: Annotated[
        str,
        says(
            "A folder, gs://bucket/prefix or s3://bucket/prefix to which the checkpoint is copied now and then, so "
            "that a run whose machine is taken away goes on from it on another, to the same weights."
        ),
    ] = ""
    checkpoint_copy_seconds: Annotated[
        float, says("Seconds between two such copies; one is made at a stop by SIGTERM too.", ge=0)
    ] = 600.0

    def problems(self) -> Iterator[Problem]:
        """A warm-up that never ends; more processes than images; a place that nothing here speaks to."""
        if self.checkpoint_copy:
            scheme = self.checkpoint_copy.partition("://")[0] if "://" in self.checkpoint_copy else "gs"
            if scheme not in ("gs", "s3"):
                yield Problem("checkpoint_copy", f"unknown scheme {scheme}://", "use gs://, s3://, or a folder")
        if self.processes > self.batch:
            yield Problem("processes", f"{self.processes} for a batch of {self.batch}", "each needs an image of it")
        if self.warmup >= self.iterations:
            yield Problem(
                "warmup",
                f"{self.warmup} is not below iterations ({self.iterations})",
                "shorten the warm-up: no iteration would run at the learning rate asked for",
            )


class EvaluationSettings(Section, frozen=True):
    """What is measured of the trained network."""

    SECTION: ClassVar[str] = "evaluation"

    split: Annotated[
        Text | None,
        says(
            "Split that is judged, or all; null takes test where the subset has one, and val otherwise. Where it is "
            "another subset's, its images are never trained on, and only those of val may choose weights. Images that "
            "were trained on are an error; under train and all they are counted, with a warning."
        ),
    ] = None
    batch: Annotated[Positive, says("Images in a batch.")] = 32
    full_resolution: Annotated[
        bool, says("Also enlarge the probabilities to each image's own size and compare with its full mask.")
    ] = True
    bootstrap: Annotated[
        Natural, says("Draws of the bootstrap over images that gives the intervals; 0 gives none.")
    ] = 1000
    confidence: Annotated[float, says("Share that an interval encloses.", ge=0.5, le=0.999)] = 0.95
    slice_images: Annotated[int, says("Images that a slice needs in order to be judged.", ge=2)] = 10
    pictures: Annotated[Natural, says("Number of worst and of best images that are drawn.")] = 4


class ArmSettings(Section, frozen=True):
    """The subsets of the paper's question."""

    mined: Annotated[str, says("The subset of mined images with the wanted classes.")]
    all_classes: Annotated[str, says("The same images (images_from) with all classes of the source.")]
    random: Annotated[str, says("As many random images with all classes of the source.")]


class ExperimentSettings(Section, frozen=True):
    """What to train and evaluate.

    Every combination of subset, model and seed is a run; each run is evaluated on every subset of evaluate_on. Exactly
    one of subset, subsets and arms is given.
    """

    SECTION: ClassVar[str] = "experiment"

    preset: Annotated[
        Literal["none", "paper", "segformer"],
        says(
            "Starting values of model and train, over which this experiment's own keys stand. paper: LinkNet with"
            " a ResNet50 from ImageNet, frozen up to stage 3, SGD with weight decay at a learning rate of 0.0001,"
            " 30,000 iterations of batch 32. segformer: SegFormer-B0 as its paper trains it on ADE20K (arXiv"
            " 2105.15203): ImageNet weights, AdamW at 0.00006, 160,000 iterations of batch 16 on crops of 512 pixels;"
            " tensors.size must be 512 or more, and it was not tried at that length."
        ),
    ] = "none"
    subset: Annotated[str | None, says("The subset to train on.")] = None
    subsets: Annotated[tuple[str, ...], says("Several subsets to train on, a run each.")] = ()
    arms: Annotated[
        ArmSettings | None,
        says(
            "The paper's question as three subsets, all scored on the classes of mined. The comparison says "
            "whether the arms are equal in images, iterations, seeds and validation images, and the first two "
            "trained on the same images, and sets them side by side."
        ),
    ] = None
    seeds: Annotated[
        tuple[Seed, ...], says("Seeds of the weights, the order of the images and their augmentation; a run each.")
    ] = (0,)
    evaluate_on: Annotated[
        str | tuple[str, ...] | None,
        says(
            "The subset, or list of subsets, that the runs are evaluated on; the images of their split that is "
            "judged are never trained on. Without it - the subset trained on; with arms, that of mined."
        ),
    ] = None
    model: Annotated[ModelSettings, says("The network.")] = ModelSettings()
    models: Annotated[
        dict[FileNamePart, ModelSettings | None],
        says(
            "Several networks by a name of your choice, a run each; what one leaves open is taken from model, "
            "options only where the family is the same."
        ),
    ] = {}
    train: Annotated[TrainSettings, says("How the network is trained.")] = TrainSettings()
    evaluation: Annotated[EvaluationSettings, says("What is measured of the trained network.")] = EvaluationSettings()


class RunSettings(Section, frozen=True):
    """One run: one cell of the experiments grid, with every default filled in."""

    SECTION: ClassVar[str] = "experiment"

    run: str = "run"
    experiment: str = "run"
    subset: str = ""
    model_name: str = ""
    arm: str = ""
    seed: Seed = 0
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    def problems(self) -> Iterator[Problem]:
        """A model whose loss cannot be parted."""
        if self.train.processes > 1 and self.model.family == "maskformer":
            yield Problem(
                "train.processes",
                f"{self.train.processes}, and maskformer's loss matches over the whole batch",
                "set it to 1, and give each run a GPU",
            )

    @classmethod
    def from_mapping(cls, mapping: Any, where: str | None = None) -> Self:
        """Read a run's settings; `preset` fills what `model` and `train` leave open."""
        return super().from_mapping(apply_preset(mapping) if isinstance(mapping, Mapping) else mapping, where)
