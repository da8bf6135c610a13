"""What `cocomine.load` gives of the small subset whose every count is known by hand."""

import pickle
import subprocess
import sys
import tomllib
from pathlib import Path

import cocomine
import numpy as np
import pytest
from cocomine.base.errors import CocomineError
from cocomine.base.files import write_json, write_table
from cocomine.reader.subset import Loaded
from helpers.shared import ROOT
from helpers.small_subset import IMAGES, SmallSubset, make_small_subset
from PIL import Image

WITHOUT = ("pyarrow", "torch", "pandas", "pycocotools", "scipy", "yaml", "snakemake", "tqdm")


@pytest.fixture
def small(tmp_path: Path) -> SmallSubset:
    return make_small_subset(tmp_path)


@pytest.fixture
def animals(small: SmallSubset) -> Loaded:
    return cocomine.load(small.folder, store=small.store)


def test_images_boxes_labels_crowds_and_captions_are_those_of_the_subset(animals: Loaded) -> None:
    assert (animals.splits, animals.classes, len(animals)) == (("train", "val"), ("dog", "giraffe"), 5)
    first = animals["train"][0]
    assert (first.id, first.file_name, first.width, first.height) == (7, "000000000007.jpg", 64, 48)
    assert first.boxes.tolist() == [[4, 4, 24, 24], [30, 5, 54, 30], [0, 30, 30, 48]]
    assert first.labels.tolist() == [2, 1, 1]
    assert first.crowds.tolist() == [False, False, True]
    assert (first.image.mode, first.image.size) == ("RGB", (64, 48))
    assert first.image.tobytes() == Image.open(first.path).convert("RGB").tobytes()
    person = animals["val"][0]
    assert len(person.objects) == 2  # the third is of a class that the subset has not
    assert [len(sample.captions) for sample in animals] == [
        sum(one["image_id"] == sample.id for one in captions(animals, sample.split)) for sample in animals
    ]
    assert sum(len(sample.captions) for sample in animals) == 2
    assert sum(len(sample.keypoints) for sample in animals) == 1


def captions(animals: Loaded, split: str) -> list[dict[str, int]]:
    import json

    file = animals.folder / f"splits/captions_{split}.json"
    return json.loads(file.read_text())["annotations"] if file.is_file() else []


def test_a_mask_holds_the_values_of_its_png(animals: Loaded) -> None:
    for sample in animals:
        if sample.mask_path.is_file():
            expected = np.asarray(Image.open(sample.mask_path))
            assert sample.mask.dtype == np.uint8
            assert np.array_equal(sample.mask, expected)


def test_splits_of_any_names_are_those_of_the_table(small: SmallSubset) -> None:
    rows = [(i, name, "fit" if split == "train" else "holdout", group, "") for i, name, *_, split, group in IMAGES]
    write_table(small.folder / "split.tsv", ["image_id", "file_name", "split", "group", "fold"], rows)
    for old, new in (("train", "fit"), ("val", "holdout")):
        for file in small.folder.glob(f"splits/*_{old}.json"):
            file.rename(file.with_name(file.name.replace(old, new)))
    animals = cocomine.load(small.folder, store=small.store)
    assert animals.splits == ("fit", "holdout")
    assert [len(animals[split]) for split in animals.splits] == [3, 2]
    with pytest.raises(CocomineError, match="no split 'train'") as caught:
        animals["train"]
    assert caught.value.hint == "its splits: fit, holdout"


def test_frames_have_a_row_for_each_image_object_and_caption(animals: Loaded) -> None:
    objects = animals.frame()
    assert len(objects) == 8
    assert objects.groupby("class").size().to_dict() == {"dog": 5, "giraffe": 3}
    row = objects.set_index("annotation_id").loc[102]
    assert [row[side] for side in ("left", "top", "right", "bottom")] == [30, 5, 54, 30]
    assert list(animals.frame("images")["image_id"]) == [number for number, *_ in IMAGES]
    assert len(animals.frame("captions")) == 2


def test_a_torch_dataset_gives_images_in_0_to_1_and_masks_and_goes_to_workers(animals: Loaded) -> None:
    data = pickle.loads(pickle.dumps(animals.torch("train", size=(24, 32))))
    drawn = [sample for sample in animals["train"] if sample.mask_path.is_file()]
    assert len(data) == len(drawn) > 0
    image, mask = data[0]
    assert (tuple(image.shape), str(image.dtype), tuple(mask.shape), str(mask.dtype)) == (
        (3, 24, 32), "torch.float32", (24, 32), "torch.int64",
    )  # fmt: skip
    own, whole = animals.torch("train")[0]
    assert np.array_equal((own.numpy() * 255).round().astype(np.uint8).transpose(1, 2, 0), np.asarray(drawn[0].image))
    assert np.array_equal(whole.numpy(), drawn[0].mask)


def test_packed_tensors_are_mapped_by_each_worker_for_itself(animals: Loaded) -> None:
    folder = animals.folder / "tensors/8"
    folder.mkdir(parents=True)
    images = np.arange(5 * 8 * 8 * 3, dtype=np.uint8).reshape(5, 8, 8, 3)
    np.save(folder / "images.npy", images)
    np.save(folder / "masks.npy", images[..., 0] % 3)
    rows = [(number, split) for number, _, _, _, _, split, _ in IMAGES]
    write_table(folder / "index.tsv", ["image_id", "split"], rows)
    data = animals.torch("val", packed=8)
    assert len(data) == 2
    assert np.array_equal(data[0][1].numpy(), images[3, ..., 0] % 3)
    assert len(pickle.dumps(data)) < 2000
    with pytest.raises(CocomineError, match="no tensors") as caught:
        animals.torch("val", packed=16)
    assert "tensors: {pack: true, size: 16}" in caught.value.hint


def test_images_are_looked_for_beside_the_results_first_in_the_store_that_the_lock_names(small: SmallSubset) -> None:
    work = small.folder.parent.parent
    with pytest.raises(CocomineError, match="is not in") as caught:
        cocomine.load(small.folder)["train"][0].path  # noqa: B018 - it raises
    assert "store=" in caught.value.hint
    (work / "data/images/a/train2017").mkdir(parents=True)
    (work / "data/images/a/train2017/000000000007.jpg").write_bytes(b"another store's")
    (work / "data/images/own").symlink_to(small.store)
    lock = {"config": {"subsets": {"animals": {"source": "coco"}}, "sources": {"coco": {"store": "own"}}}}
    write_json(work / "results/build.lock.json", lock)
    assert cocomine.load(small.folder)["train"][0].image.size == (64, 48)


def test_a_folder_that_is_no_subset_and_a_missing_mask_say_what_to_do(animals: Loaded, tmp_path: Path) -> None:
    with pytest.raises(CocomineError, match="no such file"):
        cocomine.load(tmp_path / "nothing")
    animals["train"][0].mask_path.unlink()
    with pytest.raises(CocomineError, match="no such file") as caught:
        animals["train"][0].mask  # noqa: B018 - it raises
    assert "masks: {outputs: [semantic]}" in caught.value.hint
    with pytest.raises(CocomineError, match="no table is called"):
        animals.frame("masks")  # type: ignore[arg-type]


def test_what_is_installed_is_all_that_loading_imports_and_needs_three_packages(small: SmallSubset) -> None:
    code = f"""
import sys, cocomine
animals = cocomine.load({str(small.folder)!r}, store={str(small.store)!r})
for sample in animals:
    sample.image, sample.boxes, sample.captions, sample.keypoints, repr(animals)
    sample.mask_path.is_file() and sample.mask
print(*sorted(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "scripts", capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert not loaded & set(WITHOUT)
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    ours = {name.rpartition(".")[0] or name for name in loaded if name.startswith("cocomine.") and name.count(".") > 1}
    assert ours | {"cocomine", "cocomine.reader"} == set(settings["tool"]["setuptools"]["packages"])
    assert settings["project"]["dependencies"] == ["msgspec", "numpy", "pillow"]
