"""What predictions of any kind are judged on: the images of a subset's split, and its annotations of a task."""

from dataclasses import dataclass
from pathlib import Path

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_table
from cocomine.splits.names import in_order, judged


@dataclass(frozen=True)
class Split:
    """The images of a subset's split, in ascending image id."""

    image_ids: tuple[int, ...]
    file_names: tuple[str, ...]
    name: str = "all"


def read_split(subset_dir: Path, asked: str | None) -> Split:
    """Read which images belong to the split asked for ("all" for every one; None for test, or val where there is none).

    Raises CocomineError when there are none.
    """
    path = subset_dir / "split.tsv"
    try:
        every = list(read_table(path))
    except FileNotFoundError as error:
        raise CocomineError(f"{path}: no such file", _subsets_beside(subset_dir)) from error
    names = in_order(row["split"] for row in every)
    split = judged(asked, names)
    rows = [row for row in every if split in ("all", row["split"])]
    if not rows:
        hint = f"its splits: {', '.join(names)}; all for every image"
        raise CocomineError(f"{path}: no image in split {split!r}", hint)
    rows.sort(key=lambda row: int(row["image_id"]))
    return Split(tuple(int(row["image_id"]) for row in rows), tuple(row["file_name"] for row in rows), split)


def training_images(subset_dir: Path, judged: Split) -> Split:
    """Return the images of `train` that are not judged."""
    own = set(judged.image_ids)
    rows = [row for row in read_table(subset_dir / "split.tsv") if row["split"] == "train"]
    others = [(int(row["image_id"]), row["file_name"]) for row in rows if int(row["image_id"]) not in own]
    return Split(tuple(image for image, _ in others), tuple(name for _, name in others), "train")


def _subsets_beside(folder: Path) -> str:
    """Return the remedy for a folder that is no split subset: those that lie beside it."""
    found = sorted(path.parent.name for path in folder.absolute().parent.glob("*/split.tsv"))
    if not found:
        return "build the subset first, up to its split"
    return f"give the folder of a subset that has been split; beside it there are: {', '.join(found)}"
