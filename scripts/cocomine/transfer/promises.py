"""What the header of an HTTP answer promises of its body."""

import re

import msgspec

from cocomine.transfer.attempts import AgainError, NotServedError
from cocomine.transfer.digests import changed, hex_of_base64
from cocomine.transfer.records import Want
from cocomine.transfer.web import Answer


def promised(answer: Answer) -> dict[str, str]:
    """Return the checksums (hex) that an HTTP answer carries.

    GCS: x-goog-hash. RFC 9530: Repr-Digest. RFC 1864: Content-MD5. S3: an ETag that is an MD5 (no part count behind a
    dash) where the object is not encrypted by a key of its own.
    """
    result: dict[str, str] = {}
    for part in answer.headers.get("x-goog-hash", "").split(","):
        kind, _, value = part.strip().partition("=")
        if kind in ("md5", "crc32c"):
            result[kind] = hex_of_base64(value)
    match = re.search(r"sha-256=:([^:]+):", answer.headers.get("repr-digest", ""))
    if match:
        result["sha256"] = hex_of_base64(match[1])
    if "content-md5" in answer.headers:
        result["md5"] = hex_of_base64(answer.headers["content-md5"])
    etag = answer.headers.get("etag", "").strip('"')
    encrypted = answer.headers.get("x-amz-server-side-encryption", "AES256") != "AES256"
    if "x-amz-request-id" in answer.headers and not encrypted and re.fullmatch("[0-9a-f]{32}", etag):
        result.setdefault("md5", etag)
    return {kind: value for kind, value in result.items() if value}


def checked(want: Want, answer: Answer) -> Want:
    """Return `want` with what the answer promises of size and checksums.

    Raises NotServedError when the answer is a web page, or when it does not say where the file ends.
    """
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "text/html" and not want.name.lower().endswith((".html", ".htm")):
        raise NotServedError("refused", "a web page came instead of the file")
    length = answer.headers.get("content-length", "")
    if not length.isdigit() and "chunked" not in answer.headers.get("transfer-encoding", "").lower():
        raise NotServedError("refused", "the server does not say how long the file is")
    known = promised(answer)
    size = int(length) if length.isdigit() and "content-encoding" not in answer.headers else want.bytes
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
        etag=answer.headers.get("etag", "").strip('"'),
        generation=answer.headers.get("x-goog-generation", ""),
    )
