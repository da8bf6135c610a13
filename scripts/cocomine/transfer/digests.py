"""Checksums of streams. Imports little, since each process that moves files starts with it."""

import binascii
import hashlib

import google_crc32c

CHANGED = "changed at the origin"


def changed(found: str, pinned: str) -> str:
    """Say that other bytes lie at the origin than those whose SHA-256 is pinned."""
    return f"{CHANGED}: its sha256 is {found}, not the {pinned} that is pinned"


class Digester:
    """The checksums of a stream of bytes: MD5 and CRC32C, which buckets publish, and SHA-256, which locks pin."""

    __slots__ = ("_crc", "_md5", "_sha", "bytes")

    def __init__(self, sha256: bool = True, crc32c: bool = True) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha = hashlib.sha256() if sha256 else None
        self._crc = 0 if crc32c else -1
        self.bytes = 0

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take in the next bytes."""
        self._md5.update(data)
        if self._sha is not None:
            self._sha.update(data)
        if self._crc >= 0:
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
        """CRC32C (Castagnoli, RFC 3720) as eight hex digits, big-endian as GCS writes it; empty when not asked for."""
        return f"{self._crc:08x}" if self._crc >= 0 else ""


def hex_of_base64(text: str) -> str:
    """Return a base64 checksum, as GCS writes them, in hex; empty for empty or malformed text."""
    try:
        return binascii.a2b_base64(text, strict_mode=True).hex()
    except ValueError:
        return ""


def base64_of_hex(text: str) -> str:
    """Return a hex checksum in base64, as GCS writes them."""
    return binascii.b2a_base64(bytes.fromhex(text), newline=False).decode("ascii")
