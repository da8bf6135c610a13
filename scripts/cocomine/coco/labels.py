"""The label table of a subset, `labels.json`: which label stands for which category, in name and colour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json
from cocomine.coco.tasks import void_of

AGAIN = "delete it and run snakemake again: assemble_subset writes it"


@dataclass(frozen=True)
class Labels:
    """Label i is called `names[i]` and drawn in `colors[i]` (RGB); label 0 is the background.

    `category_ids[i]` is the category that label i stands for, None for the background. `category_to_label` is the way
    back, by category id; `source_to_label` the one by the ids of the source's categories, of which a label may have
    several. `stuff` are the ids of the categories that have regions and no objects, where masks need them.
    """

    names: tuple[str, ...]
    category_ids: tuple[int | None, ...]
    colors: tuple[tuple[int, int, int], ...]
    supercategories: tuple[str, ...] = ()
    category_to_label: Mapping[int, int] = field(default_factory=dict)
    source_to_label: Mapping[int, int] = field(default_factory=dict)
    stuff: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.names)

    def rows(self) -> list[dict[str, Any]]:
        """Return the table as plain JSON values, as training.json keeps it."""
        return [
            {"label": i, "name": name, "category_id": category, "color": list(color)}
            for i, (name, category, color) in enumerate(zip(self.names, self.category_ids, self.colors, strict=True))
        ]

    @property
    def void(self) -> int:
        """The mask value of void: 255, or 65535 where there are more than 254 classes."""
        return void_of(len(self) - 1)

    def palette(self) -> bytes:
        """Return an RGB triple for each mask value: its label's colour, black if it has none, near-white for void."""
        colors = list(self.colors) + [(0, 0, 0)] * (self.void + 1 - len(self.colors))
        colors[self.void] = (224, 224, 224)
        return bytes(channel for color in colors for channel in color)


def read_labels(path: Path) -> Labels:
    """Read labels.json. Raises CocomineError when it is absent, or its labels are not 0, 1, 2, … with known maps."""
    try:
        document = read_json(path)
    except FileNotFoundError as error:
        raise CocomineError(f"{path}: no such file", "run assemble_subset first") from error
    try:
        labels = labels_of(document["labels"], document.get("category_to_label"))
        given = document.get("source_to_label", labels.category_to_label)
        return replace(labels, source_to_label={int(category): int(label) for category, label in given.items()})
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise CocomineError(f"{path}: not a table of labels: {type(error).__name__}: {error}", AGAIN) from error
    except CocomineError as error:
        raise CocomineError(f"{path}: {error.message}", error.hint) from error


def labels_of(rows: Sequence[Mapping[str, Any]], category_to_label: Mapping[Any, Any] | None = None) -> Labels:
    """Make a label table from the rows of labels.json or of training.json.

    Raises CocomineError when the labels are not 0, 1, 2, …, a colour is none, or a category has a label that is not in
    the table; KeyError, TypeError or ValueError for rows of another shape.
    """
    rows = sorted(rows, key=lambda row: int(row["label"]))
    numbers = [int(row["label"]) for row in rows]
    if numbers != list(range(len(numbers))) or not numbers:
        raise CocomineError(f"labels must run 0, 1, 2, …, got {numbers[:8]}", AGAIN)
    colors = tuple((int(c[0]), int(c[1]), int(c[2])) for c in (row.get("color") or (128, 128, 128) for row in rows))
    if not all(0 <= channel <= 255 for color in colors for channel in color):
        raise CocomineError("a colour is outside 0..255", AGAIN)
    categories = tuple(None if row.get("category_id") is None else int(row["category_id"]) for row in rows)
    if category_to_label is None:
        category_to_label = {category: label for label, category in enumerate(categories) if category is not None}
    to_label = {int(category): int(label) for category, label in category_to_label.items()}
    for category, label in to_label.items():
        if not 0 < label < len(numbers):
            raise CocomineError(f"category {category} has the unknown label {label}", AGAIN)
    return Labels(
        names=tuple(str(row["name"]) for row in rows),
        category_ids=categories,
        colors=colors,
        supercategories=tuple(str(row.get("supercategory") or "") for row in rows),
        category_to_label=to_label,
    )
