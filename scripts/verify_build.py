"""Prove a build against its lock, or name each difference.

Every file of the lock must be there with its very bytes, and so must every image and annotation file that the build was
made from; no other file may stand beside the outputs, and the code and the packages must be those that made them. The
exit code is 0 when nothing differs and 1 otherwise.

    python scripts/verify_build.py                                  # this tree against results/build.lock.json
    python scripts/verify_build.py --images fast                    # images by size and time only: no proof of them
    python scripts/verify_build.py --lock their.lock.json --root ../their-build --files-only
"""

import argparse
import os
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.base.files import sha256_of_file
from cocomine.provenance import lock, verify

NOT_PROVED = {
    "bytes": "",
    "fast": ", looked at by size and time and not proved",
    "none": ", not looked at",
}


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__)
    parser.add_argument("--lock", type=Path, help="the lock (default: results/build.lock.json below --root)")
    parser.add_argument("--root", type=Path, default=Path(), help="the folder of the build (default: here)")
    parser.add_argument("--files-only", action="store_true", help="leave code and package versions out")
    parser.add_argument(
        "--images",
        choices=list(NOT_PROVED),
        default="bytes",
        help="read every image of the store (default), compare size and time with what the store remembers, or leave "
        "images out; only the first proves them",
    )
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, metavar="N", help="processes to read with (default: all)"
    )
    return parser


def main(options: argparse.Namespace) -> int:
    """Print each difference; return 1 when there is one."""
    path = options.lock or options.root / "results" / "build.lock.json"
    locked = lock.read_lock(path)
    scripts = None if options.files_only else Path(__file__).resolve().parent
    # The page of the index is this version's to make: a build of another one is held to its lock alone.
    index = None if options.files_only or options.lock else path.with_name("index.html")
    found = list(verify.differences_of_tree(locked, options.root, scripts, options.images, options.threads, index))
    for difference in found:
        command.say(difference)
    images = sum(len(names) for names in verify.images_of(locked, options.root).values())
    counts = (
        f"{len(locked['inputs'])} inputs, {lock.files_of(locked['outputs'])} output files, "
        f"{images} images{NOT_PROVED[options.images]}"
    )
    if any(difference.rule for difference in found):
        command.say(f"Hint: {lock.repair_hint(found, options.root)}")
    command.say(f"{len(found)} differences from the lock ({counts})" if found else f"proved: {counts}")
    command.say(f"lock: sha256 {sha256_of_file(path)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
