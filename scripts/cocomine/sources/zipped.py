"""Origins of annotation files and panoptic PNGs out of zips: of a preset, or in a place of the user's."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from cocomine.sources.presets import Preset
from cocomine.sources.settings import SourceSettings
from cocomine.sources.store import Options
from cocomine.transfer.behaviour import Behaviour
from cocomine.transfer.origins import is_zip, open_bytes
from cocomine.transfer.places import Origin, Parted, Place, all_or_reason, public_label
from cocomine.transfer.receiving import Target
from cocomine.transfer.records import Outcome, Want
from cocomine.transfer.settings import OriginSettings
from cocomine.transfer.zips import ZipOrigin

PNGS = "panoptic_pngs"


def png_zips(settings: SourceSettings, options: Options, whole: Path) -> list[Origin]:
    """Return an origin for each zip of PNGs: where `files` names one, or where COCO's own is to be looked for.

    A path such as `panoptic.zip/annotations/panoptic_val2017.zip` names a zip inside a zip, as COCO's official one is.
    """
    if "panoptic" not in settings.tasks:
        return []
    places = list(settings.origins) or [OriginSettings(settings.folder)] if settings.origins or settings.folder else []
    result: list[Origin] = []
    for place in places:
        if is_zip(place.url) or "{split}" in place.url:
            continue
        result.append(
            ZippedPngs(place, {split: tasks.get(PNGS, "") for split, tasks in settings.files.items()}, options, whole)
        )
    return result


class ZippedPngs:
    """The PNGs of panoptic files out of zips that lie in an origin: `annotations/panoptic_{split}.zip` or as named."""

    def __init__(self, place: OriginSettings, paths: Mapping[str, str], options: Options, whole: Path) -> None:
        self.place = place
        self.paths = paths
        self.options = options
        self.whole = whole
        self.label = public_label(place.url)
        self._zips: dict[str, ZipOrigin] = {}

    def _zip(self, folder: str) -> ZipOrigin | None:
        """Return the zip of `panoptic_{split}`, None for a name that is no PNG's."""
        split = folder.removeprefix("panoptic_")
        path = self.paths.get(split) or f"annotations/panoptic_{split}.zip"
        if split == folder or ".zip" not in path.lower():
            return None
        if folder not in self._zips:
            outer, inner = _two_zips(f"{self.place.url.rstrip('/')}/{path}")
            self._zips[folder] = _zip_origin(
                msgspec.structs.replace(self.place, url=outer), inner, self.options.behaviour, self.whole
            )
        return self._zips[folder]

    def holder(self, name: str) -> tuple[Place, str] | None:
        """The zip of the name's first folder."""
        archive = self._zip(name.partition("/")[0])
        return None if archive is None else (archive, name)

    def fetch(self, wants: Iterable[Want], target: Target) -> Iterator[Outcome]:
        """Fetch out of each split's zip."""
        return _out_of_zips(self, wants, target, "no zip is known to hold it")


class PresetOrigin:
    """The public zips of a preset, as an origin of annotation files and panoptic PNGs."""

    def __init__(self, row: Preset, behaviour: Behaviour, whole: Path) -> None:
        self.row = row
        self.label = f"preset {row.name}"
        self._behaviour = behaviour
        self._whole = whole
        self._zips: dict[tuple[str, str], ZipOrigin] = {}

    def _place(self, name: str) -> tuple[ZipOrigin, str] | None:
        """Return the zip that holds one of our names, and the member's name in it; None when the preset has no such."""
        folder, slash, rest = name.partition("/")
        if slash:
            file, inner, member = self.row.file(PNGS, folder.removeprefix("panoptic_")), True, rest
        else:
            task, _, split = name.removesuffix(".json").rpartition("_")
            file, inner, member = self.row.file(task, split), False, ""
        if file is None:
            return None
        key = (file.url, file.member if inner else "")
        if key not in self._zips:
            published = Want(file.url, file.url, file.bytes or -1, md5=file.md5, sha256=file.sha256)
            self._zips[key] = _zip_origin(OriginSettings(file.url), key[1], self._behaviour, self._whole, published)
        return self._zips[key], member or file.member

    def holder(self, name: str) -> tuple[Place, str] | None:
        """The public zip that holds the file, and the member's name."""
        return self._place(name)

    def fetch(self, wants: Iterable[Want], target: Target) -> Iterator[Outcome]:
        """Fetch members out of the zips."""
        return _out_of_zips(self, wants, target, "the preset has no such file")


def _out_of_zips(origin: Parted, wants: Iterable[Want], target: Target, lacking: str) -> Iterator[Outcome]:
    """Fetch each file out of the zip that holds it; `lacking` is said of those that none holds."""
    groups: dict[int, tuple[Place, list[Want]]] = {}
    for want in wants:
        held = origin.holder(want.name)
        if held is None:
            yield Outcome(want.name, "missing", lacking)
            continue
        renamed = msgspec.structs.replace(want, remote=held[1])
        groups.setdefault(id(held[0]), (held[0], []))[1].append(renamed)
    for place, members in groups.values():
        yield from all_or_reason(place, members, target)


def _two_zips(url: str) -> tuple[str, str]:
    """Split the address of a zip inside a zip after the outer one: `x.zip/y.zip` into `x.zip` and `y.zip`."""
    head, dot, rest = url.partition(".zip/")
    return (head + ".zip", rest) if dot else (url, "")


def _zip_origin(
    place: OriginSettings, inner: str, behaviour: Behaviour, whole: Path, published: Want | None = None
) -> ZipOrigin:
    label = public_label(place.url)
    most = place.max_unpack_ratio
    outer = ZipOrigin(label, lambda: open_bytes(place, behaviour, whole, published), behaviour, most)
    return ZipOrigin(f"{label}/{inner}", lambda: outer.nested(inner, whole), behaviour, most) if inner else outer
