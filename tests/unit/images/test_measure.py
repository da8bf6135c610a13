"""Measuring images: statuses, sizes as stored, descriptors, and the same bytes whatever the threads."""

import hashlib
import os
import pickle
import socket
import struct
import subprocess
import sys
import time
import zlib
from io import BytesIO

import numpy as np
import pyarrow.parquet as pq
import pytest
from cocomine.base.errors import CocomineError
from cocomine.base.files import write_table
from cocomine.images.descriptors import describe, perceptual_hash
from cocomine.images.measure import SCHEMA, examine, measure
from cocomine.images.opening import to_luma
from cocomine.images.settings import ImageSettings
from helpers.shared import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter


def picture(seed=0, size=(80, 60), mode="RGB"):
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (8, 10, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC).convert(mode)


def described(image):
    return describe(to_luma(image))


def encoded(image, **options):
    buffer = BytesIO()
    image.save(buffer, options.pop("format", "JPEG"), **options)
    return buffer.getvalue()


def write_inputs(folder, files, statuses=None):
    """Write a selection, a lock and a store of {name: bytes}."""
    rows, lock = [], []
    for number, (name, content) in enumerate(files.items(), start=1):
        (folder / "store/train").mkdir(parents=True, exist_ok=True)
        if content is not None:
            (folder / "store/train" / name).write_bytes(content)
        rows.append((number, "train", name, f"train/{name}", 80, 60, "wanted", number))
        status = (statuses or {}).get(name, "ok" if content is not None else "missing")
        if status is not None:
            lock.append((number, f"train/{name}", status, "" if status == "ok" else f"why it is {status}"))
    columns = ("image_id", "source_split", "file_name", "store_path", "width", "height", "role", "rank")
    write_table(folder / "selection.tsv", columns, rows)
    write_table(folder / "lock.tsv", ("image_id", "store_path", "status", "reason"), lock)


def measured(folder, threads=1, out="images.parquet"):
    measure(
        folder / "selection.tsv", folder / "lock.tsv", folder / "store", folder / out, folder / "thumbnails", threads
    )
    return pq.read_table(folder / out)


def test_every_kind_of_file_gets_its_status_and_its_decoded_size(tmp_path):
    whole = encoded(picture())
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {
        "whole.jpg": whole,
        "cut.jpg": whole[: len(whole) // 2],
        "padded.jpg": whole[: len(whole) // 2] + bytes(400),
        "text.jpg": b"not a picture",
        "nothing.jpg": b"",
        "gone.jpg": None,
        "turned.jpg": encoded(picture(), exif=exif),
        "small.jpg": encoded(picture(size=(40, 30))),
        "grey.jpg": encoded(picture(mode="L")),
        "ink.jpg": encoded(picture(mode="CMYK")),
        "really.png.jpg": encoded(picture(), format="PNG"),
    }
    write_inputs(tmp_path, files)
    table = measured(tmp_path).to_pydict()
    status = dict(zip(table["file_name"], table["status"], strict=True))
    assert status["cut.jpg"] == status["padded.jpg"] == "image-truncated"
    assert status["text.jpg"] == status["nothing.jpg"] == "image-undecodable"
    assert status["gone.jpg"] == "image-missing"
    rest = ("whole.jpg", "turned.jpg", "small.jpg", "grey.jpg", "ink.jpg", "really.png.jpg")
    assert {status[name] for name in rest} == {"ok"}
    row = {name: {key: table[key][i] for key in table} for i, name in enumerate(table["file_name"])}
    assert (row["turned.jpg"]["width"], row["turned.jpg"]["height"]) == (80, 60)
    assert row["turned.jpg"]["exif_orientation"] == 6
    assert row["whole.jpg"]["exif_orientation"] == 0
    assert (row["small.jpg"]["width"], row["small.jpg"]["height"]) == (40, 30)
    assert [row[name]["mode"] for name in ("grey.jpg", "ink.jpg", "whole.jpg")] == ["L", "CMYK", "RGB"]
    assert row["whole.jpg"]["sha256"] == hashlib.sha256(whole).hexdigest()
    assert row["whole.jpg"]["bytes"] == len(whole)
    assert row["gone.jpg"]["sha256"] is None
    assert row["cut.jpg"]["width"] is None


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150, deadline=None)
@given(
    form=st.sampled_from(["PNG", "TIFF", "WEBP", "GIF", "BMP", "JPEG2000", "ICO", "PPM", "TGA"]),
    cut=st.floats(0, 1),
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=8),
)
def test_a_damaged_file_of_any_format_has_a_status(form, cut, changes):
    content = bytearray(encoded(picture(size=(40, 30)), format=form))
    for where, value in changes:
        content[int(where * len(content))] = value
    assert examine(bytes(content[: int(cut * len(content)) + 1]))["status"] in (
        "ok",
        "image-truncated",
        "image-undecodable",
    )


@pytest.mark.parametrize("error", [struct.error, zlib.error, KeyError, TypeError, OverflowError, MemoryError])
def test_no_error_of_a_decoder_ends_the_run(monkeypatch, error):
    def fail(picture):
        raise error("from within a decoder")

    content = encoded(picture(), format="BMP")
    monkeypatch.setattr(Image.Image, "load", fail)
    assert examine(content) == {"status": "image-undecodable"}


def test_bytes_behind_the_end_of_a_jpeg_do_no_harm():
    assert examine(encoded(picture()) + b"left over" * 50)["status"] == "ok"


def test_a_thumbnail_inside_exif_does_not_hide_a_cut():
    exif = Image.Exif()
    exif[0x010E] = "a description with an end marker \xff\xd9"
    whole = encoded(picture(), exif=exif)
    assert examine(whole)["status"] == "ok"
    assert examine(whole[:-200])["status"] == "image-truncated"


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damage_to_a_jpeg_escapes_as_an_exception(data):
    content = bytearray(encoded(picture(data.draw(st.integers(0, 3)))))
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    assert examine(bytes(content))["status"] in ("ok", "image-truncated", "image-undecodable")


def test_the_table_and_the_thumbnails_do_not_depend_on_the_number_of_processes(tmp_path):
    write_inputs(tmp_path, {f"{n:03d}.jpg": encoded(picture(n)) for n in range(120)})
    one = measured(tmp_path, 1, "one.parquet")
    sheets = {path.name: path.read_bytes() for path in (tmp_path / "thumbnails").iterdir()}
    measured(tmp_path, 3, "three.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "three.parquet").read_bytes()
    assert {path.name: path.read_bytes() for path in (tmp_path / "thumbnails").iterdir()} == sheets
    assert sheets.keys() == {"sheet-0.jpg", "sheet-1.jpg"}
    assert one.schema.equals(SCHEMA)
    assert one["image_id"].to_pylist() == list(range(1, 121))
    assert one["cell"].to_pylist() == list(range(120))


def test_a_thumbnail_is_upright_in_the_cell_that_the_table_names(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    on_its_side = Image.new("RGB", (600, 800), "red")
    on_its_side.paste("blue", (0, 0, 600, 400))
    files = {
        "green.png": encoded(Image.new("RGB", (800, 600), (0, 128, 0)), format="PNG"),
        "cut.jpg": encoded(picture())[:300],
        "turned.jpg": encoded(on_its_side, exif=exif),
        "small.jpg": encoded(Image.new("L", (20, 10), 77)),
    }
    write_inputs(tmp_path, files)
    selection = (tmp_path / "selection.tsv").read_text().replace("\t80\t60\t", "\t800\t600\t")
    (tmp_path / "selection.tsv").write_text(selection)
    assert measured(tmp_path)["cell"].to_pylist() == [0, None, 1, 2]
    with Image.open(tmp_path / "thumbnails/sheet-0.jpg") as sheet:
        at = {place: sheet.getpixel(place) for place in ((80, 60), (200, 60), (280, 60), (400, 60), (330, 5))}
    paper = (226, 229, 233)
    # Turned by a quarter to the right, what was above is on the right.
    expected = dict(zip(at, [(0, 128, 0), (254, 0, 0), (0, 0, 254), (77, 77, 77), paper], strict=True))
    assert all(max(map(abs, np.subtract(at[place], expected[place]))) <= 4 for place in at)


def test_a_thumbnail_takes_no_profile_of_its_photograph_along():
    whole = encoded(picture(size=(640, 480)), icc_profile=bytes(3_000_000), comment=b"words")
    assert len(pickle.dumps(examine(whole)["thumb"])) < 100_000


def test_a_folder_of_the_users_own_is_not_replaced_by_thumbnails(tmp_path):
    write_inputs(tmp_path, {"a.jpg": encoded(picture())})
    (tmp_path / "thumbnails").mkdir()
    (tmp_path / "thumbnails/mine.txt").write_text("mine")
    with pytest.raises(CocomineError, match="no earlier result"):
        measured(tmp_path)
    assert (tmp_path / "thumbnails/mine.txt").is_file()


@pytest.mark.parametrize("options", [{"quality": 95}, {"quality": 95, "keep_rgb": True}, {"format": "PNG"}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("size", [(640, 480), (641, 427), (321, 3), (3, 400)])
def test_every_file_is_measured_at_half_its_width_and_height(options, mode, size):
    image = picture(5, size).filter(ImageFilter.GaussianBlur(2)).convert(mode)
    if mode == "CMYK" and "format" in options:
        options = {"format": "TIFF"}
    found = examine(encoded(image, **options))
    half = to_luma(image).reduce(2)
    assert found["brightness"] == pytest.approx(np.asarray(half).mean() / 255, abs=0.005)
    assert found["contrast"] == pytest.approx(np.asarray(half).std() / 255, abs=0.005)
    assert (found["phash"] ^ describe(half).phash).bit_count() <= 6
    assert (found["width"], found["height"]) == size
    assert found["thumb"].width <= 160
    assert found["thumb"].height <= 120


def test_a_spare_that_was_not_fetched_counts_as_missing(tmp_path):
    write_inputs(tmp_path, {"a.jpg": encoded(picture()), "spare.jpg": None}, {"spare.jpg": None})
    assert measured(tmp_path)["status"].to_pylist() == ["ok", "image-missing"]


def test_a_file_that_the_lock_promises_but_the_store_lacks_is_an_error_that_names_it(tmp_path):
    write_inputs(tmp_path, {"a.jpg": None}, {"a.jpg": "ok"})
    with pytest.raises(CocomineError, match=r"a\.jpg.*it is not there") as error:
        measured(tmp_path)
    assert "sync_images" in error.value.hint


def test_a_missing_selection_is_an_error_with_advice(tmp_path):
    with pytest.raises(CocomineError, match="no such file"):
        measured(tmp_path)


MEASURED_OF_NOISE = """
import numpy as np
from cocomine.images.descriptors import describe
from PIL import Image
random = np.random.default_rng(0)
for side in range(20, 60):
    print(describe(Image.fromarray(random.integers(0, 256, (side, 2 * side), dtype=np.uint8))))
"""


def test_measures_are_the_same_to_the_last_bit_on_processors_of_any_age():
    said = set()
    for processor in ("Prescott", "Haswell", ""):  # as OpenBLAS calls them, "" for this one
        environment = {**os.environ, "OPENBLAS_CORETYPE": processor, "PYTHONPATH": str(ROOT / "scripts")}
        command = [sys.executable, "-c", MEASURED_OF_NOISE]
        said.add(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)
    assert len(said) == 1


def test_brightness_contrast_and_blur_follow_their_definitions():
    black, white = (Image.new("RGB", (20, 20), (level,) * 3) for level in (0, 255))
    assert described(black).brightness == 0
    assert described(white).brightness == 1
    assert (described(black).contrast, described(black).blur) == (0, 1)
    halves = Image.new("L", (20, 20))
    halves.paste(255, (10, 0, 20, 20))
    assert described(halves).contrast == pytest.approx(0.5)
    sharp = picture(3).resize((200, 150))
    noisy = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60), dtype=np.uint8))
    assert (
        described(noisy).blur < 0.2 < described(sharp).blur < described(sharp.filter(ImageFilter.GaussianBlur(5))).blur
    )
    # The means of the left block and of the right: 0 and 255, so that all of the variance is kept; then none of it.
    blocks = Image.fromarray(np.repeat([[0, 0, 0, 255, 255, 255]], 3, axis=0).astype(np.uint8))
    assert described(blocks).blur == 1
    assert described(Image.fromarray(np.tile([[0, 90, 180]], (6, 4)).astype(np.uint8))).blur == 0


def test_the_hash_barely_changes_with_compression_size_or_brightness_and_does_between_pictures():
    def hashed(image):
        return described(image).phash

    for seed in range(20):
        image = picture(seed, (320, 240))
        same = [
            Image.open(BytesIO(encoded(image, quality=50))),
            image.resize((160, 120)),
            image.point(lambda v: min(255, v * 1.1)),
            image.point(lambda v: v * 0.9),
        ]
        assert max((hashed(image) ^ hashed(other)).bit_count() for other in same) <= 8
        assert (hashed(image) ^ hashed(picture(seed + 100, (320, 240)))).bit_count() > 8


def test_the_hash_of_a_flat_thumbnail_is_defined():
    assert isinstance(perceptual_hash(np.full((32, 32), 7, dtype=np.uint8)), int)


def test_images_that_are_not_as_locked_are_named_and_nothing_is_written(tmp_path):
    files = {f"{number}.jpg": encoded(picture(number)) for number in range(3)}
    write_inputs(tmp_path, files)
    rows = [(f"train/{name}", "ok", "", hashlib.sha256(content).hexdigest()) for name, content in files.items()]
    write_table(tmp_path / "lock.tsv", ("store_path", "status", "reason", "sha256"), rows)
    assert measured(tmp_path).num_rows == 3
    (tmp_path / "images.parquet").unlink()
    (tmp_path / "store/train/1.jpg").write_bytes(files["0.jpg"])
    with pytest.raises(CocomineError, match=r"1 image is not as locked .*train/1\.jpg"):
        measured(tmp_path)
    assert not (tmp_path / "images.parquet").exists()


def test_what_is_no_file_is_a_reason_of_its_image_at_once(tmp_path, monkeypatch):
    names = ("whole", "fifo", "folder", "loop", "device", "socket")
    write_inputs(tmp_path, {f"{name}.jpg": encoded(picture()) for name in names})
    store = tmp_path / "store/train"
    for name in names[1:]:
        (store / f"{name}.jpg").unlink()
    os.mkfifo(store / "fifo.jpg")
    (store / "folder.jpg").mkdir()
    (store / "loop.jpg").symlink_to("loop.jpg")
    (store / "device.jpg").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(store)  # the path of a socket must be short
        listening.bind("socket.jpg")
        started = time.monotonic()
        table = measured(tmp_path).to_pydict()
    assert time.monotonic() - started < 5
    assert table["status"] == ["ok", *["image-unreadable"] * 5]
    assert table["detail"] == [None, "a FIFO", "a folder", "a link that loops", "a device", "a socket"]


def test_a_file_that_changes_while_it_is_read_is_a_reason_of_its_image(tmp_path, monkeypatch):
    write_inputs(tmp_path, {"grows.jpg": encoded(picture())})
    fstat = os.fstat

    def and_it_grows(descriptor):
        found = fstat(descriptor)
        with open(tmp_path / "store/train/grows.jpg", "ab") as file:
            file.write(b"more")
        return found

    monkeypatch.setattr("cocomine.images.opening.os.fstat", and_it_grows)
    table = measured(tmp_path).to_pydict()
    assert (table["status"], table["detail"]) == (["image-unreadable"], ["it changed while it was read"])


def test_an_image_over_the_limit_says_so_and_names_the_key(tmp_path, capfd):
    write_inputs(tmp_path, {"large.png": encoded(Image.new("L", (2000, 1001)), format="PNG")})
    files = (tmp_path / "selection.tsv", tmp_path / "lock.tsv", tmp_path / "store")
    measure(*files, tmp_path / "two.parquet", tmp_path / "thumbnails", 1, ImageSettings(max_megapixels=2))
    table = pq.read_table(tmp_path / "two.parquet").to_pydict()
    assert table["status"] == ["image-too-large"]
    assert table["detail"] == ["2000 x 1001 pixels, over images.max_megapixels: 2"]
    measure(*files, tmp_path / "three.parquet", tmp_path / "thumbnails", 1, ImageSettings(max_megapixels=3))
    assert pq.read_table(tmp_path / "three.parquet")["status"].to_pylist() == ["ok"]


def test_an_image_over_the_limit_is_not_decoded(monkeypatch):
    bomb = encoded(Image.new("1", (60_000, 3_400)), format="PNG")
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    assert examine(bomb)["status"] == "image-too-large"


def test_giants_are_measured_like_others_whatever_the_processes(tmp_path, monkeypatch):
    write_inputs(tmp_path, {f"{n}.jpg": encoded(picture(n)) for n in range(40)})
    measured(tmp_path, 1, "plain.parquet")
    monkeypatch.setattr("cocomine.images.measure.GIANT", 80 * 60 - 1)
    measured(tmp_path, 3, "giants.parquet")
    assert (tmp_path / "plain.parquet").read_bytes() == (tmp_path / "giants.parquet").read_bytes()


@pytest.mark.slow
def test_a_sound_png_of_184_megapixels_is_measured_without_a_warning(recwarn):
    found = examine(encoded(Image.new("L", (20_000, 9_200), 77), format="PNG"))
    assert (found["status"], found["width"], found["height"]) == ("ok", 20_000, 9_200)
    assert found["brightness"] == pytest.approx(77 / 255)
    assert not recwarn.list
