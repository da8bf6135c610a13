"""Importing a folder of labels in a test, and reading what came of it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cocomine.base.files import read_table
from cocomine.imports.load import import_labels
from cocomine.sources.settings import SourceSettings


@dataclass
class Imported:
    """What an import wrote: its documents by file name, its counts, and what was set aside and repaired."""

    out: Path

    def document(self, name: str = "instances_all.json") -> dict[str, Any]:
        """A COCO document that was written."""
        return json.loads((self.out / "annotations" / name).read_text())

    def objects(self, name: str = "instances_all.json") -> dict[str, list[dict[str, Any]]]:
        """The objects that are not lost, by the path of their image."""
        document = self.document(name)
        found: dict[str, list[dict[str, Any]]] = {image["file_name"]: [] for image in document["images"]}
        names = {image["id"]: image["file_name"] for image in document["images"]}
        for item in document["annotations"]:
            if "lost_at_import" not in item:
                found[names[item["image_id"]]].append(item)
        return found

    @property
    def manifest(self) -> dict[str, Any]:
        """The counts."""
        return json.loads((self.out / "import.json").read_text())

    @property
    def set_aside(self) -> list[tuple[str, str, str, str]]:
        """Kind, file, place and reason of all that was set aside."""
        rows = read_table(self.out / "quarantine.tsv")
        return [(row["kind"], row["file"], row["place"], row["reason"]) for row in rows]

    @property
    def repaired(self) -> list[tuple[str, str, str]]:
        """File, place and reason of all that was repaired."""
        return [(row["file"], row["place"], row["reason"]) for row in read_table(self.out / "repairs.tsv")]

    def labels(self) -> tuple[int, int, int, int]:
        """How many labels went in, were kept, repaired and quarantined."""
        row = self.manifest["counts"]["labels"]
        return row["in"], row["kept"], sum(row["repaired"].values()), sum(row["quarantined"].values())


def imported(folder: Path, form: str, out: Path | None = None, **settings: Any) -> Imported:
    """Import a folder and return what was written, beside it."""
    out = out or folder.parent / f"imported-{folder.name}"
    import_labels(SourceSettings.from_mapping({"format": form, "folder": str(folder), **settings}), out)
    return Imported(out)
