"""What a format of the field is: how it is described, what it needs of a subset, and how it writes one split."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from cocomine.formats.output import Options, Output
from cocomine.formats.subset import Item, Subset
from cocomine.formats.tally import Tally


class Writer(ABC):
    """Writes a subset in one format: a subclass for each, which `Format.writer` names.

    `check` is called before any file is written, then `write_split` for each split, then `finish`.
    """

    loses_of_classes: ClassVar[tuple[str, ...]] = ("category-id", "supercategory")
    """What the format does not say of a class."""
    carries: ClassVar[tuple[str, ...]] = ()
    """The other tasks (and "licence") that the format has a place for; all others are counted as lost."""

    def __init__(self, subset: Subset, options: Options) -> None:
        self.subset = subset
        self.options = options
        self.class_names: dict[str, str] = {}
        """What is written for the name of a class, and the name, where the format cannot hold it as it is."""

    def check(self) -> None:  # noqa: B027 - a hook that most formats leave
        """Raise CocomineError, with the remedy, when the format cannot hold this subset."""

    @abstractmethod
    def write_split(self, split: str, items: Iterable[Item], tally: Tally, out: Output) -> None:
        """Write the images of a split; `tally` counts each image and each of its objects."""

    def finish(self, out: Output) -> None:  # noqa: B027 - a hook that some formats leave
        """Write what stands beside the splits."""


@dataclass(frozen=True)
class Format:
    """A format that a subset can be exported to, as the config, the report and the docs speak of it.

    `what` says what lies where, `read_by` who reads it, `load` is the Python that opens the training split of an export
    in {folder}. `masks` are the kinds of masks that it needs (semantic, instance, panoptic), `uses` those that it takes
    where they are drawn, `tasks` the annotation files besides instances that it needs. `images` says how image files go
    with it: "placed", "listed" (they may be left where they are), "embedded" in other files, or only "named".
    `by_stem`: files are named by the stem of their image. `one_folder`: the splits share one. `long`: it takes longer
    than others (docs/scale.md), so that it starts before them.
    """

    name: str
    writer: type[Writer]
    what: str
    read_by: str
    load: str
    masks: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    images: str = "placed"
    by_stem: bool = False
    one_folder: bool = False
    long: bool = False
