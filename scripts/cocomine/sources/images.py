"""The whole of sync_images: a selection in, files in the store, a lock out."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cocomine.base.errors import CocomineError
from cocomine.sources.selection import Selected, read_lock, read_selection, write_lock
from cocomine.sources.settings import StoreSettings
from cocomine.sources.store import Options, Store
from cocomine.transfer.lacking import failures_beside, report_lacking
from cocomine.transfer.names import plain
from cocomine.transfer.pins import add_pins, how_to_accept, read_pins
from cocomine.transfer.records import Outcome

log = logging.getLogger("cocomine")


@dataclass(frozen=True)
class Job:
    """What sync_images is asked: the files of its command line, and whether missing images are only recorded.

    `against` is a lock that must hold; `pins` a file of checksums pinned on first use, made and added to.
    """

    selection: Path
    store: Path
    lock: Path
    against: Path | None = None
    pins: Path | None = None
    record_missing: bool = False


def plan_images(job: Job, settings: StoreSettings, options: Options) -> list[str]:
    """Return the lines of the plan; fetches and writes nothing."""
    rows = read_selection(job.selection)
    store = Store(job.store, settings, options)
    lines = store.plan([row.store_path for row in rows if not row.spare], _pins(job)).lines()
    spare = sum(row.spare for row in rows)
    return [*lines, f"{spare} spare files, fetched only in place of others"] if spare else lines


def sync_images(job: Job, settings: StoreSettings, options: Options) -> None:
    """Sync the images of a selection and write their lock.

    A spare row is fetched only in place of an image that no origin has. Raises CocomineError, after the lock is
    written, when files failed, or when some are missing or refused and that is not merely to be recorded.
    """
    rows = read_selection(job.selection)
    pins = _pins(job)
    store = Store(job.store, settings, options)
    asked = [row for row in rows if not row.spare]
    spares = [row for row in rows if row.spare]
    outcomes = store.sync([row.store_path for row in asked], pins)
    while spares and (lacking := _unfilled(outcomes, asked, spares_used=len(asked))):
        more, spares = spares[:lacking], spares[lacking:]
        log.info("%d images cannot be had; %d spare images take their place", lacking, len(more))
        asked += more
        outcomes |= store.sync([row.store_path for row in more], pins)
    add_pins(job.pins, outcomes.values())
    fatal = [o for o in outcomes.values() if o.status == "failed" or (o.status != "ok" and not job.record_missing)]
    if fatal and job.lock.exists():
        log.warning("%s is left as it was: it pins what should have come", job.lock)
    else:
        write_lock(job.lock, [(row.image_id, outcomes[row.store_path]) for row in asked])
    log.info("%d images ok of %d", sum(o.status == "ok" for o in outcomes.values()), len(asked))
    _complain(job, list(outcomes.values()), fatal, store.hints)


def _unfilled(outcomes: dict[str, Outcome], asked: list[Selected], spares_used: int) -> int:
    """Return how many more images are needed: those wanted, less those that came, spares included."""
    wanted = sum(not row.spare for row in asked)
    assert spares_used == len(asked)
    return wanted - sum(outcomes[row.store_path].status == "ok" for row in asked)


def _pins(job: Job) -> dict[str, Outcome]:
    if job.against is not None and not job.against.exists():
        raise CocomineError(f"--against {job.against}: no such lock", "give a lock that an earlier run wrote")
    locked = read_lock(job.against or job.lock)
    return read_pins(job.pins) | {name: pin for name, pin in locked.items() if pin.sha256}


def _complain(job: Job, outcomes: list[Outcome], fatal: list[Outcome], hints: Sequence[str]) -> None:
    failures = failures_beside(job.lock)
    if not fatal:
        failures.unlink(missing_ok=True)
        report_lacking(outcomes)
    else:
        where = report_lacking(outcomes, failures)
        first = fatal[0]
        raise CocomineError(
            f"{len(fatal)} of {len(outcomes)} images could not be had (named {where}), "
            f"the first: {plain(first.name)}: {first.reason}",
            how_to_accept(fatal, job.against or job.lock, job.pins)
            or " ".join(hints)
            or "run it again: what has arrived is kept. Add another origin to the store; if the images are truly gone, "
            "use --missing record",
        )
