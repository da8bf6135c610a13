"""The names of splits: their order, where their files lie, and which of them a model is judged on."""

from collections.abc import Iterable
from pathlib import Path

USUAL = ("train", "val", "test")
FOLDER = "splits"


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return distinct names of splits: train, val and test first, then the others by name."""
    given = set(names)
    return (*(name for name in USUAL if name in given), *sorted(given.difference(USUAL)))


def split_document(subset_dir: Path, split: str, task: str = "instances") -> Path:
    """Return where a split's records of a task lie in a subset's folder, named as COCO names its files."""
    return subset_dir / FOLDER / f"{task}_{split}.json"


def judged(asked: str | None, splits: Iterable[str]) -> str:
    """Return the split to judge a model on: the one asked for, or else test where there is one, and val."""
    return asked or ("test" if "test" in splits else "val")
