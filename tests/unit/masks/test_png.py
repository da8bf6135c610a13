import io
import zlib

import numpy as np
import pytest
from cocomine.masks import png
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 40), st.integers(1, 256))
@pytest.mark.parametrize(("color", "depth"), sorted(png.BYTES_A_PIXEL))
def test_pillow_reads_back_what_was_written(
    color: int, depth: int, seed: int, height: int, width: int, values: int
) -> None:
    pixel = png.BYTES_A_PIXEL[color, depth]
    scale = {1: 1, 2: 257, 3: 65793}[pixel]
    drawn = np.random.default_rng(seed).integers(0, values, (height, width)) * scale
    picture = drawn.astype({1: np.uint8, 2: np.uint16, 3: np.uint32}[pixel])
    palette = bytes(range(256)) * 3 if color == png.PALETTE else b""
    content = png.encode(png.filter_rows(picture, pixel), width, height, color, depth, palette)
    read = Image.open(io.BytesIO(content))
    read.load()
    back = np.asarray(read).astype(np.int64)
    assert np.array_equal(back if back.ndim == 2 else back @ np.array([1, 256, 65536]), drawn)


def test_areas_take_no_more_bytes_than_pillows_default() -> None:
    rows, columns = np.mgrid[0:480, 0:640]
    picture = np.zeros((480, 640), np.uint8)
    for number in range(1, 9):
        x, y, radius = 70 * number, 40 + 45 * number % 400, 30 + 9 * number
        picture[(columns - x) ** 2 + 2 * (rows - y) ** 2 < radius**2] = number
    content = png.encode(png.filter_rows(picture, 1), 640, 480, png.GREY, 8)
    usual = io.BytesIO()
    Image.fromarray(picture).save(usual, "PNG")
    assert len(content) < len(usual.getvalue())


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 40), st.integers(0, 255))
def test_indices_read_back_are_the_same_in_as_few_bits_as_they_need(
    seed: int, height: int, width: int, largest: int
) -> None:
    drawn = np.random.default_rng(seed).integers(0, largest + 1, (height, width)).astype(np.uint8)
    content = png.indexed(drawn, largest, bytes(range(256)) * 3)
    depth = content[24]
    assert largest < 1 << depth
    assert depth == 1 or largest >= 1 << depth // 2
    with Image.open(io.BytesIO(content)) as read:
        assert read.mode == "P"
        assert np.array_equal(np.asarray(read), drawn)
        colors = read.getpalette("RGB")
    assert colors is not None
    assert bytes(colors) == (bytes(range(256)) * 3)[: 3 << depth]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 40), st.integers(0, 255), st.integers(1, 400))
def test_a_file_does_not_depend_on_how_many_values_are_filtered_together(
    seed: int, height: int, width: int, largest: int, at_once: int
) -> None:
    areas = np.random.default_rng(seed).integers(0, largest + 1, (height // 4 + 1, width // 4 + 1))
    drawn = np.kron(areas, np.ones((4, 4))).astype(np.uint8)[:height, :width]

    def files() -> list[bytes]:
        wide = png.filter_rows(drawn.astype(np.uint16), 2)
        return [png.indexed(drawn, largest, bytes(768)), png.encode(wide, width, height, png.GREY, 16)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(png, "VALUES_AT_ONCE", at_once)
        in_pieces = files()
    assert in_pieces == files()


@pytest.mark.skipif("zlib-ng" in zlib.ZLIB_RUNTIME_VERSION, reason="not run: this Python's zlib is zlib-ng itself")
def test_a_file_has_the_bytes_of_plain_zlib_so_that_another_coder_changes_no_mask() -> None:
    areas = np.random.default_rng(7).integers(0, 200, (60, 80))
    drawn = np.kron(areas, np.ones((8, 8), np.int64))
    for pixel, color, depth in ((2, png.GREY, 16), (3, png.RGB, 8), (1, png.PALETTE, 8)):
        rows = list(png.filter_rows(drawn.astype({1: np.uint8, 2: np.uint16, 3: np.uint32}[pixel]), pixel))
        packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, png.MEMORY, zlib.Z_RLE)
        packed = b"".join([*(packer.compress(row.data) for row in rows), packer.flush()])
        assert packed in png.encode(rows, drawn.shape[1], drawn.shape[0], color, depth)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_packed_indices_lie_with_the_first_in_the_highest_bits(bits: int) -> None:
    values = np.arange(2 * 19).reshape(2, 19) % (1 << bits)
    together = 8 // bits
    for row, line in zip(png.packed(values.astype(np.uint8), bits).tolist(), values.tolist(), strict=True):
        line += [0] * (-19 % together)
        expected = [
            sum(value << bits * (together - 1 - place) for place, value in enumerate(line[start : start + together]))
            for start in range(0, len(line), together)
        ]
        assert row == expected
