"""One image that shows at a glance whether masks fit their images: images with masks over them, and a legend."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from cocomine.base.arrays import Bytes
from cocomine.base.files import atomic_path
from cocomine.coco.labels import Labels
from cocomine.coco.tasks import VOID
from cocomine.images.opening import GIANT, ImageError, opened, read_file, read_locked, rgb_of
from cocomine.masks.inputs import ImageRow

Color = tuple[int, int, int]

CELL = (300, 225)
"""Width and height in pixels that an image is fitted into."""

GAP, MARGIN = 12, 28
HEADER, CAPTION, LEGEND_LINE = 64, 24, 30
MOST_COLUMNS = 6
LEAST_WIDTH = 560
MOST_LEGEND = 48
PAPER: Color = (250, 250, 248)
INK: Color = (32, 33, 36)
FAINT: Color = (120, 122, 126)
LINE: Color = (218, 218, 214)
OPACITY = 0.5
VOID_STRIPE = 6


def write_contact_sheet(
    path: Path, rows: Sequence[ImageRow], labels: Labels, store: Path, masks: Path | None, most: int
) -> None:
    """Write a PNG of up to `most` of the images, spread evenly over the subset in the order of their ids.

    Each is shown dimmed, with its classes in their colours, their edges drawn, and void hatched; the legend lists the
    classes that occur on the sheet. Without `masks` the images are shown as they are. An image that the store lacks, or
    has in another size, is left out. Raises CocomineError for one that is not as locked.
    """
    cells = []
    for row in _spread(rows, most):
        cell = _cell(row, labels, store, masks and masks / "semantic")
        if cell is not None:
            cells.append((row, *cell))
    shown: dict[int, int] = {}
    for _, _, areas in cells:
        for label in areas:
            shown[label] = shown.get(label, 0) + 1
    # The widest grid that leaves the fewest places of its last line empty.
    columns = min(range(min(MOST_COLUMNS, max(1, len(cells))), 0, -1), key=lambda n: (n < 3, -len(cells) % n))
    width = max(2 * MARGIN + columns * (CELL[0] + GAP) - GAP, LEAST_WIDTH)
    legend = _legend_entries(shown, labels)
    places, legend_height = _flow(legend, width - 2 * MARGIN)
    lines = -(-len(cells) // columns)
    height = HEADER + lines * (CELL[1] + CAPTION + GAP) + 20 + legend_height + MARGIN
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, 20), "Masks over their images" if masks else "Images", INK, _font(24))
    count = f"{len(cells)} of {len(rows)} images"
    draw.text((width - MARGIN, 27), count, FAINT, _font(15), anchor="ra")
    for number, (row, picture, areas) in enumerate(cells):
        left = MARGIN + number % columns * (CELL[0] + GAP)
        top = HEADER + number // columns * (CELL[1] + CAPTION + GAP)
        x, y = left + (CELL[0] - picture.width) // 2, top + (CELL[1] - picture.height) // 2
        draw.rectangle((left, top, left + CELL[0] - 1, top + CELL[1] - 1), (240, 240, 237))
        sheet.paste(picture, (x, y))
        draw.text((left, top + CELL[1] + 5), _shortened(row.mask.removesuffix(".png"), 140), FAINT, _font(12))
        names = ", ".join(labels.names[label] for label in areas if label != labels.void)
        draw.text((left + CELL[0], top + CELL[1] + 5), _shortened(names, 150), INK, _font(12), anchor="ra")
    base = HEADER + lines * (CELL[1] + CAPTION + GAP) + 8
    draw.line((MARGIN, base, width - MARGIN, base), LINE)
    for (x, y), (label, text) in zip(places, legend, strict=True):
        _swatch(sheet, MARGIN + x, base + 12 + y, label, labels)
        draw.text((MARGIN + x + 30, base + 12 + y + 9), text, INK, _font(14), anchor="lm")
    with atomic_path(path) as temporary:
        sheet.save(temporary, "PNG", optimize=False, compress_level=6)


def _spread(rows: Sequence[ImageRow], most: int) -> Iterator[ImageRow]:
    count = min(most, len(rows))
    for number in range(count):
        yield rows[(2 * number + 1) * len(rows) // (2 * count)]


def _cell(row: ImageRow, labels: Labels, store: Path, masks: Path | None) -> tuple[Image.Image, list[int]] | None:
    """Return the image with its mask over it, at the size of a cell, and its labels, the largest first."""
    scale = min(CELL[0] / row.width, CELL[1] / row.height)
    size = max(1, round(row.width * scale)), max(1, round(row.height * scale))
    box = size if row.width * row.height > GIANT else None
    try:
        photograph = rgb_of(read_locked(store, row.store_path, row.sha256), (row.width, row.height), box)
        image = np.asarray(photograph.resize(size, Image.Resampling.LANCZOS, reducing_gap=box and 2.0))
        if masks is None:
            return Image.fromarray(image), []
        with opened(read_file(masks / row.mask)) as stored:
            mask = np.asarray(stored.resize(size, Image.Resampling.NEAREST))
            wide = labels.void > VOID
            pixels = np.bincount(np.asarray(stored).ravel()) if wide else np.array(stored.histogram())
    except (ImageError, OSError, ValueError, SyntaxError):
        return None
    found = [label for label in np.argsort(-pixels, kind="stable").tolist() if label and pixels[label]]
    return Image.fromarray(overlay(image, mask, labels)), found


def overlay(image: Bytes, mask: Bytes, labels: Labels) -> Bytes:
    """Return the h × w × 3 image with the mask, of any size and the same shape, laid over it.

    The background keeps its colours but is greyed and lightened, so that what is labelled stands out.
    """
    height, width = image.shape[:2]
    small = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
    # Not by a product of matrices, whose last bits are the processor's.
    grey = 0.299 * image[..., 0] + 0.587 * image[..., 1] + 0.114 * image[..., 2]
    result = 0.35 * image + 0.65 * (0.75 * grey[..., None] + 0.25 * 255)
    palette = np.frombuffer(labels.palette(), np.uint8).reshape(-1, 3).astype(np.float64)
    labelled = (small != 0) & (small != labels.void)
    result[labelled] = ((1 - OPACITY) * image + OPACITY * palette[small])[labelled]
    void = small == labels.void
    stripes = np.add.outer(np.arange(height), np.arange(width)) // VOID_STRIPE % 2 == 0
    result[void & stripes] = 0.45 * result[void & stripes] + 0.55 * 255
    result[void & ~stripes] = 0.6 * result[void & ~stripes] + 0.4 * 90
    edge = _edges(small)
    result[edge & labelled] = 0.15 * result[edge & labelled] + 0.85 * palette[small][edge & labelled]
    outline = edge & ~labelled & ~void
    result[outline] = 0.4 * result[outline] + 0.6 * 255
    laid: Bytes = np.clip(np.rint(result), 0, 255).astype(np.uint8)
    return laid


def _edges(values: Bytes) -> npt.NDArray[np.bool_]:
    """Return the pixels that have a neighbour, above, below or beside, of another value."""
    edge = np.zeros(values.shape, bool)
    across, down = values[:, 1:] != values[:, :-1], values[1:] != values[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    return edge


def _legend_entries(shown: Mapping[int, int], labels: Labels) -> list[tuple[int, str]]:
    """Return the labels on the sheet and their texts, classes by label and void last; many become "and n more"."""
    classes = sorted(label for label in shown if label != labels.void)
    entries = [(label, f"{labels.names[label]}  {shown[label]}") for label in classes[:MOST_LEGEND]]
    if len(classes) > MOST_LEGEND:
        entries.append((-1, f"and {len(classes) - MOST_LEGEND} more"))
    if labels.void in shown:
        entries.append((labels.void, f"void (crowds, boxes, borders)  {shown[labels.void]}"))
    return entries


def _flow(entries: Sequence[tuple[int, str]], width: int) -> tuple[list[tuple[int, int]], int]:
    """Return each entry's place in lines of `width`, in equal columns, and the height of all."""
    if not entries:
        return [], 0
    wide = max(int(_font(14).getlength(text)) for _, text in entries) + 58
    columns = max(1, min(len(entries), width // wide))
    lines = -(-len(entries) // columns)
    step = min(width // columns, wide + 40)
    places = [(number // lines * step, number % lines * LEGEND_LINE) for number in range(len(entries))]
    return places, 12 + lines * LEGEND_LINE


def _swatch(sheet: Image.Image, x: int, y: int, label: int, labels: Labels) -> None:
    if label < 0:
        return
    draw = ImageDraw.Draw(sheet)
    box = (x, y, x + 21, y + 17)
    if label != labels.void:
        draw.rounded_rectangle(
            box, 4, labels.colors[label], tuple(channel * 3 // 4 for channel in labels.colors[label])
        )
        return
    stripes = np.add.outer(np.arange(18), np.arange(22)) // VOID_STRIPE % 2 == 0
    swatch = np.where(stripes[..., None], 235, 150).astype(np.uint8).repeat(3, axis=2)
    sheet.paste(Image.fromarray(swatch), (x, y))
    draw.rectangle(box, None, (150, 150, 150))


def _shortened(text: str, width: int) -> str:
    """Return the text, cut with an ellipsis to `width` pixels."""
    if _font(12).getlength(text) <= width:
        return text
    while text and _font(12).getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip(", ") + "…"


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
