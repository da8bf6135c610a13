"""Say in what two builds differ: config, code, packages, inputs, outputs.

    python scripts/diff_builds.py yesterday/results/build.lock.json results/build.lock.json

Files within a folder are named where the second build lies with its data/locks, which knows both. The exit code is 0
when the builds are the same and 1 otherwise.
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.base.tree import Listings
from cocomine.provenance import lock, verify


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__)
    parser.add_argument("first", type=Path, help="the lock of one build")
    parser.add_argument("second", type=Path, help="the lock of the other")
    return parser


def main(options: argparse.Namespace) -> int:
    """Print each difference; return 1 when there is one."""
    listings = Listings(options.second.resolve().parents[1] / verify.HISTORY / "files")
    differences = list(
        lock.differences_of_locks(lock.read_lock(options.first), lock.read_lock(options.second), listings)
    )
    for difference in differences:
        command.say(difference)
    command.say(f"{len(differences)} differences" if differences else "the same build")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
