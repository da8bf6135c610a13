import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json, read_table, sha256_of_file, write_table
from cocomine.images.grid import nearest_indices, place_of, taken_before
from cocomine.images.opening import load_rgb
from cocomine.learning.data import read_tensors
from cocomine.masks import png
from cocomine.sources.selection import COLUMNS
from cocomine.tensors.pack import pack_tensors, resize_image, resize_mask
from cocomine.tensors.settings import TensorSettings
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image


@dataclasses.dataclass(frozen=True)
class Subset:
    """Where a small subset lies, as the steps before leave it."""

    folder: Path

    def pack(self, size: int = 16, threads: int = 1, split: bool = True, **more: Any) -> dict[str, Any]:
        return pack_tensors(
            TensorSettings(size=size, **more), self.folder / "images.tsv", self.folder / "store",
            self.folder / "masks", self.folder / "split.tsv" if split else None, self.out, threads,
        )  # fmt: skip

    @property
    def out(self) -> Path:
        return self.folder / "tensors"

    def image(self, number: int) -> Path:
        return self.folder / "store" / "train2017" / f"{number:012}.jpg"

    def mask(self, number: int) -> Path:
        return self.folder / "masks" / "semantic" / f"{number:012}.png"


@pytest.fixture
def subset(tmp_path: Path) -> Subset:
    result = Subset(tmp_path)
    generator = np.random.default_rng(0)
    rows = []
    for number in (30, 4, 17, 8, 25):
        height, width = (int(side) for side in generator.integers(20, 60, 2))
        for path, values in (
            (result.image(number), generator.integers(0, 256, (height, width, 3), np.uint8)),
            (result.mask(number), generator.integers(0, 4, (height, width), np.uint8)),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(path)
        rows.append((number, f"{number:012}.jpg", f"train2017/{number:012}.jpg", width, height))
    write_table(tmp_path / "images.tsv", ("image_id", "file_name", "store_path", "width", "height"), rows)
    sides = [(row[0], row[1], "val" if row[0] == 17 else "train", "", row[0] % 3) for row in rows]
    write_table(tmp_path / "split.tsv", ("image_id", "file_name", "split", "group", "fold"), sides)
    return result


def test_a_letterbox_is_the_image_at_its_own_aspect_with_void_around_it(subset: Subset) -> None:
    manifest = subset.pack(size=16, fit="letterbox")
    assert manifest["settings"]["fit"] == "letterbox"
    tensors = read_tensors(subset.out)
    for row, number in enumerate(tensors.image_ids.tolist()):
        image, mask = Image.open(subset.image(number)), np.asarray(Image.open(subset.mask(number)))
        place = place_of(image.height, image.width, 16, "letterbox")
        small = image.resize((place.width, place.height), Image.Resampling.BILINEAR)
        assert np.array_equal(tensors.images[row][place.slices], np.asarray(small))
        within = tensors.within(tensors.masks[row], image.height, image.width)
        down, across = nearest_indices(image.height, place.height), nearest_indices(image.width, place.width)
        assert np.array_equal(within, mask[np.ix_(down, across)])
        around = np.ones((16, 16), bool)
        around[place.slices] = False
        assert (tensors.masks[row][around] == 255).all()
        assert (tensors.images[row][around] == (124, 116, 104)).all()


def test_rows_hold_the_resized_images_and_masks_by_ascending_id(subset: Subset) -> None:
    manifest = subset.pack()
    images, masks = (np.load(subset.out / name, mmap_mode="r") for name in ("images.npy", "masks.npy"))
    assert isinstance(images, np.memmap)
    assert (images.shape, images.dtype, masks.shape, masks.dtype) == ((5, 16, 16, 3), np.uint8, (5, 16, 16), np.uint8)
    index = list(read_table(subset.out / "index.tsv"))
    assert [(row["row"], row["image_id"], row["split"], row["fold"]) for row in index] == [
        ("0", "4", "train", "1"), ("1", "8", "train", "2"), ("2", "17", "val", "2"), ("3", "25", "train", "1"),
        ("4", "30", "train", "0"),
    ]  # fmt: skip
    for row in index:
        number = int(row["image_id"])
        resized = Image.open(subset.image(number)).resize((16, 16), Image.Resampling.BILINEAR)
        assert np.array_equal(images[int(row["row"])], np.asarray(resized))
        mask = np.asarray(Image.open(subset.mask(number)))
        assert np.array_equal(masks[int(row["row"])], resize_mask(mask, 16))
    assert manifest["counts"] == {"in": 5, "packed": 5, "refused": 0}
    assert {split: part["images"] for split, part in manifest["splits"].items()} == {"train": 4, "val": 1}
    assert sum(manifest["splits"]["val"]["pixels"].values()) == 16 * 16


def test_file_sizes_are_the_header_and_the_product_of_the_shape(subset: Subset) -> None:
    subset.pack(size=24)
    assert (subset.out / "images.npy").stat().st_size == 128 + 5 * 24 * 24 * 3
    assert (subset.out / "masks.npy").stat().st_size == 128 + 5 * 24 * 24


def test_the_bytes_do_not_depend_on_the_number_of_processes(subset: Subset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cocomine.tensors.pack.IMAGES_IN_A_PIECE", 2)
    contents = []
    for threads in (1, 3):
        subset.pack(threads=threads)
        contents.append({path.name: path.read_bytes() for path in subset.out.iterdir()})
    assert contents[0] == contents[1]


@pytest.mark.parametrize("threads", [1, 2])
def test_spoilt_images_are_set_aside_with_their_reasons_and_the_rest_is_packed(subset: Subset, threads: int) -> None:
    whole = subset.image(4).read_bytes()
    subset.image(4).write_bytes(whole[: len(whole) // 2])
    subset.image(8).unlink()
    subset.mask(17).unlink()
    Image.fromarray(np.zeros((7, 9), np.uint8)).save(subset.mask(25))
    manifest = subset.pack(threads=threads)
    assert manifest["refused"] == {
        "image-missing": 1, "image-undecodable": 1, "mask-missing": 1, "mask-size-differs": 1,
    }  # fmt: skip
    refused = {row["image_id"]: row for row in read_table(subset.out / "refused.tsv")}
    assert refused["8"]["reason"] == "image-missing"
    assert "the mask is 9 × 7" in refused["25"]["detail"]
    assert [row["image_id"] for row in read_table(subset.out / "index.tsv")] == ["30"]
    images = np.load(subset.out / "images.npy")
    assert images.shape == (1, 16, 16, 3)
    resized = Image.open(subset.image(30)).resize((16, 16), Image.Resampling.BILINEAR)
    assert np.array_equal(images[0], np.asarray(resized))
    assert (subset.out / "images.npy").stat().st_size == 128 + 16 * 16 * 3


def test_stop_ends_at_the_first_spoilt_image_and_names_it(subset: Subset) -> None:
    subset.image(8).write_bytes(b"no picture")
    with pytest.raises(CocomineError, match=r"000000000008\.jpg \(image 8\)"):
        subset.pack(bad_images="stop")
    assert not (subset.out / "images.npy").exists()


def test_an_image_of_another_size_than_annotated_is_set_aside(subset: Subset) -> None:
    Image.fromarray(np.zeros((5, 6, 3), np.uint8)).save(subset.image(8))
    subset.pack()
    (row,) = read_table(subset.out / "refused.tsv")
    assert (row["reason"], row["image_id"]) == ("image-size-differs", "8")


def test_masks_with_more_than_one_channel_are_no_labels(subset: Subset) -> None:
    Image.open(subset.mask(8)).convert("RGB").save(subset.mask(8))
    subset.pack()
    assert [row["reason"] for row in read_table(subset.out / "refused.tsv")] == ["mask-not-labels"]


def test_masks_with_a_palette_too_small_for_their_pixels_are_set_aside(subset: Subset) -> None:
    mask = np.asarray(Image.open(subset.mask(8))) + np.uint8(200)
    height, width = mask.shape
    content = png.encode(png.filter_rows(mask, 1), width, height, png.PALETTE, 8, bytes(27))
    subset.mask(8).write_bytes(content)
    subset.pack()
    (row,) = read_table(subset.out / "refused.tsv")
    assert row["reason"] == "mask-palette-too-small"
    assert "its palette 9 colours" in row["detail"]


def test_nothing_packed_at_all_is_an_error(subset: Subset) -> None:
    for number in (30, 4, 17, 8, 25):
        subset.image(number).unlink()
    with pytest.raises(CocomineError, match="none of 5 images"):
        subset.pack()


def test_an_image_in_no_split_is_named(subset: Subset) -> None:
    write_table(subset.folder / "split.tsv", ("image_id", "split", "fold"), [(4, "train", 0)])
    with pytest.raises(CocomineError, match=r"image 8 \(000000000008\.jpg\) is in no split"):
        subset.pack()


def test_without_a_split_the_column_is_empty(subset: Subset) -> None:
    subset.pack(split=False)
    assert {row["split"] for row in read_table(subset.out / "index.tsv")} == {""}


def test_grey_photographs_become_rgb_and_exif_turns_are_not_applied(subset: Subset) -> None:
    grey = Image.fromarray(np.tile(np.arange(40, dtype=np.uint8) * 6, (20, 1)))
    exif = grey.getexif()
    exif[0x0112] = 6
    grey.save(subset.folder / "grey.jpg", exif=exif)
    tensor = resize_image(load_rgb(subset.folder / "grey.jpg", (40, 20)), 10)
    assert tensor.shape == (10, 10, 3)
    assert (tensor[..., 0] == tensor[..., 2]).all()
    assert (np.diff(tensor[5, :, 0].astype(int)) > 0).all()


def test_image_filters_weigh_every_pixel() -> None:
    """Antialiasing: a fine chequerboard becomes even grey; without it, single pixels would be picked."""
    board = np.indices((256, 256)).sum(axis=0) % 2 * 255
    photo = Image.fromarray(board.astype(np.uint8)).convert("RGB")
    for name in ("bilinear", "bicubic", "lanczos", "box"):
        tensor = resize_image(photo, 32, name)[4:-4, 4:-4].astype(int)
        assert abs(tensor - 127).max() <= 2, name


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 50), st.integers(1, 50), st.integers(1, 60))
def test_resized_masks_hold_only_labels_that_were_there(seed: int, height: int, width: int, size: int) -> None:
    mask = np.random.default_rng(seed).choice([0, 3, 9, 255], (height, width)).astype(np.uint8)
    resized = resize_mask(mask, size)
    assert resized.shape == (size, size)
    assert set(np.unique(resized)) <= set(np.unique(mask))
    if (height, width) == (size, size):
        assert np.array_equal(resized, mask)


@pytest.mark.parametrize("source", [[480, 640], [427, 640], [640, 480], [333, 500], [128, 128], [1, 7]])
def test_nearest_is_what_pillow_calls_nearest(source: list[int]) -> None:
    mask = np.random.default_rng(1).integers(0, 200, source, np.uint8)
    theirs = np.asarray(Image.fromarray(mask).resize((128, 128), Image.Resampling.NEAREST))
    assert np.array_equal(resize_mask(mask, 128), theirs)


@given(st.integers(1, 300), st.integers(1, 300))
def test_counts_at_the_training_size_use_the_same_grid(source: int, target: int) -> None:
    taken = np.diff(taken_before(source, target))
    assert np.array_equal(np.repeat(np.arange(source), taken), nearest_indices(source, target))


def test_the_manifest_names_the_interpolation(subset: Subset) -> None:
    subset.pack(image_filter="box")
    manifest = read_json(subset.out / "manifest.json")
    assert manifest["images"]["interpolation"] == "box, antialiased"
    assert manifest["masks"]["interpolation"] == "nearest"


def test_a_mask_with_a_label_that_the_table_lacks_is_set_aside(subset: Subset) -> None:
    entries = [{"label": n, "name": f"class {n}", "color": [n, n, n]} for n in range(4)]
    content = {"labels": entries, "category_to_label": {str(n): n for n in range(1, 4)}}
    labels = subset.folder / "labels.json"
    labels.write_text(json.dumps(content))
    mask = np.asarray(Image.open(subset.mask(8))).copy()
    mask[0, :2] = 4, 255
    Image.fromarray(mask).save(subset.mask(8))
    files = (
        subset.folder / "images.tsv",
        subset.folder / "store",
        subset.folder / "masks",
        subset.folder / "split.tsv",
    )
    manifest = pack_tensors(TensorSettings(size=16), *files, subset.out, labels=labels)
    (row,) = read_table(subset.out / "refused.tsv")
    assert (row["reason"], row["detail"]) == ("mask-label-unknown", f"{8:012}.png holds 4, the largest label is 3")
    assert manifest["counts"] == {"in": 5, "packed": 4, "refused": 1}
    masks = np.load(subset.out / "masks.npy")
    assert sum(sum(side["pixels"].values()) for side in manifest["splits"].values()) == masks.size


def test_an_image_that_is_not_as_locked_is_never_packed(subset: Subset) -> None:
    names = [f"train2017/{number:012}.jpg" for number in (30, 4, 17, 8, 25)]
    rows = [(1, name, "ok", 0, "", sha256_of_file(subset.folder / "store" / name), "", "", "", "") for name in names]
    write_table(subset.folder / "lock.tsv", COLUMNS, rows)
    arguments = (subset.folder / "images.tsv", subset.folder / "store", subset.folder / "masks", None, subset.out)
    pack_tensors(TensorSettings(size=16), *arguments, images_lock=subset.folder / "lock.tsv")
    Image.new("RGB", Image.open(subset.image(17)).size).save(subset.image(17))
    with pytest.raises(CocomineError, match=r"not as locked .*000000000017\.jpg"):
        pack_tensors(TensorSettings(size=16), *arguments, images_lock=subset.folder / "lock.tsv")
