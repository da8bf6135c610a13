r"""Evaluate a trained run on a subset's validation images, and say where it fails.

Writes into --out-dir: metrics.json (IoU, Dice, accuracy, confusion, cross-entropy, the paper's Eq. 2 both ways,
bootstrap intervals, slices, trivial baselines; at training and at full resolution), per_image.parquet, and pictures/ of
the worst and the best images. A model of more classes is scored on the classes of --labels. Images that were trained on
are refused.

Example:
  python scripts/evaluate_model.py --run-dir results/experiments/try --tensors results/shapes/tensors/128 \
      --labels results/shapes/labels.json --subset-dir results/shapes --out-dir results/experiments/try/on-shapes
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.learning import launch
from cocomine.learning.settings import RunSettings


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__, settings=RunSettings)
    parser.add_argument("--run-dir", type=Path, required=True, metavar="DIR", help="folder that train_model wrote")
    parser.add_argument("--tensors", type=Path, required=True, metavar="DIR", help="packed tensors of the subset")
    parser.add_argument("--labels", type=Path, required=True, metavar="FILE", help="labels.json of the subset")
    parser.add_argument(
        "--subset-dir",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of the subset evaluated on: its subset.json, images.tsv and images.parquet make the slices",
    )
    parser.add_argument(
        "--masks-dir",
        type=Path,
        metavar="DIR",
        help="folder whose semantic/ holds the full-size masks (default: masks in --subset-dir)",
    )
    parser.add_argument("--store-dir", type=Path, metavar="DIR", help="image store, for the photographs in pictures/")
    parser.add_argument("--tags", type=Path, metavar="FILE", help="table of tags of images, to slice errors by")
    parser.add_argument("--out-dir", type=Path, required=True, metavar="DIR", help="where the outputs go")
    return parser


def main(options: argparse.Namespace) -> int:
    """Evaluate."""
    if options.settings.train.device != "cpu":
        launch.take_gpus(1)

    from cocomine.evaluation import evaluation, predicting
    from cocomine.learning import data

    settings = options.settings.evaluation
    masks_dir = options.masks_dir if options.masks_dir is not None else options.subset_dir / "masks"
    evaluation.evaluate(
        predicting.Job(
            settings,
            options.run_dir,
            data.read_tensors(options.tensors),
            data.read_trained_labels(options.labels),
            options.subset_dir,
            options.out_dir,
            masks_dir if settings.full_resolution else None,
            options.subset_dir.name,
            options.store_dir,
            options.tags,
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
