"""What builds of several work folders share: the photographs and annotation files that were fetched.

They lie in the folder `shared` of the config, and a work folder holds links to it. What is drawn, imported, merged or
used in place is each build's own.
"""

from pathlib import Path

from cocomine.base.errors import CocomineError
from cocomine.configuration.plan import Plan
from cocomine.configuration.settings_files import SettingsFile
from cocomine.configuration.sources import Source, Store
from cocomine.sources.in_place import point
from cocomine.transfer.ledger import FOLDER


def share(plan: Plan, work_dir: Path) -> None:
    """Make the work folder's links to what is shared, and remove those of a config that no longer shares.

    Raises CocomineError where the work folder has files of its own already.
    """
    for name, place in shared_places(plan).items():
        link, shared = work_dir / name, work_dir / place
        if not plan.shared:
            if link.is_symlink():
                link.unlink()
            continue
        if link.exists() and not link.is_symlink():
            raise CocomineError(
                f"shared: {link} holds files of this work folder's own",
                f"move them into {shared} if that is not there yet, remove them, or leave `shared` out",
            )
        shared.mkdir(parents=True, exist_ok=True)
        point(link, shared)


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
