r"""Write the page of a comparison: the images on which two annotation sources disagree most, side by side.

Reads what match_sources wrote. Writes the page and, beside it, a folder of the same name with its data. Photographs are
shown from where they lie, by relative path: keep the page in its results folder.

Example:
  render_differences.py --settings '{"first": "coco", "second": "sama"}' --matching-dir results/comparisons/both \
      --first data/annotations/coco --second data/annotations/sama --first-splits val2017 --second-splits val2017 \
      --store-dir data/images/coco --out results/comparisons/both/differences.html
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.matching.match import Inputs
from cocomine.matching.settings import ComparisonSettings
from cocomine.reporting.compared import Shown, render_differences


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__, settings=ComparisonSettings)
    parser.add_argument("--matching-dir", type=Path, required=True, metavar="DIR", help="what match_sources wrote")
    for which in ("first", "second"):
        parser.add_argument(
            f"--{which}", required=True, type=Path, metavar="DIR", help=f"the {which} source: data/annotations/NAME"
        )
        parser.add_argument(f"--{which}-splits", nargs="+", required=True, metavar="SPLIT", help="its splits")
    parser.add_argument("--store-dir", type=Path, required=True, metavar="DIR", help="the images: data/images/{store}")
    parser.add_argument("--out", type=Path, required=True, metavar="HTML", help="the page to write")
    return parser


def main(options: argparse.Namespace) -> None:
    """Render the page."""
    inputs = Inputs(options.first, options.second, tuple(options.first_splits), tuple(options.second_splits))
    shown = Shown(options.matching_dir, inputs, options.store_dir, options.matching_dir.resolve().name)
    render_differences(shown, options.settings, options.out)


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
