"""The index of every annotation file of the real slice."""

from pathlib import Path

from cocomine.annotations.build import build_index
from cocomine.annotations.layout import TASKS

from helpers.shared import coco_mini


def index_coco_mini(folder: Path) -> Path:
    """Index the slice into `folder` and return it; skips the test where the slice is absent."""
    annotations = coco_mini() / "annotations"
    for task in TASKS:
        for file in sorted(annotations.glob(f"{task}_*.json")):
            split = file.stem.removeprefix(f"{task}_")
            build_index(file, task, split, folder / f"{task}_{split}")
    return folder
