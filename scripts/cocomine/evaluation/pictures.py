"""The worst and the best images: image, truth and prediction side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from cocomine.base.arrays import Bytes
from cocomine.base.files import atomic_path, read_table
from cocomine.coco.labels import Labels
from cocomine.coco.tasks import VOID
from cocomine.images.opening import ImageError, read_locked, rgb_of
from cocomine.sources.selection import locked_images

WIDTH = 256  # of one of the three panels, in pixels
GREY = (120, 120, 120)


def extremes(errors: npt.NDArray[np.float64], shown: npt.NDArray[np.bool_], number: int) -> list[tuple[str, int]]:
    """Return the stems of the pictures to draw and the image of each: worst_1, …, best_1, …, at most `number` of both.

    `errors` and `shown` (i,): only images that show a class are chosen, and none twice.
    """
    images = np.flatnonzero(shown)
    order = images[np.argsort(-errors[images], kind="stable")].tolist()
    number = min(number, len(order) // 2)
    some = (("worst", order[:number]), ("best", order[::-1][:number]))
    return [(f"{kind}_{place}", i) for kind, part in some for place, i in enumerate(part, 1)]


def original(subset_dir: Path, store_dir: Path | None, image_id: int) -> Bytes | None:
    """Return an image of a subset from the image store as (h, w, 3), None where it is not to be had.

    Raises CocomineError when it is not as the subset's images.lock.tsv has it.
    """
    if store_dir is None or not (subset_dir / "images.tsv").exists():
        return None
    rows = read_table(subset_dir / "images.tsv")
    row = next((row for row in rows if row["image_id"] == str(image_id)), None)
    if row is None:
        return None
    name = row["store_path"]
    sha256 = locked_images(subset_dir / "images.lock.tsv", [name])[name]
    try:
        return np.asarray(rgb_of(read_locked(store_dir, name, sha256), (int(row["width"]), int(row["height"]))))
    except ImageError:
        return None


def painted(image: Bytes, mask: Bytes, colours: Sequence[tuple[int, ...]]) -> Bytes:
    """Return the image (h, w, 3) with the colours of its labels, from 0 on, laid over it; void is grey."""
    palette = np.zeros((256, 3), np.float32)
    palette[: len(colours)] = colours
    palette[VOID] = GREY
    cover = (mask != 0)[..., None] * np.float32(0.6)
    result: Bytes = (image * (1 - cover) + palette[mask] * cover).astype(np.uint8)
    return result


def write_panel(path: Path, image: Bytes, truth: Bytes, predicted: Bytes, labels: Labels, caption: str) -> None:
    """Write a PNG of the three panels with a line of text under them."""
    height = round(image.shape[0] * WIDTH / image.shape[1])
    sheet = Image.new("RGB", (3 * WIDTH + 16, height + 18), "white")
    panels = (image, painted(image, truth, labels.colors), painted(image, predicted, labels.colors))
    for number, panel in enumerate(panels):
        picture = Image.fromarray(panel).resize((WIDTH, height), Image.Resampling.BILINEAR)
        sheet.paste(picture, (number * (WIDTH + 8), 0))
    ImageDraw.Draw(sheet).text((2, height + 3), caption, fill="black")
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")
