"""What a machine fetches once: whoever asks, however often, and never a byte that is not as it was fetched."""

import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cocomine.base.objects import fetch_once

IDENTITY = "s3://bucket/photographs.tar 10 etag"


class Origin:
    """Fetches a content to a path, and notes each time."""

    def __init__(self, path: Path, content: bytes, seconds: float = 0) -> None:
        self.path, self.content, self.seconds = path, content, seconds

    def __call__(self) -> None:
        with open(self.path.parent / "asked", "a", encoding="utf-8") as asked:
            asked.write("once\n")
        time.sleep(self.seconds)
        self.path.write_bytes(self.content)

    @property
    def asked(self) -> int:
        """How often it was asked for anything beside its path."""
        path = self.path.parent / "asked"
        return len(path.read_text().splitlines()) if path.exists() else 0


def kept(folder: Path) -> Path:
    """The one content that is kept."""
    (path,) = (path for path in folder.glob("cocomine-*/*") if path.is_file() and path.suffix != ".kept")
    return path


def test_jobs_that_ask_at_once_fetch_once(tmp_path: Path) -> None:
    paths = [tmp_path / f"job{number}.tar" for number in range(4)]
    jobs = [
        multiprocessing.get_context("fork").Process(
            target=fetch_once, args=(tmp_path / "scratch", IDENTITY, path, Origin(path, b"photograph", 0.3))
        )
        for path in paths
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0] * 4
    assert {path.read_bytes() for path in paths} == {b"photograph"}
    assert Origin(paths[0], b"").asked == 1


@pytest.mark.parametrize("damage", [b"photogra", b"photogrAph", None])
def test_what_was_damaged_is_fetched_again(tmp_path: Path, damage: bytes | None) -> None:
    path, scratch = tmp_path / "job.tar", tmp_path / "scratch"
    origin = Origin(path, b"photograph")
    fetch_once(scratch, IDENTITY, path, origin)
    kept(scratch).unlink() if damage is None else kept(scratch).write_bytes(damage)
    for asked in (2, 2):
        path.unlink()
        fetch_once(scratch, IDENTITY, path, origin)
        assert path.read_bytes() == b"photograph"
        assert origin.asked == asked


def test_another_content_of_the_name_is_fetched(tmp_path: Path) -> None:
    path, scratch = tmp_path / "job.tar", tmp_path / "scratch"
    fetch_once(scratch, IDENTITY, path, Origin(path, b"photograph"))
    fetch_once(scratch, f"{IDENTITY}2", path, Origin(path, b"another"))
    assert path.read_bytes() == b"another"
    fetch_once(scratch, IDENTITY, path, Origin(path, b"never"))
    assert path.read_bytes() == b"photograph"


def test_a_disk_that_is_full_keeps_nothing_and_fails_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path, scratch = tmp_path / "job.tar", tmp_path / "scratch"
    monkeypatch.setattr(shutil, "copyfile", full)
    fetch_once(scratch, IDENTITY, path, Origin(path, b"photograph"))
    assert path.read_bytes() == b"photograph"
    monkeypatch.undo()
    fetch_once(scratch, IDENTITY, path, Origin(path, b"photograph"))
    assert Origin(path, b"").asked == 2


def no_folder(scratch: Path) -> None:
    scratch.write_text("a file", encoding="ascii")


def of_another(scratch: Path) -> None:
    (scratch / f"cocomine-{os.getuid()}").mkdir(parents=True)
    os.chown(scratch / f"cocomine-{os.getuid()}", 12345, 12345)


def a_link(scratch: Path) -> None:
    scratch.mkdir()
    (scratch / f"cocomine-{os.getuid()}").symlink_to(scratch.parent)


@pytest.mark.parametrize("spoil", [no_folder, of_another, a_link])
def test_a_scratch_that_cannot_be_trusted_or_used_keeps_nothing_and_fails_nothing(
    tmp_path: Path, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    if spoil is of_another and os.getuid():
        pytest.skip("not run: only root can give a folder to another user")
    path, scratch = tmp_path / "job.tar", tmp_path / "scratch"
    spoil(scratch)
    for asked in (1, 2):
        fetch_once(scratch, IDENTITY, path, Origin(path, b"photograph"))
        assert path.read_bytes() == b"photograph"
        assert Origin(path, b"").asked == asked
    assert "nothing is kept there" in caplog.text


def test_who_dies_while_taking_leaves_nothing_that_could_be_taken_for_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def halfway(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:5])
        time.sleep(60)

    path, scratch = tmp_path / "taken" / "job.tar", tmp_path / "scratch"
    path.parent.mkdir()
    origin = Origin(path, b"photograph")
    fetch_once(scratch, IDENTITY, path, origin)
    path.unlink()
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfile", halfway)
        dying = multiprocessing.get_context("fork").Process(target=fetch_once, args=(scratch, IDENTITY, path, origin))
        dying.start()
        while not any(
            one.stat().st_size == 5 for one in path.parent.rglob("*") if one.name != "asked" and one.is_file()
        ):
            time.sleep(0.01)
        dying.kill()
        dying.join()
    assert not path.exists()
    fetch_once(scratch, IDENTITY, path, origin)
    assert path.read_bytes() == b"photograph"
    assert origin.asked == 1


def test_who_dies_while_fetching_leaves_it_to_the_next(tmp_path: Path) -> None:
    path, scratch = tmp_path / "job.tar", tmp_path / "scratch"
    dying = multiprocessing.get_context("fork").Process(
        target=fetch_once, args=(scratch, IDENTITY, path, Origin(path, b"photograph", 60))
    )
    dying.start()
    while not Origin(path, b"").asked:
        time.sleep(0.01)
    dying.kill()
    dying.join()
    fetch_once(scratch, IDENTITY, path, Origin(path, b"photograph"))
    assert path.read_bytes() == b"photograph"
