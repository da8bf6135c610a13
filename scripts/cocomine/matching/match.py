"""Every object of two sources matched, image by image: the tables, and the sums that they must have."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cocomine.base.files import open_table, write_json, write_text
from cocomine.base.pool import in_order
from cocomine.base.progress import Progress
from cocomine.base.staging import INCOMPLETE, staging
from cocomine.matching.crosswalk import given_pairs, make_crosswalk, write_crosswalk
from cocomine.matching.judge import Judge, Task
from cocomine.matching.pairing import Kind
from cocomine.matching.settings import ComparisonSettings
from cocomine.matching.sides import ImageOf, Side
from cocomine.matching.summary import Summary, markdown
from cocomine.matching.tables import IMAGE_COLUMNS, image_lines, open_matches

log = logging.getLogger("cocomine")

RECORDS_IN_A_PIECE = 400
"""Images are judged together until they have so many records; an image of more is a piece by itself."""


@dataclass(frozen=True)
class Inputs:
    """Where the annotations of both sources lie (data/annotations/{source}), and their splits."""

    first: Path
    second: Path
    first_splits: tuple[str, ...]
    second_splits: tuple[str, ...]


def match_sources(inputs: Inputs, settings: ComparisonSettings, out_dir: Path, threads: int) -> dict[str, Any]:
    """Match the objects of two sources; write matches.parquet, images.tsv, crosswalk.tsv, matching.json and .md.

    The same inputs give the same bytes, whatever `threads`. Memory holds both indexes and a few hundred records. Raises
    CocomineError when an index or a file is missing or changed, or a crosswalk names an unknown class.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        scratch = stack.enter_context(staging(out_dir / INCOMPLETE))
        sides = (
            Side(settings.first, inputs.first, inputs.first_splits, settings.task, stack, scratch),
            Side(settings.second, inputs.second, inputs.second_splits, settings.task, stack, scratch),
        )
        classes = (tuple(sides[0].classes), tuple(sides[1].classes))
        walk = make_crosswalk(*classes, given_pairs(settings.crosswalk))
        judge = Judge(settings.matching, walk, classes)
        summary, overlaps = _judge_all(judge, sides, out_dir, threads)
        proposed = write_crosswalk(out_dir / "crosswalk.tsv", classes, [side.objects for side in sides], walk, overlaps)
    summary.check([len(side) for side in sides])
    document = summary.document(sides[0].name, sides[1].name, settings.matching, walk, proposed)
    write_json(out_dir / "matching.json", document)
    page = markdown(document)
    write_text(out_dir / "matching.md", page)
    log.info("%s", page.partition("\n## ")[0])
    return document


def _judge_all(
    judge: Judge, sides: tuple[Side, Side], out_dir: Path, threads: int
) -> tuple[Summary, Counter[tuple[int, int]]]:
    """Judge every image and write the two large tables as results come in."""
    summary, overlaps = Summary(), Counter[tuple[int, int]]()
    ids = sorted(sides[0].images.keys() | sides[1].images.keys())
    with ExitStack() as stack:
        add_image = stack.enter_context(open_table(out_dir / "images.tsv", IMAGE_COLUMNS))
        add_rows = stack.enter_context(open_matches(out_dir / "matches.parquet"))
        progress = stack.enter_context(Progress("match_sources", len(ids), "image"))
        for judged in in_order(judge, _pieces(_tasks(sides, ids)), threads):
            for one in judged:
                add_rows(one.rows)
                overlaps.update(one.overlaps)
                summary.add(one)
            for line in image_lines(sides, judged):
                add_image(line)
            progress.advance(len(judged))
        homeless = _homeless(sides)
        (rest,) = judge([homeless])
        add_rows(rest.rows)
        summary.add(rest)
        for kind in Kind:
            progress.count(str(kind), summary.all.rows[kind])
    return summary, overlaps


def _tasks(sides: tuple[Side, Side], ids: Iterable[int]) -> Iterator[Task]:
    for identity in ids:
        images = [side.images.get(identity) for side in sides]
        reason, (width, height) = _comparable(sides, identity, images)
        records = [
            [] if image is None else side.records(side.rows_of(image), with_text=not reason)
            for side, image in zip(sides, images, strict=True)
        ]
        yield Task(identity, width, height, (records[0], records[1]), reason)


def _comparable(
    sides: tuple[Side, Side], identity: int, images: Sequence[ImageOf | None]
) -> tuple[str, tuple[int, int]]:
    """Return why the records of an image cannot be compared, "" when they can, and its size."""
    for name, other, image in zip(("second", "first"), sides[::-1], images[::-1], strict=True):
        if image is None:
            if identity in other.images:
                return "image-id-of-several", (-1, -1)
            return f"image-not-in-{name}", (-1, -1)
    sizes = {
        (image.width, image.height) for image in images if image is not None and min(image.width, image.height) > 0
    }
    if len(sizes) == 1:
        return "", sizes.pop()
    return ("image-size-differs" if sizes else "image-size-unknown"), (-1, -1)


def _homeless(sides: tuple[Side, Side]) -> Task:
    """Return what has no image as a task of none: records of both sources that only have to be counted."""
    records = [side.records(side.homeless(), with_text=False) for side in sides]
    return Task(-1, -1, -1, (records[0], records[1]), "no-image")


def _pieces(tasks: Iterable[Task]) -> Iterator[list[Task]]:
    piece: list[Task] = []
    size = 0
    for task in tasks:
        piece.append(task)
        size += 1 + sum(map(len, task.sides))
        if size >= RECORDS_IN_A_PIECE:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece
