"""The `stores` and `sources` sections of the config, checked and typed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from cocomine.base.errors import CocomineError
from cocomine.coco.tasks import TASKS
from cocomine.sources.presets import preset
from cocomine.transfer.settings import OriginSettings, known_keys

USES = ("in-place", "hardlink", "copy")


@dataclass(frozen=True)
class StoreSettings:
    """Where the images of a store come from: an ordered list of origins, or a folder on disk."""

    origins: tuple[OriginSettings, ...] = ()
    folder: str = ""
    use: str = "in-place"
    preset: str = ""

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Check and type the `store` section. Raises CocomineError naming the key that is wrong."""
        values = known_keys(cls, mapping, "store")
        result = cls(**_places(values, "store"))
        if result.preset and not result.origins and not result.folder:
            result = cls(
                tuple(OriginSettings.from_value(url, "preset") for url in preset(result.preset).images),
                "",
                result.use,
                result.preset,
            )
        if not result.origins and not result.folder:
            raise CocomineError(
                "store: neither origins nor folder",
                "write origins: [gs://bucket/prefix], or folder: /path/of/coco with use: in-place, or preset: coco2017",
            )
        return result


@dataclass(frozen=True)
class SourceSettings:
    """Where annotation files come from and which are wanted.

    `files` overrides the official naming: {split: {task: path in the origin, panoptic_pngs: folder or zip}}.
    """

    store: str = ""
    origins: tuple[OriginSettings, ...] = ()
    folder: str = ""
    use: str = "in-place"
    preset: str = ""
    splits: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ("instances",)
    files: dict[str, dict[str, str]] = field(default_factory=dict)
    synthetic: dict[str, Any] = field(default_factory=dict)

    @property
    def annotation_files(self) -> tuple[tuple[str, str], ...]:
        """The files that are wanted, as (task, split): every task of every split, and what `files` names besides."""
        named = ((task, split) for split, tasks in self.files.items() for task in tasks if task in TASKS)
        everywhere = ((task, split) for split in self.splits for task in self.tasks)
        return tuple(dict.fromkeys([*everywhere, *named]))

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Check and type the `source` section. Raises CocomineError naming the key that is wrong."""
        values = _places(known_keys(cls, mapping, "source"), "source")
        for key in ("splits", "tasks"):
            if key in values:
                values[key] = _texts(values[key], f"source.{key}")
        for task in values.get("tasks", ()):
            if task not in TASKS:
                raise CocomineError(f"source.tasks: unknown task {task!r}", f"choose from {', '.join(TASKS)}")
        values["files"] = _files(values.get("files", {}))
        if values.get("preset") and not values.get("splits"):
            values["splits"] = preset(values["preset"]).splits
        result = cls(**values)
        if not result.splits:
            result = cls(**{**values, "splits": tuple(result.files)})
        if not result.splits:
            raise CocomineError("source.splits: missing", "name them, for example splits: [train2017, val2017]")
        if not (result.origins or result.folder or result.preset):
            raise CocomineError(
                "source: neither origins nor folder nor preset",
                "write origins: [gs://bucket/prefix], folder: /path/of/coco, or preset: coco2017",
            )
        return result


def _places(values: dict[str, Any], where: str) -> dict[str, Any]:
    if "origins" in values:
        origins = values["origins"]
        if not isinstance(origins, list | tuple):
            raise CocomineError(f"{where}.origins: {origins!r} is not a list", "write origins: [gs://bucket/prefix]")
        values["origins"] = tuple(
            OriginSettings.from_value(value, f"{where}.origins[{number}]") for number, value in enumerate(origins)
        )
    for key in ("folder", "use", "preset", "store"):
        if key in values and not isinstance(values[key], str):
            raise CocomineError(f"{where}.{key}: {values[key]!r} is not text", "put it in quotation marks")
    if values.get("use", "in-place") not in USES:
        raise CocomineError(f"{where}.use: {values['use']!r}", f"choose from {', '.join(USES)}")
    if values.get("folder") and values.get("origins"):
        raise CocomineError(f"{where}: both folder and origins", "keep one; a folder may stand in origins too")
    if values.get("preset"):
        preset(values["preset"])
    return values


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise CocomineError(f"{where}: {value!r} is not a list of names", "for example [train2017, val2017]")
    return tuple(value)


def _files(value: Any) -> dict[str, dict[str, str]]:
    if not isinstance(value, Mapping):
        raise CocomineError(
            f"source.files: {value!r} is not a mapping", "{train2017: {instances: path/in/origin.json}}"
        )
    known = (*TASKS, "panoptic_pngs")
    for split, tasks in value.items():
        if not isinstance(tasks, Mapping):
            raise CocomineError(f"source.files.{split}: {tasks!r} is not a mapping", "{instances: path/in/origin.json}")
        for task, path in tasks.items():
            if task not in known:
                raise CocomineError(f"source.files.{split}.{task}: unknown task", f"choose from {', '.join(known)}")
            if not isinstance(path, str):
                raise CocomineError(f"source.files.{split}.{task}: {path!r} is not text", "give the path in the origin")
    return {str(split): dict(tasks) for split, tasks in value.items()}
