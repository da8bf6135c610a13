"""Unpacking what a stranger packed: in bounded memory, and no bombs."""

import zlib
from collections.abc import Iterable, Iterator

from cocomine.base.space import size

PIECE = 256 * 1024  # bytes that are unpacked at a time
HARMLESS = 64 << 20  # bytes up to which the ratio does not matter
MOST_DIRECTORY = 128 << 20  # bytes of a zip's directory: about 2 GB of memory for its members' names


def bomb(packed: int, plain: int, most: int) -> str:
    """Return why something that unpacks from `packed` to `plain` bytes is refused, empty when it may be unpacked.

    `most` is the origin's max_unpack_ratio. Deflate reaches 1,032; annotation files 5 to 30.
    """
    if plain <= HARMLESS or plain <= most * packed:
        return ""
    return (
        f"it unpacks to {size(plain)}, {plain // max(1, packed)} times its size, and max_unpack_ratio: {most} of the "
        "origin is the most that may be"
    )


def inflated(pieces: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Yield what a raw deflate stream (RFC 1951) holds, in pieces of bounded size. Raises zlib.error."""
    inflate = zlib.decompressobj(-15)
    for piece in pieces:
        data: bytes | memoryview = piece
        while data and not inflate.eof:
            if plain := inflate.decompress(data, PIECE):
                yield plain
            data = inflate.unconsumed_tail
    while not inflate.eof and (plain := inflate.decompress(b"", PIECE)):
        yield plain
    if not inflate.eof:
        raise zlib.error("it ends too early")


def gunzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what gzip members, one behind the other, hold, in pieces of bounded size.

    Zero bytes behind the last member are padding (RFC 1952 allows members only; gzip writes such to tapes). Raises
    zlib.error for what is no gzip and for what ends too early.
    """
    inflate = zlib.decompressobj(31)
    begun = False  # the present member
    for piece in pieces:
        data = piece
        while data:
            if inflate.eof:
                inflate, begun = zlib.decompressobj(31), False
            if not begun:
                data = data.lstrip(b"\0")
                begun = bool(data)
                continue
            plain = inflate.decompress(data, PIECE)
            if plain:
                yield plain
            data = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
        while not inflate.eof and len(plain := inflate.decompress(b"", PIECE)):
            yield plain
    if begun and not inflate.eof:
        raise zlib.error("the compressed object ends too early")
