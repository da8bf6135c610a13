"""Prove a build against its lock, or name each difference.

Every file of the lock must be there with its very bytes, no other file may stand beside them, and the code and the
packages must be those that made it. The exit code is 0 when nothing differs and 1 otherwise.

    python scripts/verify_build.py                                  # this tree against results/build.lock.json
    python scripts/verify_build.py --lock their.lock.json --root ../their-build --files-only
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.provenance import lock


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__)
    parser.add_argument("--lock", type=Path, help="the lock (default: results/build.lock.json below --root)")
    parser.add_argument("--root", type=Path, default=Path(), help="the folder of the build (default: here)")
    parser.add_argument("--files-only", action="store_true", help="leave code and package versions out")
    return parser


def main(options: argparse.Namespace) -> int:
    """Print each difference; return 1 when there is one."""
    locked = lock.read_lock(options.lock or options.root / "results" / "build.lock.json")
    scripts = None if options.files_only else Path(__file__).resolve().parent
    differences = list(lock.differences_of_tree(locked, options.root, scripts))
    for difference in differences:
        print(difference)
    counts = f"{len(locked['inputs'])} inputs, {len(locked['outputs'])} outputs"
    outputs = [difference.name for difference in differences if difference.kind == "output"]
    if outputs:
        print(f"Hint: {lock.repair_command(outputs)}")
    print(f"{len(differences)} differences from the lock ({counts})" if differences else f"proved: {counts}")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
