r"""Lock a build: hash every input and output, and write down what made them.

The lock holds the config, the digest of each script's code, package versions, inputs and outputs with SHA-256 and
size (a folder by its listing), and no time, host or absolute path: two builds are the same build exactly when their
locks are the same file. The listing of each folder is kept in the history, once.

    python scripts/lock_build.py --config config.json --rules mine_subset rasterize_masks \
        --inputs data/annotations/coco/sync.lock.json --outputs results/animals --lock results/build.lock.json
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.base.files import write_text
from cocomine.base.tree import Listings
from cocomine.provenance import lock
from cocomine.reporting.lock_note import lock_script


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__)
    parser.add_argument(
        "--config",
        type=command.settings_argument,
        required=True,
        metavar="JSON|FILE",
        help="the resolved config: JSON, or a YAML or JSON file",
    )
    parser.add_argument("--rules", nargs="+", required=True, help="the rules that took part")
    parser.add_argument("--inputs", type=Path, nargs="*", default=[], help="files or folders that came from outside")
    parser.add_argument("--outputs", type=Path, nargs="+", required=True, help="files or folders that were made")
    parser.add_argument(
        "--made-by",
        nargs="*",
        default=[],
        metavar="RULE=PATTERN",
        help="which rule makes which output, such as split_dataset=results/{subset}/split.tsv",
    )
    parser.add_argument(
        "--not-ours", type=Path, nargs="*", default=[], help="folders of what programs of the user's made"
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="processes to hash with (default 1)")
    parser.add_argument(
        "--history", type=Path, help="folder of earlier locks: the same build must give the same bytes as before"
    )
    parser.add_argument(
        "--lock", type=Path, required=True, help="the lock to write, and beside it the script by which pages know it"
    )
    return parser


def main(options: argparse.Namespace) -> None:
    """Make and write the lock."""
    scripts = Path(__file__).resolve().parent
    made = lock.make_lock(
        options.config,
        scripts,
        options.rules,
        options.inputs,
        options.outputs,
        dict(reversed(pair.split("=", 1)) for pair in options.made_by),
        None if options.history is None else Listings(options.history / "files"),
        options.threads,
        options.not_ours,
    )
    if options.history is not None:
        lock.check_against_earlier(made, options.history)
    lock.write_lock(options.lock, made)
    write_text(options.lock.with_suffix(".js"), lock_script(options.lock))


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
