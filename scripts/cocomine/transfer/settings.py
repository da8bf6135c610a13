"""One origin of files, as the config names it, checked and typed."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from cocomine.base.errors import CocomineError


@dataclass(frozen=True)
class OriginSettings:
    """One place that holds files, and how to be let in.

    `url` is gs://bucket/prefix, s3://bucket/prefix, http(s)://host/folder/, http(s)://host/file.zip, or a local folder
    or zip; `{split}` in it stands for the first folder of a file's name. `credentials` is `default` (application
    default credentials; for s3 boto3's own search), `anonymous`, or a service account file. `requester_pays` is the
    project that is billed. `endpoint` is another S3 or GCS endpoint. `whole` fetches a zip whole instead of by member.
    `max_unpack_ratio` is the most times its packed size that a member of a zip, or a gzip object, of over 64 MB may
    unpack to.
    """

    url: str
    credentials: str = "default"
    requester_pays: str = ""
    endpoint: str = ""
    whole: bool = False
    max_unpack_ratio: int = 100

    @classmethod
    def from_value(cls, value: Any, where: str) -> Self:
        """Read an origin: its URL, or a mapping with `url` and options."""
        if isinstance(value, str):
            return cls(_url(value, where))
        checked = known_keys(cls, value, where)
        if "url" not in checked:
            raise CocomineError(f"{where}: an origin without url", "write the URL itself, or {url: gs://bucket/prefix}")
        _url(checked["url"], f"{where}.url")
        for key in ("credentials", "requester_pays", "endpoint"):
            if not isinstance(checked.get(key, ""), str):
                raise CocomineError(f"{where}.{key}: {checked[key]!r} is not text", "put it in quotation marks")
        if not isinstance(checked.get("whole", False), bool):
            raise CocomineError(f"{where}.whole: {checked['whole']!r} is not true or false", "write true or false")
        ratio = checked.get("max_unpack_ratio", 1)
        if isinstance(ratio, bool) or not isinstance(ratio, int) or ratio < 1:
            raise CocomineError(f"{where}.max_unpack_ratio: {ratio!r} is no number of 1 or more", "for example 100")
        return cls(**checked)


def known_keys(kind: type, value: Any, where: str) -> dict[str, Any]:
    """Return the mapping as a dict. Raises CocomineError for no mapping and for a key that `kind` does not have."""
    if not isinstance(value, Mapping):
        raise CocomineError(f"{where}: expected a mapping of keys, got {value!r}", "see config/README.md")
    known = [f.name for f in fields(kind)]
    for key in value:
        if key not in known:
            raise CocomineError(f"{where}.{key}: unknown key", f"known keys: {', '.join(known)}")
    return dict(value)


def _url(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise CocomineError(f"{where}: {value!r} is no URL or path", "for example gs://my-bucket/coco")
    scheme = value.partition("://")[0] if "://" in value else ""
    if scheme not in ("", "gs", "s3", "http", "https", "file"):
        raise CocomineError(f"{where}: unknown scheme {scheme}://", "use gs://, s3://, https://, or a local path")
    return value
