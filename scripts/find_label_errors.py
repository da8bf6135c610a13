r"""List the labels of a COCO file that a model's masks contradict with confidence, the most suspicious first.

Missing objects, spurious ones, wrong classes, poor outlines: label_errors.tsv is a list to review, with a link to each
image in an explorer. The predictions must not come from a model that was trained on these very images: it repeats
their errors. docs/matching.md defines the order.

Example:
  find_label_errors.py --subset-dir results/animals --file yolo/segm.json --out-dir review \
      --explorer ../results/animals/explorer.html
"""

import argparse
import logging
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.base.words import counted
from cocomine.evaluation.ground import ground_of_file, ground_of_subset
from cocomine.evaluation.results_file import read_results
from cocomine.evaluation.settings import JudgingSettings
from cocomine.evaluation.truth import read_truth
from cocomine.matching.label_errors import KINDS, find_label_errors

log = logging.getLogger("cocomine")

MOST = 2000


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__, settings=JudgingSettings)
    ground = parser.add_mutually_exclusive_group(required=True)
    ground.add_argument("--subset-dir", type=Path, metavar="DIR", help="the subset to review: its judged split")
    ground.add_argument("--annotations", type=Path, metavar="JSON", help="the COCO file to review")
    parser.add_argument("--file", type=Path, required=True, metavar="JSON", help="COCO results with masks and scores")
    parser.add_argument(
        "--explorer", default="", metavar="HTML", help="an explorer, as the list's links are to name it"
    )
    parser.add_argument("--score", type=float, default=0.5, help="least score of what is held against a label (0.5)")
    parser.add_argument("--out-dir", type=Path, required=True, metavar="DIR", help="folder to write to")
    return parser


def main(options: argparse.Namespace) -> None:
    """List the suspects."""
    settings, task = options.settings, "masks"
    ground = (
        ground_of_file(options.annotations, None, task)
        if options.subset_dir is None
        else ground_of_subset(options.subset_dir, settings, task)
    )
    entries = read_results(options.file, ground, read_truth(ground).sizes, settings).entries
    most = settings.label_errors or MOST
    ranked = find_label_errors(ground, entries, options.out_dir, options.score, most, options.explorer)
    kinds = ", ".join(f"{kind} {sum(one.kind == kind for one in ranked)}" for kind in KINDS)
    log.info("%s: %s, in %s", counted(len(ranked), "suspect"), kinds, options.out_dir / "label_errors.tsv")


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
