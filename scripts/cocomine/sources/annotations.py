"""The whole of sync_annotations: a source's annotation files, and the PNGs of panoptic ones, brought and pinned."""

import dataclasses
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from cocomine.base.errors import CocomineError
from cocomine.base.files import atomic_path, read_json, read_table, write_json
from cocomine.sources.in_place import InPlace, point
from cocomine.sources.presets import preset
from cocomine.sources.settings import SourceSettings, StoreSettings
from cocomine.sources.store import Options, Store
from cocomine.sources.zipped import PNGS, PresetOrigin, png_zips
from cocomine.transfer.finding import OUTSIDE, Folder, Found
from cocomine.transfer.folder import FolderOrigin
from cocomine.transfer.lacking import failures_beside, report_lacking, shown
from cocomine.transfer.ledger import FOLDER
from cocomine.transfer.origins import RenamedOrigin, open_origin
from cocomine.transfer.pins import add_pins, how_to_accept, read_pins
from cocomine.transfer.places import Origin
from cocomine.transfer.records import Outcome

log = logging.getLogger("cocomine")


@dataclass(frozen=True)
class Job:
    """What sync_annotations is asked. `selection`, when given, limits panoptic PNGs to its images.

    `against` is a lock that must hold; `pins` a file of checksums pinned on first use, made and added to.
    """

    out: Path
    lock: Path
    against: Path | None = None
    pins: Path | None = None
    selection: Path | None = None
    panoptic: str = "all"


def remote_names(settings: SourceSettings) -> Callable[[str], str]:
    """Return the function from our names to the origin's: what `files` says, or the official naming."""
    said = {
        (f"panoptic_{split}" if task == PNGS else f"{task}_{split}.json"): path
        for split, tasks in settings.files.items()
        for task, path in tasks.items()
    }

    def remote(name: str) -> str:
        if name in said:
            return said[name]
        folder, _, rest = name.partition("/")
        return f"{said.get(folder, f'annotations/{folder}')}/{rest}" if rest else f"annotations/{name}"

    return remote


def sync_annotations(job: Job, settings: SourceSettings, options: Options) -> None:
    """Bring every annotation file of the source into `job.out` and write the lock.

    Raises CocomineError, after everything that could be fetched is there, when a file is missing, refused or not the
    one that the lock pins; a lock that exists is then left as it was.
    """
    pins = _read_pins(job)
    names = _names(settings)
    job.out.mkdir(parents=True, exist_ok=True)
    if settings.in_place:
        outcomes = _link_in_place(job, settings, options, names, pins)
    else:
        outcomes = _fetch(job, settings, options, names, pins)
    outcomes |= _panoptic(job, settings, options, outcomes, pins)
    add_pins(job.pins, outcomes.values())
    if job.lock.exists() and any(outcome.status != "ok" for outcome in outcomes.values()):
        log.warning("%s is left as it was: it pins what should have come", job.lock)
    else:
        _write_lock(job.lock, settings, outcomes)
    _complain(job, outcomes, settings)


def plan_annotations(job: Job, settings: SourceSettings, options: Options) -> list[str]:
    """Return the lines of the plan. The PNGs of a panoptic file are counted once that file is there."""
    names = _names(settings)
    unknown = []
    for split in _panoptic_splits(job, settings):
        path = job.out / f"panoptic_{split}.json"
        names += _png_names(path, split, _stems(job.selection)) if path.exists() else []
        unknown += [] if path.exists() else [f"and the PNGs that {path.name} names, known when it is here"]
    if settings.in_place:
        return [f"{len(names)} files wanted", "used where they are: nothing is copied", *unknown]
    return [*_store(job, settings, options).plan(names, _read_pins(job)).lines(), *unknown]


def _names(settings: SourceSettings) -> list[str]:
    return [f"{task}_{split}.json" for task, split in settings.annotation_files]


@dataclass
class _AnnotationFolder(Folder):
    """A folder of annotation files, and files that the config itself names by other paths of this machine."""

    stated: frozenset[str] = frozenset()

    def _find(self, name: str) -> Found:
        below = super()._find(name)
        if name not in self.stated or below.status not in ("missing", "refused"):
            return below  # never for a name that a file gave, such as that of a panoptic PNG
        path = Path(name)
        beside = Folder(path.parent, follow_links=self.follow_links, search=False).find([path.name])[path.name]
        return below if beside.status == "missing" else beside


def annotation_folder(settings: SourceSettings) -> Folder:
    """Return the folder of a local source, which finds its annotation files under the names of `remote_names`."""
    stated = frozenset(path for files in settings.files.values() for path in files.values())
    return _AnnotationFolder(Path(settings.folder), follow_links=settings.follow_links, search=False, stated=stated)


def _kept(job: Job) -> Path:
    """Where fetched files stay, so that a run whose outputs were taken away again need not fetch them again."""
    return job.out / FOLDER / "kept"


def _store(job: Job, settings: SourceSettings, options: Options) -> Store:
    remote_of = remote_names(settings)
    whole = job.out / FOLDER / "whole"
    origins: list[Origin] = [
        RenamedOrigin(open_origin(origin, options.behaviour, whole), remote_of) for origin in settings.origins
    ]
    if settings.is_local:
        origins.append(RenamedOrigin(FolderOrigin(annotation_folder(settings), settings.use), remote_of))
    origins += png_zips(settings, options, whole)
    if settings.preset:
        origins.append(PresetOrigin(preset(settings.preset), options.behaviour, whole))
    return Store(_kept(job), StoreSettings(use=settings.use), options, origins, "annotations")


def _fetch(
    job: Job, settings: SourceSettings, options: Options, names: list[str], pins: Mapping[str, Outcome]
) -> dict[str, Outcome]:
    """Fetch into the kept files, and put those that came at their places."""
    if not names:
        return {}
    outcomes = _store(job, settings, options).sync(names, pins)
    for name, outcome in outcomes.items():
        if outcome.status == "ok":
            _publish(_kept(job) / name, job.out / name)
    return outcomes


def _publish(kept: Path, out: Path) -> None:
    """Put a kept file at its place, as a hard link where the disk allows it."""
    with suppress(FileNotFoundError):
        if kept.samefile(out):
            return
    with atomic_path(out) as temporary:
        try:
            os.link(kept, temporary)
        except OSError:
            shutil.copy2(kept, temporary)  # with its time, by which it is known as unchanged


# -- a folder used in place


def _link_in_place(
    job: Job, settings: SourceSettings, options: Options, names: list[str], pins: Mapping[str, Outcome]
) -> dict[str, Outcome]:
    folder = annotation_folder(settings)
    folder.check()
    remote_of = remote_names(settings)
    found = folder.find(remote_of(name) for name in names)
    for name in names:
        path = found[remote_of(name)].path
        if path is not None:
            point(job.out / name, path)
    said = {name: _with_place(found[remote_of(name)], remote_of(name)) for name in names}
    return InPlace(job.out, folder, options, "annotations").prove(said, pins)


def _with_place(found: Found, place: str) -> Found:
    return found if found.status != "missing" else dataclasses.replace(found, reason=f"no {place}")


# -- panoptic PNGs


class _Segmented(msgspec.Struct):
    file_name: str = ""


class _Panoptic(msgspec.Struct):
    annotations: list[_Segmented] = []


def _panoptic_splits(job: Job, settings: SourceSettings) -> list[str]:
    return [split for task, split in settings.annotation_files if task == "panoptic" and job.panoptic != "none"]


def _panoptic(
    job: Job, settings: SourceSettings, options: Options, files: Mapping[str, Outcome], pins: Mapping[str, Outcome]
) -> dict[str, Outcome]:
    """Bring the PNGs that the panoptic files name, into `panoptic_{split}/`."""
    result: dict[str, Outcome] = {}
    for split in _panoptic_splits(job, settings):
        name = f"panoptic_{split}.json"
        if files[name].status != "ok":
            continue
        pngs = _png_names(job.out / name, split, _stems(job.selection))
        if settings.in_place:
            result |= _pngs_in_place(job, settings, options, split, pngs, pins)
        else:
            result |= _fetch(job, settings, options, pngs, pins)
    return result


def _png_names(path: Path, split: str, chosen: set[str] | None) -> list[str]:
    try:
        document = msgspec.json.decode(path.read_bytes(), type=_Panoptic)
    except (msgspec.DecodeError, RecursionError) as error:
        raise CocomineError(f"{path}: not a panoptic file: {error}", "check the origin's file") from error
    names = dict.fromkeys(row.file_name for row in document.annotations if row.file_name)
    return [f"panoptic_{split}/{name}" for name in names if chosen is None or Path(name).stem in chosen]


def _stems(selection: Path | None) -> set[str] | None:
    return None if selection is None else {Path(row["store_path"]).stem for row in read_table(selection)}


def _pngs_in_place(
    job: Job,
    settings: SourceSettings,
    options: Options,
    split: str,
    pngs: list[str],
    pins: Mapping[str, Outcome],
) -> dict[str, Outcome]:
    where = settings.files.get(split, {}).get(PNGS, f"annotations/panoptic_{split}")
    pngs_of = f"panoptic_{split}"
    folder = dataclasses.replace(annotation_folder(settings), images={pngs_of: where})
    try:
        whole = folder.whole_split(pngs_of)
    except CocomineError:
        whole = None
    if whole is None:
        return {png: Outcome(png, "missing", f"folder: no {where}/") for png in pngs}
    if PNGS not in settings.files.get(split, {}) and not annotation_folder(settings).holds(whole):
        return {png: Outcome(png, "unreadable", f"folder: {where}/ is {OUTSIDE}") for png in pngs}
    point(job.out / pngs_of, whole)
    return InPlace(job.out, folder, options, "annotations").prove(folder.find(pngs), pins)


# -- the lock


def _read_pins(job: Job) -> dict[str, Outcome]:
    """Return what must hold: the lock's rows, and for files that it does not know those pinned on first use."""
    if job.against is not None and not job.against.exists():
        raise CocomineError(f"--against {job.against}: no such lock", "give a lock that an earlier run wrote")
    path = job.against or job.lock
    rows: dict[str, Any] = read_json(path)["files"] if path.exists() else {}
    return read_pins(job.pins) | {
        name: Outcome(
            name,
            "ok",
            "",
            row["bytes"],
            row["md5"],
            row["sha256"],
            row["crc32c"],
            row.get("generation", ""),
            row.get("etag", ""),
            origin=row["origin"],
        )
        for name, row in rows.items()
    }


def _write_lock(path: Path, settings: SourceSettings, outcomes: Mapping[str, Outcome]) -> None:
    rows = {name: _row(outcome) for name, outcome in outcomes.items() if outcome.status == "ok"}
    write_json(path, {"files": rows, "splits": list(settings.splits), "tasks": list(settings.tasks)})


def _row(outcome: Outcome) -> dict[str, Any]:
    row: dict[str, Any] = {
        "bytes": outcome.bytes,
        "md5": outcome.md5,
        "sha256": outcome.sha256,
        "crc32c": outcome.crc32c,
        "origin": outcome.origin,
    }
    row |= {key: value for key in ("generation", "etag") if (value := getattr(outcome, key))}
    return row


def _complain(job: Job, outcomes: Mapping[str, Outcome], settings: SourceSettings) -> None:
    lacking = [outcome for outcome in outcomes.values() if outcome.status != "ok"]
    where = report_lacking(lacking, failures_beside(job.lock))
    if lacking:
        raise CocomineError(
            f"{len(lacking)} annotation files could not be fetched (named {where}): "
            f"{shown((o.name for o in lacking), 5)}: {lacking[0].reason}",
            how_to_accept(lacking, job.against or job.lock, job.pins)
            or "check the source's splits and tasks; where the files are named otherwise, say so in "
            f"files: {{{settings.splits[0]}: {{{settings.tasks[0]}: path/in/the/origin.json}}}}",
        )
