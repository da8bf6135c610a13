"""Write config/README.md and config/schema.json from the settings, so that they and the program cannot drift apart.

python scripts/document_config.py --out-dir config
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.base.files import write_text
from cocomine.configuration.document import document, json_schema

CONFIG = Path(__file__).resolve().parents[1] / "config"


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__)
    parser.add_argument(
        "--out-dir", type=Path, default=CONFIG, help="the folder of README.md and schema.json (default: config)"
    )
    return parser


def main(options: argparse.Namespace) -> None:
    """Write the page and the schema."""
    write_text(options.out_dir / "README.md", document())
    write_text(options.out_dir / "schema.json", json_schema())


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
