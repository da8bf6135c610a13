r"""Say how many images and objects a query would give, from the index, before anything is fetched.

The query is an expression of category names with and, or, not, parentheses and counts, or the name of a subset in a
config. Prints the funnel, the categories, and the sums.

    scripts/count_subset.py 'giraffe and not person' --index-dir data/annotations/coco/index
    scripts/count_subset.py '"dining table" and (cup or bottle >= 2)' --index-dir data/annotations/coco/index
    scripts/count_subset.py giraffes --config config/config.yaml
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = command.parser(__doc__)
    parser.add_argument("query", help="an expression such as 'giraffe and not person'; with --config, a subset's name")
    parser.add_argument("--config", type=Path, help="take the query from this config's subset of the given name")
    parser.add_argument("--root", type=Path, default=Path(), help="the folder of the build (default: here)")
    parser.add_argument(
        "--index-dir", type=Path, help="folder of a source's index (with --config: data/annotations/SOURCE/index)"
    )
    parser.add_argument("--splits", nargs="+", default=[], help="splits to count in (default: all that are indexed)")
    parser.add_argument("--images-from", type=Path, help="images.tsv of the subset that the key images_from names")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


def main(options: argparse.Namespace) -> None:
    """Answer one question."""
    # Imported late, so that --help and a mistyped option answer at once.
    from cocomine.inquiry import ask

    given = options.config, options.index_dir, options.splits, options.images_from
    answer = ask.answer(options.query, *given, options.json, options.root)
    (print if options.json else command.say)(answer)


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
