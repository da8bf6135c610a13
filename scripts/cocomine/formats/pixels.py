"""Label PNGs, read by value and written without a palette."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from cocomine.base.commands import commands
from cocomine.base.errors import CocomineError
from cocomine.images.opening import ImageError, opened, read_file
from cocomine.masks import png

Values = npt.NDArray[np.unsignedinteger]


def read_values(path: Path) -> Values:
    """Return the h × w values of a mask that cocomine drew: labels of a palette PNG, numbers of a grey one.

    Raises CocomineError when the mask is missing or no PNG.
    """
    try:
        with opened(read_file(path)) as picture:
            values = np.asarray(picture)
    except (ImageError, OSError) as error:
        again = commands().again("rasterize_masks")
        raise CocomineError(f"{path}: {error}", f"make it again with: {again}") from error
    return values.astype(np.uint16 if values.dtype != np.uint8 else np.uint8)


def grey_png(values: Values) -> bytes:
    """Return the PNG of values up to 255 (uint8) or 65535 (uint16) in greyscale."""
    size = values.dtype.itemsize
    return png.encode(png.filter_rows(values, size), values.shape[1], values.shape[0], png.GREY, 8 * size)


def palette_png(values: Values, palette: bytes) -> bytes:
    """Return the PNG of 8-bit indices whose `palette` holds RGB triples."""
    return png.encode(png.filter_rows(values, 1), values.shape[1], values.shape[0], png.PALETTE, 8, palette)
