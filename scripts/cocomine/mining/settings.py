"""The query of a subset: which images and objects of a source it holds, as the config's `subsets` section says it."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import msgspec

from cocomine.annotations.reasons import AREA_TOLERANCE, Reason, policies
from cocomine.base.errors import CocomineError
from cocomine.base.settings import FolderName, Natural, Positive, Problem, Section, Text, braces, says, twice
from cocomine.sources.settings import merged_name

OTHER_SECTIONS = ("images", "masks", "split", "tensors", "exports", "export_images", "tags", "single_file")
"""Keys of a subset that are settings of other stages."""

Policy = Literal["keep", "repair", "quarantine", "stop"]
ImageList = Text | tuple[int | Text, ...]
NotNegative = Natural | Annotated[float, says("", ge=0)]


class Range(Section, frozen=True, omit_defaults=True):
    """A closed interval."""

    min: Annotated[NotNegative | None, says("Lowest value that passes; none if absent.")] = None
    max: Annotated[NotNegative | None, says("Highest value that passes; none if absent.")] = None

    @property
    def bounded(self) -> bool:
        """Whether the range says anything at all."""
        return self.min is not None or self.max is not None

    def words(self) -> str:
        """Return the range in words: "at least 2", "at most 5", "2 to 5"."""
        if self.min is not None and self.max is not None:
            return f"{self.min:g} to {self.max:g}"
        if self.min is not None:
            return f"at least {self.min:g}"
        return f"at most {self.max:g}" if self.max is not None else "any"

    def problems(self) -> Iterator[Problem]:
        """A range that nothing is in."""
        if self.min is not None and self.max is not None and self.min > self.max:
            yield Problem("", f"min {self.min:g} is above max {self.max:g}", "swap the bounds")


class NamedCategory(Section, frozen=True, omit_defaults=True):
    """A category, where a bare text or number would not say what is meant; exactly one key is given."""

    name: Annotated[Text | None, says("The name of a category.")] = None
    id: Annotated[int | None, says("The id of a category.")] = None
    supercategory: Annotated[Text | None, says("The name of a supercategory.")] = None

    def problems(self) -> Iterator[Problem]:
        """Not exactly one key."""
        if [self.name, self.id, self.supercategory].count(None) != 2:
            yield Problem("", f"{self.as_mapping()} is no category", "give one of name, id and supercategory")


Category = Text | int | NamedCategory
"""A category: by id, by name, or by a text that names a category or, where no category has it, a supercategory."""


def category_words(category: Category) -> str:
    """Return what the user wrote."""
    if isinstance(category, str):
        return category
    named = NamedCategory(id=category) if isinstance(category, int) else category
    if named.id is not None:
        return f"id {named.id}"
    return named.name if named.name is not None else f"supercategory {named.supercategory}"


BACKGROUND = "background"


class NamedClass(Section, frozen=True):
    """A class and the categories of the source that become it."""

    name: Annotated[Text, says("What the class is called.")]
    categories: Annotated[tuple[Category, ...], says("Its categories, by name, id or supercategory.")]

    def problems(self) -> Iterator[Problem]:
        """No category at all; the name of label 0."""
        if not self.categories:
            yield Problem("", f"'{self.name}' is a class of no category", "name its categories, or remove the class")
        if self.name == BACKGROUND:
            yield Problem("", f"'{self.name}' is the name of label 0", "give the class another name")


class SubsetSettings(Section, frozen=True):
    """Which images and objects of a source a subset holds. `{source: coco, categories: [giraffe]}` is a whole one.

    Clauses are applied in the fixed order that docs/mining.md lists; results/{subset}/funnel.json counts what each
    removed.
    """

    SECTION: ClassVar[str] = "subset"

    source: Annotated[str, says("The annotation source, by its name under `sources`.")] = ""
    sources: Annotated[
        tuple[FolderName, ...],
        says(
            "Instead of `source`: several sources in one subset. Categories of one name are one, ids that collide are "
            "made anew (ids.tsv), and every image names its source; its splits are called SOURCE.SPLIT."
        ),
    ] = ()
    categories: Annotated[
        tuple[Category, ...],
        says("The wanted categories, by name, id or supercategory. Empty: all categories of the source."),
    ] = ()
    classes: Annotated[
        dict[Text, Category | tuple[Category, ...]] | tuple[NamedClass, ...],
        says(
            "Instead of `categories`: the wanted classes in the order of their labels, each a category of the source "
            "or several that become one: {vehicle: [bus, truck, car], person: person}. A list of mappings with `name` "
            "and `categories` says the same."
        ),
    ] = ()
    labels_from: Annotated[
        Text | None,
        says(
            "labels.json of an earlier build, whose classes keep their labels; new ones get the labels behind them, "
            "so that a model of that build goes on meaning the same."
        ),
    ] = None
    match: Annotated[
        Literal["any", "all", "only"],
        says(
            "any - images with an object of at least one wanted category; all - of every item of `categories` or "
            "`classes`; "
            "only - of at least one, and of no category besides."
        ),
    ] = "any"
    exclude_categories: Annotated[
        tuple[Category, ...], says("Images with any annotation of these categories are left out.")
    ] = ()
    instances: Annotated[
        Range, says("How many wanted objects an image may have, in objects; a crowd annotation counts as one.")
    ] = Range()
    instances_per_class: Annotated[
        dict[str | int, Range],
        says("How many objects of a category an image may have, in objects, by category: {giraffe: {min: 2}}."),
    ] = {}
    area: Annotated[
        Range,
        says("Area of a wanted object, in square pixels: the annotation's `area`, or its box's where that is absent."),
    ] = Range()
    relative_area: Annotated[Range, says("Area of a wanted object as a fraction (0 to 1) of its image.")] = Range()
    outside_area: Annotated[
        Literal["drop", "keep", "exclude"],
        says(
            "What becomes of wanted objects outside `area` and `relative_area`. They never make an image wanted; "
            "in an image that is, they are left out (drop) or written all the same (keep), or their image is left"
            " out altogether (exclude)."
        ),
    ] = "drop"
    crowds: Annotated[
        Literal["keep", "drop", "exclude"],
        says(
            "What becomes of crowd annotations (iscrowd 1) of the wanted categories: kept as objects, dropped "
            "(their image then needs another object to be wanted), or their image is left out."
        ),
    ] = "keep"
    image_width: Annotated[Range, says("Width of the image, in pixels, as the annotation file states it.")] = Range()
    image_height: Annotated[Range, says("Height of the image, in pixels, as the annotation file states it.")] = Range()
    image_aspect: Annotated[Range, says("Width divided by height.")] = Range()
    licenses: Annotated[
        tuple[int | Text, ...],
        says("Licences that an image may have, by id or by name as the annotation file lists them. Empty: any."),
    ] = ()
    caption: Annotated[
        Text | None,
        says(
            "A regular expression (RE2 syntax, letter case ignored) that at least one caption of the image must match."
        ),
    ] = None
    source_splits: Annotated[
        tuple[Text, ...], says("Splits of the source to take images from, such as train2017. Empty: all of them.")
    ] = ()
    include_images: Annotated[
        ImageList | None, says("Only these images are considered: a list, or the path of a file with one.")
    ] = None
    exclude_images: Annotated[
        ImageList | None, says("These images are left out: a list, or the path of a file with one.")
    ] = None
    fraction: Annotated[
        float, says("Share of the matching images to take, drawn by the hash of image id and seed.", gt=0, le=1)
    ] = 1.0
    max_images: Annotated[
        Positive | None, says("Most images to take, negatives not counted, drawn by the hash of image id and seed.")
    ] = None
    max_per_class: Annotated[
        Positive | dict[str | int, Natural] | None,
        says("Most images with a given wanted category: one number for every category, or a number by category."),
    ] = None
    balance: Annotated[
        bool,
        says(
            "Cap every wanted category at the number of images of the rarest one that has any; `max_images` then "
            "deals them out in turn."
        ),
    ] = False
    negatives: Annotated[
        Natural, says("How many images to add that have no wanted object but pass the other clauses about images.")
    ] = 0
    refill: Annotated[
        bool,
        says("Whether an image that turns out to be missing or broken is replaced by a spare one that matches too."),
    ] = False
    spares: Annotated[
        Natural,
        says("How many spare images a category gets (and negatives get) when `refill` is true; they are fetched too."),
    ] = 20
    seed: Annotated[
        Natural,
        says(
            "Salts the hash by which images are drawn; the same seed draws the same images from any order of the file."
        ),
    ] = 0
    keep_other_annotations: Annotated[
        bool, says("Whether the chosen images keep the annotations of unwanted categories too.")
    ] = False
    images_from: Annotated[
        Text | None,
        says(
            "Another subset whose images (and split) this one takes as they are, so that one source is judged on "
            "another's images; `categories` then only says which annotations to keep."
        ),
    ] = None
    check_areas: Annotated[
        bool,
        says("Whether the subset's masks are drawn to compare their area with the one stated (reason area-mismatch)."),
    ] = True
    area_tolerance: Annotated[
        float,
        says(
            "How far a stated area may be from the drawn one, as a fraction of the latter (10 px² in any case), "
            "before it is a mismatch.",
            ge=0,
        ),
    ] = AREA_TOLERANCE
    lost_objects: Annotated[
        Literal["exclude", "void"],
        says(
            "What becomes of an image that holds a quarantined object of a wanted category, which would count as "
            "background: the image is left out, or the pixels of the object become void in the masks (exports of boxes "
            "and outlines then lack the object)."
        ),
    ] = "exclude"
    policy: Annotated[
        dict[str, Policy],
        says(
            "What to do with records that have a reason, by reason code; docs/annotations.md lists codes and defaults."
        ),
    ] = {}

    def __post_init__(self) -> None:
        # A list from here on: JSON with sorted keys, which settings and locks are, keeps no order of a mapping.
        msgspec.structs.force_setattr(self, "classes", tuple(self._listed()))

    def _listed(self) -> Iterator[NamedClass]:
        if isinstance(self.classes, tuple):
            yield from self.classes
            return
        for name, item in self.classes.items():
            yield NamedClass(name, item if isinstance(item, tuple) else (item,))

    @property
    def named_classes(self) -> tuple[NamedClass, ...]:
        """The classes in the order of their labels; none where `categories` says what is wanted."""
        return tuple(self._listed())

    @property
    def wanted(self) -> tuple[Category, ...]:
        """What it wants by name: the items of `categories`, or each class. Empty: all categories."""
        return self.categories or tuple(NamedCategory(name=one.name) for one in self._listed())

    @property
    def policies(self) -> dict[Reason, str]:
        """What becomes of records that have a reason, for every reason."""
        return policies(self.policy)

    def problems(self) -> Iterator[Problem]:
        """Keys that contradict each other, classes that cannot be, a policy that a reason cannot have."""
        yield from _problems_of_classes(self)
        yield from self._problems_of_sources()
        if self.images_from is not None:
            for key in _FORBIDDEN_WITH_IMAGES_FROM:
                if getattr(self, key) != getattr(_DEFAULT, key):
                    yield Problem(
                        "",
                        f"images_from takes the images of '{self.images_from}' as they are, but {key} would choose "
                        "among them",
                        f"remove {key}, or remove images_from",
                    )
        if self.caption is not None:
            import pyarrow as pa  # heavy, and few configs ask for captions
            import pyarrow.compute as pc

            try:
                pc.match_substring_regex(pa.array([""]), pattern=self.caption)
            except pa.ArrowInvalid as error:
                yield Problem(
                    "caption",
                    f"“{self.caption}” is no regular expression: {error}",
                    "write one that RE2 reads; a backslash before ( ) [ ] . * + ? takes them as they are",
                )
        yield from braces("include_images", self.include_images)
        yield from braces("exclude_images", self.exclude_images)
        yield from braces("labels_from", self.labels_from)
        try:
            policies(self.policy)
        except CocomineError as error:
            yield Problem("policy", error.message.removeprefix("policy: "), error.hint)

    def _problems_of_sources(self) -> Iterator[Problem]:
        """One source and several, one alone, or one twice."""
        if self.sources and self.source not in ("", merged_name(self.sources)):
            yield Problem("sources", "both source and sources", "keep one")
        if len(self.sources) == 1:
            yield Problem("sources", "one source alone", f"write source: {self.sources[0]}, or name another")
        yield from twice("sources", self.sources)


def _problems_of_classes(query: SubsetSettings) -> Iterator[Problem]:
    classes = query.named_classes
    if classes and query.categories:
        yield Problem(
            "classes", "the subset says what it wants by `categories` too", "remove categories: the classes are wanted"
        )
    yield from twice("classes", [one.name for one in classes])
    class_of: dict[Category, str] = {}
    for one in classes:
        for category in one.categories:
            other = class_of.setdefault(category, one.name)
            if other != one.name:
                yield Problem("classes", in_two_classes(category_words(category), other, one.name), ONE_OF_TWO)


ONE_OF_TWO = "take it out of one of the two"


def in_two_classes(category: str, first: str, second: str) -> str:
    """Return the words for a category that would become two classes."""
    return f"{category} stands in '{first}' and in '{second}'"


_FORBIDDEN_WITH_IMAGES_FROM = (
    "match", "exclude_categories", "instances", "instances_per_class", "image_width", "image_height", "image_aspect",
    "licenses", "caption", "include_images", "exclude_images", "fraction", "max_images", "max_per_class", "balance",
    "negatives",
)  # fmt: skip
_DEFAULT = SubsetSettings()
