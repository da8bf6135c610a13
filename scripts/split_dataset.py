r"""Part a subset into train, val and other splits so that nothing leaks: near-duplicates stay in one of them.

Reads subset.json, images.tsv and tasks/*.json of the subset and the measured images. Writes split.tsv (image_id,
file_name, split, group, fold), splits/{task}_{split}.json for each task and split, and split_audit.json: what was
grouped and why, each class's share of every split, its deviation and the best that was possible.

Strategies (setting `strategy`): hash (default), stratified, official, kfold, stratified-kfold, lists. docs/splits.md

Example:
  python scripts/split_dataset.py --settings '{"shares": {"train": 0.7, "val": 0.2, "test": 0.1}}' \
      --subset-dir results/zoo --measures results/zoo/images.parquet --out-dir results/zoo
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.splits.settings import SplitSettings
from cocomine.splits.split import split


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = command.parser(__doc__ or "", settings=SplitSettings)
    parser.add_argument("--subset-dir", type=Path, required=True, help="folder with subset.json, images.tsv and tasks/")
    parser.add_argument("--measures", type=Path, required=True, help="images.parquet that measure_images wrote")
    parser.add_argument("--out-dir", type=Path, required=True, help="folder to write into, usually the subset's own")
    parser.add_argument("--like", type=Path, help="split.tsv of another subset, whose splits are inherited by image id")
    parser.add_argument("--previous", type=Path, help="an earlier split.tsv: the audit then counts what moved since")
    return parser


def main(options: argparse.Namespace) -> None:
    """Part the subset."""
    split(options.settings, options.subset_dir, options.measures, options.out_dir, options.like, options.previous)


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
