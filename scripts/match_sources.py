r"""Match the objects of two annotation sources over the same images, such as COCO and Sama-COCO.

Says of every object of both whether the other has it, whether the outlines agree, and what it is otherwise: split,
merged, a crowd, relabelled, in one source only. Writes matches.parquet (a row a finding), images.tsv (a line an image),
crosswalk.tsv (which classes are the same), matching.json and a readable matching.md. docs/matching.md defines it all.

Example:
  match_sources.py --settings '{"first": "coco", "second": "sama"}' --first data/annotations/coco \
      --second data/annotations/sama --splits train2017 val2017 --out-dir results/coco-and-sama
"""

import argparse
import sys
from pathlib import Path

from cocomine.annotations.compare import common_splits
from cocomine.base import command
from cocomine.matching.match import Inputs, match_sources
from cocomine.matching.settings import ComparisonSettings


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__, settings=ComparisonSettings)
    for which in ("first", "second"):
        parser.add_argument(
            f"--{which}", required=True, type=Path, metavar="DIR", help=f"the {which} source: data/annotations/NAME"
        )
        parser.add_argument(f"--{which}-splits", nargs="+", metavar="SPLIT", help="its splits, where --splits differ")
    parser.add_argument("--splits", nargs="+", metavar="SPLIT", help="splits to take together; default: all in both")
    parser.add_argument("--out-dir", required=True, type=Path, metavar="DIR", help="folder to write to")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="processes (default 1)")
    return parser


def main(options: argparse.Namespace) -> None:
    """Match the two sources."""
    splits = [options.first_splits or options.splits, options.second_splits or options.splits]
    if None in splits:
        common = common_splits(options.first / "index", options.second / "index", options.settings.task)
        splits = [given or common for given in splits]
    inputs = Inputs(options.first, options.second, tuple(splits[0]), tuple(splits[1]))
    match_sources(inputs, options.settings, options.out_dir, options.threads)


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
