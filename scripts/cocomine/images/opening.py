"""Opening an image file and turning it into 8-bit RGB or luma: the one place of the house that decodes images.

What becomes of each of Pillow's modes stands in docs/images.md; none is clipped. Formats are an explicit list, since
Pillow starts other programs for some (Ghostscript for EPS). Images are as stored, since COCO's annotations are those of
the stored pixels. Only where a record's width and height fit the image as its EXIF orientation shows it, and not as it
is stored, is it turned.
"""

import contextlib
import hashlib
import os
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, UnidentifiedImageError

from cocomine.base.regular import NotRegularError, changed_between, open_regular, why_not
from cocomine.coco.orientation import SWAPPING, fits_turned

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's names of the formats that are read, whatever a file's ending says."""

MISSING, UNREADABLE, TOO_LARGE = "image-missing", "image-unreadable", "image-too-large"
UNDECODABLE, TRUNCATED, DEPTH_UNKNOWN = "image-undecodable", "image-truncated", "image-depth-unknown"
SIZE_DIFFERS = "image-size-differs"

MOST_BYTES = 1 << 30
"""No file of more bytes is read."""

GIANT = 64_000_000
"""An image of more pixels is decoded by one process at a time, and a JPEG of them no larger than is needed."""

SHOWN = (160, 120)
"""Width and height in pixels of the room for a thumbnail."""

ORIENTATION_TAG = 0x0112
UPRIGHT = {
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What shows an image upright, for the EXIF orientations that swap its width and height."""

DEPTHS = (8, 10, 12, 14, 16)
"""How many bits a pixel of 16 may use, as cameras and scanners fill them."""

DECLARED = "declared bits"
TIFF_BITS = 258
TWELVE_BITS_OF_SIXTEEN = 15
PIXELS_AT_ONCE = 1 << 22


class ImageError(Exception):
    """An image that cannot be used: a stable reason code, and in a sentence what is wrong."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason, self.detail = reason, detail


def read_file(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """Return the bytes of a regular file of at most `most_bytes`.

    Nothing is waited for: a FIFO, a device, a folder, a link that loops, a file that may not be read and one that
    changes meanwhile end in an ImageError at once.
    """
    try:
        with open_regular(path) as file:
            before = os.fstat(file.fileno())
            if before.st_size > most_bytes:
                raise ImageError(TOO_LARGE, f"a file of {before.st_size} bytes, at most {most_bytes} are read")
            # One byte more than there should be, so that a file that grows is no endless one.
            content = file.read(before.st_size + 1)
            after = os.fstat(file.fileno())
    except FileNotFoundError as error:
        raise ImageError(MISSING, "no such file") from error
    except OSError as error:
        raise ImageError(UNREADABLE, why_not(error)) from error
    if len(content) != before.st_size or changed_between(before, after):
        raise ImageError(UNREADABLE, "it changed while it was read")
    return content


@contextlib.contextmanager
def opened(content: bytes) -> Iterator[Image.Image]:
    """Yield the image of a file's bytes, of which only the header has been read, so that its size can be judged.

    Raises ImageError for what is no image; the decoding itself may raise whatever a damaged file makes Pillow raise.
    Pillow's own limit of size is lifted and its warnings are silent within: the caller looks at the size.
    """
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                image = Image.open(BytesIO(content), formats=FORMATS)
            except UnidentifiedImageError as error:
                raise ImageError(UNDECODABLE, f"no image of a format that is read ({', '.join(FORMATS)})") from error
            with image:
                declared = _declared_bits(image, content)
                if declared:
                    image.info[DECLARED] = declared
                yield image
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def shown_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of an image file in pixels as viewers show it, from its header; no pixel is decoded.

    That is the stored size, with width and height changed about where the EXIF orientation asks for it. Raises
    ImageError for what is no image or may not be read.
    """
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings(), open_regular(path) as file:
            warnings.simplefilter("ignore")
            with Image.open(file, formats=FORMATS) as image:
                return image.size[::-1] if orientation_of(image) in SWAPPING else image.size
    except FileNotFoundError as error:
        raise ImageError(MISSING, "no such file") from error
    except UnidentifiedImageError as error:
        raise ImageError(UNDECODABLE, f"no image of a format that is read ({', '.join(FORMATS)})") from error
    except OSError as error:
        raise ImageError(
            UNREADABLE, why_not(error) if error.errno or isinstance(error, NotRegularError) else str(error)
        ) from error
    except Exception as error:  # Pillow lets any error through that a damaged header makes
        raise ImageError(UNDECODABLE, str(error)) from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def load_rgb(path: Path, size: tuple[int, int]) -> Image.Image:
    """Return the image of a file in RGB, as `rgb_of` does; raise ImageError also where there is no file to be read."""
    return rgb_of(read_file(path), size)


def read_locked(store_dir: Path, name: str, sha256: str) -> bytes:
    """Return the bytes of an image of a store, held to the SHA-256 that its lock gives; an empty one holds to nothing.

    Raises ImageError as `read_file` does, and CocomineError when the bytes are others.
    """
    from cocomine.sources.proof import changed_images  # not at the top: cocomine.load installs without the sources

    content = read_file(store_dir / name)
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise changed_images(store_dir, [name])
    return content


def rgb_of(content: bytes, size: tuple[int, int], box: tuple[int, int] | None = None) -> Image.Image:
    """Return the image of a file's bytes in RGB, as records of that width and height in pixels see it.

    It is turned where its EXIF orientation alone makes it fit. A JPEG of more than GIANT pixels may come at half its
    width and height, and one that is to be shown in a `box` of pixels at less than twice what that needs. Raises
    ImageError with the reason for one that is damaged or of another size.
    """
    try:
        with opened(content) as image:
            stored = image.size
            differs = f"the file is {stored[0]} x {stored[1]}, its record says {size[0]} x {size[1]}"
            if stored not in (size, size[::-1]):
                raise ImageError(SIZE_DIFFERS, differs)
            if box is not None:
                times = max(size[0] / box[0], size[1] / box[1], 1)
                image.draft(image.mode, (int(stored[0] / times), int(stored[1] / times)))
            elif stored[0] * stored[1] > GIANT:
                image.draft(image.mode, (stored[0] // 2, stored[1] // 2))
            rgb = to_rgb(image)
            if stored == size:
                return rgb
            orientation = orientation_of(image)
            if not fits_turned(stored, size, orientation):
                raise ImageError(SIZE_DIFFERS, differs)
            return rgb.transpose(UPRIGHT[orientation])
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders let any error through that a damaged file makes
        raise ImageError(UNDECODABLE, str(error)) from error


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation: 1 upright, 2..8 as in EXIF 2.32, 0 where the file says nothing."""
    try:
        value = image.getexif().get(ORIENTATION_TAG, 0)
    except Exception:  # noqa: BLE001 - a damaged EXIF block says nothing, and harms no pixel
        return 0
    return int(value) if isinstance(value, int) and 1 <= value <= 8 else 0


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the image in RGB, decoded; see docs/images.md for each mode. Transparency is not applied."""
    image = _of_eight_bits(image)
    if image.mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, *profiles, outputMode="RGB")
        assert converted is not None
        return converted
    if image.mode in ("P", "PA", "RGBa"):
        image = image.convert("RGBA")
    elif image.mode == "La":
        image = image.convert("LA")
    return image if image.mode == "RGB" else image.convert("RGB")


def to_luma(image: Image.Image) -> Image.Image:
    """Return the image as luma 0..255 (mode L), Y = 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), decoded.

    Of a JPEG decoded as YCbCr it is the very component that the file holds.
    """
    image = _of_eight_bits(image)
    if image.mode == "YCbCr":
        return image.getchannel("Y")
    return image if image.mode == "L" else to_rgb(image).convert("L")


def prepare_halving(image: Image.Image) -> None:
    """Let a JPEG that is not decoded yet come at half its width and height, where a thumbnail needs no more.

    libjpeg decodes all of the file as ever, works out a quarter of the pixels, and leaves YCbCr as it is.
    """
    if image.format == "JPEG":
        enough = max(image.width / SHOWN[0], image.height / SHOWN[1]) >= 2
        half = max(1, image.width // 2), max(1, image.height // 2)
        image.draft("YCbCr" if holds_luma(image) else image.mode, half if enough else image.size)


def holds_luma(image: Image.Image) -> bool:
    """Whether libjpeg takes a JPEG for YCbCr for certain; if it has three components (jdapimin.c)."""
    ids = bytes(component[0] for component in getattr(image, "layer", ()))
    return image.info.get("adobe_transform") != 0 and ids != b"RGB"


def is_grey(image: Image.Image) -> bool:
    """Whether an image has no colours."""
    return image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;")


def _of_eight_bits(image: Image.Image) -> Image.Image:
    """Decode the image and return it with 8 bits a channel: greys of more bits are scaled by their range."""
    tiles = getattr(image, "tile", None)
    raw = str(tiles[0][3]) if tiles else ""
    image.load()
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _scaled(image, image.info.get(DECLARED, 0))
    if ";16" in raw and image.mode in ("RGB", "RGBA", "LA"):
        # Pillow reads the high byte of each channel.
        bands = range(3 if image.mode.startswith("RGB") else 1)
        if 0 < max(max(np.flatnonzero(image.getchannel(band).histogram())) for band in bands) <= TWELVE_BITS_OF_SIXTEEN:
            raise ImageError(
                DEPTH_UNKNOWN, "16 bits a channel, of which the upper 4 are not used: store it with 8 bits"
            )
    return image


def _scaled(image: Image.Image, declared: int) -> Image.Image:
    """Return a grey image of integers or floats as mode L, black and white being the ends of its range."""
    black, white = _range(image, declared)
    result = Image.new("L", image.size)
    for top, rows in _strips(image):
        shares = (rows.astype(np.float64) - black) * (255 / (white - black))
        result.paste(Image.fromarray(np.rint(np.clip(shares, 0, 255)).astype(np.uint8)), (0, top))
    return result


def _range(image: Image.Image, declared: int) -> tuple[float, float]:
    """Return the values that stand for black and white.

    Of integers: 0 and the largest number of as many bits as the file declares or, where it declares none, of the fewest
    of DEPTHS that hold the largest value. Of floats: 0 and 1, or those, by the largest value. Values below 0 or beyond
    16 bits: the smallest and the largest of the image.
    """
    ends = np.array([(rows.min(), rows.max()) for _, rows in _strips(image)], np.float64)
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    if not np.isfinite(ends).all():
        raise ImageError(DEPTH_UNKNOWN, "pixels that are no finite numbers")
    if low >= 0 and image.mode == "F" and high <= 1:
        return 0.0, 1.0
    if low >= 0:
        for bits in (declared, *DEPTHS) if declared else DEPTHS:
            if high < 1 << bits:
                return 0.0, float((1 << bits) - 1)
    return (low, high) if high > low else (low, low + 1)


def _strips(image: Image.Image) -> Iterator[tuple[int, npt.NDArray[np.generic]]]:
    """Yield the image's rows as arrays of some megapixels, each with the number of its first row."""
    step = max(1, PIXELS_AT_ONCE // image.width)
    for top in range(0, image.height, step):
        yield top, np.asarray(image.crop((0, top, image.width, min(top + step, image.height))))


def _declared_bits(image: Image.Image, content: bytes) -> int:
    """Return how many bits of a grey pixel of 16 the file says to be used; 0 where it says nothing.

    That is what a TIFF's BitsPerSample says below 16, and a PNG's chunk sBIT (PNG specification, 11.3.2.7).
    """
    bits = 0
    if image.format == "TIFF":
        stated = getattr(image, "tag_v2", {}).get(TIFF_BITS, (0,))
        bits = int(stated[0]) if isinstance(stated, tuple) and len(stated) == 1 else 0
    elif image.format == "PNG" and image.mode.startswith("I"):
        # sBIT stands before the palette and the image data.
        place = content.find(b"sBIT", 8, content.find(b"IDAT", 8))
        if place >= 0 and content[place - 4 : place] == b"\0\0\0\1":
            bits = content[place + 4]
    return bits if 8 <= bits < 16 else 0
