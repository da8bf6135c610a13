"""The whole of sync_annotations: a source's annotation files, and the PNGs of panoptic ones, brought and pinned."""

import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from cocomine.base.errors import CocomineError
from cocomine.base.files import atomic_path, read_json, read_table, write_json
from cocomine.sources.folder import FolderOrigin, digests_in_place
from cocomine.sources.ledger import FOLDER
from cocomine.sources.origins import Origin, open_origin
from cocomine.sources.presets import Preset, preset
from cocomine.sources.records import Facts, Outcome, Want
from cocomine.sources.settings import SourceSettings, StoreSettings
from cocomine.sources.store import Options, Store, report_lacking, shown
from cocomine.sources.transfer import Target

log = logging.getLogger("cocomine")

PNGS = "panoptic_pngs"


@dataclass(frozen=True)
class Job:
    """What sync_annotations is asked. `selection`, when given, limits panoptic PNGs to its images."""

    out: Path
    lock: Path
    against: Path | None = None
    selection: Path | None = None
    panoptic: str = "all"


class RenamedOrigin:
    """An origin in which our names stand under others: `instances_x.json` under `annotations/instances_x.json`."""

    def __init__(self, origin: Origin, remote_of: Mapping[str, str]) -> None:
        self.origin = origin
        self.label = origin.label
        self._remote_of = remote_of

    def _remote(self, name: str) -> str:
        if name in self._remote_of:
            return self._remote_of[name]
        folder, _, rest = name.partition("/")
        return f"{self._remote_of.get(folder, f'annotations/{folder}')}/{rest}" if rest else f"annotations/{name}"

    def facts(self, names: Sequence[str]) -> dict[str, Facts]:
        """Ask under the origin's names, answer under ours."""
        ours = {self._remote(name): name for name in names}
        return {
            ours[remote]: msgspec.structs.replace(fact, name=ours[remote])
            for remote, fact in self.origin.facts(list(ours)).items()
        }

    def fetch(self, wants: Iterable[Want], target: Target) -> Iterator[Outcome]:
        """Fetch under the origin's names."""
        renamed = (msgspec.structs.replace(want, remote=self._remote(want.name)) for want in wants)
        return self.origin.fetch(renamed, target)


def sync_annotations(job: Job, settings: SourceSettings, options: Options) -> None:
    """Bring every annotation file of the source into `job.out` and write the lock.

    Raises CocomineError, after everything that can be had is there, when a file is missing, refused or not the one
    that the lock pins.
    """
    pins = _read_pins(job)
    names = [f"{task}_{split}.json" for split in settings.splits for task in settings.tasks]
    job.out.mkdir(parents=True, exist_ok=True)
    if settings.folder and settings.use == "in-place":
        outcomes = _link_in_place(job, settings, names, pins)
    else:
        outcomes = _fetch(job, settings, options, names, pins)
        for name in names:
            if outcomes[name].status == "ok":
                _publish(_kept(job) / name, job.out / name)
    pngs = _panoptic(job, settings, options, outcomes)
    _write_lock(job.lock, settings, outcomes, pngs)
    _complain({**outcomes, **pngs}, settings)


def plan_annotations(job: Job, settings: SourceSettings, options: Options) -> list[str]:
    """Return the lines of the plan."""
    names = [f"{task}_{split}.json" for split in settings.splits for task in settings.tasks]
    if settings.folder and settings.use == "in-place":
        return [f"{len(names)} files wanted", "used where they are: nothing is copied"]
    return _store(job, settings, options).plan(names, _read_pins(job)).lines()


def _kept(job: Job) -> Path:
    """Where fetched files stay, so that a run whose outputs were taken away again need not fetch them again."""
    return job.out / FOLDER / "kept"


def _store(job: Job, settings: SourceSettings, options: Options) -> Store:
    remote_of = {
        (f"panoptic_{split}" if task == PNGS else f"{task}_{split}.json"): path
        for split, tasks in settings.files.items()
        for task, path in tasks.items()
    }
    origins: list[Origin] = [RenamedOrigin(open_origin(origin), remote_of) for origin in settings.origins]
    origins += _zip_origins(settings, remote_of)
    if settings.folder:
        origins.append(RenamedOrigin(FolderOrigin(Path(settings.folder), settings.use), remote_of))
    if settings.preset:
        origins += _preset_origins(preset(settings.preset))
    return Store(_kept(job), StoreSettings(use=settings.use), options, origins, "annotations")


def _fetch(
    job: Job, settings: SourceSettings, options: Options, names: list[str], pins: Mapping[str, Outcome]
) -> dict[str, Outcome]:
    if not names:
        return {}
    return _store(job, settings, options).sync(names, pins)


def _publish(kept: Path, out: Path) -> None:
    """Put a kept file at its place, as a hard link where the disk allows it."""
    with suppress(FileNotFoundError):
        if os.path.samefile(kept, out):
            return
    with atomic_path(out) as temporary:
        try:
            os.link(kept, temporary)
        except OSError:
            shutil.copyfile(kept, temporary)


def _zip_origins(settings: SourceSettings, remote_of: Mapping[str, str]) -> list[Origin]:
    return []


def _preset_origins(row: Preset) -> list[Origin]:
    return []


# -- a folder used in place


def _link_in_place(
    job: Job, settings: SourceSettings, names: list[str], pins: Mapping[str, Outcome]
) -> dict[str, Outcome]:
    origin = RenamedOrigin(
        FolderOrigin(Path(settings.folder), "in-place"),
        {f"{task}_{split}.json": path for split, tasks in settings.files.items() for task, path in tasks.items()},
    )
    folder = FolderOrigin(Path(settings.folder), "in-place")
    folder.check()
    found = {name: folder.path_of(origin._remote(name)) for name in names}
    for name, path in found.items():
        if path is not None:
            _symlink(job.out / name, path)
    present = [name for name, path in found.items() if path is not None]
    outcomes = {name: Outcome(name, "missing", f"folder: no {origin._remote(name)}") for name in names}
    for outcome in digests_in_place(job.out, present):
        pin = pins.get(outcome.name)
        if outcome.status == "ok" and pin is not None and pin.sha256 and pin.sha256 != outcome.sha256:
            outcome = Outcome(outcome.name, "refused", "folder: its bytes are not those pinned in the lock")
        outcomes[outcome.name] = outcome
    return outcomes


def _symlink(link: Path, destination: Path) -> None:
    relative = os.path.relpath(destination.resolve(), link.parent.resolve())
    with suppress(OSError):
        if link.is_symlink() and link.readlink() == Path(relative):
            return
    with atomic_path(link) as temporary:
        temporary.symlink_to(relative)


# -- panoptic PNGs


class _Segmented(msgspec.Struct):
    file_name: str = ""


class _Panoptic(msgspec.Struct):
    annotations: list[_Segmented] = []


def _panoptic(
    job: Job, settings: SourceSettings, options: Options, outcomes: Mapping[str, Outcome]
) -> dict[str, Outcome]:
    """Bring the PNGs that the panoptic files name, into `panoptic_{split}/`."""
    if "panoptic" not in settings.tasks or job.panoptic == "none":
        return {}
    result: dict[str, Outcome] = {}
    chosen = _stems(job.selection) if job.selection is not None else None
    for split in settings.splits:
        name = f"panoptic_{split}.json"
        if outcomes[name].status != "ok":
            continue
        pngs = _png_names(job.out / name, split, chosen)
        if settings.folder and settings.use == "in-place":
            result |= _pngs_in_place(job, settings, split, pngs)
        else:
            got = _fetch(job, settings, options, pngs, {})
            for png, outcome in got.items():
                if outcome.status == "ok":
                    _publish(_kept(job) / png, job.out / png)
            result |= got
    return result


def _png_names(path: Path, split: str, chosen: set[str] | None) -> list[str]:
    try:
        document = msgspec.json.decode(path.read_bytes(), type=_Panoptic)
    except msgspec.DecodeError as error:
        raise CocomineError(f"{path}: not a panoptic file: {error}", "check the origin's file") from error
    names = dict.fromkeys(row.file_name for row in document.annotations if row.file_name)
    return [f"panoptic_{split}/{name}" for name in names if chosen is None or Path(name).stem in chosen]


def _stems(selection: Path) -> set[str]:
    return {Path(row["store_path"]).stem for row in read_table(selection)}


def _pngs_in_place(job: Job, settings: SourceSettings, split: str, pngs: list[str]) -> dict[str, Outcome]:
    where = settings.files.get(split, {}).get(PNGS, f"annotations/panoptic_{split}")
    folder = Path(settings.folder) / where
    if not folder.is_dir():
        return {png: Outcome(png, "missing", f"folder: no {where}/") for png in pngs[:1]}
    link = job.out / f"panoptic_{split}"
    if link.is_dir() and not link.is_symlink():
        raise CocomineError(f"{link} already holds files of its own", "remove it; use: in-place links it to the folder")
    _symlink(link, folder)
    present = set(os.listdir(folder))
    absent = [png for png in pngs if png.rpartition("/")[2] not in present]
    result = {png: Outcome(png, "missing", f"folder: no such file in {where}/") for png in absent}
    for outcome in digests_in_place(job.out, [png for png in pngs if png not in result]):
        result[outcome.name] = outcome
    return result


# -- the lock


def _read_pins(job: Job) -> dict[str, Outcome]:
    path = job.against or job.lock
    if not path.exists():
        if job.against is not None:
            raise CocomineError(f"--against {path}: no such lock", "give a lock that an earlier run wrote")
        return {}
    rows: dict[str, Any] = read_json(path)["files"]
    return {
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


def _write_lock(
    path: Path, settings: SourceSettings, outcomes: Mapping[str, Outcome], pngs: Mapping[str, Outcome]
) -> None:
    rows = {name: _row(outcome) for name, outcome in {**outcomes, **pngs}.items() if outcome.status == "ok"}
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


def _complain(outcomes: Mapping[str, Outcome], settings: SourceSettings) -> None:
    lacking = [outcome for outcome in outcomes.values() if outcome.status != "ok"]
    report_lacking(lacking)
    if lacking:
        raise CocomineError(
            f"{len(lacking)} annotation files could not be had: {shown((o.name for o in lacking), 5)}: {lacking[0].reason}",
            "check the source's splits and tasks; where the files are named otherwise, say so in "
            f"files: {{{settings.splits[0]}: {{{settings.tasks[0]}: path/in/the/origin.json}}}}",
        )
