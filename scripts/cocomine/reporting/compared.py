"""The page of two sources: the images that disagree most, the first source, the photograph and the second in a row.

`differences.html` holds no data. Beside it, in `differences/`, lie data.js (the images and their findings) and
outlines-N.js (the outlines of a block of images, read when one of them is shown). Photographs are those of the store,
by relative path; where one was not fetched the outlines stand on an empty ground.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow.parquet as pq

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_table, write_text
from cocomine.base.folder import replaced_folder
from cocomine.base.staging import INCOMPLETE, staging
from cocomine.formats.trace import mask_of, outlines_of
from cocomine.matching.match import Inputs
from cocomine.matching.pairing import DIFFERENCES, MEANINGS, Kind
from cocomine.matching.settings import ComparisonSettings
from cocomine.matching.sides import Side
from cocomine.matching.tables import FINER
from cocomine.reporting.explorer import relative
from cocomine.reporting.lock_note import lock_note
from cocomine.reporting.page import render_differences_page, script_text

BLOCK: Final = 20
"""Images whose outlines share a file."""

KINDS: Final = tuple(Kind)


@dataclass(frozen=True)
class Shown:
    """What the page is made of: a matching's folder, the annotations of both sources, and the store of photographs."""

    matching_dir: Path
    inputs: Inputs
    store_dir: Path
    name: str


def render_differences(shown: Shown, settings: ComparisonSettings, html: Path) -> None:
    """Write the page `html` and the folder of the same name without ending; the same inputs give the same bytes."""
    if not (shown.matching_dir / "images.tsv").is_file():
        raise CocomineError(f"{shown.matching_dir / 'images.tsv'}: no such file", "run the rule match_sources first")
    rows = list(read_table(shown.matching_dir / "images.tsv"))
    chosen = choose(rows, settings.shown, shown.store_dir)
    findings = _findings(shown.matching_dir / "matches.parquet", [int(row["image_id"]) for row in chosen])
    with ExitStack() as stack:
        out = stack.enter_context(replaced_folder(html.with_suffix(""), "data.js"))
        scratch = stack.enter_context(staging(html.parent / INCOMPLETE))
        sides = [
            Side(name, folder, splits, settings.task, stack, scratch)
            for name, folder, splits in (
                (settings.first, shown.inputs.first, shown.inputs.first_splits),
                (settings.second, shown.inputs.second, shown.inputs.second_splits),
            )
        ]
        places: list[list[dict[int, int]]] = []
        for begin in range(0, len(chosen), BLOCK):
            drawn = [_outlines(sides, row) for row in chosen[begin : begin + BLOCK]]
            places += [places_of for places_of, _ in drawn]
            content = script_text([outlines for _, outlines in drawn])
            number = begin // BLOCK
            write_text(out / f"outlines-{number}.js", f"window.cocomine.outlines[{number}] = {content};\n")
        data = _data(shown, settings, chosen, findings, places, len(rows), html.parent)
        write_text(out / "data.js", f"window.cocomine = {script_text(data)};\n")
    facts = {"name": shown.name, "first": settings.first, "second": settings.second}
    write_text(html, render_differences_page(facts, lock_note("../../", html.with_suffix(""))))


def choose(rows: Sequence[Mapping[str, str]], most: int, store: Path) -> list[Mapping[str, str]]:
    """Return at most so many images that disagree, ordered by the number of their differences.

    Each kind of difference has an equal share, which those with most of it get, of poor outlines those whose boundary
    IoU is lowest; what is left goes to those with most differences. Images whose photograph is there go before others.
    """
    different = [row for row in rows if int(row["differences"])]
    there = [row for row in different if row["store_path"] and (store / row["store_path"]).is_file()]
    chosen: dict[str, Mapping[str, str]] = {}
    for known in (there, different):
        for kind in (*DIFFERENCES, *FINER):
            ranked = sorted((row for row in known if int(row[kind])), key=lambda row: _rank(row, kind))
            for row in ranked[: most // (len(DIFFERENCES) + len(FINER))]:
                if len(chosen) < most:
                    chosen[row["image_id"]] = row
        for row in sorted(known, key=lambda row: _rank(row, "differences")):
            if len(chosen) < most:
                chosen[row["image_id"]] = row
    return sorted(chosen.values(), key=lambda row: _rank(row, "differences"))


def _rank(row: Mapping[str, str], kind: str) -> tuple[float, int]:
    if kind == Kind.OUTLINE or kind in FINER:
        return float(row["lowest_boundary_iou"] or 1), int(row["image_id"])
    return -int(row[kind]), int(row["image_id"])


def _findings(path: Path, images: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    """Return the rows of matches.parquet that are of the images, a batch in memory at a time."""
    found: dict[int, list[dict[str, Any]]] = {image: [] for image in images}
    with pq.ParquetFile(path) as table:
        for batch in table.iter_batches(batch_size=20_000):
            wanted = np.flatnonzero(np.isin(np.asarray(batch.column("image_id")), images))
            for row in batch.take(wanted.tolist()).to_pylist() if len(wanted) else []:
                found[row["image_id"]].append(row)
    return found


_RECORD = msgspec.json.Decoder(dict[str, Any])


def _outlines(sides: Sequence[Side], row: Mapping[str, str]) -> tuple[list[dict[int, int]], list[list[Any]]]:
    """Return of both sources where each id's object stands, and the objects' outlines, as rings x0, y0, x1, y1."""
    places: list[dict[int, int]] = []
    outlines: list[list[Any]] = []
    for side in sides:
        image = side.images.get(int(row["image_id"]))
        records = [] if image is None else side.records(side.rows_of(image))
        places.append({record.id: place for place, record in reversed(list(enumerate(records)))})
        outlines.append([_rings(record.text, int(row["width"]), int(row["height"])) for record in records])
    return places, outlines


def _rings(text: bytes, width: int, height: int) -> list[list[float]]:
    try:
        segmentation = _RECORD.decode(text).get("segmentation")
        if isinstance(segmentation, dict):
            mask = mask_of(segmentation, width, height)
            rings = [] if mask is None else [ring.ravel().tolist() for ring in outlines_of(mask)]
        else:
            rings = msgspec.convert(segmentation or [], list[list[float]])
    except (msgspec.DecodeError, msgspec.ValidationError):
        return []
    return [[round(number, 1) for number in ring] for ring in rings]


def _data(
    shown: Shown,
    settings: ComparisonSettings,
    chosen: Sequence[Mapping[str, str]],
    findings: Mapping[int, Sequence[Mapping[str, Any]]],
    places: Sequence[Sequence[Mapping[int, int]]],
    images: int,
    beside: Path,
) -> dict[str, Any]:
    return {
        "sources": [settings.first, settings.second],
        "images": images,
        "kinds": [{"name": str(kind), "meaning": MEANINGS[kind]} for kind in KINDS],
        "store": relative(shown.store_dir, beside),
        "block": BLOCK,
        "outlines": [],
        "shown": [
            {
                "id": int(row["image_id"]),
                "name": row["file_name"],
                "path": row["store_path"] if (shown.store_dir / row["store_path"]).is_file() else "",
                "width": int(row["width"]),
                "height": int(row["height"]),
                "findings": list(_lines(findings[int(row["image_id"])], of_image)),
            }
            for row, of_image in zip(chosen, places, strict=True)
        ],
    }


def _lines(rows: Sequence[Mapping[str, Any]], places: Sequence[Mapping[int, int]]) -> Iterator[list[Any]]:
    """Yield of each finding: kind, class, class of the second, size, finer, measures, and the objects of both."""
    for row in rows:
        classes = [row["first_category"], row["second_category"]]
        measures = [None if row[key] is None else round(row[key], 3) for key in ("iou", "boundary_iou", "distance")]
        objects = [
            [of_side[one] for one in row[f"{side}_ids"] if one in of_side]
            for side, of_side in zip(("first", "second"), places, strict=True)
        ]
        ids = [row["first_ids"], row["second_ids"]]
        crowds = [int(row["first_crowd"]), int(row["second_crowd"])]
        kind = [str(one) for one in KINDS].index(row["kind"])
        yield [kind, *classes, row["size"], row["finer"], *measures, *objects, *ids, *crowds, row["reason"]]
