"""An S3 bucket's prefix as an origin of single files, and an object in it as bytes to read anywhere; by boto3."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
)

from cocomine.base.errors import CocomineError
from cocomine.transfer.attempts import RETRIED, AgainError, NotServedError, persist, retry_after
from cocomine.transfer.behaviour import FEW, Behaviour
from cocomine.transfer.receiving import Target, facts_of_each, fetch_each, receive
from cocomine.transfer.records import Facts, Outcome, Want
from cocomine.transfer.settings import OriginSettings
from cocomine.transfer.web import PIECE

HINT = (
    "for a public bucket set credentials: anonymous; otherwise give boto3 credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID "
    "and AWS_SECRET_ACCESS_KEY, ~/.aws) and, for another S3, endpoint: URL"
)


class S3:
    """A client of one bucket."""

    def __init__(self, settings: OriginSettings, behaviour: Behaviour) -> None:
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config

        self.bucket, _, prefix = settings.url.removeprefix("s3://").partition("/")
        if not self.bucket:
            raise CocomineError(f"{settings.url}: no bucket", "write s3://bucket or s3://bucket/prefix")
        self.prefix = prefix
        options: dict[str, Any] = {
            "retries": {"total_max_attempts": 1},  # tries are counted and waited for in one place, `persist`
            "max_pool_connections": max(FEW, behaviour.connections),
            "connect_timeout": min(20.0, behaviour.stall_seconds),
            "read_timeout": behaviour.stall_seconds,
        }
        if settings.credentials == "anonymous":
            options["signature_version"] = UNSIGNED
        try:
            self.client: Any = boto3.client("s3", endpoint_url=settings.endpoint or None, config=Config(**options))
        except (BotoCoreError, ValueError) as error:  # an unknown profile, no region, an endpoint that is no URL
            raise CocomineError(f"{settings.url}: {error}", HINT) from error
        self.payer = {"RequestPayer": "requester"} if settings.requester_pays else {}
        self.behaviour = behaviour

    def ask(self, method: str, key: str, **more: Any) -> dict[str, Any]:
        """Make one call about an object. Raises AgainError or NotServedError."""
        try:
            call = getattr(self.client, method)
            return dict(call(Bucket=self.bucket, Key=key, **self.payer, **more))
        except ClientError as error:
            raise _verdict(error) from error
        except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError) as error:
            raise CocomineError(f"s3://{self.bucket}: no credentials", HINT) from error
        except BotoCoreError as error:
            raise AgainError(type(error).__name__.removesuffix("Error")) from error


def _verdict(error: ClientError) -> Exception:
    details: dict[str, Any] = dict(error.response.get("ResponseMetadata", {}))
    status = int(details.get("HTTPStatusCode", 0))
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code == "NoSuchBucket":
        return CocomineError(f"no such bucket ({code})", "check the name of the bucket")
    if status in RETRIED or code in ("SlowDown", "RequestTimeout", "InternalError"):
        headers: dict[str, str] = details.get("HTTPHeaders", {})
        return AgainError(f"HTTP {status} {code}", retry_after(headers.get("retry-after", "")))
    if status == 404:
        return NotServedError("missing", "HTTP 404")
    if status in (401, 403):
        return NotServedError("refused", f"HTTP {status} {code}")
    if status == 412:
        return NotServedError("failed", "the object changed while it was read")
    return NotServedError("failed", f"HTTP {status} {code}")


class S3Origin:
    """Files of s3://bucket/prefix."""

    def __init__(self, settings: OriginSettings, label: str, behaviour: Behaviour) -> None:
        self.settings = settings
        self.label = label
        self.behaviour = behaviour
        self._s3: S3 | None = None

    @property
    def s3(self) -> S3:
        """The client, made on first use: credentials are looked for only then."""
        if self._s3 is None:
            self._s3 = S3(self.settings, self.behaviour)
        return self._s3

    def _key(self, name: str) -> str:
        prefix = self.s3.prefix.rstrip("/")
        return f"{prefix}/{name}" if prefix else name

    def facts(self, names: Sequence[str]) -> dict[str, Facts]:
        """Ask for each object's header."""
        self._key("")
        return facts_of_each(names, self._facts)

    def _facts(self, name: str) -> Facts | None:
        try:
            row = persist(self.behaviour, lambda: self.s3.ask("head_object", self._key(name)))
        except NotServedError as error:
            if error.status == "failed":
                raise CocomineError(f"{self.label}: {error}", HINT) from error
            return None
        etag = str(row.get("ETag", "")).strip('"')
        return Facts(name, int(row["ContentLength"]), _md5(row), etag=etag)

    def fetch(self, wants: Iterable[Want], target: Target) -> Iterator[Outcome]:
        """Fetch by a pool of threads."""
        self._key("")
        behaviour = target.behaviour
        return fetch_each(wants, lambda want: self._attempt(want, target), behaviour, behaviour.threads)

    def _attempt(self, want: Want, target: Target) -> Outcome:
        row = self.s3.ask("get_object", self._key(want.remote))
        etag = str(row.get("ETag", "")).strip('"')
        pinned = msgspec.structs.replace(want, bytes=int(row["ContentLength"]), md5=want.md5 or _md5(row), etag=etag)
        return receive(pinned, _pieces(row["Body"]), target)


class S3Source:
    """One object, read by ranges of one version."""

    def __init__(self, s3: S3) -> None:
        self.s3 = s3
        row = persist(s3.behaviour, lambda: s3.ask("head_object", s3.prefix))
        self.size = int(row["ContentLength"])
        self.validator = str(row.get("ETag", ""))

    def stream(self, start: int, length: int) -> Iterator[bytes]:
        """Yield the bytes of a range; when a connection breaks the rest is asked for by another."""
        done = 0
        while done < length:
            first, last = start + done, start + length - 1

            def attempt(first: int = first, last: int = last) -> bytes:
                most = min(last, first + (8 << 20) - 1)
                row = self.s3.ask("get_object", self.s3.prefix, Range=f"bytes={first}-{most}", IfMatch=self.validator)
                return b"".join(_pieces(row["Body"]))

            piece = persist(self.s3.behaviour, attempt)
            done += len(piece)
            yield piece


def _pieces(body: Any) -> Iterator[bytes]:
    """Yield a body's bytes. Raises AgainError when it breaks off."""
    try:
        while piece := body.read(PIECE):
            yield piece
    except IncompleteReadError as error:
        raise AgainError("the connection was closed before the whole file had arrived") from error
    except BotoCoreError as error:
        raise AgainError("the connection broke") from error
    finally:
        body.close()


def _md5(row: dict[str, Any]) -> str:
    """Return the MD5 that an ETag is, when the object was put in one piece and not encrypted by a key of its own."""
    etag = str(row.get("ETag", "")).strip('"')
    plain = row.get("ServerSideEncryption", "AES256") == "AES256" and "SSECustomerAlgorithm" not in row
    return etag if plain and re.fullmatch("[0-9a-f]{32}", etag) else ""
