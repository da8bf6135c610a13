"""Google Cloud Storage: credentials by google-auth, reading over its JSON API, writing by its own library."""

import functools
import os
import threading
import time
import urllib.parse
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from cocomine.base.errors import CocomineError
from cocomine.transfer.advice import advice_for_dead_bucket
from cocomine.transfer.attempts import AgainError, CorruptedError, NotServedError, persist
from cocomine.transfer.behaviour import Behaviour
from cocomine.transfer.digests import Digester, hex_of_base64
from cocomine.transfer.promises import promised
from cocomine.transfer.receiving import Target, fetch_each, receive
from cocomine.transfer.records import Facts, Outcome, Want, mismatch
from cocomine.transfer.settings import OriginSettings
from cocomine.transfer.unpacking import bomb, gunzipped
from cocomine.transfer.web import Answer, Web

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
RESUMED_FROM = 1 << 20  # a broken body is resumed, not begun again, from this many bytes on
PAGE = 1000  # objects; the most that the API gives at once
ROW = "name,size,md5Hash,crc32c,generation,etag,timeCreated,metadata,contentEncoding"
LATEST = 2**33  # seconds since 1970 (the year 2242): what is later is milliseconds, or nonsense
LONGEST_TIME = 10  # digits of that
FIELDS = f"items({ROW}),nextPageToken"
RENEWAL_HOLDS = 20.0  # seconds for which a new token is not renewed again
MTIME_KEY = "goog-reserved-file-mtime"  # seconds since 1970, as gsutil writes it


def split_url(url: str) -> tuple[str, str]:
    """Return bucket and prefix of gs://bucket/prefix; the prefix ends with a slash unless it is empty."""
    bucket, _, prefix = url.removeprefix("gs://").partition("/")
    if not bucket:
        raise CocomineError(f"{url}: no bucket", "write gs://bucket or gs://bucket/prefix")
    return bucket, prefix.rstrip("/") + "/" if prefix.strip("/") else ""


class Bucket:
    """One bucket as its owner lets us see it.

    google-auth gives the credentials. Listings and metadata are asked of the JSON API over a pool that carries their
    token, since the client library's objects cost ten times the decoding; what is written goes through the library.
    """

    def __init__(self, settings: OriginSettings, behaviour: Behaviour | None = None) -> None:
        self.name, self.prefix = split_url(settings.url)
        self.settings = settings
        self.requester_pays = settings.requester_pays
        self.endpoint = (settings.endpoint or os.environ.get("STORAGE_EMULATOR_HOST", "")).rstrip("/")
        if self.endpoint and "://" not in self.endpoint:
            self.endpoint = f"http://{self.endpoint}"
        self.credentials = _credentials(settings, bool(self.endpoint))
        self.base = self.endpoint or "https://storage.googleapis.com"
        self.behaviour = behaviour or Behaviour()
        self._media_base = f"{self.base}/download/storage/v1/b/{self.name}/o/"
        self._billed = f"&userProject={urllib.parse.quote_plus(self.requester_pays)}" if self.requester_pays else ""
        self._renewing = threading.Lock()
        self._renewed = -RENEWAL_HOLDS
        self.web = Web(self.behaviour, self.authorization)

    @functools.cached_property
    def writable(self) -> Any:
        """The bucket as google-cloud-storage sees it, for uploads and deletions."""
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage

        options = {"api_endpoint": self.endpoint} if self.endpoint else None
        client = storage.Client(
            project=self.requester_pays or "none",
            credentials=self.credentials or AnonymousCredentials(),
            client_options=options,
        )
        return client.bucket(self.name, user_project=self.requester_pays or None)

    def listing(self, prefix: str = "", start: str = "", end: str = "") -> Iterator[Facts]:
        """Yield what the bucket says of its objects below its prefix, sorted by name as bytes; names less the prefix.

        The next page is fetched while this one is used. Raises CocomineError when the bucket does not exist or may not
        be listed.
        """
        query = {"maxResults": str(PAGE), "prefix": self.prefix + prefix, "fields": FIELDS, "projection": "noAcl"}
        query |= {"startOffset": self.prefix + start} if start else {}
        query |= {"endOffset": self.prefix + end} if end else {}
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
        return _PAGES.decode(self._asked("/o", query))

    def _asked(self, path: str, query: dict[str, str]) -> bytes:
        """Return the JSON API's answer about the bucket.

        Raises CocomineError when it says no, with advice; NotServedError for an object that is not there.
        """
        query = query | ({"userProject": self.requester_pays} if self.requester_pays else {})
        address = f"{self.base}/storage/v1/b/{self.name}{path}?{urllib.parse.urlencode(query)}"
        try:
            return persist(self.behaviour, lambda: self.web.ask("GET", address, explain=True).read())
        except NotServedError as error:
            if error.status == "missing" and path.startswith("/o/"):
                raise
            raise self._explained(error) from error

    def check(self) -> None:
        """Raise CocomineError, with advice, when the bucket is not there or may not be read."""
        try:
            self._asked("/o", {"maxResults": "1", "prefix": self.prefix, "fields": "items(name)"})
        except CocomineError as error:
            if "access refused (HTTP 403)" not in error.message:
                raise  # whoever may read objects need not be allowed to list them; the objects will tell

    def facts_of(self, name: str) -> Facts | None:
        """Return what the bucket says of one object, None when it has none of that name."""
        return self._facts(self.prefix + name, len(self.prefix))

    def facts_now(self, name: str) -> Facts | None:
        """Return the same; what goes wrong is a failure of that object alone, a NotServedError."""
        try:
            return self.facts_of(name)
        except CocomineError as error:
            raise NotServedError("failed", error.message) from error

    def _facts(self, name: str, skip: int) -> Facts | None:
        try:
            answer = self._asked("/o/" + urllib.parse.quote(name, safe=""), {"fields": ROW})
        except NotServedError:
            return None
        return _ROWS.decode(answer).facts(skip)

    def _explained(self, error: NotServedError) -> CocomineError:
        """Turn what the API said into advice."""
        place = f"gs://{self.name}/{self.prefix}"
        if error.status == "missing":
            advice = advice_for_dead_bucket(self.name)
            return CocomineError(
                f"{place}: no such bucket (HTTP 404)",
                advice or "check the name; `gcloud storage ls` lists the buckets that you may see",
            )
        if error.status == "refused":
            return CocomineError(f"{place}: access refused ({error})", CREDENTIALS_HINT)
        if "requester pays" in str(error):
            return CocomineError(f"{place}: the bucket is requester pays", "set requester_pays: PROJECT at this origin")
        return CocomineError(f"{place}: {error}", "try again later, or add another origin")

    def authorization(self, renew: bool) -> str:
        """Return the Authorization header's value, tried or renewed as need be; empty for anonymous."""
        if self.credentials is None:
            return ""
        with self._renewing:
            # Many requests are under way when a token ends; each is refused, and one renewal serves them all.
            fresh = time.monotonic() - self._renewed < RENEWAL_HOLDS
            if not self.credentials.valid or (renew and not fresh):
                from google.auth.exceptions import GoogleAuthError
                from google.auth.transport.requests import Request

                try:
                    self.credentials.refresh(Request())
                except GoogleAuthError as error:
                    raise CocomineError(f"gs://{self.name}: the credentials were refused", CREDENTIALS_HINT) from error
                self._renewed = time.monotonic()
        return f"Bearer {self.credentials.token}"

    def fetch(self, wants: Iterable[Want], target: Target) -> Iterator[Outcome]:
        """Fetch objects into `target`; yields an outcome each."""
        return fetch_each(wants, lambda want: self._attempt(want, target), target.behaviour, self.web.threads)

    def _attempt(self, want: Want, target: Target) -> Outcome:
        with self._media(want) as answer:
            known = {} if want.md5 or want.crc32c else promised(answer)
            encoded = "content-encoding" in answer.headers
            if encoded or not (want.md5 or want.crc32c or want.sha256 or known):
                pinned = self._pinned(want)
            else:
                generation = want.generation or answer.headers.get("x-goog-generation", "")
                pinned = msgspec.structs.replace(want, generation=generation, **known)
            if pinned.gzipped and encoded:
                return _receive_gzip(pinned, answer.stream(), target, self.settings.max_unpack_ratio)
            length = answer.headers.get("content-length", "")
            if length.isdigit() and int(length) != want.bytes:
                if want.bytes >= 0:
                    raise AgainError(f"{length} bytes offered instead of {want.bytes}")
                pinned = msgspec.structs.replace(pinned, bytes=int(length))
            return receive(pinned, self._resumed(answer, pinned), target)

    def _media(self, want: Want) -> Answer:
        try:
            return self.web.ask("GET", self.media_url(want.remote, want.generation), {"Accept-Encoding": "gzip"})
        except NotServedError as error:
            if error.status == "missing" and want.generation:
                raise NotServedError("missing", "changed or deleted since it was listed") from error
            raise

    def _resumed(self, answer: Answer, want: Want) -> Iterator[bytes]:
        """Yield a body; when the connection breaks late in a large one, the rest is asked for by another."""
        done = 0
        try:
            for piece in answer.stream():
                done += len(piece)
                yield piece
        except AgainError:
            if done < RESUMED_FROM or want.bytes < 0:
                raise
            url = self.media_url(want.remote, want.generation)
            try:
                yield from self.web.stream(url, done, want.bytes - done, answer.headers.get("etag", ""))
            except NotServedError as error:
                raise AgainError(str(error)) from error  # the object is another by now: a new try tells

    def _pinned(self, want: Want) -> Want:
        """Return `want` with the version and checksums that the bucket's metadata gives."""
        facts = self.facts_now(want.remote)
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
        facts = self._facts(name, 0)
        if facts is None:
            raise NotServedError("missing", "no such object")
        return self._media_url(name, facts.generation)

    def media_url(self, name: str, generation: str) -> str:
        """Return the address of an object's bytes (JSON API, objects: get, alt=media)."""
        return self._media_url(self.prefix + name, generation)

    def _media_url(self, name: str, generation: str) -> str:
        pinned = f"&generation={urllib.parse.quote(generation)}" if generation else ""
        return f"{self._media_base}{urllib.parse.quote(name, safe='')}?alt=media{pinned}{self._billed}"


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
            self.metadata is not None and own_time(self.metadata) >= 0,
        )


class _Page(msgspec.Struct):
    items: list[_Row] = []
    nextPageToken: str = ""  # noqa: N815


_PAGES = msgspec.json.Decoder(_Page)
_ROWS = msgspec.json.Decoder(_Row)

CREDENTIALS_HINT = (
    "for a public bucket set credentials: anonymous; otherwise run `gcloud auth application-default login`, or give "
    "credentials: FILE of a service account that may read the bucket (and requester_pays: PROJECT if it asks for that)"
)


def _receive_gzip(want: Want, pieces: Iterable[bytes], target: Target, most: int) -> Outcome:
    """Receive an object that is kept compressed: verify the compressed bytes, write the plain ones."""
    digest = Digester(sha256=False)

    def read() -> Iterator[bytes]:
        for piece in pieces:
            digest.update(piece)
            yield piece

    def plain() -> Iterator[bytes]:
        count = 0
        try:
            for piece in gunzipped(read()):
                count += len(piece)
                if reason := bomb(max(digest.bytes, want.bytes), count, most):
                    raise NotServedError("refused", reason)
                yield piece
        except zlib.error as error:
            raise CorruptedError(f"corrupted: {error}") from error
        if wrong := mismatch(msgspec.structs.replace(want, sha256=""), digest):
            raise CorruptedError(f"corrupted: {wrong}")

    return receive(msgspec.structs.replace(want, bytes=-1, md5="", crc32c=""), plain(), target)


def mtime_of(metadata: dict[str, str] | None, created: datetime | None) -> int:
    """Return a file's time in nanoseconds: gsutil's metadata where it is such a time, else when the object was made."""
    seconds = own_time(metadata) if metadata else -1
    if seconds >= 0:
        return seconds * 10**9
    return int(created.timestamp()) * 10**9 if created is not None else 0


def own_time(metadata: dict[str, str]) -> int:
    """Return the seconds that gsutil's metadata gives as the file's time, -1 for none or what is no such time."""
    text = metadata.get(MTIME_KEY, "")
    if text.isascii() and text.isdigit() and len(text) <= LONGEST_TIME and int(text) <= LATEST:
        return int(text)
    return -1


def _credentials(settings: OriginSettings, emulator: bool) -> Any:
    """Return google-auth's credentials, None for anonymous."""
    chosen = settings.credentials
    if chosen == "anonymous" or (chosen == "default" and emulator):
        return None
    if chosen == "default":
        import google.auth
        from google.auth.exceptions import DefaultCredentialsError

        try:
            return google.auth.default(scopes=[SCOPE], quota_project_id=settings.requester_pays or None)[0]
        except DefaultCredentialsError as error:
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
