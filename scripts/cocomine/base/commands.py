"""The commands that messages propose: as the user typed theirs, so that they build what the user builds.

The Snakefile remembers how Snakemake was called, and the jobs that it starts find it in their environment. A script
that is run by hand reads what the last run wrote down in the folder of the build, or proposes what the README does.
"""

import argparse
import json
import os
import re
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cocomine.base.errors import without_secrets
from cocomine.base.files import write_text

VARIABLE = "COCOMINE_COMMANDS"
RECORD = Path("data/commands.json")

# Options of Snakemake that say what is built, where and on what: their other names and how many values each takes.
KEPT: dict[str, tuple[tuple[str, ...], str | None]] = {
    "--cores": (("-c",), "?"),
    "--jobs": (("-j",), "?"),
    "--executor": (("-e",), None),
    "--software-deployment-method": (("--sdm", "--deployment-method", "--deployment"), "+"),
    "--snakefile": (("-s",), None),
    "--profile": ((), None),
    "--workflow-profile": ((), None),
    "--configfile": (("--configfiles",), "+"),
    "--config": (("-C",), "+"),
    "--directory": (("-d",), None),
}


@dataclass(frozen=True)
class Commands:
    """How to call Snakemake with the user's config and folder, and how to call a script, from where they stood.

    `directory` is the folder of the build as the user gave it, or the empty text where it is the one they stood in;
    `rules` what the rules are called where another workflow has ours as a module: `coco_{}`.
    """

    snakemake: str = "./run snakemake --cores 8"
    scripts: str = "./run python scripts/"
    directory: str = ""
    rules: str = "{}"

    def again(self, *rules: str, until: str = "") -> str:
        """Return the command that runs `rules` anew and builds what is missing; with none, the plain command."""
        forced = f" --forcerun {' '.join(map(self.rules.format, rules))}" if rules else ""
        return f"{self.snakemake}{forced}{f' --until {self.rules.format(until)}' if until else ''}"

    def script(self, name: str, *arguments: str) -> str:
        """Return the command that runs a script."""
        return " ".join([f"{self.scripts}{name}.py", *map(shlex.quote, arguments)])

    def closing(self, whole: bool) -> str:
        """Return what to do after a run that went well; `whole` says that it made the whole build."""
        if not whole:
            return f"Done, as far as was asked for; the whole build is made by: {self.again()}"
        page = os.path.join(self.directory, "results", "index.html")  # noqa: PTH118 - as the user writes paths
        return f"Open {page}; prove the build with: {self.verify()}"

    def verify(self) -> str:
        """Return the command that proves the build."""
        return self.script("verify_build", *(["--root", self.directory] if self.directory else []))


def commands(root: Path = Path()) -> Commands:
    """Return the commands of the run that started this process; by hand, those of the last run in `root`."""
    told = os.environ.get(VARIABLE)
    if told is None:
        with suppress(OSError):
            told = (root / RECORD).read_text(encoding="utf-8")
    try:
        return Commands(**json.loads(told)) if told else Commands()
    except (ValueError, TypeError):  # not ours, or of another version
        return Commands()


def record() -> None:
    """Write down, in the folder of the build, how it was called: for the scripts that the user runs by hand there."""
    with suppress(OSError):  # a disk that is full is said by the step that cannot do without
        write_text(RECORD, json.dumps(asdict(commands())) + "\n")


RULE_AGAIN = re.compile(r"\brun (?:the (?:rule|step) )?(snakemake|[a-z]+(?:_[a-z]+)+) (?:again|first)(?: first)?\b")


def spelled_out(hint: str) -> str:
    """Return a hint with the commands that it means: "run mine_subset again" becomes the user's own command for it."""

    def command(found: re.Match[str]) -> str:
        return f"run: {commands().again(*(() if found[1] == 'snakemake' else (found[1],)))}"

    return RULE_AGAIN.sub(command, hint)


def sync_images_again() -> str:
    """Return the command that fetches what is missing of an image store, and runs nothing else."""
    return commands().again("sync_images", until="sync_images")


def remember(home: Path, arguments: Sequence[str], stood_in: Path, rules: str = "{}") -> Commands:
    """Put the commands of a Snakemake that was called with `arguments` into the environment of the jobs it starts.

    `home` is the folder of the project, `stood_in` the folder in which the user typed, `rules` as in `Commands`. A
    Snakemake that runs a single job for another one, on a node of a cluster, keeps what that one remembered.
    """
    if VARIABLE not in os.environ or "--mode" not in arguments:
        os.environ[VARIABLE] = json.dumps(asdict(replace(typed(home, arguments, stood_in), rules=rules)))
    return commands()


def typed(home: Path, arguments: Sequence[str], stood_in: Path) -> Commands:
    """Return the commands of one who typed `arguments` (without the program) in the folder `stood_in`."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for option, (others, values) in KEPT.items():
        many = {"action": "extend"} if values == "+" else {"const": ""} if values == "?" else {}
        parser.add_argument(option, *others, nargs=values, **many)  # type: ignore[arg-type]
    given = vars(parser.parse_known_args(list(arguments))[0])
    kept = [
        " ".join([option, *(shlex.quote(without_secrets(one)) for one in _values(value))])
        for option in KEPT
        if (value := given[option.removeprefix("--").replace("-", "_")]) is not None
    ]
    runs = any(given[name] is not None for name in ("cores", "jobs", "profile"))
    own = (home / "run").is_file() and Path(sys.prefix).resolve() == (home / ".venv").resolve()
    run = f"{_from(home / 'run', stood_in)} " if own else ""
    return Commands(
        " ".join([f"{run}snakemake", *([] if runs else ["--cores 8"]), *kept]),
        f"{run}python {_from(home / 'scripts', stood_in).removeprefix('./')}/",
        given["directory"] or "",
    )


def _values(value: str | list[str]) -> list[str]:
    """Return the values of an option; one that was given without any has none."""
    return [one for one in ([value] if isinstance(value, str) else value) if one]


def _from(path: Path, folder: Path) -> str:
    """Return how one who stands in `folder` writes `path`: relative where that is short."""
    relative = os.path.relpath(path, folder)
    text = str(path) if relative.startswith(f"..{os.sep}..{os.sep}") else relative
    return shlex.quote(text if text.startswith((os.sep, ".")) else f".{os.sep}{text}")
