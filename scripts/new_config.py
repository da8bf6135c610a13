r"""Look at a folder of images and labels, and write the config for it.

Known are COCO's own layout, one folder of images, Roboflow's, and whatever else holds COCO files and their images; and
labels of other forms, which are imported (`format`). What was found is said on the terminal, the config
goes to --out.

    scripts/new_config.py /data/leaves --out my.yaml
    scripts/new_config.py /data/leaves
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.base.errors import CocomineError
from cocomine.base.files import write_text


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__ or "")
    parser.add_argument("folder", type=Path, help="the folder that holds the annotation files and the images")
    parser.add_argument("--out", type=Path, metavar="YAML", help="where to write the config (default: the terminal)")
    return parser


def main(options: argparse.Namespace) -> None:
    """Look, and write."""
    from cocomine.configuration.look import doubts, look, proposed_config

    if options.out is not None and options.out.exists():
        raise CocomineError(f"{options.out} is there already", "give --out another name, or remove it")
    looked = look(options.folder)
    config = proposed_config(looked)
    command.say("\n".join(doubts(looked)), sys.stderr)
    if options.out is None:
        print(config, end="")
        return
    write_text(options.out, config)
    print(f"wrote {options.out}; look at it, then: ./run python scripts/check_config.py {options.out}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
