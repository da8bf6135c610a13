"""Write config/README.md from the schemas, so that documentation and program cannot drift apart.

python scripts/document_config.py --out config/README.md
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.base.files import write_text
from cocomine.configuration.document import document


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    return parser


def main(options: argparse.Namespace) -> None:
    """Write the page."""
    write_text(options.out, document())


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
