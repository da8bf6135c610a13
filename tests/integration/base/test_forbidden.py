"""What a step says where it may not write, where no more files fit and where no more may be open."""

import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.shared import ROOT
from helpers.small_disk import small_disk

SETTINGS = {"images": 24, "near_duplicates": 1, "broken": 1, "width": 128, "height": 96}


def draw_into(folder: Path, before: Callable[[], None] | None = None) -> "subprocess.CompletedProcess[str]":
    """Draw a bucket of many files, with four workers."""
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "make_demo_bucket.py"), "--settings", json.dumps(SETTINGS),
         "--out-dir", str(folder), "--manifest", str(folder / "bucket.json"), "--threads", "4"],
        capture_output=True, text=True, timeout=120, preexec_fn=before,
    )  # fmt: skip


@pytest.mark.parametrize("most", [9, 14])
def test_too_many_open_files_are_said_and_leave_no_worker_waiting(tmp_path: Path, most: int) -> None:
    done = draw_into(tmp_path / "bucket", lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most)))
    assert done.returncode == 1
    assert "too many files are open at once\nHint: raise the limit (ulimit -n 4096)" in done.stderr


def test_a_disk_without_inodes_is_said_to_be_full_of_files_and_not_of_bytes(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size=1 << 26, files=20) as disk:
        done = draw_into(disk / "bucket")
    assert done.returncode == 1
    assert re.search(r"the disk is full: (no|\d+) inodes \(files\) are left", done.stderr), done.stderr
    assert "Hint: make room there" in done.stderr


def test_a_read_only_disk_is_said_to_be_one(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size=1 << 20) as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        done = draw_into(disk / "bucket")
    assert done.returncode == 1
    assert f"{disk / 'bucket'}: this disk is read-only\nHint: build on a disk that can be written" in done.stderr
