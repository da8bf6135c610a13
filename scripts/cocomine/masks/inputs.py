"""What masks and tensors are made from: the subset's list of images and its table of labels."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_table
from cocomine.coco.names import leaves_its_folder, mask_name

MOST_CLASSES = 254


@dataclasses.dataclass(frozen=True)
class ImageRow:
    """One image of the subset, as `images.tsv` lists it; width and height in pixels, as decoded and unrotated.

    `sha256` is that of the locked file where a stage reads it again and holds it to the lock.
    """

    image_id: int
    file_name: str
    store_path: str
    width: int
    height: int
    sha256: str = ""
    source_split: str = ""

    @property
    def mask(self) -> str:
        """The path of its mask below the folder of each kind."""
        return mask_name(self.file_name)


def read_images(path: Path) -> list[ImageRow]:
    """Read `images.tsv` in ascending order of image id.

    Raises CocomineError when the file is absent or broken, or when two images would share one mask file.
    """
    try:
        rows = sorted((_image_row(row) for row in read_table(path)), key=lambda row: row.image_id)
    except FileNotFoundError as error:
        raise CocomineError(f"{path}: no such file", "run the step that assembles the subset first") from error
    except (KeyError, ValueError) as error:
        raise CocomineError(f"{path}: not a table of images: {error}", "delete it and run snakemake again") from error
    check_stems(rows)
    return rows


def _image_row(row: dict[str, str]) -> ImageRow:
    size = int(row["width"]), int(row["height"])
    split = row.get("source_split", "")
    return ImageRow(int(row["image_id"]), row["file_name"], row["store_path"], *size, source_split=split)


def check_stems(rows: Iterable[ImageRow]) -> None:
    """Raise CocomineError when two images have the same id or the same file name up to its ending, or one leads out."""
    seen_ids: set[int] = set()
    seen: dict[str, ImageRow] = {}
    for row in rows:
        if row.image_id in seen_ids:
            raise CocomineError(f"image id {row.image_id} is there twice", "give every image an id of its own")
        seen_ids.add(row.image_id)
        if leaves_its_folder(row.file_name):
            hint = "images.tsv is not what assemble_subset writes: run it again"
            raise CocomineError(f"image {row.image_id}: {row.file_name!r} leads out of its folder", hint)
        other = seen.setdefault(row.mask, row)
        if other is not row:
            raise CocomineError(
                f"{other.file_name} (image {other.image_id}) and {row.file_name} (image {row.image_id}) would share "
                f"the mask {row.mask}",
                "mine them into two subsets, or rename one of them at the source",
            )
