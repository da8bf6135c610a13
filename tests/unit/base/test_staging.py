"""What staging promises: a dead writer's leftovers go with the next run, a living one's stay; a swap is whole."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cocomine.base import folder as folders
from cocomine.base import staging
from cocomine.base.errors import CocomineError
from cocomine.base.files import atomic_path, write_text
from cocomine.base.folder import put_in_place, replaced_folder
from helpers.shared import ROOT

WRITER = """
import sys, time
from pathlib import Path
from cocomine.base.files import atomic_path
with atomic_path(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def writer(target: Path) -> "subprocess.Popen[str]":
    """Start a process that writes `target` and never ends, and wait until it has begun."""
    command = [sys.executable, "-c", WRITER, str(target)]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT / "scripts")
    assert started.stdout is not None
    assert started.stdout.readline() == "writing\n"
    return started


def kill(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_the_next_writer_removes_what_a_killed_one_left_and_the_file_is_as_before(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    kill(writer(tmp_path / "a.txt"))
    assert (tmp_path / "a.txt").read_text() == "old"
    assert list((tmp_path / ".incomplete").rglob("a.txt"))
    write_text(tmp_path / "b.txt", "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.txt"]


def test_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    living = writer(tmp_path / "a.txt")
    write_text(tmp_path / "b.txt", "new")
    staging.sweep(tmp_path / ".incomplete")
    assert list((tmp_path / ".incomplete").rglob("a.txt"))
    kill(living)
    staging.sweep(tmp_path / ".incomplete")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.txt"]


def test_what_a_run_had_not_removed_when_it_was_killed_goes_with_the_next(tmp_path: Path) -> None:
    with staging.staging(tmp_path / ".incomplete") as folder:
        (folder / "masks").mkdir()
        (folder / "lock").unlink()  # which came first
        shutil.copytree(folder, tmp_path / ".incomplete" / "1-killed")
    write_text(tmp_path / "b.txt", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["b.txt"]


def test_without_file_locks_nothing_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill(writer(tmp_path / "a.txt"))

    def no_locks(*_: object) -> None:
        raise OSError(staging.errno.ENOLCK, "No locks available")

    monkeypatch.setattr(staging.fcntl, "flock", no_locks)
    write_text(tmp_path / "b.txt", "new")
    assert list((tmp_path / ".incomplete").rglob("a.txt"))


@pytest.mark.parametrize("swaps", [True, False], ids=["exchange", "without-exchange"])
def test_a_folder_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swaps: bool) -> None:
    if not swaps:
        monkeypatch.setattr(folders, "exchange", lambda *_: False)
    for text in ("one", "two"):
        with replaced_folder(tmp_path / "masks", "done") as made:
            (made / "done").write_text(text)
            (made / text).touch()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["done", "masks", "two"]


def test_a_folder_of_the_users_own_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(CocomineError, match=r"mine: not empty"), replaced_folder(tmp_path / "mine", "done"):
        pass
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_a_folder_that_another_run_has_put_there_a_moment_ago_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("masks", "own/masks"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / place.replace("/", "-")).touch()
    monkeypatch.setattr(Path, "exists", lambda _: False)  # what a look before that would have seen
    put_in_place(tmp_path / "own" / "masks", tmp_path / "masks", tmp_path / "own")
    assert [path.name for path in (tmp_path / "masks").iterdir()] == ["own-masks"]


@pytest.mark.parametrize("destination", ["there", "nowhere"])
def test_a_folder_takes_the_place_of_a_link_and_leaves_what_that_led_to(tmp_path: Path, destination: str) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "theirs").touch()
    (tmp_path / "masks").symlink_to(destination)
    with staging.staging(tmp_path / ".incomplete") as own:
        (own / "masks").mkdir()
        put_in_place(own / "masks", tmp_path / "masks", own)
    assert not (tmp_path / "masks").is_symlink()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["masks", "theirs", "there"]


KILLED_SWAP = """
import os, signal, sys
from pathlib import Path
from cocomine.base import folder as folders
count, kept = int(sys.argv[2]), Path.rename
if sys.argv[3] == "without-exchange":
    folders.exchange = lambda *_: False
def passing(call):
    def wrapped(*arguments):
        global count
        result = call(*arguments)
        count -= 1
        if not count:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return wrapped
folders.exchange, Path.rename = passing(folders.exchange), passing(Path.rename)
with folders.replaced_folder(Path(sys.argv[1]), "done") as made:
    (made / "done").write_text("new")
"""


@pytest.mark.parametrize("how", ["exchange", "without-exchange"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_kill_during_the_swap_leaves_the_old_or_the_new_folder(tmp_path: Path, how: str, count: int) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "done").write_text("old")
    command = [sys.executable, "-c", KILLED_SWAP, str(tmp_path / "masks"), str(count), how]
    done = subprocess.run(command, cwd=ROOT / "scripts")
    assert done.returncode in (0, -signal.SIGKILL)
    staging.sweep(tmp_path / ".incomplete")
    assert (tmp_path / "masks" / "done").read_text() in ("old", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["masks"]


POOL = """
import os, sys, time
from cocomine.base.pool import in_order
def work(number):
    os.write(1, b"%d\\n" % os.getpid())
    time.sleep(60)
list(in_order(work, range(2), 2))
"""


def test_workers_end_with_the_process_that_started_them() -> None:
    started = subprocess.Popen([sys.executable, "-c", POOL], stdout=subprocess.PIPE, text=True, cwd=ROOT / "scripts")
    assert started.stdout is not None
    workers = [int(started.stdout.readline()) for _ in range(2)]
    started.kill()
    started.wait()
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.02)
    started.stdout.close()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_name_as_long_as_the_disk_allows_can_be_written(tmp_path: Path) -> None:
    name = "x" * os.pathconf(tmp_path, "PC_NAME_MAX")
    with atomic_path(tmp_path / name) as temporary:
        temporary.touch()
    assert [path.name for path in tmp_path.iterdir()] == [name]
