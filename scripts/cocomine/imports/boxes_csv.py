"""A table of boxes: a CSV file with a header, a row a box, in pixels from the left and the top edge.

Columns are known by their names, in any order: the image, the class, and corners (xmin, ymin, xmax, ymax, as the
TensorFlow Object Detection API's CSV files have them) or a corner with width and height. The right and lower ends are
edges of pixels, as in COCO's boxes, so that the width is xmax - xmin.
"""

import csv
import io
import math
from collections.abc import Iterator
from typing import Final, NamedTuple

from cocomine.base.errors import CocomineError
from cocomine.imports.files import FileProblem
from cocomine.imports.labels import Job, LabelledImage, Object
from cocomine.imports.named import Named, by_split, own_splits
from cocomine.imports.reasons import Reason
from cocomine.transfer.finding import SPLIT_LIKE

IMAGE: Final = ("filename", "file_name", "image", "image_path", "path", "file")
CLASS: Final = ("class", "label", "category", "name", "class_name")
BOXES: Final = (
    ("xmin", "ymin", "xmax", "ymax"),
    ("x1", "y1", "x2", "y2"),
    ("x", "y", "w", "h"),
    ("x", "y", "width", "height"),
)
"""The columns of a box; the last two forms are a corner with width and height."""
CORNERS: Final = 2
DELIMITERS: Final = ",;\t"


class _Row(NamedTuple):
    file: str
    line: int
    name: str
    box: list[str]
    sides: bool
    """Whether the last two numbers are width and height."""
    whole: bool
    """Whether the row has as many fields as the header."""
    image: str


class _Columns(NamedTuple):
    image: int
    name: int
    box: list[int]
    sides: bool


class Csv:
    """Reads the CSV files of a folder."""

    classes: list[str] | None = None
    keypoints: list[str] = []  # noqa: RUF012 - a row has none

    def __init__(self, job: Job) -> None:
        """Read the tables. Raises CocomineError where there is none, or a header lacks a column."""
        paths = [path for path in job.files.all if path.lower().endswith(".csv")]
        if not paths:
            raise CocomineError(
                f"{job.files.root}: no CSV file in it", "give the folder that holds the table and the images"
            )
        named = {path.rpartition("/")[2][:-4]: path for path in paths}
        by_name = all(SPLIT_LIKE.fullmatch(name) for name in named)
        self.own_splits = tuple(named) if by_name else own_splits(paths)
        self._job, self._named = job, Named(job)
        told = all(split in named for split in job.splits) and bool(job.splits)
        of_splits = {split: [named[split]] for split in job.splits} if told else by_split(job, paths, self.own_splits)
        self._rows = {
            split: [row for path in tables for row in self._read(path)] for split, tables in of_splits.items()
        }
        self._check_pixels()

    def _read(self, path: str) -> list[_Row]:
        where = f"{self._job.files.root / path}"
        try:
            text = self._job.files.text(path)
            first = text.partition("\n")[0]
            reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(DELIMITERS, key=first.count))
            header = [name.strip().lower() for name in next(reader, [])]
            columns = _columns(where, header)
            rows = [_row(path, reader.line_num, row, columns, len(header)) for row in reader if any(row)]
        except (FileProblem, csv.Error) as error:
            raise CocomineError(f"{where}: {error}", "give a CSV file in UTF-8") from error
        self._job.tally.keep("file")
        return rows

    def _check_pixels(self) -> None:
        """Raise CocomineError where all boxes would lie in the first pixel: they are shares, not pixels."""
        boxes = [row.box for rows in self._rows.values() for row in rows if any(row.box)]
        numbers = [_number(word) for box in boxes for word in box]
        if numbers and all(0 <= number <= 1 for number in numbers) and any(number % 1 for number in numbers):
            raise CocomineError(
                f"{self._job.files.root}: the boxes of its CSV files lie between 0 and 1",
                "write them in pixels: times the width and the height of the image",
            )

    def images(self) -> Iterator[LabelledImage]:
        """Yield every image that a row names, in the order of their paths."""
        tally = self._job.tally
        for split, of_split in self._rows.items():
            for path, rows in self._by_image(of_split).items():
                again = path in self._named.taken
                size = None if again else self._named.size(path)
                if size is None:
                    reason = Reason.TWO_FILES if again else Reason.MISSING_IMAGE
                    for row in rows:
                        tally.set_aside("label", row.file, row.line, reason, path)
                    continue
                yield LabelledImage(path, split, size, [one for row in rows if (one := self._object(row)) is not None])
        self._named.without_labels(lambda _: not self._job.splits)

    def _by_image(self, rows: list[_Row]) -> dict[str, list[_Row]]:
        """Return the rows of each image, in the order of their paths; those of none are counted."""
        found: dict[tuple[str, str], str | None] = {}
        result: dict[str, list[_Row]] = {}
        for row in rows:
            key = (row.file.rpartition("/")[0], row.image)
            if key not in found:
                found[key] = self._named.find(*key)
            path = found[key]
            if path is None:
                self._job.tally.set_aside("label", row.file, row.line, Reason.MISSING_IMAGE, row.image)
            else:
                result.setdefault(path, []).append(row)
        return dict(sorted(result.items()))

    def _object(self, row: _Row) -> Object | None:
        """Return the object of a row; None for one without class and numbers, which says that its image has none."""
        tally = self._job.tally
        if not row.whole:
            return tally.lose(row.file, row.line, Reason.FIELD_COUNT, row.box, Object(row.name or None, None))
        if not row.name and not any(row.box):
            tally.keep("label")
            return None
        numbers = [_number(word) for word in row.box]
        if not all(map(math.isfinite, numbers)):
            return tally.lose(row.file, row.line, Reason.NOT_A_NUMBER, row.box, Object(row.name or None, None))
        if row.sides:
            numbers[2], numbers[3] = numbers[0] + numbers[2], numbers[1] + numbers[3]
        (left, right), (top, bottom) = sorted(numbers[0::2]), sorted(numbers[1::2])
        known = Object(row.name or None, (left, top, right - left, bottom - top))
        if not row.name:
            return tally.lose(row.file, row.line, Reason.NO_CLASS, row.box, known)
        if [left, top, right, bottom] == numbers:
            tally.keep("label")
        else:
            tally.repair(row.file, row.line, Reason.CORNERS_SWAPPED, numbers, [left, top, right, bottom])
        return known


def _columns(where: str, header: list[str]) -> _Columns:
    """Return where the columns stand. Raises CocomineError, which shows the header, where one is lacking."""
    image = next((name for name in IMAGE if name in header), "")
    named = next((name for name in CLASS if name in header), "")
    box = next((names for names in BOXES if all(name in header for name in names)), ())
    if not (image and named and box):
        raise CocomineError(
            f"{where}: its first line is {', '.join(header)}",
            f"begin it with a header: an image ({', '.join(IMAGE)}), a class ({', '.join(CLASS)}) and a box "
            f"({' or '.join(', '.join(names) for names in BOXES)})",
        )
    sides = box in BOXES[CORNERS:]
    return _Columns(header.index(image), header.index(named), [header.index(name) for name in box], sides)


def _row(path: str, line: int, row: list[str], columns: _Columns, count: int) -> _Row:
    cells = [cell.strip() for cell in row] + [""] * (count - len(row))
    box = [cells[place] for place in columns.box]
    return _Row(path, line, cells[columns.name], box, columns.sides, len(row) == count, cells[columns.image])


def is_header(line: str) -> bool:
    """Tell whether a line is the header of a table of boxes."""
    names = {name.strip().strip('"').lower() for name in line.replace(";", ",").replace("\t", ",").split(",")}
    boxes = any(names.issuperset(box) for box in BOXES)
    return boxes and bool(names.intersection(IMAGE)) and bool(names.intersection(CLASS))


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan
