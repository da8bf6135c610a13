"""Set predictions and runs beside one another: figures, paired differences with intervals, slices, images that differ.

Those that were judged on the same images are compared in pairs: A - B of each bootstrap draw. Writes comparison.json
and comparison.html into --out-dir.

Example:
  python scripts/compare_predictions.py --judged results/predictions/*/ --out-dir results/predictions
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.base.files import write_json, write_text
from cocomine.base.words import counted
from cocomine.evaluation.contrast import compare
from cocomine.reporting.page import render


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__)
    parser.add_argument(
        "--judged",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="folders that evaluate_predictions or evaluate_model wrote",
    )
    parser.add_argument("--out-dir", type=Path, required=True, metavar="DIR", help="where the comparison goes")
    return parser


def main(options: argparse.Namespace) -> None:
    """Compare, write the numbers and the page."""
    facts = compare(options.judged)
    write_json(options.out_dir / "comparison.json", facts)
    write_text(options.out_dir / "comparison.html", render("predictions.html.j2", facts, json_name="comparison.json"))
    clear = sum(pair["clear"] for group in facts["groups"] for pair in group["pairs"])
    pairs = sum(len(group["pairs"]) for group in facts["groups"])
    print(f"{counted(len(options.judged), 'entry')} compared: {clear} of {counted(pairs, 'difference')} clear")


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
