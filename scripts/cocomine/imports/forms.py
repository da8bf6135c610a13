"""Which form the labels of a folder have."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from cocomine.base.errors import CocomineError
from cocomine.base.yaml_file import read_yaml
from cocomine.imports.boxes_csv import is_header
from cocomine.imports.files import FileProblem, Files
from cocomine.imports.yolo import CLASS_LISTS

Form = Literal["yolo", "voc", "labelme", "csv"]

LOOKED_AT = 20
"""Files of an ending of which one must be of the form."""


def form_of(root: Path) -> Form | None:
    """Return the form of the labels in a folder as `format` names it; None for COCO's, and for any that is not read."""
    files = Files(root)
    if _has_names(root) or not set(files.all).isdisjoint(CLASS_LISTS):
        return "yolo"
    if any(b"<annotation" in head for head in _first(files, ".xml")):
        return "voc"
    if any(b'"shapes"' in head and b'"imagePath"' in head for head in _first(files, ".json")):
        return "labelme"
    tables = (head.decode("utf-8-sig", "replace").partition("\n")[0] for head in _first(files, ".csv"))
    return "csv" if any(map(is_header, tables)) else None


def _first(files: Files, ending: str) -> Iterator[bytes]:
    """Yield the first files of an ending."""
    for path in [path for path in files.all if path.lower().endswith(ending)][:LOOKED_AT]:
        with suppress(FileProblem):
            yield files.content(path)


def _has_names(root: Path) -> bool:
    """Tell whether a YAML file names classes, as YOLO's data.yaml does."""
    for path in sorted([*root.glob("*.yaml"), *root.glob("*.yml")]):
        try:
            content = read_yaml(path) if path.is_file() else None
        except CocomineError:
            continue
        if isinstance(content, dict) and "names" in content:
            return True
    return False
