"""Which form the labels of a folder have."""

from pathlib import Path
from typing import Literal

from cocomine.base.errors import CocomineError
from cocomine.base.yaml_file import read_yaml

Form = Literal["yolo"]


def form_of(root: Path) -> Form | None:
    """Return the form of the labels in a folder as `format` names it; None for COCO's, and for any that is not read."""
    return "yolo" if _has_names(root) else None


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
