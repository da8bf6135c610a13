r"""Set two annotation sources over the same images side by side, such as COCO and Sama-COCO.

Counts images, objects, crowds, polygons, vertices and size classes of both, in all and per class, from their indexes.
Writes comparison.json, comparison.tsv, classes.tsv, a readable comparison.md with each count's definition, and a
picture. Takes seconds on all of COCO.

Example:
  compare_sources.py --first data/annotations/coco/index --second data/annotations/sama-coco/index \
      --splits train2017 val2017 --out-dir results/coco-and-sama-coco
"""

import argparse
import sys
from pathlib import Path

from cocomine.annotations.compare import common_splits, compare, read_labels, write_comparison
from cocomine.base import command


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__)
    for which in ("first", "second"):
        parser.add_argument(
            f"--{which}", required=True, type=Path, metavar="DIR", help=f"folder of the {which} source's index"
        )
        parser.add_argument(f"--{which}-name", metavar="NAME", help="its name; default: the folder above the index's")
        parser.add_argument(f"--{which}-splits", nargs="+", metavar="SPLIT", help="its splits, where --splits differ")
    parser.add_argument("--splits", nargs="+", metavar="SPLIT", help="splits to take together; default: all in both")
    parser.add_argument("--task", default="instances", help="default: instances")
    parser.add_argument("--out-dir", required=True, type=Path, metavar="DIR", help="folder to write to")
    return parser


def main(options: argparse.Namespace) -> int:
    """Compare the two sources."""
    first_splits = options.first_splits or options.splits
    second_splits = options.second_splits or options.splits
    if first_splits is None or second_splits is None:
        common = common_splits(options.first, options.second, options.task)
        first_splits, second_splits = first_splits or common, second_splits or common
    first = read_labels(
        options.first_name or options.first.resolve().parent.name, options.first, first_splits, options.task
    )
    second = read_labels(
        options.second_name or options.second.resolve().parent.name, options.second, second_splits, options.task
    )
    write_comparison(compare(first, second), options.out_dir)
    return 0


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
