"""The worst and the best images: photograph, truth and prediction side by side."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from cocomine.base.files import atomic_path
from cocomine.learning.data import VOID, Bytes, Labels

WIDTH = 256  # of one of the three panels, in pixels
GREY = (120, 120, 120)


def painted(image: Bytes, mask: Bytes, labels: Labels) -> Bytes:
    """Return the image (h, w, 3) with its labels' colours laid over it; void is grey."""
    palette = np.zeros((256, 3), np.float32)
    palette[: len(labels)] = labels.colours
    palette[VOID] = GREY
    cover = (mask != 0)[..., None] * np.float32(0.6)
    result: Bytes = (image * (1 - cover) + palette[mask] * cover).astype(np.uint8)
    return result


def write_panel(path: Path, image: Bytes, truth: Bytes, predicted: Bytes, labels: Labels, caption: str) -> None:
    """Write a PNG of the three panels with a line of text under them."""
    height = round(image.shape[0] * WIDTH / image.shape[1])
    sheet = Image.new("RGB", (3 * WIDTH + 16, height + 18), "white")
    panels = (image, painted(image, truth, labels), painted(image, predicted, labels))
    for number, panel in enumerate(panels):
        picture = Image.fromarray(panel).resize((WIDTH, height), Image.Resampling.BILINEAR)
        sheet.paste(picture, (number * (WIDTH + 8), 0))
    ImageDraw.Draw(sheet).text((2, height + 3), caption, fill="black")
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")
