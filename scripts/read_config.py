"""Read the config files that a call of Snakemake names, and say what is wrong with their YAML, by line and column.

`./run snakemake` asks this first: Snakemake itself names no line, and takes the last of two keys of one name.

python scripts/read_config.py snakemake --cores 8 --configfile my.yaml
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.base.yaml_file import read_config


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__ or "")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the call of Snakemake, word for word")
    return parser


def main(options: argparse.Namespace) -> None:
    """Read each config file that is there; what is missing, Snakemake names."""
    words = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    words.add_argument("--configfile", "--configfiles", nargs="+", action="extend", default=[], type=Path)
    for path in words.parse_known_args(options.command)[0].configfile:
        if path.is_file():
            read_config(path)


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
