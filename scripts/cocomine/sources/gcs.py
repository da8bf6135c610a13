"""Google Cloud Storage: credentials, listing and metadata by its library, many small files by the lean movers."""

import os
import urllib.parse
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from google.api_core import exceptions as api_exceptions
from google.auth import credentials as auth_credentials
from google.auth import exceptions as auth_exceptions
from google.cloud import storage

from cocomine.base.errors import CocomineError
from cocomine.sources.mover import Order, Report, Setup
from cocomine.sources.movers import move
from cocomine.sources.presets import advice_for_dead_bucket
from cocomine.sources.records import Facts, Outcome, Want, hex_of_base64
from cocomine.sources.settings import OriginSettings
from cocomine.sources.transfer import Target
from cocomine.sources.web import NotServedError

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
MTIME_KEY = "goog-reserved-file-mtime"  # seconds since 1970, as gsutil writes it


def split_url(url: str) -> tuple[str, str]:
    """Return bucket and prefix of gs://bucket/prefix; the prefix ends with a slash unless it is empty."""
    bucket, _, prefix = url.removeprefix("gs://").partition("/")
    if not bucket:
        raise CocomineError(f"{url}: no bucket", "write gs://bucket or gs://bucket/prefix")
    return bucket, prefix.rstrip("/") + "/" if prefix.strip("/") else ""


class Bucket:
    """One bucket as its owner lets us see it."""

    def __init__(self, settings: OriginSettings) -> None:
        self.name, self.prefix = split_url(settings.url)
        self.requester_pays = settings.requester_pays
        self.endpoint = (settings.endpoint or os.environ.get("STORAGE_EMULATOR_HOST", "")).rstrip("/")
        if self.endpoint and "://" not in self.endpoint:
            self.endpoint = f"http://{self.endpoint}"
        self.credentials = _credentials(settings, bool(self.endpoint))
        options = {"api_endpoint": self.endpoint} if self.endpoint else None
        self.client = storage.Client(
            project=settings.requester_pays or "none", credentials=self.credentials, client_options=options
        )
        self.bucket = self.client.bucket(self.name, user_project=settings.requester_pays or None)
        self.base = self.endpoint or "https://storage.googleapis.com"

    def listing(self, prefix: str = "", start: str = "", end: str = "") -> Iterator[Facts]:
        """Yield what the bucket says of its objects below its prefix, sorted by name as bytes; names less the prefix.

        Raises CocomineError when the bucket does not exist or may not be listed.
        """
        try:
            for blob in self.client.list_blobs(
                self.bucket,
                prefix=self.prefix + prefix or None,
                start_offset=self.prefix + start if start else None,
                end_offset=self.prefix + end if end else None,
                fields="items(name,size,md5Hash,crc32c,generation,etag,updated,timeCreated,metadata,contentEncoding)"
                ",nextPageToken",
            ):
                yield self._facts(blob)
        except api_exceptions.GoogleAPICallError as error:
            raise self.explained(error) from error
        except auth_exceptions.GoogleAuthError as error:
            raise CocomineError(f"gs://{self.name}: credentials were refused: {error}", CREDENTIALS_HINT) from error

    def check(self) -> None:
        """Raise CocomineError, with advice, when the bucket is not there or may not be read."""
        next(self.listing_page(), None)

    def listing_page(self) -> Iterator[Facts]:
        """Yield at most one object: the cheapest question that a bucket answers to whoever may list it."""
        try:
            for blob in self.client.list_blobs(self.bucket, prefix=self.prefix or None, max_results=1):
                yield self._facts(blob)
        except api_exceptions.Forbidden:
            return  # whoever may read objects need not be allowed to list them; the objects will tell
        except api_exceptions.GoogleAPICallError as error:
            raise self.explained(error) from error
        except auth_exceptions.GoogleAuthError as error:
            raise CocomineError(f"gs://{self.name}: credentials were refused: {error}", CREDENTIALS_HINT) from error
        except OSError as error:
            raise CocomineError(
                f"{self.base}: cannot be reached", "check the network, or add another origin"
            ) from error

    def facts_of(self, name: str) -> Facts | None:
        """Return what the bucket says of one object, None when it has none of that name."""
        try:
            blob = self.bucket.get_blob(self.prefix + name)
        except api_exceptions.GoogleAPICallError as error:
            raise self.explained(error) from error
        return self._facts(blob) if blob is not None else None

    def _facts(self, blob: Any) -> Facts:
        return Facts(
            blob.name[len(self.prefix) :],
            int(blob.size or 0),
            hex_of_base64(blob.md5_hash or ""),
            hex_of_base64(blob.crc32c or ""),
            str(blob.generation or ""),
            blob.etag or "",
            mtime_of(blob.metadata, blob.time_created),
            blob.content_encoding == "gzip",
        )

    def explained(self, error: api_exceptions.GoogleAPICallError) -> CocomineError:
        """Turn the library's error into advice."""
        place = f"gs://{self.name}/{self.prefix}"
        if isinstance(error, api_exceptions.NotFound):
            advice = advice_for_dead_bucket(self.name)
            return CocomineError(
                f"{place}: no such bucket (HTTP 404)",
                advice or "check the name; buckets are listed by `gcloud storage ls`",
            )
        if isinstance(error, api_exceptions.Forbidden | api_exceptions.Unauthorized):
            return CocomineError(f"{place}: access refused (HTTP {error.code})", CREDENTIALS_HINT)
        if error.code == 400 and "requester" in str(error).lower():
            return CocomineError(f"{place}: the bucket is requester pays", "set requester_pays: PROJECT at this origin")
        return CocomineError(f"{place}: HTTP {error.code}: {error.message}", "try again later, or add another origin")

    def authorization(self, renew: bool) -> str:
        """Return the Authorization header's value, fetched or renewed as need be; empty for anonymous."""
        if isinstance(self.credentials, auth_credentials.AnonymousCredentials):
            return ""
        if renew or not self.credentials.valid:
            from google.auth.transport.requests import Request

            self.credentials.refresh(Request())
        return f"Bearer {self.credentials.token}"

    def fetch(self, wants: Iterable[Want], target: Target) -> Iterator[Outcome]:
        """Fetch objects into `target` by the lean movers; yields an outcome each."""
        known: dict[int, Want] = {}
        base = urllib.parse.urlsplit(self.base)
        behaviour = target.behaviour
        processes = max(1, min(behaviour.processes, behaviour.connections))
        setup = Setup(
            host=base.hostname or "",
            port=base.port or (443 if base.scheme == "https" else 80),
            tls=base.scheme == "https",
            host_header=base.netloc,
            headers="Accept-Encoding: gzip\r\nUser-Agent: cocomine\r\n",
            root=str(target.root),
            staging=str(target.staging),
            connections=max(1, behaviour.connections // processes),
            tries=behaviour.tries,
            stall_seconds=behaviour.stall_seconds,
            first_wait=behaviour.first_wait,
            sha256=target.sha256,
            cafile=os.environ.get("REQUESTS_CA_BUNDLE", ""),
            ledger=str(target.ledger.path) if target.ledger is not None else "",
            origin=target.origin,
        )

        def orders() -> Iterator[Order]:
            for number, want in enumerate(wants):
                known[number] = want
                path = self.media_path(want.remote, want.generation)
                yield Order(
                    number,
                    want.name,
                    path,
                    want.bytes,
                    want.md5,
                    want.crc32c,
                    want.sha256,
                    want.mtime_ns,
                    want.etag,
                )

        for report in move(orders(), setup, processes, self.authorization, target.moved):
            yield _outcome(known.pop(report.number), report)

    def object_url(self) -> str:
        """Return the address of the bytes of the object that the URL itself names (a zip), in its version of now."""
        name = self.prefix.rstrip("/")
        try:
            blob = self.bucket.get_blob(name)
        except api_exceptions.GoogleAPICallError as error:
            raise self.explained(error) from error
        if blob is None:
            raise NotServedError("missing", "no such object")
        parts = urllib.parse.urlsplit(self.base)
        self.prefix = ""
        return f"{parts.scheme}://{parts.netloc}{self.media_path(name, str(blob.generation))}"

    def media_path(self, name: str, generation: str) -> str:
        """Return the request target of an object's bytes (JSON API, objects: get, alt=media)."""
        base = urllib.parse.urlsplit(self.base).path
        query = {"alt": "media"}
        if generation:
            query["generation"] = generation
        if self.requester_pays:
            query["userProject"] = self.requester_pays
        quoted = urllib.parse.quote(self.prefix + name, safe="")
        return f"{base}/download/storage/v1/b/{self.name}/o/{quoted}?{urllib.parse.urlencode(query)}"


CREDENTIALS_HINT = (
    "for a public bucket set credentials: anonymous; otherwise run `gcloud auth application-default login`, or give "
    "credentials: FILE of a service account that may read the bucket (and requester_pays: PROJECT if it asks for that)"
)


def mtime_of(metadata: dict[str, str] | None, created: datetime | None) -> int:
    """Return a file's time in nanoseconds: gsutil's metadata where there is, else when the object was made."""
    text = (metadata or {}).get(MTIME_KEY, "")
    if text.isdigit():
        return int(text) * 10**9
    return int(created.timestamp()) * 10**9 if created is not None else 0


def _outcome(want: Want, report: Report) -> Outcome:
    status = report.status if report.status in ("ok", "missing", "refused") else "failed"
    reason = report.reason
    if report.status == "unauthorized":
        status = "refused"
    if report.status == "missing" and want.generation:
        reason = "changed or deleted since it was listed"
    return Outcome(
        want.name,
        status,  # type: ignore[arg-type]
        reason,
        report.bytes,
        report.md5,
        report.sha256,
        report.crc32c,
        report.generation or want.generation,
        want.etag,
        report.mtime_ns,
    )


def _credentials(settings: OriginSettings, emulator: bool) -> Any:
    chosen = settings.credentials
    if chosen == "anonymous" or (chosen == "default" and emulator):
        return auth_credentials.AnonymousCredentials()
    if chosen == "default":
        import google.auth

        try:
            return google.auth.default(scopes=[SCOPE], quota_project_id=settings.requester_pays or None)[0]
        except auth_exceptions.DefaultCredentialsError as error:
            raise CocomineError(f"{settings.url}: no application default credentials", CREDENTIALS_HINT) from error
    from google.oauth2 import service_account

    path = Path(chosen)
    try:
        return service_account.Credentials.from_service_account_file(str(path), scopes=[SCOPE])
    except (OSError, ValueError) as error:
        raise CocomineError(
            f"{settings.url}: credentials: {path.name} is not a readable service account file",
            "give the path of the JSON key file, or `default`, or `anonymous`",
        ) from error
