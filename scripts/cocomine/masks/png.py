"""PNG files of masks: quick to code, small, and the same bytes everywhere.

Masks are areas of one value. zlib's run-length strategy is made for such data: it codes them several times as fast as
the default and no larger, if each row is written in the form that breaks into fewer runs, as it is (PNG's filter
"None") or as the difference to the row above ("Up"). Palette indices take as many bits as the largest of them needs (1,
2, 4 or 8), so there are fewer bytes to look through; every reader unpacks them to the same indices.

It is zlib-ng, which codes runs in a third of the time, to the bytes of zlib 1.2.13; and it is pinned, so that the bytes
do not hang on the zlib that a system's Python was built with.
"""

import struct
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
from zlib_ng import zlib_ng

from cocomine.base.arrays import Bytes, Ints

Raster = npt.NDArray[np.unsignedinteger]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MEMORY = 6
"""zlib's memory level. Below its default of 8 for speed: the tables stay in the cache, and the files are no larger."""

VALUES_AT_ONCE = 1 << 20
"""Values whose rows are filtered together: all of a usual image, and of a giant as many as the caches hold."""

NONE, UP = 0, 2
GREY, RGB, PALETTE = 0, 2, 3
BYTES_A_PIXEL = {(GREY, 8): 1, (GREY, 16): 2, (RGB, 8): 3, (PALETTE, 8): 1}


def indexed(indices: Bytes, largest: int, palette: bytes) -> bytes:
    """Return the PNG file of an h × w raster of palette indices; see `indexed_strips`."""
    height, width = indices.shape
    return indexed_strips(strips_of(indices), width, height, largest, palette)


def indexed_strips(strips: Iterable[Raster], width: int, height: int, largest: int, palette: bytes) -> bytes:
    """Return the PNG file of palette indices, none above `largest`, in as few bits as hold that.

    `palette` holds RGB triples, as many as there are colours; those that the bits cannot name are left out.
    """
    depth = next(bits for bits in (1, 2, 4, 8) if largest < 1 << bits)
    return encode(filter_strips(strips, 1, depth), width, height, PALETTE, depth, palette[: 3 << depth])


def packed(indices: Bytes, bits: int) -> Bytes:
    """Return the rows with 8 / bits indices a byte, the first in the highest bits; h × ceil(w · bits / 8).

    `bits` is 1, 2, 4 or 8, and no index may need more.
    """
    if bits == 8:
        return indices
    if bits == 1:
        return np.packbits(indices, axis=1)
    width = indices.shape[1]
    together = 8 // bits
    if width % together:
        indices = np.pad(indices, ((0, 0), (0, -width % together)))
    words = indices.view(f"<u{together}")
    # Multiplying shifts each index of a word to its place in the word's highest byte; nothing else reaches that byte.
    top = 8 * (together - 1)
    factor = sum(1 << (top + 8 - bits * (place + 1) - 8 * place) for place in range(together))
    result: Bytes = ((words * words.dtype.type(factor)) >> words.dtype.type(top)).astype(np.uint8)
    return result


def encode(filtered: Iterable[Bytes], width: int, height: int, color: int, depth: int, palette: bytes = b"") -> bytes:
    """Return the PNG file whose filtered rows (filter byte included), some at a time, are `filtered`.

    `color` and `depth` are PNG's colour type and bits a sample; `palette` its RGB triples, for indexed colour.
    """
    packer = zlib_ng.compressobj(1, zlib_ng.DEFLATED, zlib_ng.MAX_WBITS, MEMORY, zlib_ng.Z_RLE)
    packed = b"".join([*(packer.compress(rows.data) for rows in filtered), packer.flush()])
    chunks = [_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))]
    if palette:
        chunks.append(_chunk(b"PLTE", palette))
    return b"".join([SIGNATURE, *chunks, _chunk(b"IDAT", packed), _chunk(b"IEND", b"")])


def _chunk(kind: bytes, content: bytes) -> bytes:
    return b"".join(
        [struct.pack(">I", len(content)), kind, content, struct.pack(">I", zlib_ng.crc32(content, zlib_ng.crc32(kind)))]
    )


def rows_at_once(width: int) -> int:
    """Return how many rows of `width` values are VALUES_AT_ONCE or so."""
    return max(1, VALUES_AT_ONCE // max(1, width))


def strips_of(values: Raster) -> Iterator[Raster]:
    """Yield the rows of an h × w raster, some at a time."""
    step = rows_at_once(values.shape[1])
    yield from (values[top : top + step] for top in range(0, len(values), step))


def filter_rows(values: Raster, pixel: int, bits: int = 8) -> Iterator[Bytes]:
    """Yield the h × w raster as PNG's filtered rows; see `filter_strips`."""
    return filter_strips(strips_of(values), pixel, bits)


def filter_strips(strips: Iterable[Raster], pixel: int, bits: int = 8) -> Iterator[Bytes]:
    """Yield the rows of a raster, which come some at a time, as PNG's filtered rows, each begun by its filter.

    A value takes `pixel` bytes: one and two are PNG's samples (the high byte first); three are COCO's panoptic colours
    (the low byte first). Values of one byte are `packed` to so many `bits`.
    """
    above: Bytes | None = None
    for some in strips:
        plain = _bytes_of(some, pixel) if bits == 8 else packed(some.astype(np.uint8, copy=False), bits)
        yield _filtered(plain, above, pixel)
        above = plain[-1]


def _filtered(plain: Bytes, above: Bytes | None, pixel: int) -> Bytes:
    """Return rows of bytes with their filters; `above` is the row before them."""
    rows = np.empty((len(plain), 1 + plain.shape[1]), np.uint8)
    rows[:, 0], up = UP, rows[:, 1:]
    np.subtract(plain[0], np.uint8(0) if above is None else above, out=up[0])
    np.subtract(plain[1:], plain[:-1], out=up[1:])
    # Runs of several bytes' values are no runs of bytes, but the differences are mostly zeros.
    if pixel == 1:
        worse = _runs(up) >= _runs(plain)
        rows[worse, 0], up[worse] = NONE, plain[worse]
    return rows


def _bytes_of(values: Raster, pixel: int) -> Bytes:
    """Return the bytes that stand in the file for the values of each row, h × (w · pixel)."""
    if pixel == 1:
        return values.astype(np.uint8, copy=False)
    if pixel == 2:
        return values.astype(">u2").view(np.uint8)
    colors = values.astype("<u4").view(np.uint8).reshape(*values.shape, 4)
    return np.ascontiguousarray(colors[..., :3]).reshape(len(values), -1)


def _runs(rows: Bytes) -> Ints:
    """Return in how many places each row changes from one byte to the next."""
    changes: Ints = np.bitwise_count(np.packbits(rows[:, 1:] != rows[:, :-1], axis=1)).sum(axis=1, dtype=np.int64)
    return changes
