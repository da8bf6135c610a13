"""Thumbnails of a subset's images, a hundred in a file, drawn as the images are measured and shown by the explorer."""

from pathlib import Path

from PIL import Image

from cocomine.images.opening import SHOWN

COLUMNS, ROWS = 10, 10
"""Cells of a sheet, of SHOWN pixels each."""

PAPER = (226, 229, 233)


def sheet_name(number: int) -> str:
    """Return the name of the file of a sheet, counted from 0."""
    return f"sheet-{number}.jpg"


def thumbnail(image: Image.Image, turn: Image.Transpose | None = None) -> Image.Image:
    """Return an image (mode L, RGB or YCbCr) turned, and made to fit in a cell where it is larger.

    It is YCbCr, as JPEGs hold their colours.
    """
    width, height = SHOWN if turn is None else SHOWN[::-1]
    scale = min(1.0, width / image.width, height / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0).convert("YCbCr")
    small.info = {}  # the photograph's profiles and texts, which would travel with it
    return small if turn is None else small.transpose(turn)


class Sheets:
    """Writes thumbnails into a folder in the order in which they are added."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0
        self._sheet = self._blank()

    def add(self, small: Image.Image) -> int:
        """Add one and return its cell: how many came before it. Cells are filled row by row."""
        (width, height), (number, place) = SHOWN, divmod(self.count, COLUMNS * ROWS)
        if place == 0 and self.count:
            self._write(number - 1)
        x, y = place % COLUMNS * width, place // COLUMNS * height
        self._sheet.paste(small, (x + (width - small.width) // 2, y + (height - small.height) // 2))
        self.count += 1
        return self.count - 1

    def finish(self) -> None:
        """Write the sheet that is not full; the first one also where there is nothing to show."""
        self._write(max(0, self.count - 1) // (COLUMNS * ROWS))

    def _write(self, number: int) -> None:
        self._sheet.save(self.folder / sheet_name(number), "JPEG", quality=76)
        self._sheet = self._blank()

    @staticmethod
    def _blank() -> Image.Image:
        return Image.new("RGB", (SHOWN[0] * COLUMNS, SHOWN[1] * ROWS), PAPER).convert("YCbCr")
