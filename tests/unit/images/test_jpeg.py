"""A JPEG that was cut is found, whatever was put behind the cut."""

from io import BytesIO

import numpy as np
import pytest
from cocomine.images.jpeg import structure
from cocomine.images.measure import examine
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

END = b"\xff\xd9"
FORMS = {
    "baseline": {},
    "optimised": {"optimize": True},
    "progressive": {"progressive": True},
    "full colour": {"subsampling": "4:4:4"},
    "restarts": {"restart_marker_blocks": 3},
    "fine": {"quality": 95},
}


def scene(seed: int, size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    """Return a smooth scene with edges, as photographs are: neither noise nor flat."""
    random = np.random.default_rng(seed)
    image = Image.fromarray(random.integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = random.integers(0, size[0]), random.integers(0, size[1])
        draw.ellipse((x, y, x + 20, y + 15), tuple(random.integers(0, 256, 3).tolist()))
    return image.filter(ImageFilter.GaussianBlur(0.8)).convert(mode)


def encoded(image: Image.Image, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("size", [(161, 97), (64, 48), (8, 8), (1, 1), (17, 16)])
def test_a_whole_jpeg_is_ok(form: str, mode: str, size: tuple[int, int]) -> None:
    for seed in range(4):
        assert examine(encoded(scene(seed, size, mode), **FORMS[form]))["status"] == "ok"


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(list(FORMS)), st.sampled_from(["RGB", "L", "CMYK"]), st.floats(0.1, 0.9), st.integers(0, 9))
def test_a_jpeg_that_was_cut_and_closed_with_an_end_marker_is_truncated(
    form: str, mode: str, share: float, seed: int
) -> None:
    content = encoded(scene(seed, (320, 240), mode), **FORMS[form])
    scan = content.find(b"\xff\xda")
    cut = scan + 20 + int(share * (len(content) - scan - 22))
    assert examine(content[:cut] + END)["status"] == "image-truncated"


@pytest.mark.parametrize("colour", ["white", "black", (119, 31, 200)])
@pytest.mark.parametrize("form", FORMS)
def test_a_flat_jpeg_is_ok_though_it_looks_like_a_filling(form: str, colour: object) -> None:
    assert examine(encoded(Image.new("RGB", (200, 120), colour), **FORMS[form]))["status"] == "ok"


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("size", [(1, 241), (321, 1), (1, 400), (400, 1), (2, 900), (900, 2)])
def test_a_whole_jpeg_of_a_pixel_or_two_across_is_ok(size: tuple[int, int], mode: str) -> None:
    for seed in range(40):
        colour = tuple(np.random.default_rng(seed).integers(0, 256, 3).tolist())
        image = Image.new("RGB", size, colour)
        assert examine(encoded(image.convert(mode)))["status"] == "ok"
        image.paste(scene(seed, (80, 80)), (0, 0))
        assert examine(encoded(image.convert(mode)))["status"] == "ok"


def test_a_jpeg_whose_markers_say_rgb_in_part_is_read_as_libjpeg_does() -> None:
    plain = encoded(scene(0, (640, 480)), keep_rgb=True)
    adobe = plain.find(b"\xff\xee")
    without = plain[:adobe] + plain[adobe + 2 + int.from_bytes(plain[adobe + 2 : adobe + 4], "big") :]
    for header in (b"JFIFX" + bytes(9), b"JFIF\0\1\1"):
        marker = b"\xff\xe0" + (len(header) + 2).to_bytes(2, "big") + header
        found = examine(without[:2] + marker + without[2:])
        assert (found["status"], found["brightness"]) == ("ok", examine(plain)["brightness"])


@pytest.mark.parametrize("form", FORMS)
def test_fill_bytes_before_the_end_marker_do_no_harm(form: str) -> None:
    for image in (Image.new("RGB", (200, 120), "white"), scene(1, (64, 48))):
        content = encoded(image, **FORMS[form])
        assert examine(content[:-2] + b"\xff\xff\xff" + content[-2:])["status"] == "ok"


def test_the_markers_are_found_in_order_and_not_within_other_segments() -> None:
    exif = Image.Exif()
    exif[0x010E] = "an end \xff\xd9 and a scan \xff\xda"
    content = encoded(scene(0, (64, 48)), exif=exif)
    found = structure(content + b"left \xff\xda over \xff\xd9")
    assert (found.end, found.scans, found.block) == (len(content) - 2, 1, (16, 16))
    assert structure(encoded(scene(0, (64, 48), "L"))).block == (8, 8)
    assert structure(encoded(scene(0, (64, 48)), progressive=True)).scans > 1


@given(st.binary(max_size=300))
def test_no_bytes_confuse_the_walk_through_the_markers(content: bytes) -> None:
    structure(b"\xff\xd8" + content)
