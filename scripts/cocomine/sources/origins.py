"""The places that files come from, behind one small interface: say what is there, and fetch."""

import logging
import re
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cocomine.base.errors import CocomineError
from cocomine.sources.behaviour import Behaviour
from cocomine.sources.records import Facts, Outcome, Want
from cocomine.sources.settings import OriginSettings
from cocomine.sources.transfer import Target

if TYPE_CHECKING:
    from cocomine.sources.byte_source import ByteSource

log = logging.getLogger("cocomine")


class Origin(Protocol):
    """A place that holds files under names."""

    label: str

    def facts(self, names: Sequence[str]) -> dict[str, Facts]:
        """Return what the origin says of those names that it has, without fetching them.

        Raises CocomineError when the origin as a whole is gone or refuses.
        """
        ...

    def fetch(self, wants: Iterable[Want], target: Target) -> Iterator[Outcome]:
        """Fetch files into `target` and yield an outcome for each; a failing file is an outcome, not an exception."""
        ...


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


_SECRETS = re.compile(
    r"(://)[^/@\s]*@|([?&][^=\s&]*(?:sig|token|key|secret|credential|password|auth)[^=\s&]*=)[^&\s]+", re.I
)


def without_secrets(text: str) -> str:
    """Return `text` with user names and passwords in URLs and the values of signing parameters left out."""
    return _SECRETS.sub(lambda m: m[1] if m[1] else f"{m[2]}…", text)


def open_origin(settings: OriginSettings, behaviour: Behaviour, kept: Path) -> Origin:
    """Return the origin that the settings describe. Nothing is asked of it yet.

    `kept` is a folder for zips that are fetched whole. Libraries are imported for the kinds in use only.
    """
    url = settings.url
    label = public_label(url)
    if "{split}" in url:
        return SplitOrigin(settings, lambda part: open_origin(part, behaviour, kept))
    if is_zip(url):
        from cocomine.sources.zips import ZipOrigin

        return ZipOrigin(label, lambda: open_bytes(settings, behaviour, kept), behaviour)
    if url.startswith("gs://"):
        from cocomine.sources.gcs_origin import GcsOrigin

        return GcsOrigin(settings, label, behaviour)
    if url.startswith("s3://"):
        from cocomine.sources.s3_origin import S3Origin

        return S3Origin(settings, label, behaviour)
    if url.startswith(("http://", "https://")):
        from cocomine.sources.https_origin import HttpsOrigin

        return HttpsOrigin(url, label, behaviour)
    from cocomine.sources.folder import FolderOrigin

    return FolderOrigin(Path(url.removeprefix("file://")), "copy", label)


def is_zip(url: str) -> bool:
    """Say whether a URL or path names a zip."""
    return url.partition("?")[0].lower().endswith(".zip")


def open_bytes(settings: OriginSettings, behaviour: Behaviour, kept: Path) -> "ByteSource":
    """Return the bytes of the one file that the settings' URL names. Raises NotServedError when it is not there.

    With `whole`, or where a server does not serve ranges, the file is fetched whole into `kept` first.
    """
    from cocomine.sources.byte_source import FileSource, WebSource
    from cocomine.sources.web import Web

    url = settings.url
    if url.startswith("gs://"):
        from cocomine.sources.gcs import Bucket

        bucket = Bucket(settings, behaviour)
        web, url = Web(behaviour, bucket.authorization), bucket.object_url()
    elif url.startswith("s3://"):
        from cocomine.sources.s3_origin import S3, S3Source

        return S3Source(S3(settings, behaviour))
    elif url.startswith(("http://", "https://")):
        web = Web(behaviour)
    else:
        return FileSource(Path(url.removeprefix("file://")))
    if not settings.whole:
        source = WebSource(web, url)
        if source.ranges:
            return source
        log.warning("%s serves no ranges: fetched whole", public_label(settings.url))
    from cocomine.sources.https_origin import whole_file

    return whole_file(web, url, kept)


class SplitOrigin:
    """An origin whose URL holds `{split}`: one origin for each first folder of the names asked for."""

    def __init__(self, settings: OriginSettings, opener: Callable[[OriginSettings], Origin]) -> None:
        self.settings = settings
        self.label = public_label(settings.url)
        self._opener = opener
        self._parts: dict[str, Origin] = {}

    def _part(self, split: str) -> Origin:
        if split not in self._parts:
            url = self.settings.url.replace("{split}", urllib.parse.quote(split))
            options = {f: getattr(self.settings, f) for f in ("credentials", "requester_pays", "endpoint", "whole")}
            self._parts[split] = self._opener(OriginSettings(url, **options))
        return self._parts[split]

    def facts(self, names: Sequence[str]) -> dict[str, Facts]:
        """Ask each part for its names."""
        groups: dict[str, list[str]] = {}
        for name in names:
            groups.setdefault(name.partition("/")[0], []).append(name)
        result: dict[str, Facts] = {}
        for split, members in groups.items():
            result |= self._part(split).facts(members)
        return result

    def fetch(self, wants: Iterable[Want], target: Target) -> Iterator[Outcome]:
        """Fetch split after split."""
        groups: dict[str, list[Want]] = {}
        for want in wants:
            groups.setdefault(want.name.partition("/")[0], []).append(want)
        for split, members in groups.items():
            part = self._part(split)
            try:
                for outcome in part.fetch(members, target):
                    outcome.origin = outcome.origin or part.label
                    members = [want for want in members if want.name != outcome.name] if len(members) < 8 else members
                    yield outcome
            except CocomineError as error:
                for want in members:
                    yield Outcome(want.name, "failed", error.message)
