r"""Fetch exactly the images of a selection into an image store, verified, and write their lock.

The store's origins are asked in order: what the first lacks or refuses is asked of the next. Files are complete or
absent, whatever happens on the way; run it again after a failure and only what is missing is fetched. The exit code is
0 only if every image is there with the checksum that its origin published.

Example:
  python scripts/sync_images.py --settings '{"origins": ["gs://my-bucket/coco"]}' \
      --selection results/giraffes/selection.tsv --store-dir data/images/coco --lock results/giraffes/images.lock.tsv
  python scripts/sync_images.py --settings '{"folder": "/datasets/coco", "use": "in-place"}' … --plan
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.base.bucket import pack
from cocomine.sources.images import Job, plan_images, sync_images
from cocomine.sources.merged import read_parts
from cocomine.sources.selection import read_lock
from cocomine.sources.settings import StoreSettings
from cocomine.sources.store import Options
from cocomine.transfer.behaviour import add_behaviour, behaviour_of


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__ or "", settings=StoreSettings)
    parser.add_argument("--selection", type=Path, required=True, help="table with columns image_id and store_path")
    parser.add_argument("--store-dir", type=Path, required=True, help="the image store: data/images/{store}")
    parser.add_argument("--lock", type=Path, required=True, help="written: size, checksums and origin of every image")
    parser.add_argument("--against", type=Path, help="an earlier lock that must hold (default: --lock, if it exists)")
    parser.add_argument("--pins", type=Path, help="checksums pinned on first use: must hold, and are added to")
    parser.add_argument("--plan", action="store_true", help="print what would be fetched, from where, and stop")
    parser.add_argument("--checksum", action="store_true", help="read every byte that is there already")
    parser.add_argument("--verify-origin", action="store_true", help="ask the origins whether they hold the same bytes")
    parser.add_argument(
        "--missing",
        choices=("stop", "record"),
        default="stop",
        help="record: an image that no origin has goes into the lock as missing, and the exit code stays 0",
    )
    parser.add_argument("--splits", nargs="*", default=[], help="all splits that the source has")
    parser.add_argument("--parts", type=Path, help="JSON: for a merged source, each split's source, split and store")
    parser.add_argument("--copy", type=Path, metavar="TAR", help="also written: the images, to travel as one file")
    add_behaviour(parser)
    return parser


def main(options: argparse.Namespace) -> None:
    """Sync, or print the plan."""
    how = Options(behaviour_of(options), options.checksum, options.verify_origin)
    files = (options.selection, options.store_dir, options.lock, options.against, options.pins)
    parts = {} if options.parts is None else read_parts(options.parts)
    job = Job(*files, record_missing=options.missing == "record", splits=tuple(options.splits), parts=parts)
    if options.plan:
        command.say("\n".join(plan_images(job, options.settings, how)))
    else:
        sync_images(job, options.settings, how)
        if options.copy is not None:
            there = sorted(name for name, image in read_lock(options.lock).items() if image.status == "ok")
            pack(options.copy, (options.store_dir / name for name in there))


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
