r"""Set predictions and runs beside one another: figures, paired differences with intervals, slices, images that differ.

Those that were judged on the same images are compared in pairs: A - B of each bootstrap draw. Writes comparison.json
and comparison.html into --out-dir.

Example:
  python scripts/compare_predictions.py --judged results/predictions/*/ --out-dir results/predictions \
      --judged-on animals results/animals data/stores/coco
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from cocomine.base import command
from cocomine.base.files import write_json, write_text
from cocomine.base.words import counted
from cocomine.evaluation.contrast import compare
from cocomine.evaluation.side_by_side import Where, pictures
from cocomine.reporting.figures import compared_charts
from cocomine.reporting.lock_note import lock_note
from cocomine.reporting.page import render


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__)
    parser.add_argument(
        "--judged",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="folders that evaluate_predictions or evaluate_model wrote",
    )
    parser.add_argument(
        "--judged-on",
        nargs=3,
        action="append",
        default=[],
        metavar=("NAME", "PATH", "STORE"),
        help="a subset's name and folder, or an annotation file's name and path, and the image store, for pictures",
    )
    parser.add_argument("--out-dir", type=Path, required=True, metavar="DIR", help="where the comparison goes")
    return parser


def main(options: argparse.Namespace) -> None:
    """Compare, write the numbers and the page."""
    facts = compare(options.judged)
    write_json(options.out_dir / "comparison.json", facts)
    places = {name: Where(Path(path), Path(store)) for name, path, store in options.judged_on}
    drawn = pictures(options.judged, places)
    page = render(
        "predictions.html.j2",
        facts,
        lock_note("../", options.out_dir / "comparison.json"),
        json_name="comparison.json",
        pictures=_by_row(facts, drawn),
        on_grey=_without_photographs(facts, places),
        charts=[compared_charts(group, number) for number, group in enumerate(facts["groups"])],
    )
    write_text(options.out_dir / "comparison.html", page)
    clear = sum(pair["clear"] for group in facts["groups"] for pair in group["pairs"])
    pairs = sum(len(group["pairs"]) for group in facts["groups"])
    print(f"{counted(len(options.judged), 'entry')} compared: {clear} of {counted(pairs, 'difference')} clear")


def _by_row(facts: dict[str, Any], drawn: list[list[dict[str, Any]]]) -> list[list[tuple[int, str]]]:
    """Return for each group its pictures, and the place of each in the group's `differ_most`."""
    keys = ("first", "second", "image_id")
    result = []
    for group, of_group in zip(facts["groups"], drawn, strict=True):
        places = {tuple(row[key] for key in keys): place for place, row in enumerate(group["differ_most"])}
        result.append([(places[tuple(one[key] for key in keys)], one["picture"]) for one in of_group])
    return result


def _without_photographs(facts: dict[str, Any], places: dict[str, Where]) -> list[bool]:
    """Whether each group's pictures stand on grey: of a source's own file no photographs are fetched."""
    judged_on = (group["judged_on"].rpartition(", ")[0] for group in facts["groups"])
    return [name in places and not places[name].truth.is_dir() for name in judged_on]


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
