"""The whole of sync_images: a selection in, files in the store, a lock out."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cocomine.base.errors import CocomineError
from cocomine.sources.in_place import InPlace
from cocomine.sources.merged import MergedStore, PartOfStore
from cocomine.sources.selection import Selected, read_lock, read_selection, write_lock
from cocomine.sources.settings import StoreSettings
from cocomine.sources.store import Options, Store
from cocomine.transfer.finding import Folder
from cocomine.transfer.folder import FolderOrigin
from cocomine.transfer.lacking import failures_beside, report_lacking
from cocomine.transfer.ledger import FOLDER
from cocomine.transfer.names import plain
from cocomine.transfer.origins import RenamedOrigin, open_origin
from cocomine.transfer.pins import add_pins, how_to_accept, is_changed, read_pins
from cocomine.transfer.places import Origin
from cocomine.transfer.records import Outcome

log = logging.getLogger("cocomine")


@dataclass(frozen=True)
class Job:
    """What sync_images is asked: the files of its command line, and whether missing images are only recorded.

    `splits` are all that the source has, so that in a folder no image of one is taken for another's. `against` is a
    lock that must hold; `pins` a file of checksums pinned on first use, made and added to. `parts` are the splits of
    a merged source, whose store holds links into the stores of others.
    """

    selection: Path
    store: Path
    lock: Path
    against: Path | None = None
    pins: Path | None = None
    record_missing: bool = False
    splits: tuple[str, ...] = ()
    parts: Mapping[str, PartOfStore] = field(default_factory=dict)


def plan_images(job: Job, settings: StoreSettings, options: Options) -> list[str]:
    """Return the lines of the plan; fetches and writes nothing."""
    rows = read_selection(job.selection)
    store = _open(job, settings, options, rows)
    lines = store.plan([row.store_path for row in rows if not row.spare], _pins(job)).lines()
    spare = sum(row.spare for row in rows)
    return [*lines, f"{spare} spare files, fetched only in place of others"] if spare else lines


def sync_images(job: Job, settings: StoreSettings, options: Options) -> None:
    """Sync the images of a selection and write their lock.

    A spare row is fetched only in place of an image that could not be fetched. An image that is there and cannot be
    read (a FIFO, a link out of its folder) goes into the lock as unreadable: what follows is the subset's policy.
    Raises CocomineError, after the lock is written, when files failed, when other bytes came than those pinned, or when
    images are missing and that is not merely to be recorded.
    """
    rows = read_selection(job.selection)
    pins = _pins(job)
    store = _open(job, settings, options, rows)
    asked = [row for row in rows if not row.spare]
    spares = [row for row in rows if row.spare]
    outcomes = store.sync([row.store_path for row in asked], pins)
    while spares and (lacking := _unfilled(outcomes, asked)):
        more, spares = spares[:lacking], spares[lacking:]
        log.info("%d images could not be fetched; %d spare images take their place", lacking, len(more))
        asked += more
        outcomes |= store.sync([row.store_path for row in more], pins)
    add_pins(job.pins, outcomes.values())
    fatal = [outcome for outcome in outcomes.values() if _is_fatal(outcome, job.record_missing)]
    if fatal and job.lock.exists():
        log.warning("%s is left as it was: it pins what should have come", job.lock)
    else:
        write_lock(job.lock, [(row.image_id, outcomes[row.store_path]) for row in asked])
    log.info("%d images ok of %d", sum(o.status == "ok" for o in outcomes.values()), len(asked))
    _complain(job, list(outcomes.values()), fatal, store.hints)


def _open(
    job: Job, settings: StoreSettings, options: Options, rows: Sequence[Selected]
) -> Store | InPlace | MergedStore:
    """Return the store that the settings describe, or that the job's parts make up."""
    if job.parts:
        return MergedStore(
            job.store,
            job.parts,
            lambda part, split_of: _open_store(Path(part.folder), part.settings, options, part.splits, split_of),
        )
    return _open_store(job.store, settings, options, job.splits, {row.store_path: row.split for row in rows})


def _open_store(
    root: Path, settings: StoreSettings, options: Options, splits: Iterable[str], split_of: Mapping[str, str]
) -> Store | InPlace:
    """Return a store that is a folder used in place, or one of origins that fill a folder of our own."""
    if settings.is_local:
        folder = image_folder(settings, splits, split_of)
        if settings.in_place:
            return InPlace(root, folder, options)
        return Store(root, settings, options, [FolderOrigin(folder, settings.use)])
    whole = root / FOLDER / "whole"
    origins: list[Origin] = [open_origin(origin, options.behaviour, whole) for origin in settings.origins]
    if settings.images:
        origins = [RenamedOrigin(origin, partial(_place_of, settings.images)) for origin in origins]
    return Store(root, settings, options, origins)


def image_folder(settings: StoreSettings, splits: Iterable[str], split_of: Mapping[str, str] | None = None) -> Folder:
    """Return the folder of a local store, which finds its images; `splits` and `split_of` as for `Folder`."""
    return Folder(
        Path(settings.folder), settings.images, frozenset(splits), split_of or {}, follow_links=settings.follow_links
    )


def _place_of(images: Mapping[str, str], name: str) -> str:
    """Return where an origin has an image whose split's folder is not called as the split."""
    split, _, rest = name.partition("/")
    return f"{images[split].strip('/')}/{rest}" if split in images else name


def _is_fatal(outcome: Outcome, record_missing: bool) -> bool:
    if outcome.status in ("ok", "unreadable"):
        return False
    return not record_missing or outcome.status == "failed" or is_changed(outcome)


def _unfilled(outcomes: dict[str, Outcome], asked: list[Selected]) -> int:
    """Return how many more images are needed: those wanted, less those that came, spares included."""
    wanted = sum(not row.spare for row in asked)
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
        return
    where = report_lacking(outcomes, failures)
    first = fatal[0]
    raise CocomineError(
        f"{len(fatal)} of {len(outcomes)} images could not be fetched (named {where}), "
        f"the first: {plain(first.name)}: {first.reason}",
        how_to_accept(fatal, job.against or job.lock, job.pins) or " ".join([*hints, *_remedies(fatal, hints)]),
    )


def _remedies(fatal: Sequence[Outcome], hints: Sequence[str]) -> list[str]:
    """Return what else can be done: of failures another try, of images that are nowhere the policies that go on."""
    again = "run it again: what has arrived is kept. Add another origin to the store."
    result = [] if hints or not any(outcome.status == "failed" for outcome in fatal) else [again]
    if all(outcome.status == "missing" for outcome in fatal):
        result.append(
            "To go on without them, write policy: {image-missing: quarantine} into the subset, or refill: true to take "
            "other images in their place (by hand: --missing record)"
        )
    return result
