r"""Index one COCO annotation file: every record's facts, reason codes, byte offset and length.

The index is built once per annotation file and serves every subset. It states facts only; what follows from a reason
code (keep, repair, quarantine, stop) is each subset's policy, so a change of policy never indexes again. The file is
read in bounded memory; a truncated or malformed file is an error that names the byte offset.

Example:
  index_annotations.py --task instances --annotations data/annotations/coco/instances_val2017.json \
      --out-dir data/annotations/coco/index/instances_val2017
"""

import argparse
import sys
from pathlib import Path

from cocomine.annotations.build import build_index
from cocomine.annotations.layout import TASKS
from cocomine.base import command
from cocomine.sources.proof import locked_sha256


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__)
    parser.add_argument("--task", required=True, choices=list(TASKS), help="what the file annotates")
    parser.add_argument("--annotations", required=True, type=Path, metavar="JSON", help="the COCO annotation file")
    parser.add_argument(
        "--split",
        help="the image folder of names that have none of their own, such as val2017; "
        "default: the file's name after the task, {task}_{split}.json",
    )
    parser.add_argument(
        "--below-split", action="store_true", help="names with folders of their own are below the image folder too"
    )
    parser.add_argument(
        "--out-dir", required=True, type=Path, metavar="DIR", help="where index.json and the two tables are written"
    )
    parser.add_argument(
        "--lock", type=Path, metavar="JSON", help="sync.lock.json of the source: the file must have the SHA-256 locked"
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help="processes to read with (default 1); no effect on the result",
    )
    return parser


def main(options: argparse.Namespace) -> int:
    """Index the file."""
    split = options.split or options.annotations.stem.removeprefix(f"{options.task}_")
    locked = locked_sha256(options.lock, options.annotations.name) if options.lock else ""
    how = (options.threads, locked, options.below_split)
    build_index(options.annotations, options.task, split, options.out_dir, *how)
    return 0


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
