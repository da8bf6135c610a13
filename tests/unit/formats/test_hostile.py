"""Names from outside and disks that fill: in every format the same promises hold."""

import json
import os
import shutil
from pathlib import Path

import pytest
from cocomine.base.errors import CocomineError
from cocomine.base.space import advice
from cocomine.formats.export import export_dataset
from cocomine.formats.output import Options
from cocomine.formats.registry import FORMATS
from helpers.small_disk import fill, small_disk
from helpers.small_subset import IMAGES, OBJECTS, make_small_subset

HOSTILE = [
    ("a/b", "..\\..\\x"),
    ("$(touch pwned)", "`x`; rm -rf ~"),
    ("line\nbreak\ttab", "\"quotes\" and 'more'"),
    ("žirafa 长颈鹿 🦒", "{braces} {0} %s"),
    ("same", "same"),
    ("Case", "case"),
    ("", " "),
    ("\x01\x7f\u2028", "<b>&amp;</b>"),
    ("- yes: [no]", "#!null"),
    ("n" * 300, "n" * 299 + "m"),
]


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("names", HOSTILE, ids=[repr(pair)[:24] for pair in HOSTILE])
def test_any_names_of_classes_are_carried_or_mapped_back_and_write_nothing_elsewhere(format_name, names, tmp_path):
    subset = make_small_subset(tmp_path / "small", names=names)
    before = set(tmp_path.rglob("*"))
    manifest = export_dataset(format_name, subset.folder, subset.store, tmp_path / "out")
    written = set(tmp_path.rglob("*")) - before
    assert all(path.is_relative_to(tmp_path / "out") for path in written)
    assert manifest["classes"] == list(names)
    back = manifest.get("class_names", {})
    assert set(back.values()) <= set(names)
    totals = manifest["totals"]
    dropped = sum(row["count"] for row in manifest["not_carried"] if row["drops"] and row["unit"] == "objects")
    assert totals["objects_in"] == len(OBJECTS) == totals["objects_out"] + dropped


BY_NUMBER = {
    "coco", "yolo-detect", "yolo-segment", "yolo-pose", "yolo-semantic", "masks", "masks-grey", "mmsegmentation",
    "panoptic", "datumaro", "webdataset", "croissant",
}  # fmt: skip
"""Formats that write a class's number beside each object; any other writes its name, which must lead back to one."""


@pytest.mark.parametrize("format_name", sorted(FORMATS.keys() - BY_NUMBER))
def test_two_classes_of_one_name_are_told_apart_where_a_format_writes_names(format_name, tmp_path):
    subset = make_small_subset(tmp_path / "small", names=("same", "same"))
    written = export_dataset(format_name, subset.folder, subset.store, tmp_path / "out").get("class_names", {})
    assert written, "set self.class_names (formats/names.py), or add the format to BY_NUMBER if it writes numbers"
    assert len(written) == 2
    assert set(written.values()) == {"same"}


def in_folders(subset):
    """The same subset with two images of one name in folders of their own, as cameras write them."""
    new = {"000000000007": "cam1/1", "000000000012": "cam2/1"}
    for file in [*subset.folder.glob("*.json"), *subset.folder.glob("*.tsv"), *subset.folder.glob("*/*.json")]:
        text = file.read_text("utf-8")
        for old, name in new.items():
            text = text.replace(f'"{old}.', f'"{name}.').replace(f"\t{old}.", f"\t{name}.")
        file.write_text(text)
    for old, name in new.items():
        for kind in ("semantic", "instance", "panoptic"):
            target = subset.folder / "masks" / kind / f"{name}.png"
            target.parent.mkdir(parents=True)
            (subset.folder / "masks" / kind / f"{old}.png").rename(target)
    return new


@pytest.mark.parametrize("format_name", FORMATS)
def test_images_of_one_name_in_two_folders_stay_apart(format_name, tmp_path):
    subset = make_small_subset(tmp_path / "small")
    in_folders(subset)
    manifest = export_dataset(format_name, subset.folder, subset.store, tmp_path / "out")
    assert manifest["totals"]["images"] == len(IMAGES)
    paths = [row["path"] for row in manifest["files"]]
    assert len(set(paths)) == len(paths)
    if FORMATS[format_name].images in ("placed", "listed"):
        assert sum("cam1/1.jpg" in path or "cam2/1.jpg" in path for path in paths) == 2
        stored = subset.store / "train2017" / IMAGES[0][1]
        (placed,) = [path for path in paths if path.endswith("cam1/1.jpg")]
        assert (tmp_path / "out" / placed).samefile(stored)


@pytest.mark.parametrize("format_name", ["coco", "yolo-segment", "huggingface", "webdataset"])
def test_a_disk_that_fills_leaves_nothing_behind_and_afterwards_the_same_bytes_come_out(format_name, tmp_path):
    subset = make_small_subset(tmp_path / "small")
    whole = export_dataset(format_name, subset.folder, subset.store, tmp_path / "out", Options(images="copy"))
    # Without sizes in the lock the look beforehand passes, as when another program fills the disk meanwhile.
    (subset.folder / "images.lock.tsv").unlink()
    with small_disk(tmp_path / "disk", 2_000_000) as disk:
        ballast = fill(disk, leaving=20_000)
        with pytest.raises((OSError, CocomineError)) as error:
            export_dataset(format_name, subset.folder, subset.store, disk / "out", Options(images="copy"))
        told = error.value if isinstance(error.value, CocomineError) else advice(error.value)
        assert told is not None
        assert "free" in told.message
        assert "run the same command again" in told.hint
        assert [path.name for path in disk.iterdir()] == ["ballast"]
        ballast.unlink()
        again = export_dataset(format_name, subset.folder, subset.store, disk / "out", Options(images="copy"))
        assert again["files"] == whole["files"]
        shutil.rmtree(disk / "out")


def test_a_killed_export_is_swept_by_the_next_and_never_taken_for_one(tmp_path):
    subset = make_small_subset(tmp_path / "small")
    out = tmp_path / "exports" / "coco"
    child = os.fork()
    if child == 0:
        os.link = lambda *_arguments: os._exit(9)  # killed while the first image is placed
        try:
            export_dataset("coco", subset.folder, subset.store, out)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert not out.exists()
    assert [path for path in out.parent.rglob("*") if path.is_file()]
    export_dataset("coco", subset.folder, subset.store, out)
    assert [path.name for path in out.parent.iterdir()] == ["coco"]
    assert json.loads((out / "manifest.json").read_text())["totals"]["images"] == len(IMAGES)
    assert not list(Path(out).rglob("*.part"))
