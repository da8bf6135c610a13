"""The `stores` and `sources` sections of the config."""

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Final, Literal

import msgspec

from cocomine.base.errors import CocomineError
from cocomine.base.settings import FileNamePart, Problem, Section, Text, says
from cocomine.coco.tasks import TASKS
from cocomine.sources.presets import preset
from cocomine.synthetic.settings import SyntheticSettings
from cocomine.transfer.settings import OriginSettings

Task = Literal["instances", "captions", "person_keypoints", "panoptic", "stuff"]
ONLY_SPLIT = "all"
"""The split of a source whose `annotations` is one file."""

NO_PLACE = "neither origins nor folder nor preset"
FORMS = {
    "coco": "COCO JSON",
    "yolo": "YOLO's text files and data.yaml",
    "voc": "Pascal VOC's XML files",
    "labelme": "LabelMe's JSON files",
    "csv": "CSV files of boxes",
}
"""The forms of labels that a source can have."""
IMPORTED_TASKS: dict[str, tuple[Task, ...]] = {
    "yolo": ("instances", "person_keypoints"),
    "voc": ("instances",),
    "labelme": ("instances",),
    "csv": ("instances",),
}
IMPORTED = "it is read from a folder: keep folder, use, follow_links, splits and tasks"

MERGED: Final = "+"


def merged_name(sources: Sequence[str]) -> str:
    """Return what the source is called that several are merged into: no name in the config holds a plus."""
    return MERGED.join(sources)


PLACE = "write origins: [gs://bucket/prefix], folder: /path/of/coco, or preset: coco2017"


class _Places(Section, frozen=True):
    PLACES: ClassVar[frozenset[str]] = frozenset(
        {"origins", "folder", "use", "images", "annotations", "files", "follow_links"}
    )

    stated_origins: Annotated[
        tuple[Text | OriginSettings, ...],
        says(
            "Places asked in turn for each file, an URL or a mapping of URL and options each: a file that the first "
            "lacks or refuses is asked of the next. A source without any takes those of its store."
        ),
    ] = msgspec.field(default=(), name="origins")
    folder: Annotated[
        str,
        says(
            "Instead of origins: a folder that holds COCO ({split}/ or images/{split}/, "
            "annotations/{task}_{split}.json), "
            "absolute or relative to the working directory."
        ),
    ] = ""
    use: Annotated[
        Literal["in-place", "hardlink", "copy"],
        says(
            "How a folder's files are used: in place (nothing is written there, no byte copied), hard-linked, "
            "or copied."
        ),
    ] = "in-place"
    preset: Annotated[
        str,
        says(
            "A public data set whose places are known: coco2017, coco2014, sama-coco, lvis-v1 or coco-rem; origins or "
            "folder take precedence."
        ),
    ] = ""

    follow_links: Annotated[
        bool,
        says(
            "Whether links are followed that lead out of the folder. In somebody else's folder a link may name any "
            "file of this machine, so by default its image is set aside, and an annotation file refused."
        ),
    ] = False

    @property
    def is_local(self) -> bool:
        """Whether the files lie in folders of this machine that are named as such."""
        return not (self.stated_origins or self.preset)

    @property
    def origins(self) -> tuple[OriginSettings, ...]:
        """The places asked in turn."""
        stated = self.stated_origins
        return tuple(OriginSettings(origin) if isinstance(origin, str) else origin for origin in stated)

    def problems(self) -> Iterator[Problem]:
        """Two places at once, an unknown preset, or an URL that nothing here speaks."""
        if self.folder and self.stated_origins:
            yield Problem("", "both folder and origins", "keep one; a folder may stand in origins too")
        if self.preset:
            try:
                preset(self.preset)
            except CocomineError as error:
                yield Problem("preset", error.message.removeprefix("preset: "), error.hint)
        for number, origin in enumerate(self.stated_origins):
            if isinstance(origin, str):
                for problem in OriginSettings(origin).problems():
                    yield problem._replace(key=f"origins[{number}]")


class StoreSettings(_Places, frozen=True):
    """Where the images of a store come from: an ordered list of origins, COCO on disk, or a preset."""

    SECTION: ClassVar[str] = "store"

    images: Annotated[
        dict[FileNamePart, Text],
        says(
            "Where the images of a split lie when not in {split}/ or images/{split}/: {train: images, val: images}. "
            "From the folder or origin, or from the working directory. A source's own `images` says the same."
        ),
    ] = msgspec.field(default={})

    @property
    def is_local(self) -> bool:
        """Whether the images lie in folders of this machine that are named as such."""
        return bool(self.folder) or (bool(self.images) and super().is_local)

    @property
    def in_place(self) -> bool:
        """Whether the images stay where they lie, in folders that are somebody else's."""
        return self.is_local and self.use == "in-place"

    @property
    def origins(self) -> tuple[OriginSettings, ...]:
        """The places asked in turn for each image; the preset's where no other place is given."""
        if self.preset and not self.stated_origins and not self.folder:
            return tuple(map(OriginSettings, preset(self.preset).images))
        return super().origins

    def problems(self) -> Iterator[Problem]:
        """No place at all, or two."""
        yield from super().problems()
        if not (self.stated_origins or self.folder or self.preset or self.images):
            yield Problem("", NO_PLACE, PLACE)


class FilesOfSplit(Section, frozen=True, omit_defaults=True):
    """Where the files of a split lie in the origin."""

    instances: Annotated[str | None, says("Path of the instances file in the origin.")] = None
    captions: Annotated[str | None, says("Path of the captions file in the origin.")] = None
    person_keypoints: Annotated[str | None, says("Path of the person keypoints file in the origin.")] = None
    panoptic: Annotated[str | None, says("Path of the panoptic file in the origin.")] = None
    stuff: Annotated[str | None, says("Path of the stuff file in the origin.")] = None
    panoptic_pngs: Annotated[str | None, says("Folder or zip of the panoptic PNGs in the origin.")] = None


class SourceSettings(_Places, frozen=True):
    """Where annotation files come from, which of them are wanted, and the store of their images."""

    SECTION: ClassVar[str] = "source"

    store: Annotated[
        str,
        says("The store that holds the images (default: the only store, or the store of the source's own name)."),
    ] = ""
    format: Annotated[
        Literal["coco", "yolo", "voc", "labelme", "csv"],
        says(
            "The form of the labels in `folder`: coco, or one that is imported: yolo (data.yaml; boxes, outlines and "
            "keypoints), voc (Pascal VOC), labelme, csv (a row a box). docs/own-data.md says where each has its files. "
            "The images are used where they lie. Without `splits` all are one, called `all`."
        ),
    ] = "coco"
    stated_splits: Annotated[
        tuple[FileNamePart, ...],
        says(
            "Splits wanted, as the files are named: train2017, val2017 (default: those of the preset, or those "
            "in files)."
        ),
    ] = msgspec.field(default=(), name="splits")
    tasks: Annotated[tuple[Task, ...], says("Tasks wanted; panoptic brings the PNGs too.")] = ("instances",)
    files_of: Annotated[
        dict[FileNamePart, FilesOfSplit],
        says(
            "Where files lie in the origin when not under the official names, {split: {task: path}}, and files "
            "that only "
            "some splits have; panoptic_pngs names the folder or zip of the PNGs."
        ),
    ] = msgspec.field(default={}, name="files")
    annotations: Annotated[
        str | dict[FileNamePart, str | FilesOfSplit],
        says(
            "The annotation files in short: one file, which becomes the split `all`, or a file for each split, "
            "{train: train.json, val: val.json}, of the first of `tasks`; "
            "{train: {instances: a.json, captions: b.json}} names several. From the folder or origin, or from the "
            "working directory."
        ),
    ] = ""
    images: Annotated[
        str | dict[FileNamePart, Text],
        says(
            "Where the images lie: one folder for all splits, or a folder for each, {train: images, val: images}; from "
            "the store's folder or origin, or from the working directory. Below it an image is found by its file_name, "
            "or by the longest end of that which one file alone has. With `annotations` the source needs no store."
        ),
    ] = ""
    synthetic: Annotated[
        SyntheticSettings | None,
        says("A demo source: a bucket of COCO's shape that is drawn from a seed; it takes no other key."),
    ] = None

    @property
    def imported(self) -> bool:
        """Whether its labels are of another form than COCO's, and are imported."""
        return self.format != "coco"

    @property
    def files(self) -> dict[str, dict[str, str]]:
        """Where files lie in the origin, {split: {task: path, panoptic_pngs: folder or zip}}, if not as usual."""
        result = {split: files.as_mapping() for split, files in self.files_of.items()}
        for split, stated in self._stated_annotations.items():
            files: dict[str, str] = {self.tasks[0]: stated} if isinstance(stated, str) else stated.as_mapping()
            result[split] = {**result.get(split, {}), **files}
        return result

    @property
    def _stated_annotations(self) -> dict[str, str | FilesOfSplit]:
        if isinstance(self.annotations, str):
            return {ONLY_SPLIT: self.annotations} if self.annotations else {}
        return self.annotations

    @property
    def images_of(self) -> dict[str, str]:
        """Where the images of each split lie, if not as usual."""
        if isinstance(self.images, str):
            return dict.fromkeys(self.splits, self.images) if self.images else {}
        return self.images

    @property
    def in_place(self) -> bool:
        """Whether the annotation files stay where they lie."""
        return self.is_local and self.use == "in-place"

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits wanted."""
        named = dict.fromkeys([*self.files_of, *self._stated_annotations, *([ONLY_SPLIT] if self.imported else [])])
        return self.stated_splits or (preset(self.preset).splits if self.preset else tuple(named))

    @property
    def annotation_files(self) -> tuple[tuple[str, str], ...]:
        """The files that are wanted, as (task, split): every task of every split, and what `files` names besides."""
        named = ((task, split) for split, tasks in self.files.items() for task in tasks if task in TASKS)
        spoken_for = self._stated_annotations
        everywhere = ((task, split) for split in self.splits for task in self.tasks if split not in spoken_for)
        return tuple(dict.fromkeys([*everywhere, *named]))

    def problems(self) -> Iterator[Problem]:
        """No place, no split, or keys beside `synthetic`."""
        if self.synthetic is not None:
            others = sorted(key for key in self.as_mapping() if self.as_mapping()[key] != _PLAIN[key])
            for key in others:
                if key != "synthetic":
                    yield Problem(key, "a synthetic source takes no other key", "keep `synthetic` alone")
            return
        yield from super().problems()
        if self.imported:
            yield from self._problems_of_import()
            return
        if not (self.preset or self.splits):
            yield Problem("splits", "missing", "name them, for example splits: [train2017, val2017]")
        if not (self.stated_origins or self.folder or self.preset or self.annotations):
            yield Problem("", f"{NO_PLACE}, and no annotations", f"{PLACE}, or annotations: my.json, images: my/images")
        if isinstance(self.annotations, dict) and not self.tasks:
            yield Problem("tasks", "no task", "leave it out, or name one")
        for split in self.images if isinstance(self.images, dict) else ():
            if split not in self.splits:
                yield Problem(f"images.{split}", "no such split", f"the splits are {', '.join(self.splits)}")

    def _problems_of_import(self) -> Iterator[Problem]:
        if not self.folder:
            yield Problem("folder", "missing", f"name the folder that holds {FORMS[self.format]} and the images")
        given = self.as_mapping()
        for key in ("origins", "preset", "files", "annotations", "images"):
            if given[key] != _PLAIN[key]:
                yield Problem(key, f"a source of the format {self.format} does not take it", IMPORTED)
        for task in self.tasks:
            if task not in IMPORTED_TASKS[self.format]:
                yield Problem(
                    "tasks", f"{self.format} has no {task}", f"it has {', '.join(IMPORTED_TASKS[self.format])}"
                )
        if not self.tasks:
            yield Problem("tasks", "no task", "leave it out, or name one")


_PLAIN = SourceSettings().as_mapping()
