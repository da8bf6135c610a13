r"""Turn the values of a folder of masks into labels 0, 1, 2, …, n (the paper's Algorithm 2).

    relabel_masks.py masks/ labels/ --mapping '{"0": 0, "38": 1, "75": 2, "255": "void"}'
    relabel_masks.py masks/ labels/ --mapping '{"#000000": 0, "#ff8000": 1}'     masks in RGB colours
    relabel_masks.py masks/ labels/                                            number the values that occur

IN_DIR holds masks of one form: grey values (8 or 16 bits), palette indices, or RGB colours; folders in it are kept.
OUT_DIR gets an indexed 8-bit PNG for each, and mapping.json with the mapping, which --mapping reads again. A value that
the mapping lacks is an error that names the file and the place, and then nothing is written. Without --mapping the
values that occur are numbered in ascending order. The bytes do not depend on --threads.
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.masks.relabel import relabel_folder


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = command.parser(__doc__)
    parser.add_argument("in_dir", type=Path, metavar="IN_DIR", help="the folder of masks")
    parser.add_argument("out_dir", type=Path, metavar="OUT_DIR", help="a new folder, or an earlier result to replace")
    parser.add_argument(
        "--mapping",
        type=command.settings_argument,
        metavar="JSON|FILE",
        help="label by value, in place or as a JSON or YAML file (default: number the values that occur)",
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="working processes (default: 1)")
    return parser


def main(options: argparse.Namespace) -> None:
    """Relabel the masks that `options` names."""
    relabel_folder(options.in_dir, options.out_dir, options.mapping, options.threads)


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
