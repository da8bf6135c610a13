r"""Check a config before anything runs: all mistakes at once, in seconds, and what it would fetch and give.

Looks whether the folders, annotation files, splits, lists and categories that the config names are there, counts the
images of each subset whose source is indexed already, and says what would be fetched. Asks no network. The exit code is
1 when there is a mistake.

    scripts/check_config.py my.yaml
    scripts/check_config.py my.yaml --directory ../other-work
"""

import argparse
import os
import sys
from pathlib import Path

from cocomine.base import command


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = command.parser(__doc__ or "")
    parser.add_argument("config", type=Path, help="the config, as --configfile takes it")
    parser.add_argument("--directory", type=Path, help="the working directory, as snakemake's --directory")
    return parser


def main(options: argparse.Namespace) -> int:
    """Check, and say what was found."""
    from cocomine.base.yaml_file import read_config
    from cocomine.configuration.check import WARNING, check_config

    config = read_config(options.config)
    if options.directory is not None:
        os.chdir(options.directory)
    mistakes, facts = check_config(config)
    command.say("\n".join(facts))
    for mistake in mistakes:
        command.say(f"error: {mistake.message}", sys.stderr)
        if mistake.hint:
            command.say(f"Hint: {mistake.hint}", sys.stderr)
    warnings = sum(fact.startswith(WARNING) for fact in facts)
    warned = f", {warnings} warning{'' if warnings == 1 else 's'}" if warnings else ""
    command.say(f"{options.config}: {len(mistakes) or 'no'} mistake{'' if len(mistakes) == 1 else 's'}{warned}")
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(command.run(main, build_parser()))
