"""A folder behind HTTP as an origin of single files, and a zip behind HTTP fetched whole."""

import hashlib
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import urllib3

from cocomine.base.errors import CocomineError
from cocomine.base.files import write_text
from cocomine.sources.behaviour import Behaviour
from cocomine.sources.byte_source import ByteSource, FileSource
from cocomine.sources.digests import changed, hex_of_base64
from cocomine.sources.records import Facts, Outcome, Want
from cocomine.sources.transfer import Target, in_threads, receive
from cocomine.sources.web import PIECE, AgainError, NotServedError, Web, persist

THREADS = 16


class HttpsOrigin:
    """Files below https://host/folder/. A query in the URL (a signature) is sent with each request, shown to nobody."""

    def __init__(self, url: str, label: str, behaviour: Behaviour) -> None:
        self.label = label
        self.web = Web(behaviour, connections=max(THREADS, behaviour.connections))
        self._parts = urllib.parse.urlsplit(url)

    def _address(self, name: str) -> str:
        path = self._parts.path.rstrip("/") + "/" + urllib.parse.quote(name)
        return urllib.parse.urlunsplit((self._parts.scheme, self._parts.netloc, path, self._parts.query, ""))

    def facts(self, names: Sequence[str]) -> dict[str, Facts]:
        """Ask for each file's header. Raises CocomineError when the host cannot be reached."""
        with ThreadPoolExecutor(THREADS) as pool:
            found = pool.map(self._facts, names)
            return {facts.name: facts for facts in found if facts is not None}

    def _facts(self, name: str) -> Facts | None:
        def attempt() -> Facts:
            answer = self.web.ask("HEAD", self._address(name))
            answer.release_conn()
            length = answer.headers.get("Content-Length", "")
            known = promised(answer)
            size = int(length) if length.isdigit() else -1
            return Facts(name, size, known.get("md5", ""), known.get("crc32c", ""), etag=answer.headers.get("ETag", ""))

        try:
            return persist(self.web.behaviour, attempt)
        except NotServedError as error:
            if error.status == "failed":
                raise CocomineError(f"{self.label}: {error}", "check the address, or add another origin") from error
            return None

    def fetch(self, wants: Iterable[Want], target: Target) -> Iterator[Outcome]:
        """Fetch by a pool of connections."""
        return in_threads(lambda want: self._one(want, target), wants, min(THREADS, target.behaviour.connections))

    def _one(self, want: Want, target: Target) -> Outcome:
        def attempt() -> Outcome:
            answer = self.web.ask("GET", self._address(want.remote))
            try:
                return receive(checked(want, answer), answer.stream(PIECE), target)
            except BaseException:
                answer.close()
                raise
            finally:
                answer.release_conn()

        try:
            return persist(target.behaviour, attempt)
        except NotServedError as error:
            return Outcome(want.name, error.status, str(error))  # type: ignore[arg-type]
        except OSError as error:
            return Outcome(want.name, "failed", error.strerror or str(error))


def checked(want: Want, answer: urllib3.BaseHTTPResponse) -> Want:
    """Return `want` with what the answer promises of size and checksums.

    Raises NotServedError when the answer is a web page, or when it does not say where the file ends.
    """
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == "text/html" and not want.name.lower().endswith((".html", ".htm")):
        raise NotServedError("refused", "a web page came instead of the file")
    length = answer.headers.get("Content-Length", "")
    if not length.isdigit() and "chunked" not in answer.headers.get("Transfer-Encoding", "").lower():
        raise NotServedError("refused", "the server does not say how long the file is")
    known = promised(answer)
    size = int(length) if length.isdigit() and "Content-Encoding" not in answer.headers else want.bytes
    if want.bytes >= 0 and size >= 0 and size != want.bytes:
        raise AgainError(f"{size} bytes offered instead of {want.bytes}")
    if want.sha256 and known.get("sha256", want.sha256) != want.sha256:
        raise NotServedError("refused", changed(known["sha256"], want.sha256))
    return msgspec.structs.replace(
        want,
        bytes=size,
        md5=want.md5 or known.get("md5", ""),
        crc32c=want.crc32c or known.get("crc32c", ""),
        sha256=want.sha256 or known.get("sha256", ""),
        etag=answer.headers.get("ETag", "").strip('"'),
        generation=answer.headers.get("x-goog-generation", ""),
    )


def promised(answer: urllib3.BaseHTTPResponse) -> dict[str, str]:
    """Return the checksums (hex) that an HTTP answer carries.

    GCS: x-goog-hash. RFC 9530: Repr-Digest. RFC 1864: Content-MD5. S3: an ETag that is an MD5 (no part count behind a
    dash) where the object is not encrypted by a key of its own.
    """
    result: dict[str, str] = {}
    for part in answer.headers.get("x-goog-hash", "").split(","):
        kind, _, value = part.strip().partition("=")
        if kind in ("md5", "crc32c"):
            result[kind] = hex_of_base64(value)
    match = re.search(r"sha-256=:([^:]+):", answer.headers.get("Repr-Digest", ""))
    if match:
        result["sha256"] = hex_of_base64(match[1])
    if "Content-MD5" in answer.headers:
        result["md5"] = hex_of_base64(answer.headers["Content-MD5"])
    etag = answer.headers.get("ETag", "").strip('"')
    encrypted = answer.headers.get("x-amz-server-side-encryption", "AES256") != "AES256"
    if "x-amz-request-id" in answer.headers and not encrypted and re.fullmatch("[0-9a-f]{32}", etag):
        result.setdefault("md5", etag)
    return {kind: value for kind, value in result.items() if value}


def whole_file(web: Web, url: str, folder: Path, moved: Target | None = None) -> ByteSource:
    """Fetch a large file whole into `folder`, going on where an earlier run was killed, and return its bytes.

    What has arrived is kept beside the version (ETag and size) that it belongs to; another version begins anew.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(url.partition("?")[0].encode()).hexdigest()[:24]
    done, part, version = folder / f"{key}.zip", folder / f"{key}.part", folder / f"{key}.version"

    def head() -> tuple[int, str]:
        answer = web.ask("HEAD", url)
        answer.release_conn()
        return int(answer.headers.get("Content-Length", "-1")), answer.headers.get("ETag", "")

    size, etag = persist(web.behaviour, head)
    wanted = f"{size} {etag}"
    if done.exists() and version.exists() and version.read_text("utf-8") == wanted:
        return FileSource(done)
    if not version.exists() or version.read_text("utf-8") != wanted:
        part.unlink(missing_ok=True)
        done.unlink(missing_ok=True)
        write_text(version, wanted)
    _append(web, url, part, size, etag, moved)
    part.replace(done)
    return FileSource(done)


def _append(web: Web, url: str, part: Path, size: int, etag: str, moved: Target | None) -> None:
    def attempt() -> None:
        start = part.stat().st_size if part.exists() else 0
        if start == size:
            return
        answer = web.ask("GET", url, {"Range": f"bytes={start}-"} if start else {})
        try:
            if answer.headers.get("ETag", "") != etag:
                raise NotServedError("failed", "the file changed while it was read")
            with open(part, "ab" if answer.status == 206 else "wb") as out:
                for piece in answer.stream(PIECE):
                    out.write(piece)
                    if moved is not None:
                        moved.moved(len(piece))
        finally:
            answer.close()
        if part.stat().st_size != size:
            raise AgainError(f"{part.stat().st_size} of {size} bytes arrived")

    persist(web.behaviour, attempt)
