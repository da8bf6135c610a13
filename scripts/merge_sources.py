r"""Merge the annotation files of several sources into those of one, which a subset is then mined from.

Every record of every file comes through. Categories of one name become one, and so do licences of one name and
address; other ids that collide become new ones, and categories.tsv and licenses.tsv say which, both ways. An image's
record names its source. The same files give the same bytes.

Example:
  python scripts/merge_sources.py --indexes data/annotations/{coco,ours}/index/*/index.json \
      --out-dir data/merged/coco+ours
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.merging.merge import merge_sources


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__ or "")
    parser.add_argument(
        "--indexes",
        nargs="+",
        type=Path,
        required=True,
        help="the indexes {source}/index/{task}_{split}/index.json, those first of the source whose ids stay",
    )
    parser.add_argument("--out-dir", type=Path, required=True, help="data/merged/{source}")
    return parser


def main(options: argparse.Namespace) -> None:
    """Merge."""
    merge_sources(options.indexes, options.out_dir)


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
