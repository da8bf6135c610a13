"""Folders as people have them: what lies in them that is no image, and where the images lie."""

import csv
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cocomine.base.files import write_table
from helpers.gcs_server import GcsServer
from helpers.sync import Result, script, tree, write_selection

BYTES = b"an image"


def sync(
    work: Path,
    settings: dict,
    names: list[str],
    *options: object,
    split: str = "",
    env: dict[str, str] | None = None,
    user: str | None = None,
) -> tuple[Result, dict[str, dict[str, str]]]:
    """Sync these store paths; return what was said and the rows of the lock, by store path."""
    selection = write_selection(work / "selection.tsv", names)
    if split:  # names with folders of their own, all of one split
        columns = ("image_id", "source_split", "store_path", "role")
        write_table(selection, columns, [(number, split, name, "wanted") for number, name in enumerate(names)])
    lock = work / "images.lock.tsv"
    result = script(
        "sync_images.py", "--settings", json.dumps(settings), "--selection", selection, "--store-dir", work / "store",
        "--lock", lock, *options, timeout=20, env=env, user=user,
    )  # fmt: skip
    rows = {}
    if lock.exists():
        with open(lock, encoding="utf-8") as lines:
            rows = {row["store_path"]: row for row in csv.DictReader(lines, delimiter="\t")}
    return result, rows


def folder(root: Path, *names: str) -> Path:
    """Make files of these names, each with bytes of its own."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(f"{BYTES!r} {name}".encode())
    return root


def lay_what_is_no_image(disk: Path, outside: Path) -> dict[str, str]:
    """Put into `disk` one file of every kind that cannot be an image; return its name and a word that must be said."""
    split = disk / "train"
    secret = outside / "secret.jpg"
    secret.parent.mkdir(exist_ok=True)
    secret.write_bytes(b"secret")
    os.mkfifo(split / "fifo.jpg")
    (split / "device.jpg").symlink_to("/dev/zero")
    (split / "folder.jpg").mkdir()
    (split / "out.jpg").symlink_to(secret)
    (split / "up.jpg").symlink_to("../../outside/secret.jpg")
    (split / "loop.jpg").symlink_to("loop2.jpg")
    (split / "loop2.jpg").symlink_to("loop.jpg")
    (split / "nothing.jpg").symlink_to("absent.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(split / "s.jpg"))
    (split / "away").symlink_to(outside)
    return {
        "train/fifo.jpg": "FIFO", "train/device.jpg": "link", "train/folder.jpg": "folder", "train/out.jpg": "link",
        "train/up.jpg": "link", "train/loop.jpg": "loops", "train/nothing.jpg": "link to nothing",
        "train/s.jpg": "socket", "train/away/secret.jpg": "link", f"train/{'n' * 230}.jpg": "longer than",
    }  # fmt: skip


@contextmanager
def written_all_the_time(path: Path) -> Iterator[None]:
    """Make a file that takes a while to be read, and write into it without end."""
    done = threading.Event()

    def write() -> None:
        with open(path, "r+b") as file:
            while not done.wait(0.001):
                file.write(b".")
                file.flush()

    with open(path, "wb") as file:
        file.truncate(200_000_000)
    writing = threading.Thread(target=write)
    writing.start()
    try:
        yield
    finally:
        done.set()
        writing.join()


@pytest.mark.slow
@pytest.mark.parametrize("use", ["in-place", "hardlink", "copy"])
def test_a_photograph_that_changes_while_it_is_read_is_a_reason_of_its_own(tmp_path: Path, use: str) -> None:
    disk = folder(tmp_path / "disk", "train/1.jpg", "train/2.jpg")
    with written_all_the_time(disk / "train" / "2.jpg"):
        result, rows = sync(tmp_path, {"folder": str(disk), "use": use}, ["train/1.jpg", "train/2.jpg"])
    result.ok()
    assert {name: row["status"] for name, row in rows.items()} == {"train/1.jpg": "ok", "train/2.jpg": "unreadable"}
    assert "changed while it was read" in rows["train/2.jpg"]["reason"]


@pytest.mark.slow
@pytest.mark.parametrize("use", ["in-place", "hardlink", "copy"])
def test_an_annotation_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, use: str) -> None:
    place = tmp_path / "disk" / "annotations"
    place.mkdir(parents=True)
    settings = json.dumps({"folder": str(tmp_path / "disk"), "splits": ["a"], "use": use})
    with written_all_the_time(place / "instances_a.json"):
        result = script(
            "sync_annotations.py", "--settings", settings, "--out-dir", tmp_path / "out", "--lock",
            tmp_path / "lock.json", timeout=20,
        )  # fmt: skip
    assert result.code == 1
    assert "changed while it was read" in result.err


@pytest.mark.parametrize("use", ["in-place", "hardlink", "copy"])
def test_what_is_no_image_is_a_reason_of_its_own_and_stops_nothing(tmp_path: Path, use: str) -> None:
    disk = folder(tmp_path / "disk", "train/1.jpg")
    said = lay_what_is_no_image(disk, tmp_path / "outside")
    started = time.monotonic()
    result, rows = sync(tmp_path, {"folder": str(disk), "use": use}, ["train/1.jpg", *said])
    assert time.monotonic() - started < 10
    result.ok()
    assert rows["train/1.jpg"]["status"] == "ok"
    for name, word in said.items():
        assert rows[name]["status"] == "unreadable", name
        assert word in rows[name]["reason"], name
        assert name in result.err
    assert str(tmp_path) not in (tmp_path / "images.lock.tsv").read_text()
    if use != "in-place":
        assert tree(tmp_path / "store") == {"train/1.jpg": (disk / "train/1.jpg").read_bytes()}
    secret = tmp_path / "outside" / "secret.jpg"
    assert secret.stat().st_nlink == 1


@pytest.mark.parametrize("use", ["in-place", "hardlink", "copy"])
def test_a_file_that_the_user_may_not_read_is_a_reason_of_its_own_and_stops_nothing(use: str) -> None:
    with tempfile.TemporaryDirectory() as place:  # not in pytest's own folder, into which only its owner may look
        work = Path(place)
        disk = folder(work / "disk", "train/1.jpg", "train/2.jpg")
        (disk / "train" / "2.jpg").chmod(0)
        work.chmod(0o777)
        user = "nobody" if os.getuid() == 0 else None  # root may read everything
        result, rows = sync(work, {"folder": str(disk), "use": use}, ["train/1.jpg", "train/2.jpg"], user=user)
    result.ok()
    assert {name: row["status"] for name, row in rows.items()} == {"train/1.jpg": "ok", "train/2.jpg": "unreadable"}
    assert "ermission denied" in rows["train/2.jpg"]["reason"]
    assert "train/2.jpg" in result.err


def test_a_folder_of_a_split_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    folder(tmp_path / "outside", "1.jpg")
    disk = folder(tmp_path / "disk", "val/1.jpg")
    (disk / "train").symlink_to(tmp_path / "outside")
    for use in ("in-place", "hardlink", "copy"):
        result, rows = sync(tmp_path, {"folder": str(disk), "use": use}, ["train/1.jpg"])
        result.ok()
        assert rows["train/1.jpg"]["status"] == "unreadable"
        assert not (tmp_path / "store" / "train" / "1.jpg").exists()


def test_a_link_inside_the_folder_is_followed(tmp_path: Path) -> None:
    disk = folder(tmp_path / "disk", "all/1.jpg")
    (disk / "train").mkdir()
    (disk / "train" / "1.jpg").symlink_to("../all/1.jpg")
    _, rows = sync(tmp_path, {"folder": str(disk)}, ["train/1.jpg"])
    assert rows["train/1.jpg"]["status"] == "ok"
    assert (tmp_path / "store/train/1.jpg").read_bytes() == (disk / "all/1.jpg").read_bytes()


def test_a_folder_that_is_itself_reached_by_a_link_is_used(tmp_path: Path) -> None:
    folder(tmp_path / "disk", "train/1.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    _, rows = sync(tmp_path, {"folder": str(tmp_path / "link")}, ["train/1.jpg"])
    assert rows["train/1.jpg"]["status"] == "ok"


def test_a_missing_image_of_ones_own_folder_stops_with_remedies_that_fit_and_can_be_recorded(tmp_path: Path) -> None:
    disk = folder(tmp_path / "disk", "train/1.jpg")
    names = ["train/1.jpg", "train/2.jpg"]
    result, _ = sync(tmp_path, {"folder": str(disk)}, names)
    assert result.code == 1
    assert "image-missing: quarantine" in result.err
    assert "refill: true" in result.err
    assert "run it again" not in result.err
    result, rows = sync(tmp_path, {"folder": str(disk)}, names, "--missing", "record")
    result.ok()
    assert {name: row["status"] for name, row in rows.items()} == {"train/1.jpg": "ok", "train/2.jpg": "missing"}


@pytest.mark.parametrize("use", ["in-place", "hardlink", "copy"])
@pytest.mark.parametrize(
    ("there", "asked"),
    [
        ({"images/1.jpg", "images/2.jpg"}, {"train/1.jpg": "images/1.jpg", "val/2.jpg": "images/2.jpg"}),
        ({"1.jpg", "2.jpg"}, {"train/1.jpg": "1.jpg", "val/2.jpg": "2.jpg"}),
        ({"cam1/1.jpg", "1.jpg"}, {"train/1.jpg": "1.jpg", "cam1/1.jpg": "cam1/1.jpg"}),
        ({"a/b/cam1/1.jpg", "a/b/cam2/1.jpg"}, {"cam1/1.jpg": "a/b/cam1/1.jpg", "cam2/1.jpg": "a/b/cam2/1.jpg"}),
        ({"train/a/1.jpg", "val/a/1.jpg"}, {"train/1.jpg": "train/a/1.jpg", "val/1.jpg": "val/a/1.jpg"}),
        ({"pics/GRO\u0308SSE.JPG"}, {"train/gr\xf6\xdfe.jpg": "pics/GRO\u0308SSE.JPG"}),
        ({"pics/a b.jpg"}, {"train/a%20b.jpg": "pics/a b.jpg"}),
    ],
)
def test_images_are_found_by_the_longest_end_of_their_names_that_is_one_file_s(
    tmp_path: Path, there: set[str], asked: dict[str, str], use: str
) -> None:
    disk = folder(tmp_path / "disk", *there)
    settings = {"folder": str(disk), "use": use}
    result, rows = sync(tmp_path, settings, list(asked), "--splits", "train", "val")
    result.ok()
    for name, place in asked.items():
        assert (tmp_path / "store" / name).read_bytes() == (disk / place).read_bytes()
        assert rows[name]["reason"] == ("" if name == place else f"found at {place}")
    again, _ = sync(tmp_path, settings, list(asked), "--splits", "train", "val")
    again.ok()


@pytest.mark.parametrize(
    ("there", "asked", "said"),
    [
        ({"a/1.jpg", "b/1.jpg"}, "train/1.jpg", "a/1.jpg, b/1.jpg"),  # which of them?
        ({"val/1.jpg"}, "train/1.jpg", ""),  # another split's of the same name
        ({"deep/validation/1.jpg"}, "train/1.jpg", ""),
        ({"train/2.jpg", "train/masks/1.jpg"}, "train/1.jpg", ""),  # what was drawn of it
        ({"train/2.jpg", "other/1.jpg"}, "train/1.jpg", ""),  # a split that has a folder lies in it
        ({".trash/1.jpg"}, "train/1.jpg", ""),
    ],
)
def test_another_image_of_the_same_name_is_never_taken(tmp_path: Path, there: set[str], asked: str, said: str) -> None:
    disk = folder(tmp_path / "disk", *there)
    result, rows = sync(tmp_path, {"folder": str(disk)}, [asked], "--splits", "train", "val", "--missing", "record")
    result.ok()
    assert rows[asked]["status"] == "missing"
    assert said in rows[asked]["reason"]


def test_one_file_is_not_taken_for_two_images(tmp_path: Path) -> None:
    disk = folder(tmp_path / "disk", "cam1/1.jpg", "pics/2.jpg")
    names = ["cam1/1.jpg", "cam3/1.jpg", "cam4/2.jpg", "cam5/2.jpg"]
    _, rows = sync(tmp_path, {"folder": str(disk)}, names, "--missing", "record", split="train")
    assert [rows[name]["status"] for name in names] == ["ok", "missing", "missing", "missing"]
    assert "cam1/1.jpg" in rows["cam3/1.jpg"]["reason"]


def test_subsets_that_share_a_store_keep_their_links_when_an_odd_image_comes(tmp_path: Path) -> None:
    disk = folder(tmp_path / "disk", "train/1.jpg", "train/deep/2.jpg")
    sync(tmp_path, {"folder": str(disk)}, ["train/1.jpg"])
    assert (tmp_path / "store/train").is_symlink()
    result, _ = sync(tmp_path, {"folder": str(disk)}, ["train/2.jpg"])
    result.ok()
    assert (tmp_path / "store/train/1.jpg").read_bytes() == (disk / "train/1.jpg").read_bytes()
    assert (tmp_path / "store/train/2.jpg").read_bytes() == (disk / "train/deep/2.jpg").read_bytes()
    sync(tmp_path, {"folder": str(disk)}, ["train/1.jpg"])[0].ok()


def test_a_user_who_trusts_the_links_of_a_folder_can_follow_them(tmp_path: Path) -> None:
    folder(tmp_path / "outside", "1.jpg")
    disk = folder(tmp_path / "disk", "val/1.jpg")
    (disk / "train").symlink_to(tmp_path / "outside")
    for use in ("in-place", "hardlink"):
        settings = {"folder": str(disk), "use": use, "follow_links": True}
        (tmp_path / use).mkdir()
        _, rows = sync(tmp_path / use, settings, ["train/1.jpg"])
        assert rows["train/1.jpg"]["status"] == "ok"
        assert (tmp_path / use / "store/train/1.jpg").read_bytes() == (tmp_path / "outside/1.jpg").read_bytes()


def test_an_origin_keeps_the_images_of_a_split_where_the_config_says(tmp_path: Path) -> None:
    with GcsServer() as server:
        server.put("b", "data/pics/1.jpg", b"one")
        server.put("b", "data/val/2.jpg", b"two")
        settings = {"origins": ["gs://b/data"], "images": {"train": "pics"}}
        env = {"STORAGE_EMULATOR_HOST": server.url}
        _, rows = sync(tmp_path, settings, ["train/1.jpg", "val/2.jpg"], env=env)
    assert {name: row["status"] for name, row in rows.items()} == {"train/1.jpg": "ok", "val/2.jpg": "ok"}
    assert tree(tmp_path / "store") == {"train/1.jpg": b"one", "val/2.jpg": b"two"}


def test_a_folder_of_panoptic_pngs_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    place = tmp_path / "disk" / "annotations"
    place.mkdir(parents=True)
    folder(tmp_path / "outside", "1.png")
    (place / "panoptic_a.json").write_text(json.dumps({"annotations": [{"file_name": "1.png"}]}))
    (place / "panoptic_a").symlink_to(tmp_path / "outside")
    settings = {"folder": str(tmp_path / "disk"), "splits": ["a"], "tasks": ["panoptic"]}
    arguments = ["--out-dir", tmp_path / "out", "--lock", tmp_path / "lock.json"]
    result = script("sync_annotations.py", "--settings", json.dumps(settings), *arguments)
    assert result.code == 1
    assert "leads out of the folder" in result.err
    assert not (tmp_path / "out" / "panoptic_a").exists()
    script("sync_annotations.py", "--settings", json.dumps({**settings, "follow_links": True}), *arguments).ok()


def test_an_annotation_file_that_is_a_link_out_of_the_folder_or_a_fifo_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside.json").write_text("{}")
    place = tmp_path / "disk" / "annotations"
    place.mkdir(parents=True)
    (place / "instances_a.json").symlink_to(tmp_path / "outside.json")
    os.mkfifo(place / "instances_b.json")
    for split, word in (("a", "a link that leads out"), ("b", "a FIFO")):
        for use in ("in-place", "copy", "hardlink"):
            settings = json.dumps({"folder": str(tmp_path / "disk"), "splits": [split], "use": use})
            result = script(
                "sync_annotations.py", "--settings", settings, "--out-dir", tmp_path / "out", "--lock",
                tmp_path / "lock.json", timeout=20,
            )  # fmt: skip
            assert result.code == 1
            assert word in result.err
            assert not (tmp_path / "out" / f"instances_{split}.json").exists()
