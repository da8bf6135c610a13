r"""Mirror a bucket's prefix into a folder, or publish a folder into a bucket.

Like `gsutil rsync -r`, with its options by their meaning, and faster. A file is unchanged when its size and time are
those that were recorded when its checksum was last compared, and that checksum is the bucket's of now; otherwise its
bytes are read. Everything fetched is verified against the bucket's checksum and renamed into place when complete.
The whole listing is read before the first byte moves: what does not fit on the disk is not begun.
What is recorded lies in DIR/.cocomine/, which takes no part itself. docs/transfer.md names the differences from gsutil.

Example:
  python scripts/sync_bucket.py gs://my-bucket/coco/val2017 /datasets/coco/val2017 --delete
  python scripts/sync_bucket.py results/giraffes/exports/coco gs://my-bucket/giraffes --manifest manifest.json
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.base.errors import CocomineError
from cocomine.transfer.behaviour import add_behaviour, behaviour_of
from cocomine.transfer.bucket_sync import SyncOptions, download
from cocomine.transfer.listing import Filter
from cocomine.transfer.publishing import upload
from cocomine.transfer.settings import OriginSettings


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__ or "")
    parser.add_argument("source", metavar="SRC", help="gs://bucket/prefix, or a folder")
    parser.add_argument("destination", metavar="DST", help="a folder, or gs://bucket/prefix")
    parser.add_argument("-c", "--checksum", action="store_true", help="compare by checksum: read every byte here")
    parser.add_argument("-d", "--delete", action="store_true", help="remove what the source does not have")
    parser.add_argument("-n", "--dry-run", action="store_true", help="say what would be done, do nothing")
    parser.add_argument(
        "--plan", action="store_true", help="say how many files and bytes, what is there, and the free disk; do nothing"
    )
    parser.add_argument("-i", "--no-clobber", action="store_true", help="leave files that exist at the destination")
    parser.add_argument("-u", "--update", action="store_true", help="leave files that are newer at the destination")
    parser.add_argument("-e", "--exclude-symlinks", action="store_true", help="leave symlinks out")
    parser.add_argument(
        "-x",
        "--exclude",
        action="append",
        default=[],
        metavar="REGEX",
        help="leave out names that match from their beginning on; neither copied nor removed (may be repeated)",
    )
    parser.add_argument(
        "--include", action="append", default=[], metavar="REGEX", help="take only names that match (may be repeated)"
    )
    parser.add_argument("--allow-empty", action="store_true", help="let --delete follow a source that holds nothing")
    parser.add_argument("--lock", type=Path, metavar="FILE", help="write what was synced, with checksums, here")
    parser.add_argument("--locked", action="store_true", help="fail, by name, on whatever is not as --lock says")
    parser.add_argument(
        "--manifest", default="", metavar="NAME", help="publish the checksums of everything under this name, last"
    )
    parser.add_argument("--credentials", default="default", metavar="WHICH", help="default, anonymous, or a key FILE")
    parser.add_argument("--requester-pays", default="", metavar="PROJECT", help="the project that is billed")
    parser.add_argument("--endpoint", default="", metavar="URL", help="another endpoint of the GCS JSON API")
    add_behaviour(parser)
    return parser


def main(options: argparse.Namespace) -> None:
    """Sync in the direction that the arguments say."""
    remote = [place.startswith("gs://") for place in (options.source, options.destination)]
    if sum(remote) != 1:
        raise CocomineError(
            f"{options.source} to {options.destination}: one of the two must be gs://, the other a folder",
            "sync_bucket.py gs://bucket/prefix DIR, or sync_bucket.py DIR gs://bucket/prefix",
        )
    if options.locked and options.lock is None:
        raise CocomineError("--locked without --lock", "name the lock: --lock FILE")
    how = SyncOptions(
        behaviour_of(options),
        checksum=options.checksum,
        delete=options.delete,
        dry_run=options.dry_run,
        plan=options.plan,
        no_clobber=options.no_clobber,
        update=options.update,
        links=not options.exclude_symlinks,
        allow_empty=options.allow_empty,
        names=Filter.of(options.exclude, options.include),
        lock=options.lock,
        locked=options.locked,
        manifest=options.manifest,
    )
    url = options.source if remote[0] else options.destination
    settings = OriginSettings(url, options.credentials, options.requester_pays, options.endpoint)
    if remote[0]:
        download(settings, Path(options.destination), how)
    else:
        upload(Path(options.source), settings, how)


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
