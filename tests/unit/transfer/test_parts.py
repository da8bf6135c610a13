"""The small parts of a sync: checksums, the ledger, staging, sorted walks, grouping, Retry-After."""

import fcntl
import hashlib
import os
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from cocomine.transfer.attempts import retry_after
from cocomine.transfer.digests import Digester, base64_of_hex, hex_of_base64
from cocomine.transfer.ledger import FOLDER, Entry, Ledger
from cocomine.transfer.listing import Filter, LocalFile, side_by_side, walk
from cocomine.transfer.records import Facts, Want
from cocomine.transfer.staging import staging
from cocomine.transfer.zips import Member, grouped
from hypothesis import given
from hypothesis import strategies as st


def test_checksums_are_those_that_buckets_publish() -> None:
    digest = Digester()
    digest.update(b"1234")
    digest.update(b"56789")
    assert digest.crc32c == "e3069283"  # the check value of RFC 3720's CRC
    assert digest.md5 == hashlib.md5(b"123456789").hexdigest()
    assert digest.sha256 == hashlib.sha256(b"123456789").hexdigest()
    assert hex_of_base64(base64_of_hex(digest.md5)) == digest.md5
    assert hex_of_base64("not base64!") == ""


def entry(name: str, count: int = 1) -> Entry:
    return Entry(name, count, 2, "m", "s", "c", "g", "e", "o")


def test_a_torn_line_of_the_ledger_spoils_nothing_else(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l")
    ledger.append([entry("a"), entry("b")])
    with open(tmp_path / "l", "ab") as file:
        file.write(b'["c",1,2,"m"')
    ledger.append([entry("d"), entry("a", 5)])
    assert ledger.read() == {"a": entry("a", 5), "b": entry("b"), "d": entry("d")}


def test_a_ledger_that_grew_is_compacted_and_says_the_same(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l")
    for number in range(1500):
        ledger.append([entry("a", number)])
    ledger.close()
    before = ledger.read()
    ledger.compact()
    assert ledger.read() == before == {"a": entry("a", 1499)}
    assert (tmp_path / "l").stat().st_size < 200


def test_a_sync_that_ends_leaves_the_folder_in_which_another_makes_its_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def after_another_s_end(path: Any, *how: int, **more: Any) -> int:
        if str(path).endswith("ledger.jsonl"):
            with staging(tmp_path):
                pass
        return opened(path, *how, **more)

    monkeypatch.setattr(os, "open", after_another_s_end)
    ledger = Ledger(tmp_path / FOLDER / "ledger.jsonl")
    ledger.append([entry("a")])
    ledger.close()
    assert ledger.read() == {"a": entry("a")}


def test_what_a_killed_run_left_is_swept_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    parent = tmp_path / ".cocomine" / "incomplete"
    (parent / "dead").mkdir(parents=True)
    (parent / "dead" / "lock").touch()
    (parent / "dead" / "half").write_text("x")
    (parent / "alive").mkdir()
    descriptor = os.open(parent / "alive" / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with staging(tmp_path) as mine:
        assert mine.is_dir()
        assert sorted(path.name for path in parent.iterdir()) == sorted(["alive", mine.name])
    assert not mine.exists()
    os.close(descriptor)


@pytest.mark.slow
@given(
    st.sets(
        st.text("ab./-é", min_size=1, max_size=6).filter(lambda n: "/" not in n and n not in (".", "..")), max_size=8
    )
)
def test_a_walk_is_sorted_as_buckets_sort(names: set[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            (Path(folder) / name).mkdir()
            (Path(folder) / name / "x").touch()
            if f"{name}.txt" not in names:
                (Path(folder) / f"{name}.txt").touch()
        found = [file.name for file in walk(Path(folder))]
    assert found == sorted(found, key=str.encode)


def test_two_sorted_lists_are_laid_side_by_side() -> None:
    remote = iter([Facts("a", 1), Facts("c", 1), Facts("d", 1)])
    local = iter([LocalFile("b", 1, 1), LocalFile("c", 1, 1), LocalFile("e", 1, 1)])
    seen = [(name, r is not None, o is not None) for name, r, o in side_by_side(remote, local)]
    assert seen == [("a", True, False), ("b", False, True), ("c", True, True), ("d", True, False), ("e", False, True)]


def test_filters_match_from_the_beginning_as_gsutil_does() -> None:
    names = Filter.of(["sub/", r".*\.tmp$"], [])
    assert [names(n) for n in ("sub/x", "a/sub/x", "x.tmp", "x.tmp2")] == [False, True, False, True]
    assert [Filter.of([], [r".*\.jpg$"])(n) for n in ("a.jpg", "a.png")] == [True, False]


def test_retry_after_is_read_as_seconds_or_as_a_date() -> None:
    assert retry_after("7") == 7.0
    assert 3 < retry_after(formatdate(time.time() + 5, usegmt=True)) <= 5
    assert retry_after("soon") == retry_after("") == 0.0
    assert retry_after("99999") == 300.0


def test_only_members_side_by_side_share_a_request() -> None:
    def member(start: int, end: int) -> tuple[Want, Member]:
        return Want(str(start), str(start)), Member(str(start), start, end, end - start, end - start, 0, 0, False)

    groups = grouped([member(100, 200), member(0, 100), member(5000, 6000), member(200, 1000)])
    assert [[w.name for w, _ in group] for group in groups] == [["0", "100", "200"], ["5000"]]
