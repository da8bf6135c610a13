"""What every script's command line shares: --log, --settings, and errors that are advice instead of tracebacks."""

import argparse
import json
import logging
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cocomine.base.errors import CocomineError, without_secrets

log = logging.getLogger("cocomine")


def parser(description: str, settings: str | None = None) -> argparse.ArgumentParser:
    """Return a parser with --log, and with --settings when `settings` names the config section it takes."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    if settings is not None:
        result.add_argument(
            "--settings",
            type=settings_argument,
            default={},
            metavar="JSON|FILE",
            help=f"the config's `{settings}` section: JSON, or a YAML or JSON file; missing keys take their defaults",
        )
    result.add_argument("--log", type=Path, metavar="FILE", help="also write messages, and any traceback, here")
    return result


def settings_argument(text: str) -> dict[str, Any]:
    """Read --settings: a JSON object given in place, or the path of a YAML or JSON file."""
    import yaml  # not at the top: most runs are given JSON in place, and a script's start counts

    try:
        value = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(Path(text).read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
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
    """
    options = command_line.parse_args(arguments)
    handlers = _set_up_logging(options.log)
    try:
        return main(options) or 0
    except CocomineError as error:
        log.error("error: %s", error.message)
        if error.hint:
            log.error("Hint: %s", error.hint)
        return 1
    except KeyboardInterrupt:
        log.error("interrupted")
        return 130
    except BrokenPipeError:
        return 0
    except Exception as error:  # noqa: BLE001 - the outermost edge: reported in full, exit code 3
        _report_fault(error, options.log)
        return 3
    finally:
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()


def advice_of_failed_jobs(logs: Path, since: float) -> list[str]:
    """Return what the logs below `logs` that were written after `since` (seconds since 1970) say of failures.

    The workflow prints it last, where it is seen: a job's own message is followed by pages of what was run.
    """
    written = (path for path in sorted(logs.rglob("*.log")) if path.stat().st_mtime >= since)
    return [
        line.replace("error: ", f"error in {log_file.relative_to(logs).parts[0]}: ", 1)
        for log_file in written
        for line in log_file.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.startswith(("error: ", "Hint: ", "fault in cocomine: "))
    ]


class _WithoutSecrets(logging.Formatter):
    """Messages, and tracebacks, without the secrets of URLs."""

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))


def _set_up_logging(log_file: Path | None) -> list[logging.Handler]:
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log_file is not None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        log_file.write_bytes(b"")
        handlers.append(logging.FileHandler(log_file, mode="a", encoding="utf-8"))
    log.setLevel(logging.INFO)
    log.propagate = False
    for handler in handlers:
        handler.setFormatter(_WithoutSecrets("%(message)s"))
        log.addHandler(handler)
    return handlers


def _report_fault(error: Exception, log_file: Path | None) -> None:
    text = without_secrets("".join(traceback.format_exception(error)))
    if log_file is None:
        sys.stderr.write(text)
    else:
        with open(log_file, "a", encoding="utf-8") as out:
            out.write(text)
    log.error("fault in cocomine: %s: %s", type(error).__name__, error)
    log.error("Hint: please report it with %s", log_file if log_file is not None else "the traceback above")
