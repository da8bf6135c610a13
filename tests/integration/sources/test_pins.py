"""Bytes pinned on first use: a run that finds others fails, names them, and goes on failing until a user accepts."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from cocomine.base.files import read_table
from helpers.gcs_server import GcsServer
from helpers.shared import coco_mini
from helpers.sync import Result, script, tree, write_selection
from helpers.workflow import snakemake

QUICK = ("--first-wait", "0.02", "--stall", "2", "--tries", "3")
INSTANCES, CAPTIONS = "instances_val2017.json", "captions_val2017.json"


def annotations(folder: Path, settings: dict, *more: object, env: dict[str, str] | None = None) -> Result:
    places = ["--out-dir", folder / "out", "--lock", folder / "sync.lock.json"]
    return script("sync_annotations.py", "--settings", json.dumps(settings), *places, *QUICK, *more, env=env)


def disk(folder: Path, pngs: int = 4) -> Path:
    """A COCO folder with the files of val2017 and, for train2017, a panoptic file that names a few PNGs."""
    mini = coco_mini() / "annotations"
    (folder / "annotations" / "panoptic_train2017").mkdir(parents=True)
    for name in (INSTANCES, CAPTIONS):
        shutil.copyfile(mini / name, folder / "annotations" / name)
    document = json.loads((mini / "panoptic_train2017.json").read_bytes())
    document["annotations"] = document["annotations"][:pngs]
    (folder / "annotations" / "panoptic_train2017.json").write_text(json.dumps(document))
    for row in document["annotations"]:
        name = f"panoptic_train2017/{row['file_name']}"
        shutil.copyfile(mini / name, folder / "annotations" / name)
    return folder


def change(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


@pytest.mark.parametrize("again", ["the same folder", "a fresh folder"])
def test_a_changed_annotation_file_is_refused_by_every_later_run(tmp_path: Path, again: str) -> None:
    from_disk = disk(tmp_path / "disk")
    settings = {"folder": str(from_disk), "use": "copy", "splits": ["val2017"], "tasks": ["instances", "captions"]}
    annotations(tmp_path, settings).ok()
    lock = (tmp_path / "sync.lock.json").read_bytes()
    change(from_disk / "annotations" / CAPTIONS)
    for _ in range(2):
        if again == "a fresh folder":
            shutil.rmtree(tmp_path / "out")
        else:
            (tmp_path / "out" / ".cocomine" / "kept" / CAPTIONS).unlink(missing_ok=True)
        result = annotations(tmp_path, settings)
        assert result.code == 1
        assert f"{CAPTIONS}: folder: changed at the origin" in result.err
        assert "where the new bytes are right, delete" in result.err
        assert (tmp_path / "sync.lock.json").read_bytes() == lock
    (tmp_path / "sync.lock.json").unlink()
    annotations(tmp_path, settings).ok()


@pytest.mark.parametrize("use", ["copy", "in-place"])
def test_a_changed_panoptic_png_is_refused_by_name(tmp_path: Path, use: str) -> None:
    from_disk = disk(tmp_path / "disk")
    settings = {"folder": str(from_disk), "use": use, "splits": ["train2017"], "tasks": ["panoptic"]}
    annotations(tmp_path, settings).ok()
    png = sorted((from_disk / "annotations" / "panoptic_train2017").iterdir())[2]
    change(png)
    shutil.rmtree(tmp_path / "out")
    result = annotations(tmp_path, settings)
    assert result.code == 1
    assert "1 annotation files could not be fetched" in result.err
    assert f"panoptic_train2017/{png.name}: folder: changed at the origin" in result.err


def test_every_absent_png_of_a_folder_in_place_is_named(tmp_path: Path) -> None:
    from_disk = disk(tmp_path / "disk")
    names = sorted(path.name for path in (from_disk / "annotations" / "panoptic_train2017").iterdir())
    shutil.rmtree(from_disk / "annotations" / "panoptic_train2017")
    settings = {"folder": str(from_disk), "splits": ["train2017"], "tasks": ["panoptic"]}
    result = annotations(tmp_path, settings)
    assert result.code == 1
    assert all(name in result.err for name in names)


def test_a_panoptic_file_cannot_name_a_png_outside_its_folder(tmp_path: Path) -> None:
    from_disk = disk(tmp_path / "disk")
    path = from_disk / "annotations" / "panoptic_train2017.json"
    path.write_text(path.read_text().replace(json.loads(path.read_text())["annotations"][0]["file_name"], "../x.png"))
    (from_disk / "annotations" / "x.png").write_bytes(b"elsewhere")
    settings = {"folder": str(from_disk), "splits": ["train2017"], "tasks": ["panoptic"]}
    result = annotations(tmp_path, settings)
    assert result.code == 1
    assert "panoptic_train2017/../x.png: folder: unsafe name" in result.err


def test_a_plan_counts_the_pngs_of_a_panoptic_file(tmp_path: Path) -> None:
    settings = {"folder": str(disk(tmp_path / "disk")), "use": "copy", "splits": ["train2017"], "tasks": ["panoptic"]}
    first = annotations(tmp_path, settings, "--plan").ok()
    assert "1 files wanted" in first.out
    assert "the PNGs that panoptic_train2017.json names, known when it is here" in first.out
    annotations(tmp_path, settings).ok()
    assert "5 files wanted\n5 already there" in annotations(tmp_path, settings, "--plan").ok().out


def test_annotations_in_place_are_read_once_and_then_known_by_size_and_time(tmp_path: Path) -> None:
    from_disk = disk(tmp_path / "disk")
    settings = {"folder": str(from_disk), "splits": ["val2017", "train2017"], "tasks": ["panoptic"]}
    settings["splits"] = ["train2017"]
    assert "check annotations in place: 4 file" in annotations(tmp_path, settings).ok().err
    again = annotations(tmp_path, settings).ok().err
    assert "check annotations in place: 0 file" in again
    assert "in place: 4 file" not in again
    assert "in place: 4 file" in annotations(tmp_path, settings, "--checksum").ok().err


def test_pins_outlive_the_lock_and_are_only_added_to(tmp_path: Path) -> None:
    pins = tmp_path / "pins.jsonl"
    with GcsServer() as server:
        env = {"STORAGE_EMULATOR_HOST": server.url}
        for name in "abc":
            server.put("b", f"val2017/{name}.jpg", name.encode())

        def images(names: str) -> Result:
            selection = write_selection(tmp_path / "s.tsv", [f"val2017/{name}.jpg" for name in names])
            places = ["--selection", selection, "--store-dir", tmp_path / "store", "--lock", tmp_path / "l.tsv"]
            settings = ["--settings", json.dumps({"origins": ["gs://b"]})]
            for path in (tmp_path / "store", tmp_path / "l.tsv"):
                shutil.rmtree(path, ignore_errors=True)
                path.unlink(missing_ok=True)
            return script("sync_images.py", *settings, *places, "--pins", pins, *QUICK, env=env)

        images("ab").ok()
        first = pins.read_bytes()
        server.put("b", "val2017/b.jpg", b"B")
        for _ in range(2):
            result = images("abc")
            assert result.code == 1
            assert "val2017/b.jpg: gs://b: changed at the origin: its sha256 is" in result.err
            assert "where the new bytes are right, delete" in result.err
            assert str(pins) in result.err
            assert sorted(tree(tmp_path / "store")) == ["val2017/a.jpg", "val2017/c.jpg"]
        assert pins.read_bytes().startswith(first)
        assert b"val2017/c.jpg" in pins.read_bytes()
        asked = server.requests("media").count("val2017/b.jpg")
        images("abc")
        assert server.requests("media").count("val2017/b.jpg") == asked + 1, "fetched again though it cannot help"


@pytest.mark.timeout(300)
def test_the_workflow_finds_changed_bytes_though_snakemake_removes_its_locks(tmp_path: Path) -> None:
    from_disk = disk(tmp_path / "disk")
    shutil.copytree(coco_mini() / "val2017", from_disk / "val2017")
    config = {
        "stores": {"ours": {"folder": str(from_disk), "use": "in-place"}},
        "sources": {"coco": {"store": "ours", "splits": ["val2017"]}},
        "subsets": {"people": {"categories": ["person"]}},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    annotations_lock, images_lock = "data/annotations/coco/sync.lock.json", "results/people/images.lock.tsv"

    def build(lock: str, *more: str) -> subprocess.CompletedProcess[str]:
        return snakemake(tmp_path, lock, "--configfile", str(tmp_path / "config.yaml"), *more)

    done = build(images_lock)
    assert done.returncode == 0, done.stderr
    name = next(row["store_path"] for row in read_table(tmp_path / images_lock) if row["status"] == "ok")
    for rule, lock, path, downloads, pins in (
        ("sync_images", images_lock, name, "data/images", "data/locks/images/ours.jsonl"),
        (
            "sync_annotations", annotations_lock, f"annotations/{INSTANCES}", "data/annotations",
            "data/locks/annotations/coco.jsonl",
        ),
    ):  # fmt: skip
        change(from_disk / path)
        shutil.rmtree(tmp_path / downloads)
        done = build(lock, "--forcerun", rule)
        assert done.returncode != 0
        assert not (tmp_path / lock).exists(), "Snakemake removed it: it pins nothing"
        assert f"{path.removeprefix('annotations/')}: folder: changed at the origin" in done.stderr
        assert pins in done.stderr
    (tmp_path / pins).unlink()
    assert build(lock).returncode == 0, "deleting the pins accepts the new bytes"
