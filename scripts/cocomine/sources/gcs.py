"""Google Cloud Storage: credentials, listing and metadata by its library, many small files by the lean movers."""

import os
import urllib.parse
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import requests
from google.api_core import exceptions as api_exceptions
from google.auth import credentials as auth_credentials
from google.auth import exceptions as auth_exceptions
from google.auth.transport.requests import AuthorizedSession
from google.cloud import storage

from cocomine.base.errors import CocomineError
from cocomine.sources.mover import RETRIED, Order, Report, Setup, retry_after
from cocomine.sources.movers import move
from cocomine.sources.presets import advice_for_dead_bucket
from cocomine.sources.records import Digester, Facts, Outcome, Want, hex_of_base64, mismatch
from cocomine.sources.settings import OriginSettings
from cocomine.sources.transfer import Behaviour, CorruptedError, Target, in_threads, receive
from cocomine.sources.web import PIECE, AgainError, NotServedError, Web, persist, proxy_of

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
PAGE = 1000  # objects; the most that the API gives at once
FIELDS = "items(name,size,md5Hash,crc32c,generation,etag,timeCreated,metadata,contentEncoding),nextPageToken"
MTIME_KEY = "goog-reserved-file-mtime"  # seconds since 1970, as gsutil writes it


def split_url(url: str) -> tuple[str, str]:
    """Return bucket and prefix of gs://bucket/prefix; the prefix ends with a slash unless it is empty."""
    bucket, _, prefix = url.removeprefix("gs://").partition("/")
    if not bucket:
        raise CocomineError(f"{url}: no bucket", "write gs://bucket or gs://bucket/prefix")
    return bucket, prefix.rstrip("/") + "/" if prefix.strip("/") else ""


class Bucket:
    """One bucket as its owner lets us see it."""

    def __init__(self, settings: OriginSettings, behaviour: Behaviour | None = None) -> None:
        behaviour = behaviour or Behaviour()
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
        self.behaviour = behaviour
        self.session = AuthorizedSession(self.credentials)

    def listing(self, prefix: str = "", start: str = "", end: str = "") -> Iterator[Facts]:
        """Yield what the bucket says of its objects below its prefix, sorted by name as bytes; names less the prefix.

        The next page is fetched while this one is used. Raises CocomineError when the bucket does not exist or may not
        be listed.
        """
        query = {"maxResults": str(PAGE), "prefix": self.prefix + prefix, "fields": FIELDS, "projection": "noAcl"}
        query |= {"startOffset": self.prefix + start} if start else {}
        query |= {"endOffset": self.prefix + end} if end else {}
        query |= {"userProject": self.requester_pays} if self.requester_pays else {}
        skip = len(self.prefix)
        with ThreadPoolExecutor(1) as pool:
            pending: Future[_Page] | None = pool.submit(self._page, query)
            while pending is not None:
                page = pending.result()
                token = page.nextPageToken
                pending = pool.submit(self._page, {**query, "pageToken": token}) if token else None
                for row in page.items:
                    yield row.facts(skip)

    def _page(self, query: dict[str, str]) -> "_Page":
        """Ask for one page over the library's authorised session: its own objects cost ten times the decoding."""
        address = f"{self.base}/storage/v1/b/{self.name}/o?{urllib.parse.urlencode(query)}"

        def attempt() -> _Page:
            try:
                answer = self.session.get(address, timeout=60)
            except auth_exceptions.GoogleAuthError as error:
                raise CocomineError(f"gs://{self.name}: credentials were refused: {error}", CREDENTIALS_HINT) from error
            except requests.exceptions.RequestException as error:
                raise AgainError("the connection broke") from error
            if answer.status_code != 200:
                raise self._refusal(answer)
            return _PAGES.decode(answer.content)

        try:
            return persist(self.behaviour, attempt)
        except NotServedError as error:
            raise CocomineError(
                f"gs://{self.name}: cannot be listed: {error}", "try again, or add another origin"
            ) from error

    def _refusal(self, answer: requests.Response) -> Exception:
        if answer.status_code in RETRIED:
            return AgainError(f"HTTP {answer.status_code}", retry_after(answer.headers.get("Retry-After", "")))
        return self.explained(api_exceptions.from_http_response(answer))  # type: ignore[no-untyped-call]

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

        if proxy_of(self.base):
            yield from self._fetch_by_web(wants, target)  # the movers do not speak to proxies
            return
        unusual: list[Want] = []
        for report in move(orders(), setup, processes, self.authorization, target.moved):
            want = known.pop(report.number)
            if report.status == "unusual":
                unusual.append(want)
            else:
                yield _outcome(want, report)
        yield from self._fetch_by_web(unusual, target)

    def _fetch_by_web(self, wants: Iterable[Want], target: Target) -> Iterator[Outcome]:
        """Fetch what the movers leave alone: objects kept compressed, answers without checksums, or by a proxy."""
        web = Web(target.behaviour, self.authorization)
        base = urllib.parse.urlsplit(self.base)

        def one(want: Want) -> Outcome:
            def attempt() -> Outcome:
                pinned = self._pinned(want)
                address = f"{base.scheme}://{base.netloc}{self.media_path(want.remote, pinned.generation)}"
                answer = web.ask("GET", address, {"Accept-Encoding": "gzip"})
                try:
                    pieces = answer.stream(PIECE, decode_content=False)
                    return _receive_gzip(pinned, pieces, target) if pinned.gzipped else receive(pinned, pieces, target)
                finally:
                    answer.close()

            try:
                return persist(target.behaviour, attempt)
            except NotServedError as error:
                return Outcome(want.name, error.status, str(error))  # type: ignore[arg-type]
            except CocomineError as error:
                return Outcome(want.name, "failed", error.message)
            except OSError as error:
                return Outcome(want.name, "failed", error.strerror or str(error))

        return in_threads(one, wants, 8)

    def _pinned(self, want: Want) -> Want:
        """Return `want` with the version and checksums that the bucket's metadata gives."""
        facts = self.facts_of(want.remote)
        if facts is None:
            raise NotServedError("missing", "HTTP 404")
        if want.generation and want.generation != facts.generation:
            raise NotServedError("failed", "the object changed since it was listed")
        return msgspec.structs.replace(
            want,
            bytes=facts.bytes,
            md5=facts.md5,
            crc32c=facts.crc32c,
            generation=facts.generation,
            gzipped=facts.gzipped,
            etag=f"gzip:{facts.md5 or facts.crc32c}" if facts.gzipped else facts.etag,
        )

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


class _Row(msgspec.Struct):
    """One object in a listing, by the names that the JSON API gives its fields."""

    name: str
    size: str = "0"
    md5Hash: str = ""  # noqa: N815
    crc32c: str = ""
    generation: str = ""
    etag: str = ""
    timeCreated: datetime | None = None  # noqa: N815
    contentEncoding: str = ""  # noqa: N815
    metadata: dict[str, str] | None = None

    def facts(self, skip: int) -> Facts:
        """Return the same in our words; the first `skip` letters of the name are left out."""
        return Facts(
            self.name[skip:],
            int(self.size),
            hex_of_base64(self.md5Hash),
            hex_of_base64(self.crc32c),
            self.generation,
            self.etag,
            mtime_of(self.metadata, self.timeCreated),
            self.contentEncoding == "gzip",
        )


class _Page(msgspec.Struct):
    items: list[_Row] = []
    nextPageToken: str = ""  # noqa: N815


_PAGES = msgspec.json.Decoder(_Page)

CREDENTIALS_HINT = (
    "for a public bucket set credentials: anonymous; otherwise run `gcloud auth application-default login`, or give "
    "credentials: FILE of a service account that may read the bucket (and requester_pays: PROJECT if it asks for that)"
)


def _receive_gzip(want: Want, pieces: Iterable[bytes], target: Target) -> Outcome:
    """Receive an object that is kept compressed: verify the compressed bytes, write the plain ones."""
    digest = Digester(sha256=False)
    inflate = zlib.decompressobj(31)

    def plain() -> Iterator[bytes]:
        try:
            for piece in pieces:
                digest.update(piece)
                yield inflate.decompress(piece)
            yield inflate.flush()
        except zlib.error as error:
            raise CorruptedError(f"corrupted: {error}") from error
        wrong = mismatch(msgspec.structs.replace(want, sha256=""), digest)
        if wrong or not inflate.eof:
            raise CorruptedError(f"corrupted: {wrong or 'the compressed object ends too early'}")

    return receive(msgspec.structs.replace(want, bytes=-1, md5="", crc32c=""), plain(), target)


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
