"""Set all runs side by side: mean and deviation over seeds, the arms of the paper's question, the published table.

Writes comparison.json, comparison.tsv (a line a cell of the grid) and comparison.html into --out-dir.

Example:
  python scripts/compare_experiments.py --runs results/experiments/*/on-* --out-dir results/experiments
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.base.files import write_text
from cocomine.evaluation import comparison
from cocomine.reporting.experiments import render_experiments


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__)
    parser.add_argument(
        "--runs",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="folders that evaluate_model wrote, or runs' folders with on-… folders inside",
    )
    parser.add_argument("--out-dir", type=Path, required=True, metavar="DIR", help="where the comparison goes")
    return parser


def main(options: argparse.Namespace) -> int:
    """Compare and print the table."""
    result = comparison.write_comparison(options.runs, options.out_dir)
    write_text(options.out_dir / "comparison.html", render_experiments(result, options.out_dir / "comparison.json"))
    for cell in result["cells"]:
        figure, seeds = cell["figures"]["iou"], len(cell["seeds"])
        deviation = "" if figure["deviation"] is None else f" ± {figure['deviation']:.3f}"
        mean = "undefined" if figure["mean"] is None else f"{figure['mean']:.3f}"
        where = f"{cell['model']} trained on {cell['trained_on']}, evaluated on {cell['evaluated_on']}"
        print(f"{cell['experiment']}: {where}: IoU {mean}{deviation} ({seeds} seed{'s' * (seeds != 1)})")
    return 0


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
