r"""Write a subset's explorer: a page that filters, sorts and enlarges all its images, offline and without a server.

Writes the page and, beside it, a folder of the same name with its data. Thumbnails, enlarged images and masks are shown
from where they lie, by relative path: keep the page in its results folder. With --single-file there is another page,
which holds all that it shows, photographs of at most 512 pixels, and can be mailed.

Example:
  scripts/render_explorer.py --subset-dir results/animals --store-dir data/images/coco \
      --out results/animals/explorer.html
"""

import argparse
import sys
from functools import partial
from pathlib import Path

from cocomine.base import command
from cocomine.base.files import read_table
from cocomine.inquiry.left_out import LeftOut, left_out
from cocomine.inquiry.trace import Trace
from cocomine.mining.settings import SubsetSettings
from cocomine.reporting.explorer import Inputs, render_explorer


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__, settings=SubsetSettings)
    parser.add_argument("--subset-dir", type=Path, required=True, metavar="DIR", help="the subset: results/{subset}")
    parser.add_argument("--name", metavar="TEXT", help="its name (default: that of the folder)")
    parser.add_argument("--store-dir", type=Path, required=True, metavar="DIR", help="its images: data/images/{store}")
    parser.add_argument("--runs", nargs="*", default=[], type=Path, metavar="DIR", help="evaluations on it, for scores")
    parser.add_argument(
        "--index-dir",
        type=Path,
        metavar="DIR",
        help="its source's index, to show with --settings, the query, which objects it left out of the images",
    )
    parser.add_argument("--images-from", type=Path, metavar="TSV", help="images.tsv of the subset that the query names")
    parser.add_argument("--out", type=Path, required=True, metavar="HTML", help="the page to write")
    parser.add_argument(
        "--single-file", type=Path, metavar="HTML", help="a page of one file to write too, to be mailed"
    )
    return parser


def main(options: argparse.Namespace) -> None:
    """Render the explorer."""
    name = options.name or options.subset_dir.resolve().name
    gone = partial(_left_out, options) if options.index_dir else LeftOut
    inputs = Inputs(options.subset_dir, name, options.store_dir, tuple(options.runs), gone)
    render_explorer(inputs, options.out, mailed=options.single_file)


def _left_out(options: argparse.Namespace) -> LeftOut:
    traced = Trace(options.settings, options.index_dir, options.subset_dir, options.images_from)
    return left_out(traced, {int(row["image_id"]) for row in read_table(options.subset_dir / "images.tsv")})


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
