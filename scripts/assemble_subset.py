r"""Assemble a subset from what mine_subset selected and from what the fetched images turned out to be.

Quarantines missing and broken images (and replaces them by spares if the query says refill), repairs and checks the
subset's records as its policy asks, and writes subset.json with every kept record byte for byte as in the source,
the other tasks' files as tasks/{task}.json, images.tsv, labels.json, dictionary.json, statistics.json,
interference.png, quarantine.tsv, repairs.tsv and ATTRIBUTION.md.

    scripts/assemble_subset.py --settings '{"categories": ["giraffe"], "match": "only"}' \
        --index-dir data/annotations/coco/index --annotations-dir data/annotations/coco \
        --selection results/giraffes/selection.tsv --funnel results/giraffes/funnel.json \
        --measures results/giraffes/images.parquet --out-dir results/giraffes
"""

import argparse
import json
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.base.errors import about
from cocomine.coco.tasks import TASK_OF
from cocomine.mining.assemble import assemble
from cocomine.mining.drawn import Drawn
from cocomine.mining.settings import SubsetSettings


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = command.parser(__doc__, settings=SubsetSettings)
    parser.add_argument("--index-dir", type=Path, required=True, help="folder of the source's index")
    parser.add_argument(
        "--annotations-dir",
        type=Path,
        required=True,
        help="folder of the source's annotation files, {task}_{split}.json",
    )
    parser.add_argument("--selection", type=Path, required=True, help="selection.tsv that mine_subset wrote")
    parser.add_argument("--funnel", type=Path, required=True, help="funnel.json that mine_subset wrote")
    parser.add_argument(
        "--measures", type=Path, help="images.parquet that measure_images wrote; without it no image is judged"
    )
    parser.add_argument("--out-dir", type=Path, required=True, help="folder of the subset to write")
    parser.add_argument(
        "--draw-from",
        default="instances",
        choices=TASK_OF,
        help="what the masks will be drawn from, which decides the classes of labels.json (default instances)",
    )
    parser.add_argument(
        "--stuff-categories",
        type=json.loads,
        default=[],
        metavar="JSON",
        help="list of the stuff categories, by name or id, that get a label (default: all of the source)",
    )
    parser.add_argument("--threads", type=int, default=1, help="processes that draw masks to check them (default 1)")
    return parser


def main(options: argparse.Namespace) -> None:
    """Assemble one subset."""
    with about("subset", f"subsets.{options.out_dir.name}"):
        assemble(
            query=options.settings,
            index_dir=options.index_dir,
            annotations_dir=options.annotations_dir,
            selection_path=options.selection,
            funnel_path=options.funnel,
            measures_path=options.measures,
            out_dir=options.out_dir,
            threads=options.threads,
            drawn=Drawn(options.draw_from, tuple(options.stuff_categories)),
        )


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
