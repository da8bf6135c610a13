"""Saying which files could not be fetched, and amounts of bytes, in words."""

import logging
from collections.abc import Iterable
from pathlib import Path

from cocomine.base.files import write_table
from cocomine.transfer.names import plain
from cocomine.transfer.records import Outcome

NAMES_SHOWN = 100

log = logging.getLogger("cocomine")


def report_lacking(outcomes: Iterable[Outcome], failures: Path | None = None) -> str:
    """Log every file that could not be fetched by name, gathered by what was wrong; return where all of them are named.

    Of many names for one reason the log holds the first, and the table `failures` all; without it the log holds all.
    A table of an earlier run is removed when nothing is lacking.
    """
    lacking = [outcome for outcome in outcomes if outcome.status != "ok"]
    groups: dict[tuple[str, str], list[str]] = {}
    for outcome in lacking:
        groups.setdefault((outcome.status, outcome.reason), []).append(outcome.name)
    if failures is not None and not _write_failures(failures, lacking):
        failures = None
    for (status, reason), names in groups.items():
        log.warning("%s: %s: %s", status, reason, shown(names, NAMES_SHOWN if failures is not None else len(names)))
    return "above" if failures is None else f"in {failures}"


def _write_failures(path: Path, lacking: list[Outcome]) -> bool:
    """Write the table of what is lacking; say whether it could be, since the disk may be what fails."""
    try:
        if lacking:
            write_table(path, ("name", "status", "reason"), ((plain(o.name), o.status, o.reason) for o in lacking))
        else:
            path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def failures_beside(lock: Path) -> Path:
    """Return where what a lock lacks is named: images.lock.failures.tsv beside images.lock.tsv."""
    return lock.with_name(f"{lock.stem}.failures.tsv")


def shown(names: Iterable[str], most: int = 20) -> str:
    """Return the first names, and how many more there are."""
    all_names = list(names)
    more = f" and {len(all_names) - most} more" if len(all_names) > most else ""
    return ", ".join(map(plain, all_names[:most])) + more
