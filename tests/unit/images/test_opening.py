"""Every mode and depth that Pillow knows becomes 8-bit RGB and luma as docs/images.md says; none is clipped."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from cocomine.coco.orientation import fits_turned
from cocomine.images.measure import examine
from cocomine.images.opening import ImageError, load_rgb, opened, to_luma, to_rgb
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

SIZE = (40, 30)
RAMP = np.linspace(0, 1, SIZE[0] * SIZE[1]).reshape(SIZE[::-1])


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def decoded(content: bytes) -> np.ndarray:
    with opened(content) as image:
        return np.asarray(to_rgb(image))


def grey_ramp(most: int) -> Image.Image:
    return Image.fromarray(np.rint(RAMP * most).astype(np.uint16))


EIGHT_BITS = np.rint(RAMP * 255)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_greys_of_more_bits_span_black_to_white_and_are_not_clipped(bits: int, form: str) -> None:
    content = encoded(grey_ramp((1 << bits) - 1), form)
    rgb = decoded(content).astype(int)
    assert np.abs(rgb - EIGHT_BITS[..., None]).max() <= 1
    assert len(np.unique(rgb)) >= 250
    found = examine(content)
    assert (found["status"], found["contrast"]) == ("ok", pytest.approx(EIGHT_BITS.std() / 255, abs=0.01))


def with_chunk(png: bytes, kind: bytes, content: bytes) -> bytes:
    """Return the PNG with a chunk put behind its header."""
    check = struct.pack(">I", zlib.crc32(kind + content))
    return png[:33] + struct.pack(">I", len(content)) + kind + content + check + png[33:]


def test_the_depth_that_a_file_declares_is_its_range() -> None:
    dark = grey_ramp(600)  # as measured, of 10 bits
    assert np.abs(decoded(encoded(dark, "PNG")).astype(int).max() - 600 * 255 / 1023) <= 1
    declared = with_chunk(encoded(dark, "PNG"), b"sBIT", b"\x0c")
    assert np.abs(decoded(declared).astype(int).max() - 600 * 255 / 4095) <= 1
    too_low = with_chunk(encoded(grey_ramp(4095), "PNG"), b"sBIT", b"\x0a")
    assert decoded(too_low).max() == 255
    assert np.abs(decoded(too_low)[..., 0].astype(int) - EIGHT_BITS).max() <= 1


@pytest.mark.parametrize("most", [1.0, 255.0, 65535.0])
def test_floats_are_read_as_shares_or_as_integers_by_their_largest(most: float) -> None:
    rgb = decoded(encoded(Image.fromarray((RAMP * most).astype(np.float32)), "TIFF"))
    assert np.abs(rgb[..., 0].astype(int) - EIGHT_BITS).max() <= 1


def test_values_below_zero_and_beyond_16_bits_are_spread_over_their_own_range() -> None:
    for values in ((RAMP * 2000 - 1000).astype(np.float32), (RAMP * 5e6).astype(np.int32)):
        rgb = decoded(encoded(Image.fromarray(values), "TIFF"))
        assert np.abs(rgb[..., 0].astype(int) - EIGHT_BITS).max() <= 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_no_numbers_are_refused_with_a_reason(bad: float) -> None:
    values = RAMP.astype(np.float32)
    values[3, 4] = bad
    content = encoded(Image.fromarray(values), "TIFF")
    with pytest.raises(ImageError) as error:
        decoded(content)
    assert error.value.reason == examine(content)["status"] == "image-depth-unknown"


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_the_order_of_greys_is_kept_and_white_only_reached_by_the_largest(one: int, other: int) -> None:
    image = Image.fromarray(np.array([[one, other]], np.uint16))
    low, high = (int(value) for value in np.asarray(to_luma(image))[0])
    assert (low <= high) == (one <= other) or low == high
    if max(one, other) < 200:
        assert (low, high) == (one, other)  # as an image of 8 bits


def rgb16(values: np.ndarray) -> bytes:
    """Return a PNG of 16 bits a channel, which Pillow reads and does not write."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = (struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_colours_of_16_bits_keep_their_high_byte_or_are_refused_where_that_is_empty() -> None:
    ramp = np.repeat(RAMP[..., None], 3, axis=2)
    assert np.abs(decoded(rgb16(ramp * 65535)).astype(int) - EIGHT_BITS[..., None]).max() <= 1
    assert examine(rgb16(ramp * 4095))["status"] == "image-depth-unknown"
    assert examine(rgb16(ramp * 0))["status"] == "ok"


RGB = Image.fromarray(np.random.default_rng(5).integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8))
GREY = RGB.convert("L")
IN_MEMORY = {
    "1": GREY.convert("1"), "L": GREY, "LA": RGB.convert("LA"), "La": RGB.convert("LA").convert("La"),
    "P": RGB.quantize(64), "PA": RGB.quantize(64).convert("PA"), "RGB": RGB, "RGBA": RGB.convert("RGBA"),
    "RGBX": RGB.convert("RGBX"), "RGBa": RGB.convert("RGBA").convert("RGBa"), "CMYK": RGB.convert("CMYK"),
    "YCbCr": RGB.convert("YCbCr"), "HSV": RGB.convert("HSV"), "I": GREY.convert("I"), "F": GREY.convert("F"),
    "I;16": GREY.convert("I").convert("I;16"), "I;16L": GREY.convert("I").convert("I;16L"),
    "I;16B": GREY.convert("I").convert("I;16B"),
}  # fmt: skip


@pytest.mark.parametrize("mode", IN_MEMORY)
def test_every_mode_becomes_rgb_and_luma_of_the_same_image(mode: str) -> None:
    image = IN_MEMORY[mode]
    assert image.mode == mode
    rgb, luma = to_rgb(image.copy()), to_luma(image.copy())
    assert (rgb.mode, rgb.size, luma.mode, luma.size) == ("RGB", SIZE, "L", SIZE)
    coloured = mode in ("P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "HSV")
    expected = IN_MEMORY["1"].convert("RGB") if mode == "1" else RGB if coloured else GREY.convert("RGB")
    difference = np.abs(np.asarray(rgb).astype(int) - np.asarray(expected))
    # Palettes of 64 colours and the rounding of HSV and YCbCr differ, but by no more than that.
    assert difference.mean() < {"P": 20, "PA": 20, "HSV": 3, "YCbCr": 3}.get(mode, 1e-9)


def test_lab_becomes_rgb_by_its_colours() -> None:
    grey = Image.merge("LAB", [GREY, Image.new("L", SIZE, 128), Image.new("L", SIZE, 128)])
    rgb = np.asarray(to_rgb(grey)).astype(int)
    assert np.ptp(rgb, axis=2).max() <= 12  # no colour
    order = np.argsort(np.asarray(GREY).ravel(), kind="stable")
    assert (np.diff(rgb[..., 1].ravel()[order]) >= 0).all()
    assert examine(encoded(grey, "TIFF"))["status"] == "ok"


@pytest.mark.parametrize("form", ["PNG", "GIF"])
def test_transparency_is_not_applied_and_gives_no_warning(form: str, recwarn: pytest.WarningsRecorder) -> None:
    image = RGB.quantize(64)
    clear = encoded(image, form, transparency=bytes([0] * 64) if form == "PNG" else 3)
    assert np.array_equal(decoded(clear), np.asarray(image.convert("RGB")))
    assert examine(clear)["status"] == "ok"
    faint = RGB.convert("RGBA")
    faint.putalpha(0)
    assert np.array_equal(decoded(encoded(faint, "PNG")), np.asarray(RGB))
    assert not recwarn.list


def test_only_listed_formats_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("another program was started"))
    monkeypatch.setattr("subprocess.check_call", lambda *_, **__: pytest.fail("another program was started"))
    for content in (encoded(RGB, "EPS"), encoded(RGB, "ICO"), b"%PDF-1.4\n%%EOF", b"<svg/>"):
        found = examine(content)
        assert found["status"] == "image-undecodable"
        assert found["detail"].startswith("no image of a format that is read (AVIF, BMP, ")
        (tmp_path / "a.jpg").write_bytes(content)
        with pytest.raises(ImageError):
            load_rgb(tmp_path / "a.jpg", SIZE)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP", "WEBP", "JPEG2000", "AVIF", "PPM", "GIF"])
def test_an_image_of_any_format_cut_in_half_is_not_ok(form: str) -> None:
    content = encoded(RGB, form)
    assert examine(content)["status"] == "ok"
    assert examine(content[: len(content) // 2])["status"] in ("image-truncated", "image-undecodable")


TURNS = {5: "TRANSPOSE", 6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"}
"""How an upright image is stored, for a viewer that follows EXIF to show it upright."""


@pytest.mark.parametrize("orientation", range(9))
def test_an_image_is_turned_only_where_its_orientation_alone_makes_it_fit(tmp_path: Path, orientation: int) -> None:
    upright = Image.fromarray(np.arange(24 * 16 * 3, dtype=np.uint8).reshape(24, 16, 3))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = upright.transpose(Image.Transpose[TURNS[orientation]]) if orientation in TURNS else upright
    stored.save(tmp_path / "a.png", exif=exif)
    as_stored = load_rgb(tmp_path / "a.png", stored.size)
    assert np.array_equal(np.asarray(as_stored), np.asarray(stored))
    assert fits_turned(stored.size, stored.size[::-1], orientation) == (orientation in TURNS)
    if orientation in TURNS:
        assert np.array_equal(np.asarray(load_rgb(tmp_path / "a.png", upright.size)), np.asarray(upright))
    else:
        with pytest.raises(ImageError) as error:
            load_rgb(tmp_path / "a.png", (24, 16))
        assert error.value.reason == "image-size-differs"
