"""Public data sets that need no writing down: their origins, files and published checksums, as rows of presets.json."""

import functools
from dataclasses import dataclass
from pathlib import Path

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json

TABLE = Path(__file__).with_name("presets.json")


@dataclass(frozen=True)
class PresetFile:
    """One annotation file of a preset: a member of a public zip.

    `member` is its name inside the zip at `url`; `inner` is set when the member is itself a zip (COCO's panoptic PNGs).
    `sha256`, `md5` (hex) and `bytes` are those published for the zip, empty or 0 where nothing is published.
    """

    task: str
    split: str
    member: str
    url: str
    sha256: str = ""
    md5: str = ""
    bytes: int = 0


@dataclass(frozen=True)
class Preset:
    """A public data set: where its images and its annotation files lie."""

    name: str
    description: str
    splits: tuple[str, ...]
    images: tuple[str, ...]
    files: tuple[PresetFile, ...]
    categories: tuple[str, ...] = ()

    def file(self, task: str, split: str) -> PresetFile | None:
        """Return the row of one task and split; `panoptic_pngs` is a task here."""
        return next((f for f in self.files if (f.task, f.split) == (task, split)), None)


@functools.cache
def presets() -> dict[str, Preset]:
    """Return the rows of presets.json by name."""
    table = read_json(TABLE)
    archives = table["archives"]
    result = {}
    for name, row in table["presets"].items():
        files = tuple(
            PresetFile(task, split, member, **archives[archive]) for task, split, archive, member in row["files"]
        )
        images = tuple(row["images"])
        categories = tuple(table["categories"].get(row.get("categories"), ()))
        result[name] = Preset(name, row["description"], tuple(row["splits"]), images, files, categories)
    return result


def preset(name: str) -> Preset:
    """Return the preset called `name`. Raises CocomineError with the known names when there is none."""
    known = presets()
    if name not in known:
        raise CocomineError(f"preset: unknown name {name!r}", f"choose from {', '.join(sorted(known))}")
    return known[name]
