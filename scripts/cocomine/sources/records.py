"""The values that pass between the parts of a sync: what is wanted, what came of it, what is known of a file."""

import base64
import hashlib
from typing import Literal

import google_crc32c
import msgspec

Status = Literal["ok", "missing", "refused", "failed"]


class Want(msgspec.Struct, frozen=True):
    """One file that is wanted: its name below the target folder and its name in the origin (a path or object name).

    `bytes` is -1, and each checksum empty, where nothing is known beforehand. Checksums are lower-case hex; an origin's
    `generation` (GCS) or `etag` pins the very object.
    """

    name: str
    remote: str
    bytes: int = -1
    md5: str = ""
    crc32c: str = ""
    sha256: str = ""
    generation: str = ""
    etag: str = ""
    mtime_ns: int = 0
    gzipped: bool = False


class Outcome(msgspec.Struct):
    """What came of one wanted file. `reason` says why when `status` is not ok; `origin` is the label of who served."""

    name: str
    status: Status
    reason: str = ""
    bytes: int = -1
    md5: str = ""
    sha256: str = ""
    crc32c: str = ""
    generation: str = ""
    etag: str = ""
    mtime_ns: int = 0
    origin: str = ""
    moved: int = 0


class Facts(msgspec.Struct, frozen=True):
    """What an origin says about one file without sending it. Checksums are lower-case hex, empty where not said."""

    name: str
    bytes: int
    md5: str = ""
    crc32c: str = ""
    generation: str = ""
    etag: str = ""
    mtime_ns: int = 0
    gzipped: bool = False


class Digester:
    """The checksums of a stream of bytes: MD5 and CRC32C, which buckets publish, and SHA-256, which locks pin."""

    __slots__ = ("_crc", "_md5", "_sha", "bytes")

    def __init__(self, sha256: bool = True) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha = hashlib.sha256() if sha256 else None
        self._crc = 0
        self.bytes = 0

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take in the next bytes."""
        self._md5.update(data)
        if self._sha is not None:
            self._sha.update(data)
        self._crc = google_crc32c.extend(self._crc, data if isinstance(data, bytes) else bytes(data))
        self.bytes += len(data)

    @property
    def md5(self) -> str:
        """MD5 as hex."""
        return self._md5.hexdigest()

    @property
    def sha256(self) -> str:
        """SHA-256 as hex, empty when it was not asked for."""
        return self._sha.hexdigest() if self._sha is not None else ""

    @property
    def crc32c(self) -> str:
        """CRC32C (Castagnoli, RFC 3720) as eight hex digits, big-endian as GCS writes it."""
        return f"{self._crc:08x}"


def hex_of_base64(text: str) -> str:
    """Return a base64 checksum, as GCS writes them, in hex; empty for empty or malformed text."""
    try:
        return base64.b64decode(text, validate=True).hex()
    except ValueError:
        return ""


def base64_of_hex(text: str) -> str:
    """Return a hex checksum in base64, as GCS writes them."""
    return base64.b64encode(bytes.fromhex(text)).decode("ascii")


def mismatch(want: Want, digest: Digester) -> str:
    """Return how what arrived differs from what was promised, or an empty string when it is the same."""
    if want.bytes >= 0 and digest.bytes != want.bytes:
        return f"{digest.bytes} bytes instead of {want.bytes}"
    for kind in ("md5", "crc32c", "sha256"):
        promised, found = getattr(want, kind), getattr(digest, kind)
        if promised and found and promised != found:
            return f"{kind} is {found} instead of {promised}"
    return ""
