r"""Fetch a source's annotation files, verified, and pin them in a lock.

For each split and task the origins are asked in order for annotations/{task}_{split}.json (or what `files` says), then
the preset's public zips, of which only the member needed is moved. Panoptic files bring the PNGs that they name.

Example:
  python scripts/sync_annotations.py --settings '{"origins": ["gs://my-bucket/coco"], "splits": ["val2017"]}' \\
      --out-dir data/annotations/coco --lock data/annotations/coco/sync.lock.json
  python scripts/sync_annotations.py --settings '{"preset": "coco2017", "tasks": ["instances", "captions"]}' … --plan
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.base.bucket import pack
from cocomine.base.files import read_json
from cocomine.sources.annotations import Job, plan_annotations, sync_annotations
from cocomine.sources.settings import SourceSettings
from cocomine.sources.store import Options
from cocomine.transfer.behaviour import add_behaviour, behaviour_of


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__ or "", settings=SourceSettings)
    parser.add_argument("--out-dir", type=Path, required=True, help="data/annotations/{source}")
    parser.add_argument("--lock", type=Path, required=True, help="written: size, checksums and origin of every file")
    parser.add_argument("--against", type=Path, help="an earlier lock that must hold (default: --lock, if it exists)")
    parser.add_argument("--pins", type=Path, help="checksums pinned on first use: must hold, and are added to")
    parser.add_argument("--plan", action="store_true", help="print what would be fetched, from where, and stop")
    parser.add_argument("--checksum", action="store_true", help="read every byte that is there already")
    parser.add_argument("--verify-origin", action="store_true", help="ask the origins whether they hold the same bytes")
    parser.add_argument(
        "--panoptic",
        choices=("all", "none"),
        default="all",
        help="the PNGs of panoptic files: all that they name, or none (default: all)",
    )
    parser.add_argument("--selection", type=Path, help="with panoptic PNGs: only those of this selection's images")
    parser.add_argument(
        "--copy", type=Path, metavar="TAR", help="also written: all files of the lock, to travel as one"
    )
    add_behaviour(parser)
    return parser


def main(options: argparse.Namespace) -> None:
    """Sync, or print the plan."""
    how = Options(behaviour_of(options), options.checksum, options.verify_origin)
    job = Job(options.out_dir, options.lock, options.against, options.pins, options.selection, options.panoptic)
    if options.plan:
        command.say("\n".join(plan_annotations(job, options.settings, how)))
    else:
        sync_annotations(job, options.settings, how)
        if options.copy is not None:
            pack(options.copy, (options.out_dir / name for name in sorted(read_json(options.lock)["files"])))


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
