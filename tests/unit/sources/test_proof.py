"""What holding files to their locks promises: a changed file is named, and the next sync reads it whatever its time."""

import os
from pathlib import Path

import pytest
from cocomine.base.errors import CocomineError
from cocomine.base.files import sha256_of_file, write_json, write_table
from cocomine.sources import proof
from cocomine.sources.selection import COLUMNS
from cocomine.transfer.ledger import Entry, Ledger

NAMES = ("a/1.jpg", "a/2.jpg")


def entry(folder: Path, name: str) -> Entry:
    status = (folder / name).stat()
    return Entry(name, status.st_size, status.st_mtime_ns, "", sha256_of_file(folder / name), "", "", "", "there")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of two images that its ledger remembers, and images.lock.tsv that also has one which never came."""
    for name in NAMES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    Ledger.write(tmp_path / proof.LEDGER, [entry(tmp_path, name) for name in NAMES])
    rows = [(1, NAMES[0], "ok"), (2, NAMES[1], "ok"), (3, "a/3.jpg", "missing")]
    write_table(tmp_path / "lock.tsv", COLUMNS, [(*row, *[None] * (len(COLUMNS) - 3)) for row in rows])
    return tmp_path


def unlike(store: Path) -> str:
    return proof.images_unlike(store / "lock.tsv", store)


def test_a_store_as_remembered_and_one_without_a_lock_say_nothing(store: Path) -> None:
    assert unlike(store) == ""
    assert proof.images_unlike(store / "absent.tsv", store) == ""


def test_an_image_that_is_gone_or_has_another_size_or_time_is_named_by_a_text_of_its_own(store: Path) -> None:
    said = set()
    for change in (
        lambda path: os.utime(path, (0, 0)),
        lambda path: path.write_text("another size"),
        lambda path: path.unlink(),
    ):
        change(store / NAMES[1])
        text = unlike(store)
        assert text.startswith("a/2.jpg (")
        said.add(text)
    assert len(said) == 3


def test_an_annotation_file_is_looked_at_where_it_was_fetched_to_and_where_it_is_in_place(tmp_path: Path) -> None:
    (tmp_path / "instances_val.json").write_text("{}")
    write_json(tmp_path / "sync.lock.json", {"files": {"instances_val.json": {"sha256": "0" * 64}}})
    for ledger in (proof.LEDGER, proof.KEPT / proof.LEDGER):
        Ledger.write(tmp_path / ledger, [entry(tmp_path, "instances_val.json")])
        assert proof.annotations_unlike(tmp_path / "sync.lock.json") == ""
        os.utime(tmp_path / "instances_val.json")
        assert proof.annotations_unlike(tmp_path / "sync.lock.json").startswith("instances_val.json (")
        (tmp_path / ledger).unlink()


def test_a_changed_image_is_named_and_no_longer_known_by_its_size_and_time(store: Path) -> None:
    error = proof.changed_images(store, [NAMES[0]])
    assert "1 image is not as locked" in error.message
    assert NAMES[0] in error.message
    assert "--forcerun sync_images" in error.hint
    assert unlike(store).startswith("a/1.jpg (")
    assert Ledger(store / proof.LEDGER).read()[NAMES[0]].origin == "there"


def test_a_file_that_the_lock_does_not_know_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "sync.lock.json", {"files": {}})
    with pytest.raises(CocomineError, match=r"does not lock instances_val\.json"):
        proof.locked_sha256(tmp_path / "sync.lock.json", "instances_val.json")
