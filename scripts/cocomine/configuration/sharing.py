"""What builds of several work folders share: the photographs and annotation files that were fetched.

They lie in the folder `shared` of the config, and a work folder holds links to it. What is drawn, imported, merged or
used in place is each build's own.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from cocomine.base.errors import CocomineError
from cocomine.configuration.plan import Plan
from cocomine.configuration.settings_files import SettingsFile
from cocomine.configuration.sources import Source, Store
from cocomine.sources.in_place import point
from cocomine.transfer.ledger import FOLDER

_OURS = re.compile(r"(?:images|annotations)/[^/]+-[0-9a-f]+")
"""How the place ends to which a link of ours leads: the kind, and a name with a digest."""


def share(plan: Plan, work_dir: Path) -> None:
    """Make the work folder's links to what is shared, and remove our links of a config that no longer shares.

    A link that somebody else made stays. Raises CocomineError where it, or files of the work folder's own, are in the
    way, and where the shared folder is not there or may not be added to.
    """
    places = shared_places(plan)
    for name in _names(plan):
        link, place = work_dir / name, places.get(name)
        is_ours = link.is_symlink() and _OURS.fullmatch("/".join(link.readlink().parts[-2:])) is not None
        if not plan.shared or place is None:
            if is_ours:
                link.unlink()
            continue
        shared = work_dir / place
        if not is_ours and (link.exists() or link.is_symlink()):
            raise CocomineError(
                f"shared: {link} holds files of this work folder's own",
                f"move them into {shared} if that is not there yet, remove them, or leave `shared` out",
            )
        _make(work_dir / plan.shared, shared)
        point(link, shared)


def _make(root: Path, folder: Path) -> None:
    if not root.is_dir():
        raise CocomineError(f"shared: {root} is no folder", f"make it: mkdir -p {shlex.quote(str(root))}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except PermissionError as error:
        raise CocomineError(
            f"shared: {folder} is not there, and you may not make it",
            "ask the folder's owner to build this once, or leave `shared` out of the config",
        ) from error


def _names(plan: Plan) -> Iterator[Path]:
    """Where the work folder has what could be shared."""
    for source in plan.used_sources:
        yield from (Path(source.store.folder), Path(source.folder, FOLDER))


def shared_places(plan: Plan) -> dict[Path, Path]:
    """Return the links in the work folder, and the folders below `shared` to which they lead."""
    places: dict[Path, Path] = {}
    for source in plan.used_sources:
        if source.bucket:
            continue
        if not source.store.in_place:
            places[Path(source.store.folder)] = Path(plan.shared, "images", _called(source.store))
        if not source.settings.in_place:
            places[Path(source.folder, FOLDER)] = Path(plan.shared, "annotations", _called(source))
    return places


def _called(one: Store | Source) -> str:
    """Return the name and a digest of where the files come from: two configs may call different ones the same."""
    given = one.settings.as_mapping()
    where = {key: given[key] for key in sorted(one.settings.PLACES | {"preset"}) if key in given}
    return Path(SettingsFile("shared", one.name, where).path).stem
