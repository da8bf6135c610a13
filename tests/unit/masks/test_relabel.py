from pathlib import Path

import numpy as np
import pytest
from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json
from cocomine.masks import png
from cocomine.masks.relabel import read_mapping, relabel_folder, value_number, value_text
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image


def save(path: Path, values: np.ndarray, palette: list[int] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(values)
    if palette:
        picture.putpalette(palette)
    picture.save(path)


def algorithm_2(values: np.ndarray, known: list[int]) -> np.ndarray:
    """The paper's loop: for every row, column and known value."""
    result = np.zeros(values.shape[:2], np.uint8)
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            for k, value in enumerate(known):
                if values[row, column] == value:
                    result[row, column] = k
    return result


def test_grey_values_become_what_the_papers_loop_makes_of_them(tmp_path: Path) -> None:
    values = np.random.default_rng(0).choice([0, 38, 75, 113, 255], (24, 31)).astype(np.uint8)
    save(tmp_path / "in" / "deep" / "a.png", values)
    save(tmp_path / "in" / "b.bmp", values.T.copy())
    summary = relabel_folder(tmp_path / "in", tmp_path / "out")
    written = np.asarray(Image.open(tmp_path / "out" / "deep" / "a.png"))
    assert np.array_equal(written, algorithm_2(values, [0, 38, 75, 113, 255]))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "b.png")), written.T)
    assert summary == read_json(tmp_path / "out" / "mapping.json")
    assert summary["mapping"] == {"0": 0, "38": 1, "75": 2, "113": 3, "255": 4}
    assert sum(summary["pixels"].values()) == 2 * 24 * 31


def test_colours_become_labels_and_keep_their_colours(tmp_path: Path) -> None:
    colors = np.array([[0, 0, 0], [255, 128, 0], [1, 2, 3]], np.uint8)
    labels = np.random.default_rng(0).integers(0, 3, (9, 14))
    save(tmp_path / "in" / "a.png", colors[labels])
    relabel_folder(tmp_path / "in", tmp_path / "out", {"#000000": 0, "255, 128, 0": 1, "(1,2,3)": 2})
    picture = Image.open(tmp_path / "out" / "a.png")
    assert np.array_equal(np.asarray(picture), labels)
    assert np.array_equal(np.asarray(picture.convert("RGB")), colors[labels])


def test_palette_indices_become_labels_and_keep_their_colours(tmp_path: Path) -> None:
    palette = [0, 0, 0, 9, 9, 9, 250, 0, 0, 0, 250, 0]
    values = np.random.default_rng(0).choice([0, 2, 3], (9, 14)).astype(np.uint8)
    save(tmp_path / "in" / "a.png", values, palette)
    relabel_folder(tmp_path / "in", tmp_path / "out", {"0": 0, "2": 1, "3": "void"})
    picture = Image.open(tmp_path / "out" / "a.png")
    assert np.array_equal(np.asarray(picture), np.array([0, 9, 1, 255])[values])
    assert picture.convert("RGB").getpixel(tuple(np.argwhere(values == 2)[0][::-1].tolist())) == (250, 0, 0)


def test_sixteen_bit_values_become_labels(tmp_path: Path) -> None:
    values = np.array([[0, 300, 65535], [300, 0, 0]], np.uint16)
    save(tmp_path / "in" / "a.png", values)
    relabel_folder(tmp_path / "in", tmp_path / "out", {"0": 0, "300": 1, "65535": "void"})
    assert np.asarray(Image.open(tmp_path / "out" / "a.png")).tolist() == [[0, 1, 255], [1, 0, 0]]


def test_an_unmapped_value_names_the_file_and_the_place_and_writes_nothing(tmp_path: Path) -> None:
    values = np.zeros((6, 8), np.uint8)
    save(tmp_path / "in" / "good.png", values)
    values[4, 5:7] = 77
    save(tmp_path / "in" / "sub" / "bad.png", values)
    with pytest.raises(CocomineError, match=r"sub/bad\.png: 77 at column 5, row 4 \(2 pixels") as caught:
        relabel_folder(tmp_path / "in", tmp_path / "out", {"0": 0})
    assert "1 of 2 masks" in caught.value.message
    assert not (tmp_path / "out").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_an_unmapped_colour_is_named_as_a_colour(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", np.full((2, 2, 3), [16, 32, 255], np.uint8))
    with pytest.raises(CocomineError, match="#1020ff at column 0, row 0"):
        relabel_folder(tmp_path / "in", tmp_path / "out", {"#000000": 0})


def test_a_values_gap_inside_the_mapping_is_not_taken_for_background(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", np.array([[0, 5, 9]], np.uint8))
    with pytest.raises(CocomineError, match="5 at column 1, row 0"):
        relabel_folder(tmp_path / "in", tmp_path / "out", {"0": 0, "9": 1})


def test_the_bytes_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    for number in range(7):
        save(tmp_path / "in" / f"{number}.png", np.random.default_rng(number).integers(0, 9, (20, 20), np.uint8))
    for threads in (1, 2):
        relabel_folder(tmp_path / "in", tmp_path / str(threads), threads=threads)
    files = sorted(path.relative_to(tmp_path / "1") for path in (tmp_path / "1").rglob("*.*"))
    assert len(files) == 8
    assert all((tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes() for file in files)


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ({}, "empty"),
        ({"x": 0}, "'x' is no value of grey masks"),
        ({"-1": 0}, "no value of grey masks"),
        ({"65536": 0}, "no value of grey masks"),
        ({"0": 256}, "has the label 256"),
        ({"0": True}, "has the label True"),
        ({"0": 0, "5": 2}, "do not run 0, 1, 2"),
        ({"0": 0, "00": 1}, "there twice"),
        ({"mapping": [0, 1]}, "empty, or no mapping"),
    ],
)
def test_mappings_that_cannot_be_used_say_why(mapping: dict, said: str) -> None:
    with pytest.raises(CocomineError, match=said):
        read_mapping(mapping, "grey")


@settings(deadline=None)
@given(st.integers(0, 2**24 - 1))
def test_colours_are_written_as_they_are_read(value: int) -> None:
    assert value_number(value_text(value, "rgb"), "rgb") == value


def test_folders_that_hold_no_plain_masks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CocomineError, match="no such folder"):
        relabel_folder(tmp_path / "none", tmp_path / "out")
    (tmp_path / "in").mkdir()
    with pytest.raises(CocomineError, match="holds no masks"):
        relabel_folder(tmp_path / "in", tmp_path / "out")
    (tmp_path / "in" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    with pytest.raises(CocomineError, match=r"a\.png: cannot be read"):
        relabel_folder(tmp_path / "in", tmp_path / "out")
    save(tmp_path / "in" / "a.png", np.zeros((2, 2, 4), np.uint8))
    with pytest.raises(CocomineError, match="mode RGBA"):
        relabel_folder(tmp_path / "in", tmp_path / "out")
    save(tmp_path / "in" / "a.jpg", np.zeros((2, 2), np.uint8))
    with pytest.raises(CocomineError, match="stored with loss"):
        relabel_folder(tmp_path / "in", tmp_path / "out")


def test_masks_of_two_forms_or_two_palettes_do_not_mix(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", np.zeros((2, 2), np.uint8), [0, 0, 0, 1, 1, 1])
    save(tmp_path / "in" / "b.png", np.zeros((2, 2), np.uint8))
    with pytest.raises(CocomineError, match="first file holds palette values"):
        relabel_folder(tmp_path / "in", tmp_path / "out")
    save(tmp_path / "in" / "b.png", np.zeros((2, 2), np.uint8), [0, 0, 0, 2, 1, 1])
    with pytest.raises(CocomineError, match="palette differs from the first file's at 1"):
        relabel_folder(tmp_path / "in", tmp_path / "out")


def test_a_palette_that_is_too_small_for_its_pixels_is_named(tmp_path: Path) -> None:
    values = np.array([[0, 1, 5]], np.uint8)
    (tmp_path / "in").mkdir()
    content = png.encode(png.filter_rows(values, 1), 3, 1, png.PALETTE, 8, bytes(6))
    (tmp_path / "in" / "a.png").write_bytes(content)
    with pytest.raises(CocomineError, match=r"a\.png: holds 5, its palette 2 colours"):
        relabel_folder(tmp_path / "in", tmp_path / "out")


def test_too_many_values_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", np.arange(300, dtype=np.uint16).reshape(3, 100))
    with pytest.raises(CocomineError, match="300 values"):
        relabel_folder(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_masks_themselves_are_never_overwritten(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", np.zeros((2, 2), np.uint8))
    for out in (tmp_path / "in", tmp_path / "in" / "out"):
        with pytest.raises(CocomineError, match="written over the masks"):
            relabel_folder(tmp_path / "in", out)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_values_of_few_bits_are_those_of_the_file_and_not_stretched_to_shades(tmp_path: Path, bits: int) -> None:
    values = np.random.default_rng(bits).integers(0, 1 << bits, (5, 16), np.uint8)
    values[0, :2] = 0, (1 << bits) - 1
    (tmp_path / "in").mkdir()
    rows = png.filter_rows(png.packed(values, bits), 1)
    (tmp_path / "in" / "a.png").write_bytes(png.encode(rows, 16, 5, png.GREY, bits))
    summary = relabel_folder(tmp_path / "in", tmp_path / "out")
    assert list(summary["mapping"]) == sorted(map(str, np.unique(values).tolist()), key=int)
    back = np.asarray(Image.open(tmp_path / "out" / "a.png"))
    assert np.array_equal(np.unique(values)[back], values)


def test_pixels_are_counted_by_label_and_files_keep_their_folders(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 3, (30, 40), np.uint8)
    save(tmp_path / "in" / "one" / "a.png", values)
    save(tmp_path / "in" / "two" / "b.png", values)
    summary = relabel_folder(tmp_path / "in", tmp_path / "out", {"0": 0, "1": 1, "2": 1}, threads=2)
    counts = np.bincount(values.ravel())
    assert summary["pixels"] == {"0": 2 * counts[0], "1": 2 * (counts[1] + counts[2])}
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "two" / "b.png")), values > 0)
