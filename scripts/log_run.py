r"""Log what a run or a prediction measured to MLflow or Weights & Biases, out of its own files.

Reads training.json, history.csv and metrics.json of each folder and logs settings as parameters, each row of the
history as a step, every figure with its interval, and the SHA-256 of the build's lock as a tag. The tracker must be
installed; cocomine itself has none.

Example:
  python scripts/log_run.py results/experiments/baseline results/predictions/yolo --tracker mlflow \
      --project animals --where sqlite:///mlflow.db --lock results/build.lock.json
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.base.words import counted
from cocomine.evaluation.tracking import TRACKERS, read_folder


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__)
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="folder of a run or of predictions")
    parser.add_argument("--tracker", choices=tuple(TRACKERS), required=True, help="where it goes")
    parser.add_argument("--project", default="cocomine", help="experiment or project (default: %(default)s)")
    parser.add_argument("--where", help="MLflow: tracking URI. Weights & Biases: folder of a run kept offline")
    parser.add_argument("--lock", type=Path, metavar="FILE", help="the build's lock, whose SHA-256 becomes a tag")
    return parser


def main(options: argparse.Namespace) -> int:
    """Log each folder and say what was logged."""
    for folder in options.folders:
        logged = read_folder(folder, options.lock)
        TRACKERS[options.tracker](logged, options.project, options.where)
        print(f"{folder}: {counted(len(logged.steps), 'step')}, {counted(len(logged.figures), 'figure')}")
    return 0


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
