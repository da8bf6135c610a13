"""The images of a merged source: each store is synced as its own, and the merged one holds links."""

import csv
import json
from pathlib import Path
from typing import Any

from helpers.gcs_server import GcsServer
from helpers.sync import Result, script, tree, write_selection


def part(work: Path, store: str, split: str, settings: dict[str, Any], below_split: bool = False) -> dict[str, Any]:
    """What the workflow says of a split: where its store is, and what fills it."""
    return {
        "folder": str(work / "data" / store), "settings": settings, "split": split, "splits": [split],
        "below_split": below_split,
    }  # fmt: skip


def sync(
    work: Path, parts: dict[str, Any], names: list[str], *options: object, env: dict[str, str] | None = None
) -> tuple[Result, dict[str, dict[str, str]]]:
    """Sync these paths of the merged store; return what was said and the rows of the lock."""
    (work / "parts.json").write_text(json.dumps(parts))
    selection, lock = write_selection(work / "selection.tsv", names), work / "images.lock.tsv"
    settings = {"images": {split: one["folder"] for split, one in parts.items()}}
    result = script(
        "sync_images.py", "--settings", json.dumps(settings), "--parts", work / "parts.json", "--selection", selection,
        "--store-dir", work / "data/both", "--lock", lock, *options, timeout=60, env=env,
    )  # fmt: skip
    if not lock.exists():
        return result, {}
    with open(lock, encoding="utf-8") as lines:
        return result, {row["store_path"]: row for row in csv.DictReader(lines, delimiter="\t")}


def own(work: Path, *names: str) -> dict[str, Any]:
    """A folder of images used in place, as the settings of a store."""
    for name in names:
        (work / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (work / "own" / name).write_bytes(f"own {name}".encode())
    return {"images": {"all": str(work / "own")}}


def test_a_bucket_and_a_folder_in_place_have_images_of_one_name(tmp_path: Path) -> None:
    folder = own(tmp_path, "1.jpg", "deep/2.jpg")
    with GcsServer() as server:
        server.put("b", "coco/val/1.jpg", b"coco's")
        parts = {
            "coco.val": part(tmp_path, "coco", "val", {"origins": ["gs://b/coco"]}),
            "ours.all": part(tmp_path, "ours", "all", folder, below_split=True),
        }
        names = ["coco.val/1.jpg", "ours.all/1.jpg", "ours.all/deep/2.jpg"]
        env = {"STORAGE_EMULATOR_HOST": server.url}
        result, rows = sync(tmp_path, parts, names, env=env)
        result.ok()
        assert {name: row["status"] for name, row in rows.items()} == dict.fromkeys(names, "ok")
        assert rows["coco.val/1.jpg"]["origin"] == "gs://b/coco"
        assert len({row["sha256"] for row in rows.values()}) == 3
        both = tmp_path / "data/both"
        assert (both / "coco.val/1.jpg").read_bytes() == b"coco's"
        assert (both / "ours.all/1.jpg").read_bytes() == b"own 1.jpg"
        assert (both / "ours.all/deep/2.jpg").read_bytes() == b"own deep/2.jpg"
        assert (tmp_path / "data/coco/val/1.jpg").is_file()  # where a subset of coco alone finds it, too
        asked = len(server.requests())
        sync(tmp_path, parts, names, env=env)[0].ok()
        assert len(server.requests()) == asked  # what is there is not asked for again
    assert tree(tmp_path / "own") == {"1.jpg": b"own 1.jpg", "deep/2.jpg": b"own deep/2.jpg"}


def test_a_name_with_a_folder_of_its_own_is_found_where_its_store_has_it(tmp_path: Path) -> None:
    with GcsServer() as server:
        server.put("b", "val/1.jpg", b"one")
        server.put("b", "train/2.jpg", b"two")
        parts = {"lvis.val": part(tmp_path, "coco", "val", {"origins": ["gs://b"]})}
        env = {"STORAGE_EMULATOR_HOST": server.url}
        sync(tmp_path, parts, ["lvis.val/1.jpg"], env=env)[0].ok()
        assert (tmp_path / "data/both/lvis.val").is_symlink()
        sync(tmp_path, parts, ["lvis.val/train/2.jpg"], env=env)[0].ok()
    assert (tmp_path / "data/both/lvis.val/train/2.jpg").read_bytes() == b"two"
    assert (tmp_path / "data/both/lvis.val/1.jpg").read_bytes() == b"one"  # which another subset reads


def test_an_image_that_was_changed_is_refused_and_one_that_is_nowhere_named(tmp_path: Path) -> None:
    parts = {"ours.all": part(tmp_path, "ours", "all", own(tmp_path, "1.jpg"), below_split=True)}
    pins = ("--pins", tmp_path / "pins.jsonl")
    sync(tmp_path, parts, ["ours.all/1.jpg"], *pins)[0].ok()
    (tmp_path / "own/1.jpg").write_bytes(b"another")
    (tmp_path / "images.lock.tsv").unlink()
    result, _ = sync(tmp_path, parts, ["ours.all/1.jpg"], *pins)
    assert result.code == 1
    assert "ours.all/1.jpg" in result.err
    (tmp_path / "images.lock.tsv").unlink(missing_ok=True)
    result, _ = sync(tmp_path, parts, ["ours.all/3.jpg"])
    assert result.code == 1
    assert "ours.all/3.jpg: folder: no such file" in result.err


def test_the_plan_names_every_store(tmp_path: Path) -> None:
    parts = {
        "a.all": part(tmp_path, "a", "all", own(tmp_path, "1.jpg"), below_split=True),
        "b.all": part(tmp_path, "b", "all", own(tmp_path, "1.jpg"), below_split=True),
    }
    result, _ = sync(tmp_path, parts, ["a.all/1.jpg", "b.all/1.jpg"], "--plan")
    assert result.out.count("1 files wanted") == 2
    assert not (tmp_path / "data").exists()
