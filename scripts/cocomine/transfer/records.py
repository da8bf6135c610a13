"""The values that pass between the parts of a sync: what is wanted, what came of it, what is known of a file."""

from typing import Literal

import msgspec

from cocomine.transfer.digests import Digester

Status = Literal["ok", "missing", "unreadable", "refused", "failed"]
"""`missing`: no place has the file. `unreadable`: something lies there, and it is no file that can be taken (a FIFO, a
link out of its folder, a name too long, no permission). `refused`: other bytes than those promised or pinned, or no
access to the place. `failed`: another try may bring it."""


class Want(msgspec.Struct, frozen=True, gc=False):
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


class Facts(msgspec.Struct, frozen=True, gc=False):
    """What an origin says about one file without sending it. Checksums are lower-case hex, empty where not said.

    `dated` says that `mtime_ns` is the time of the file that was published, not that of its publication.
    """

    name: str
    bytes: int
    md5: str = ""
    crc32c: str = ""
    generation: str = ""
    etag: str = ""
    mtime_ns: int = 0
    gzipped: bool = False
    dated: bool = False


def mismatch(want: Want, digest: Digester) -> str:
    """Return how what arrived differs from what was promised, or an empty string when it is the same."""
    if want.bytes >= 0 and digest.bytes != want.bytes:
        return f"{digest.bytes} bytes instead of {want.bytes}"
    sums = ("md5", want.md5, digest.md5), ("crc32c", want.crc32c, digest.crc32c), ("sha256", want.sha256, digest.sha256)
    for kind, promised, found in sums:
        if promised and found and promised != found:
            return f"{kind} is {found} instead of {promised}"
    return ""
