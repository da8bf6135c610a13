"""Stores of links that several subsets read: none takes from another what that one has, or is about to read."""

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cocomine.sources import in_place
from cocomine.sources.in_place import InPlace
from cocomine.sources.merged import MergedStore, PartOfStore
from cocomine.sources.settings import StoreSettings
from cocomine.sources.store import Options
from cocomine.transfer.finding import Folder
from cocomine.transfer.names import FolderGuard

A_WHILE = 0.5  # seconds in which another run would be done, if it did not wait for its turn
NAMES = ["train/1.jpg", "train/deep/2.jpg"]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    for name in (*NAMES, "train/deep/3.jpg"):
        (tmp_path / "disk" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "disk" / name).write_text(name)
    return tmp_path / "disk"


def store(disk: Path) -> InPlace:
    return InPlace(disk.with_name("store"), Folder(disk), Options())


def begun(work: Callable[[], object]) -> tuple[threading.Thread, threading.Event]:
    """Start `work` beside; return its thread, and what is set when it is done."""
    done = threading.Event()
    thread = threading.Thread(target=lambda: (work(), done.set()))
    thread.start()
    return thread, done


def test_what_a_subset_is_still_reading_stays_when_another_s_odd_image_comes(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, others = in_place.digests_in_place, []

    def slow(files: Iterable[tuple[str, Path]]) -> Iterator[Any]:
        if not others:
            others.append(begun(lambda: store(disk).sync(["train/3.jpg"], {})))
            others[0][1].wait(A_WHILE)
        return read(files)

    monkeypatch.setattr(in_place, "digests_in_place", slow)
    store(disk).sync(NAMES, {})
    others[0][0].join()
    assert (disk.with_name("store") / "train/3.jpg").read_text() == "train/deep/3.jpg"
    assert [(disk.with_name("store") / name).read_text() for name in NAMES] == NAMES


def test_what_was_read_through_one_link_can_be_read_while_that_is_parted(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(disk).sync(NAMES, {})
    prepare, seen = FolderGuard.prepare, []

    def looking(guard: FolderGuard, name: str) -> str | None:
        seen.extend((disk.with_name("store") / name).read_text() for name in NAMES)
        return prepare(guard, name)

    monkeypatch.setattr(FolderGuard, "prepare", looking)
    store(disk).sync(["train/3.jpg"], {})
    assert seen == NAMES * 3
    assert not (disk.with_name("store") / "train").is_symlink()
    assert [(disk.with_name("store") / name).read_text() for name in NAMES] == NAMES
    assert sorted(path.name for path in disk.rglob("*.jpg")) == ["1.jpg", "2.jpg", "3.jpg"]


def test_a_merged_source_keeps_what_another_subset_brought_meanwhile(disk: Path) -> None:
    root = disk.with_name("merged")
    settings = StoreSettings(folder=str(disk))
    parts = {"ours.train": PartOfStore(str(disk.with_name("store")), settings, "train", ("train",), False)}
    others = []

    def slowly(*_: object) -> InPlace:
        others.append(begun(lambda: MergedStore(root, parts, lambda *_: store(disk)).sync(["ours.train/1.jpg"], {})))
        others[0][1].wait(A_WHILE)
        return store(disk)

    MergedStore(root, parts, slowly).sync(["ours.train/train/deep/2.jpg"], {})
    others[0][0].join()
    assert (root / "ours.train/1.jpg").read_text() == "train/1.jpg"
    assert (root / "ours.train/train/deep/2.jpg").read_text() == "train/deep/2.jpg"
