r"""Select a subset's images from the index of its source, before any image is fetched.

Reads the index only and takes under a second on all of COCO. Writes the list of images (wanted, negative, spare) that
sync_images fetches, and the funnel: what each clause of the query removed.

    scripts/mine_subset.py --settings '{"categories": ["giraffe"], "match": "only"}' \
        --index-dir data/annotations/coco/index --splits train2017 val2017 \
        --selection results/giraffes/selection.tsv --funnel results/giraffes/funnel.json
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.base.errors import about
from cocomine.mining.mine import mine
from cocomine.mining.settings import SubsetSettings


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = command.parser(__doc__, settings=SubsetSettings)
    parser.add_argument(
        "--index-dir", type=Path, required=True, help="folder of the source's index, one folder a task and split in it"
    )
    parser.add_argument(
        "--splits", nargs="*", default=[], help="splits to draw from, in this order (default: all there)"
    )
    parser.add_argument("--selection", type=Path, required=True, help="table of the selected images to write")
    parser.add_argument("--funnel", type=Path, required=True, help="JSON of what each clause removed to write")
    parser.add_argument("--images-from", type=Path, help="split.tsv of the subset that the key images_from names")
    return parser


def main(options: argparse.Namespace) -> None:
    """Mine one subset."""
    with about("subset", f"subsets.{options.selection.parent.name}"):
        mine(
            query=options.settings,
            index_dir=options.index_dir,
            splits=options.splits,
            selection_path=options.selection,
            funnel_path=options.funnel,
            images_from=options.images_from,
        )


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
