"""What every script's command line shares: --log, --settings, and errors that are advice instead of tracebacks."""

import argparse
import gc
import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from cocomine.base.bucket import TAR, in_work_dir, pack, unpack
from cocomine.base.commands import spelled_out
from cocomine.base.errors import CocomineError, without_secrets
from cocomine.base.settings import Section
from cocomine.base.space import FULL_BELOW, GOES_ON, advice, free_bytes, size

log = logging.getLogger("cocomine")

MOST_ADVICE = 4
"""Failures that are shown in full at the end; a screen holds about twenty lines."""

OBJECTS_BEFORE_A_COLLECTION = 10_000
"""Python's own 700 look through the lists of a document's outlines so often that it takes a fifth of a stage's time."""

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Codes that move the cursor, colour, ring, or turn the direction of a text; line ends and tabs are none."""


def parser(description: str, settings: type[Section] | None = None) -> argparse.ArgumentParser:
    """Return a parser with --log, and with --settings when the command takes the config's section `settings`.

    `run` turns what --settings holds into that section before `main` sees it.
    """
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    if settings is not None:
        result.add_argument(
            "--settings",
            type=settings_argument,
            default={},
            metavar="JSON|FILE",
            help=f"the config's `{settings.SECTION}` section: JSON, or a YAML or JSON file; missing keys take their "
            "defaults",
        )
        result.set_defaults(section=settings)
    result.add_argument("--log", type=Path, metavar="FILE", help="also write messages, and any traceback, here")
    return result


def settings_argument(text: str) -> dict[str, Any]:
    """Read --settings: a JSON object given in place, or the path of a YAML or JSON file."""
    from cocomine.base.yaml_file import read_yaml  # not at the top: most files are JSON, and a script's start counts

    in_place = text.lstrip().startswith("{")
    try:
        content = text if in_place else Path(text).read_text("utf-8")
        try:
            value = json.loads(content)
        except ValueError:
            if in_place:
                raise
            value = read_yaml(Path(text))
    except (OSError, ValueError, CocomineError) as error:
        raise argparse.ArgumentTypeError(f"neither JSON nor a readable YAML file: {error}") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"expected a mapping of keys, got {type(value).__name__}")
    return value


def run(
    main: Callable[[argparse.Namespace], int | None],
    command_line: argparse.ArgumentParser,
    arguments: Sequence[str] | None = None,
) -> int:
    """Parse, set up logging, call `main` and return the exit code.

    A CocomineError is printed as its message and hint (exit 1). Any other exception is a fault of cocomine: its
    traceback goes to the log file, or to the terminal when there is none, and the exit code is 3.

    Arguments that begin with `--work-dir DIR` are those of a job whose build lies in DIR: see `bucket.in_work_dir`.
    """
    gc.set_threshold(OBJECTS_BEFORE_A_COLLECTION)
    words, tars, folders = in_work_dir(sys.argv[1:] if arguments is None else arguments)
    options = command_line.parse_args(words)
    handlers = _set_up_logging(options.log)
    try:
        for tar in tars:
            unpack(tar)
        if (section := vars(options).pop("section", None)) is not None:
            options.settings = section.from_mapping(options.settings)
        code = main(options) or 0
        for folder in folders if code == 0 else ():
            pack(folder.with_name(folder.name + TAR), [folder])
        return code
    except CocomineError as error:
        return _advise(error)
    except KeyboardInterrupt:
        log.error("interrupted")
        return 130
    except BrokenPipeError:
        return 0
    except Exception as error:  # noqa: BLE001 - the outermost edge: reported in full, exit code 3
        advised = advice(error) if isinstance(error, OSError) else None
        if advised is not None:
            return _advise(advised)
        _report_fault(error, options.log)
        return 3
    finally:
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()


def _advise(error: CocomineError) -> int:
    log.error("error: %s", error.message)
    if error.hint:
        log.error("Hint: %s", spelled_out(error.hint))
    return 1


class RetriesOfMistakes(logging.Handler):
    """Hears of each job that fails, and calls `forgo` with its rule where a retry would be as wrong as it was.

    Snakemake retries whatever fails (`--retries`). A job that was killed for memory or time deserves it; an error that
    is the user's to put right, of which the job's log says `error:`, would be the same again, after another wait in a
    cluster's queue. A group of jobs is retried for any of its rules, so all of them are forgone.
    """

    def __init__(self, forgo: Callable[[str], None], since: float) -> None:
        super().__init__()
        self.forgo = forgo
        self.since = since

    def emit(self, record: logging.LogRecord) -> None:
        """Look into the logs of the job, or of the group of jobs, that an event of Snakemake says failed."""
        event = str(getattr(record, "event", None))
        jobs = vars(record)["job_error_info"] if event == "group_error" else [vars(record)]
        if event in ("job_error", "group_error") and any(
            self._mistaken(Path(log)) for job in jobs for log in job["log"]
        ):
            for job in jobs:
                self.forgo(job["rule_name"])

    def _mistaken(self, log: Path) -> bool:
        return log.is_file() and log.stat().st_mtime >= self.since and _last_word(log).startswith("error: ")


def advice_of_failed_jobs(logs: Path, since: float, of_cluster: Sequence[str] = ()) -> list[str]:
    """Return what the logs below `logs` that were written after `since` (seconds since 1970) say of failures.

    `of_cluster` is what a cluster says of the jobs that it ended, message, hint and log of each.

    What went wrong, where and what to do, each said once, and no more of them than a screen holds. The workflow prints
    it last, where it is seen: a job's own message is followed by pages of what was run.
    """
    said: dict[str, list[Path]] = {}
    for path in sorted(logs.rglob("*.log")):
        if path.stat().st_mtime >= since and (text := _advice_in(path)):
            said.setdefault(f"error in {path.relative_to(logs).parts[0]}: {text}", []).append(path)
    lines = []
    for text, paths in list(said.items())[:MOST_ADVICE]:
        others = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        lines += [*text.splitlines(), f"Log: {paths[0]}{others}"]
    if len(said) > MOST_ADVICE:
        lines.append(f"… and {len(said) - MOST_ADVICE} other failures, in the logs below {logs}")
    lines += [line for text in of_cluster[:MOST_ADVICE] for line in text.splitlines()]
    return lines or [_silence(logs)]


def _advice_in(path: Path) -> str:
    """Return what the log of a job says last of its failure, hint included; nothing for a job that went well."""
    return _last_word(path).removeprefix("error: ")


def _last_word(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith(("error: ", "fault in cocomine: "))]
    return "\n".join(lines[starts[-1] :]) if starts else ""


def _silence(logs: Path) -> str:
    """What to say where no log has a word of the failure."""
    free = free_bytes(logs)
    if free < FULL_BELOW:
        return f"error: {Path.cwd()}: the disk is full: {size(free)} are free\nHint: make room there, then {GOES_ON}"
    return (
        "error: a step ended without a word of its own\n"
        "Hint: it was probably killed (out of memory or of time); Snakemake's lines above name it and its log"
    )


def plain(text: str) -> str:
    """Return a text without the secrets of URLs, and with the codes that a terminal obeys written out."""
    return _CONTROL.sub(lambda code: f"\\x{ord(code[0]):02x}", without_secrets(text))


def say(text: object, file: TextIO | None = None) -> None:
    """Print a text that may hold a stranger's names, to the terminal or to `file`, as `plain` has it."""
    print(plain(str(text)), file=file)


class _Plain(logging.Formatter):
    """Messages, and tracebacks, without the secrets of URLs and without codes that a terminal obeys."""

    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record))


class _LogFile(logging.FileHandler):
    """A log file whose own failure, such as a full disk, does not hide what is being logged."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say nothing: the terminal has the message too."""

    def close(self) -> None:
        with suppress(OSError):
            super().close()


def _set_up_logging(log_file: Path | None) -> list[logging.Handler]:
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log_file is not None:
        with suppress(OSError):  # where no log can be written, the step says why nothing can
            log_file.parent.mkdir(parents=True, exist_ok=True)
            log_file.write_bytes(b"")
            handlers.append(_LogFile(log_file, mode="a", encoding="utf-8"))
    log.setLevel(logging.INFO)
    log.propagate = False
    for handler in handlers:
        handler.setFormatter(_Plain("%(message)s"))
        log.addHandler(handler)
    return handlers


def _report_fault(error: Exception, log_file: Path | None) -> None:
    text = plain("".join(traceback.format_exception(error)))
    try:
        with open(log_file or os.devnull, "a", encoding="utf-8") as out:
            out.write(text)
    except OSError:
        log_file = None
    if log_file is None:
        sys.stderr.write(text)
    log.error("fault in cocomine: %s: %s", type(error).__name__, error)
    log.error("Hint: please report it with %s", log_file if log_file is not None else "the traceback above")
