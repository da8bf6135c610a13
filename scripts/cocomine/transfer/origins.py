"""Opening the origin that settings describe."""

import logging
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from cocomine.transfer.behaviour import Behaviour
from cocomine.transfer.byte_source import ByteSource, FileSource, WebSource
from cocomine.transfer.finding import Folder
from cocomine.transfer.folder import FolderOrigin
from cocomine.transfer.gcs import Bucket
from cocomine.transfer.gcs_origin import GcsOrigin
from cocomine.transfer.https_origin import HttpsOrigin
from cocomine.transfer.places import Origin, Place, all_or_reason, holder_of, public_label
from cocomine.transfer.receiving import Target
from cocomine.transfer.records import Outcome, Want
from cocomine.transfer.settings import OriginSettings
from cocomine.transfer.web import Web
from cocomine.transfer.whole import copied_whole, hold_to_size, whole_file
from cocomine.transfer.zips import ZipOrigin

log = logging.getLogger("cocomine")


def open_origin(settings: OriginSettings, behaviour: Behaviour, kept: Path) -> Origin:
    """Return the origin that the settings describe. Nothing is asked of it yet.

    `kept` is a folder for zips that are fetched whole.
    """
    if "{split}" in settings.url:
        return SplitOrigin(settings, lambda part: open_place(part, behaviour, kept))
    return open_place(settings, behaviour, kept)


def open_place(settings: OriginSettings, behaviour: Behaviour, kept: Path) -> Place:
    """Return the one place that the settings describe."""
    url = settings.url
    label = public_label(url)
    if is_zip(url):
        return ZipOrigin(label, lambda: open_bytes(settings, behaviour, kept), behaviour, settings.max_unpack_ratio)
    if url.startswith("gs://"):
        return GcsOrigin(settings, label, behaviour)
    if url.startswith("s3://"):
        from cocomine.transfer.s3_origin import S3Origin  # not at the top: boto3 is slow to import

        return S3Origin(settings, label, behaviour)
    if url.startswith(("http://", "https://")):
        return HttpsOrigin(url, label, behaviour)
    return FolderOrigin(Folder(Path(url.removeprefix("file://"))), "copy", label)


def is_zip(url: str) -> bool:
    """Say whether a URL or path names a zip."""
    return url.partition("?")[0].lower().endswith(".zip")


def open_bytes(settings: OriginSettings, behaviour: Behaviour, kept: Path, published: Want | None = None) -> ByteSource:
    """Return the bytes of the one file that the settings' URL names. Raises NotServedError when it is not there.

    With `whole`, or where a server does not serve ranges, the file is fetched whole into `kept` on first use.
    `published` is the size and the checksums that are known of it, which it must have.
    """
    url = settings.url
    if url.startswith("gs://"):
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
    return whole_file(web, url, kept, public_label(settings.url), published)


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
