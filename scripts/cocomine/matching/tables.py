"""The tables of a matching: a row a finding, and a line an image."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cocomine.base.files import atomic_path
from cocomine.matching.judge import Judged, Row
from cocomine.matching.pairing import DIFFERENCES, Kind
from cocomine.matching.sides import Side

ROWS_IN_A_GROUP = 20_000
"""Rows of the table that are in memory before they are written."""

SCHEMA = pa.schema(
    [
        ("image_id", pa.int64()),
        ("kind", pa.string()),
        ("reason", pa.string()),
        ("size", pa.string()),
        ("finer", pa.string()),
        ("iou", pa.float64()),
        ("boundary_iou", pa.float64()),
        ("distance", pa.float64()),
        ("greatest_distance", pa.float64()),
        ("box", pa.list_(pa.int32())),
        *(
            (f"{side}_{name}", kind)
            for side in ("first", "second")
            for name, kind in (
                ("ids", pa.list_(pa.int64())),
                ("category", pa.string()),
                ("crowd", pa.bool_()),
                ("area", pa.int64()),
                ("vertices", pa.int64()),
            )
        ),
    ]
)

FINER = ("finer-first", "finer-second")
"""Findings of kind outline in which one source's outline is the finer one."""

IMAGE_COLUMNS = (
    "image_id", "file_name", "store_path", "width", "height", "first_objects", "second_objects", "differences",
    *DIFFERENCES, *FINER, Kind.SAME, Kind.NOT_COMPARED, "lowest_boundary_iou",
)  # fmt: skip


@contextmanager
def open_matches(path: Path) -> Iterator[Callable[[Iterable[Row]], None]]:
    """Yield a function that appends rows to matches.parquet, which is there as a whole or not at all."""
    waiting: list[Row] = []
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:

        def add(rows: Iterable[Row]) -> None:
            waiting.extend(rows)
            if len(waiting) >= ROWS_IN_A_GROUP:
                _write(writer, waiting)

        yield add
        _write(writer, waiting)


def _cells(row: Row) -> tuple[object, ...]:
    outlines = (None, None, None) if row.apart is None else (row.apart.boundary_iou, row.apart.mean, row.apart.greatest)
    measures = (row.reason, row.size, row.finer, row.iou, *outlines, row.box)
    return (row.image_id, row.kind, *measures, *row.halves[0], *row.halves[1])


def _write(writer: pq.ParquetWriter, waiting: list[Row]) -> None:
    columns = list(zip(*map(_cells, waiting), strict=True)) or [() for _ in SCHEMA]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    writer.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA))
    waiting.clear()


def image_lines(sides: tuple[Side, Side], judged: Sequence[Judged]) -> Iterator[list[object]]:
    """Yield the rows of images.tsv: of each image of both sources how many findings of each kind it has."""
    shown = [
        (one, image)
        for one in judged
        if (image := sides[0].images.get(one.image_id)) and sides[1].images.get(one.image_id)
    ]
    rows = [image.row for _, image in shown]
    texts = [sides[0].texts_of_images(name, rows) for name in ("file_name", "store_path")]
    for (one, image), name, path in zip(shown, *texts, strict=True):
        kinds = Counter(row.kind for row in one.rows)
        objects = [sum(len(row.halves[side].ids) for row in one.rows) for side in (0, 1)]
        lowest = min((row.apart.boundary_iou for row in one.rows if row.apart is not None), default=None)
        finer = Counter(f"finer-{row.finer}" for row in one.rows if row.kind == Kind.OUTLINE)
        counts = [kinds[kind] for kind in DIFFERENCES] + [finer[name] for name in FINER]
        counts += [kinds[Kind.SAME], kinds[Kind.NOT_COMPARED]]
        size = (image.width, image.height)
        yield [one.image_id, name, path, *size, *objects, sum(kinds[kind] for kind in DIFFERENCES), *counts, lowest]
