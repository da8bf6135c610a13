"""The places that files come from, behind one small interface: say what is there, and fetch."""

import hashlib
import logging
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import msgspec

from cocomine.base.errors import CocomineError
from cocomine.base.files import atomic_path
from cocomine.base.progress import Progress
from cocomine.base.space import require_space
from cocomine.transfer.attempts import NotServedError
from cocomine.transfer.behaviour import Behaviour
from cocomine.transfer.receiving import Target
from cocomine.transfer.records import Facts, Outcome, Want
from cocomine.transfer.settings import OriginSettings

if TYPE_CHECKING:
    from cocomine.transfer.byte_source import ByteSource

log = logging.getLogger("cocomine")


class UnseenError(CocomineError):
    """What a place holds is known only once `bytes` have been moved."""

    def __init__(self, label: str, count: int) -> None:
        super().__init__(f"{label}: it has to be fetched whole before its files are known", "run the sync")
        self.bytes = count


class Place(Protocol):
    """One place that holds files under names."""

    label: str

    def facts(self, names: Sequence[str]) -> dict[str, Facts]:
        """Return what the place says of those names that it has, without fetching them.

        Raises CocomineError when the place as a whole is gone or refuses, UnseenError when it cannot be known yet.
        """
        ...

    def fetch(self, wants: Iterable[Want], target: Target) -> Iterator[Outcome]:
        """Fetch files into `target` and yield an outcome for each; a failing file is an outcome, not an exception."""
        ...


@runtime_checkable
class Parted(Protocol):
    """An origin made of several places, or of one in which our names stand under others."""

    label: str

    def holder(self, name: str) -> tuple[Place, str] | None:
        """Return the place where a file of that name would lie and its name there; None when it can lie in none."""
        ...

    def fetch(self, wants: Iterable[Want], target: Target) -> Iterator[Outcome]:
        """Fetch as a place does. The outcomes name the place that served."""
        ...


Origin = Place | Parted


def holder_of(origin: Origin, name: str) -> tuple[Place, str] | None:
    """Return the very place of an origin where a file would lie, and its name there."""
    return origin.holder(name) if isinstance(origin, Parted) else (origin, name)


def by_place(origin: Origin, names: Iterable[str]) -> list[tuple[Place, dict[str, str]]]:
    """Gather names by the places of an origin where they would lie, each with its name there."""
    groups: dict[int, tuple[Place, dict[str, str]]] = {}
    for name in names:
        held = holder_of(origin, name)
        if held is not None:
            groups.setdefault(id(held[0]), (held[0], {}))[1][name] = held[1]
    return list(groups.values())


def all_or_reason(place: Place, wants: Sequence[Want], target: Target) -> Iterator[Outcome]:
    """Fetch from one place; when it fails as a whole, that is the reason for each file that had not come by then."""
    left = {want.name for want in wants}
    try:
        for outcome in place.fetch(wants, replace(target, origin=place.label)):
            outcome.origin = place.label
            left.discard(outcome.name)
            yield outcome
    except CocomineError as error:
        for want in wants:
            if want.name in left:
                yield Outcome(want.name, "failed", error.message)


def public_label(url: str) -> str:
    """Return a URL as it may stand in logs and locks: no user, password, query or fragment; no local path.

    A local place is `folder` or the zip's own name.
    """
    if "://" not in url or url.startswith("file://"):
        name = Path(url.removeprefix("file://")).name
        return name if name.lower().endswith(".zip") else "folder"
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    if parts.port:
        host += f":{parts.port}"
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", ""))


def open_origin(settings: OriginSettings, behaviour: Behaviour, kept: Path) -> Origin:
    """Return the origin that the settings describe. Nothing is asked of it yet.

    `kept` is a folder for zips that are fetched whole.
    """
    if "{split}" in settings.url:
        return SplitOrigin(settings, lambda part: open_place(part, behaviour, kept))
    return open_place(settings, behaviour, kept)


def open_place(settings: OriginSettings, behaviour: Behaviour, kept: Path) -> Place:
    """Return the one place that the settings describe. Libraries are imported for the kinds in use only."""
    url = settings.url
    label = public_label(url)
    if is_zip(url):
        from cocomine.transfer.zips import ZipOrigin

        return ZipOrigin(label, lambda: open_bytes(settings, behaviour, kept), behaviour, settings.max_unpack_ratio)
    if url.startswith("gs://"):
        from cocomine.transfer.gcs_origin import GcsOrigin

        return GcsOrigin(settings, label, behaviour)
    if url.startswith("s3://"):
        from cocomine.transfer.s3_origin import S3Origin

        return S3Origin(settings, label, behaviour)
    if url.startswith(("http://", "https://")):
        from cocomine.transfer.https_origin import HttpsOrigin

        return HttpsOrigin(url, label, behaviour)
    from cocomine.transfer.finding import Folder
    from cocomine.transfer.folder import FolderOrigin

    return FolderOrigin(Folder(Path(url.removeprefix("file://"))), "copy", label)


def is_zip(url: str) -> bool:
    """Say whether a URL or path names a zip."""
    return url.partition("?")[0].lower().endswith(".zip")


def open_bytes(
    settings: OriginSettings, behaviour: Behaviour, kept: Path, published: Want | None = None
) -> "ByteSource":
    """Return the bytes of the one file that the settings' URL names. Raises NotServedError when it is not there.

    With `whole`, or where a server does not serve ranges, the file is fetched whole into `kept` on first use.
    `published` is the size and the checksums that are known of it, which it must have.
    """
    from cocomine.transfer.byte_source import FileSource, WebSource
    from cocomine.transfer.web import Web

    url = settings.url
    if url.startswith("gs://"):
        from cocomine.transfer.gcs import Bucket

        bucket = Bucket(settings, behaviour)
        web, url = Web(behaviour, bucket.authorization), bucket.object_url()
    elif url.startswith("s3://"):
        from cocomine.transfer.s3_origin import S3, S3Source

        stored = S3Source(S3(settings, behaviour))
        hold_to_size(stored.size, published)
        return copied_whole(stored, url, kept) if settings.whole else stored
    elif url.startswith(("http://", "https://")):
        web = Web(behaviour)
    else:
        return FileSource(Path(url.removeprefix("file://")))
    if not settings.whole:
        source = WebSource(web, url)
        if source.ranges:
            hold_to_size(source.size, published)
            return source
        log.warning("%s serves no ranges: fetched whole", public_label(settings.url))
    from cocomine.transfer.https_origin import whole_file

    return whole_file(web, url, kept, public_label(settings.url), published)


def copied_whole(source: "ByteSource", url: str, kept: Path) -> "ByteSource":
    """Return a source's bytes, copied into `kept` on first use; they stay there, named by their version."""
    from cocomine.transfer.byte_source import FileSource, LazySource

    key = hashlib.sha256(f"{url} {source.validator} {source.size}".encode()).hexdigest()[:24]
    path = kept / f"{key}.zip"
    copied = 0

    def bring() -> "ByteSource":
        nonlocal copied
        if not path.exists():
            copied += 1
            require_space(kept, source.size, f"{public_label(url)}, fetched whole,")
            with (
                atomic_path(path) as temporary,
                open(temporary, "wb") as out,
                Progress(f"fetch {public_label(url)} whole", source.size, "B", scale=True) as progress,
            ):
                for piece in source.stream(0, source.size):
                    out.write(piece)
                    progress.advance(len(piece))
        return FileSource(path)

    def discard() -> bool:
        path.unlink(missing_ok=True)
        return copied < 2

    return LazySource(source.size, path.exists, bring, discard)


def hold_to_size(found: int, published: Want | None) -> None:
    """Raise NotServedError when a file has another size than the one published for it."""
    if published is not None and published.bytes > 0 and found >= 0 and found != published.bytes:
        raise NotServedError("refused", f"{found} bytes, not the {published.bytes} that are published")


class SplitOrigin:
    """An origin whose URL holds `{split}`: one origin for each first folder of the names asked for."""

    def __init__(self, settings: OriginSettings, opener: Callable[[OriginSettings], Place]) -> None:
        self.settings = settings
        self.label = public_label(settings.url)
        self._opener = opener
        self._parts: dict[str, Place] = {}

    def _part(self, split: str) -> Place:
        if split not in self._parts:
            url = self.settings.url.replace("{split}", urllib.parse.quote(split))
            self._parts[split] = self._opener(msgspec.structs.replace(self.settings, url=url))
        return self._parts[split]

    def holder(self, name: str) -> tuple[Place, str]:
        """The part of the name's first folder."""
        return self._part(name.partition("/")[0]), name

    def fetch(self, wants: Iterable[Want], target: Target) -> Iterator[Outcome]:
        """Fetch split after split."""
        groups: dict[str, list[Want]] = {}
        for want in wants:
            groups.setdefault(want.name.partition("/")[0], []).append(want)
        for split, members in groups.items():
            yield from all_or_reason(self._part(split), members, target)


class RenamedOrigin:
    """An origin in which our names stand under others, which `remote_of` gives."""

    def __init__(self, origin: Origin, remote_of: Callable[[str], str]) -> None:
        self.origin = origin
        self.label = origin.label
        self._remote_of = remote_of

    def holder(self, name: str) -> tuple[Place, str] | None:
        """Where the origin would keep it, under the origin's name."""
        return holder_of(self.origin, self._remote_of(name))

    def fetch(self, wants: Iterable[Want], target: Target) -> Iterator[Outcome]:
        """Fetch under the origin's names."""
        renamed = (msgspec.structs.replace(want, remote=self._remote_of(want.name)) for want in wants)
        return self.origin.fetch(renamed, target)
