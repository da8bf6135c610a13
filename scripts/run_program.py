r"""Run a program of your own, such as a trainer, on an export of a subset: the command that an experiment names.

It is told by variables where the export lies and where to write (docs/evaluation.md lists them), starts in its output
folder, and is ended after its time. Writes output/ and program.json (command, versions, hashes) into --out-dir.

Example:
  python scripts/run_program.py --settings '{command: python $COCOMINE_WORK/train.py}' \
      --export results/animals/exports/yolo-segment --subset-dir results/animals --out-dir results/experiments/mine \
      --checkpoint-dir data/checkpoints/mine --printed logs/mine.txt
"""

import argparse
import sys
from pathlib import Path

from cocomine.base import command
from cocomine.base.errors import CocomineError
from cocomine.base.words import counted
from cocomine.evaluation.program import Job, run_program
from cocomine.evaluation.settings import ProgramSettings


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__, settings=ProgramSettings)
    parser.add_argument("--export", type=Path, required=True, metavar="DIR", help="the export that it reads")
    parser.add_argument("--subset-dir", type=Path, required=True, metavar="DIR", help="folder of the subset")
    parser.add_argument(
        "--reads", type=Path, nargs="*", default=[], metavar="PATH", help="what else must be the same afterwards"
    )
    parser.add_argument("--checkpoint-dir", type=Path, required=True, metavar="DIR", help="what survives a failure")
    parser.add_argument("--printed", type=Path, required=True, metavar="FILE", help="where what it prints goes")
    parser.add_argument("--out-dir", type=Path, required=True, metavar="DIR", help="where output/ goes")
    return parser


def main(options: argparse.Namespace) -> None:
    """Run the command and count what it wrote."""
    if options.settings.command is None:
        raise CocomineError("no command", "give it in --settings")
    facts = run_program(
        Job(
            options.settings,
            options.export,
            options.subset_dir,
            options.out_dir,
            options.checkpoint_dir,
            options.printed,
            (options.export, *options.reads),
        )
    )
    print(f"the command wrote {counted(len(facts['files']), 'file')}")


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
