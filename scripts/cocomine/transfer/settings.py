"""One origin of files, as the config names it, checked and typed."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from cocomine.base.settings import Positive, Problem, Section, Text, says


class OriginSettings(Section, frozen=True):
    """A place that holds files, and how to be let in; the URL alone will do where nothing else is to be said."""

    SECTION: ClassVar[str] = "origin"

    url: Annotated[
        Text,
        says(
            "gs://bucket/prefix, s3://bucket/prefix, https://host/folder/, https://host/file.zip, a local "
            "folder or zip; "
            "{split} stands for a file's first folder."
        ),
    ]
    credentials: Annotated[
        str,
        says(
            "default (Google's application default credentials, or boto3's own search for s3), anonymous, or the path "
            "of a service account file."
        ),
    ] = "default"
    requester_pays: Annotated[str, says("The project that is billed, for a bucket whose requester pays.")] = ""
    endpoint: Annotated[str, says("Another endpoint that speaks GCS's JSON API or S3, as URL.")] = ""
    whole: Annotated[bool, says("Fetch a zip whole rather than the members needed.")] = False
    max_unpack_ratio: Annotated[
        Positive, says("Times its packed size that a zip's member or a gzip object over 64 MB may unpack to.")
    ] = 100

    def problems(self) -> Iterator[Problem]:
        """A scheme that nothing here speaks."""
        scheme = self.url.partition("://")[0] if "://" in self.url else ""
        if scheme not in ("", "gs", "s3", "http", "https", "file"):
            yield Problem("url", f"unknown scheme {scheme}://", "use gs://, s3://, https://, or a local path")
        if not self.url.strip():
            yield Problem("url", f"{self.url!r} is no URL or path", "for example gs://my-bucket/coco")
