"""A whole prefix, fetched and published: what fits, what is there already, names in the way, origins that fail long."""

import gzip
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cocomine.base.errors import CocomineError
from cocomine.transfer import bucket_sync, publishing
from cocomine.transfer.attempts import HOPELESS
from cocomine.transfer.behaviour import Behaviour
from cocomine.transfer.gcs import Bucket
from cocomine.transfer.receiving import Target
from cocomine.transfer.records import Want
from cocomine.transfer.settings import OriginSettings
from helpers.gcs_server import GcsServer
from helpers.sync import Result, script, tree

QUICK = ("--first-wait", "0.02", "--stall", "2", "--tries", "3")


@pytest.fixture
def server() -> Iterator[GcsServer]:
    made = GcsServer(page=100)
    made.buckets["b"] = {}
    with made:
        yield made


@pytest.fixture
def here(server: GcsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Syncs in this process find the server."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)


def sync(server: GcsServer, *arguments: object) -> Result:
    return script("sync_bucket.py", *arguments, *QUICK, env={"STORAGE_EMULATOR_HOST": server.url})


def put_all(server: GcsServer, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        server.put("b", f"p/{name}", data)


def folder_of(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def held(server: GcsServer, prefix: str = "p/") -> dict[str, bytes]:
    return {name.removeprefix(prefix): b.data for name, b in server.buckets["b"].items() if name.startswith(prefix)}


# -- before the first byte


@pytest.mark.usefixtures("here")
def test_a_large_object_at_the_end_of_the_listing_stops_the_sync_before_its_first_byte(
    tmp_path: Path, server: GcsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_all(server, {f"{number:04d}": bytes(10) for number in range(600)} | {"z": bytes(2_000_000)})
    monkeypatch.setattr(bucket_sync, "free_bytes", lambda folder: 1_500_000)
    with pytest.raises(CocomineError, match=r"2\.0 MB are needed and 1\.5 MB are free"):
        bucket_sync.download(OriginSettings("gs://b/p"), tmp_path / "out", bucket_sync.SyncOptions())
    assert not server.requests("media")
    assert tree(tmp_path / "out") == {}


def test_a_plan_says_files_bytes_what_is_there_and_the_free_disk_and_does_nothing(
    tmp_path: Path, server: GcsServer
) -> None:
    put_all(server, {"a": b"12345", "b/c": b"123456", "same": b"same"})
    out = folder_of(tmp_path / "out", {"same": b"same", "extra": b"x"})
    for option, names in (("--plan", []), ("-n", ["a", "b/c"])):
        said = sync(server, "gs://b/p", out, option, "-d").ok().err
        assert "Plan: 2 files to fetch, 11 B (11 bytes); 1 there already, 1 to remove; " in said
        assert " free" in said
        assert [line.split()[2] for line in said.splitlines() if line.startswith("Would copy")] == names
    assert sorted(path.name for path in out.iterdir()) == ["extra", "same"]
    assert not server.requests("media")
    said = sync(server, out, "gs://b/p", "--plan", "-d").ok().err
    assert "Plan: 1 files to publish, 1 B (1 bytes); 1 there already, 2 to remove" in said
    assert not server.requests("upload")
    assert not (out / ".cocomine").exists()


def test_500_objects_added_to_a_bucket_of_many_fetch_500(tmp_path: Path, server: GcsServer) -> None:
    many = {f"{number:06d}.jpg": b"%d" % number for number in range(2500)}
    put_all(server, many)
    sync(server, "gs://b/p", tmp_path / "out").ok()
    added = {f"{number:06d}.jpg": b"%d" % number for number in range(1000, 6000, 10) if number >= 2500} | {
        f"{number:06d}-b.jpg": b"b" for number in range(150)
    }
    assert len(added) == 500
    put_all(server, added)
    before = len(server.requests("media"))
    sync(server, "gs://b/p", tmp_path / "out").ok()
    assert sorted(server.requests("media")[before:]) == sorted(f"p/{name}" for name in added)
    sync(server, "gs://b/p", tmp_path / "out").ok()
    assert len(server.requests("media")) == before + 500
    assert tree(tmp_path / "out") == many | added


# -- placeholders, names in the way, hostile metadata


def test_placeholders_take_no_part_in_either_direction(tmp_path: Path, server: GcsServer) -> None:
    stand_ins = {"": b"", "folder/": b"", "old_$folder$": b""}
    put_all(server, stand_ins | {"folder/x": b"x"})
    sync(server, "gs://b/p", tmp_path / "out").ok()
    assert tree(tmp_path / "out") == {"folder/x": b"x"}
    sync(server, tmp_path / "out", "gs://b/p", "-d").ok()
    assert held(server) == stand_ins | {"folder/x": b"x"}


def test_a_source_of_placeholders_does_not_empty_a_folder(tmp_path: Path, server: GcsServer) -> None:
    put_all(server, {"": b""})
    out = folder_of(tmp_path / "out", {"precious": b"mine"})
    assert "--allow-empty" in sync(server, "gs://b/p", out, "-d").err
    assert tree(out) == {"precious": b"mine"}


def test_links_to_folders_are_no_extras_and_are_passed_over_when_published(tmp_path: Path, server: GcsServer) -> None:
    put_all(server, {"x": b"x"})
    elsewhere = folder_of(tmp_path / "elsewhere", {"y": b"y"})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(elsewhere)
    sync(server, "gs://b/p", tmp_path / "out", "-d").ok()
    assert (tmp_path / "out" / "link").is_symlink()
    said = sync(server, tmp_path / "out", "gs://b/q").ok().err
    assert "Passed over, a symlink to a folder: link" in said
    assert held(server, "q/") == {"x": b"x"}


@pytest.mark.parametrize("text", ["\u00b2", "9" * 30, str(2**62), "1600000000000"])
def test_one_hostile_time_spoils_neither_this_sync_nor_the_next(tmp_path: Path, server: GcsServer, text: str) -> None:
    put_all(server, {"a": b"a", "c": b"c"})
    server.put("b", "p/b", b"b", metadata={"goog-reserved-file-mtime": text})
    for _ in range(2):
        sync(server, "gs://b/p", tmp_path / "out").ok()
    assert tree(tmp_path / "out") == {"a": b"a", "b": b"b", "c": b"c"}
    assert len(server.requests("media")) == 3


# -- single objects


@pytest.mark.usefixtures("here")
def test_a_time_that_a_disk_cannot_hold_fails_its_own_file_only(tmp_path: Path, server: GcsServer) -> None:
    (tmp_path / "staging").mkdir()
    names = [f"{number}" for number in range(20)]
    put_all(server, {name: name.encode() for name in names})
    wants = [Want(name, name, mtime_ns=2**100 if name == "7" else 0) for name in names]
    target = Target(tmp_path, tmp_path / "staging", lambda count: None, Behaviour(connections=2, tries=2))
    outcomes = {outcome.name: outcome for outcome in Bucket(OriginSettings("gs://b/p")).fetch(wants, target)}
    assert len(outcomes) == 20
    assert "out of range" in outcomes.pop("7").reason
    assert {outcome.status for outcome in outcomes.values()} == {"ok"}


@pytest.mark.parametrize("status", [501, 507, 520, 529])
def test_any_5xx_is_tried_again(tmp_path: Path, server: GcsServer, status: int) -> None:
    put_all(server, {"a": b"a"})
    server.fault = lambda asked: {"status": status} if asked.count == 0 else None  # the listing and the object
    sync(server, "gs://b/p", tmp_path / "out").ok()
    assert tree(tmp_path / "out") == {"a": b"a"}


def test_a_body_of_another_length_uses_up_the_tries(tmp_path: Path, server: GcsServer) -> None:
    put_all(server, {f"{number:02d}": os.urandom(100) for number in range(20)})
    server.fault = lambda asked: {"short": 100} if asked.name == "p/19" and asked.kind == "media" else None
    assert sync(server, "gs://b/p", tmp_path / "out", "--connections", "1").code == 1
    assert server.requests("media").count("p/19") == 3
    assert len(tree(tmp_path / "out")) == 19


def test_an_origin_that_failed_for_long_is_still_asked_once_for_each_of_the_rest(
    tmp_path: Path, server: GcsServer
) -> None:
    files = {f"{number:03d}": b"%d" % number for number in range(200)}
    put_all(server, files)
    failing = 3 * HOPELESS
    server.fault = lambda asked: (
        {"status": 503} if asked.kind == "media" and len(server.requests("media")) <= failing else None
    )
    result = sync(server, "gs://b/p", tmp_path / "out", "--connections", "8")
    assert result.code == 1
    arrived = tree(tmp_path / "out")
    lacking = sorted(files.keys() - arrived.keys())
    assert 0 < len(lacking) <= failing
    assert all(name in result.err for name in lacking)
    assert set(server.requests("media")) == {f"p/{name}" for name in files}
    server.fault = None
    sync(server, "gs://b/p", tmp_path / "out").ok()
    assert tree(tmp_path / "out") == files


def test_an_origin_that_is_down_is_not_waited_for_file_by_file(tmp_path: Path, server: GcsServer) -> None:
    put_all(server, {f"{number:03d}": b"x" for number in range(300)})
    server.fault = lambda asked: {"status": 503} if asked.kind == "media" else None
    assert sync(server, "gs://b/p", tmp_path / "out", "--connections", "8").code == 1
    assert 300 <= len(server.requests("media")) < 300 + 3 * HOPELESS


# -- errors here, and what is named when a sync ends early


def test_files_refused_so_far_are_named_when_the_listing_fails(tmp_path: Path, server: GcsServer) -> None:
    put_all(server, {"../evil": b"x"} | {f"{number:03d}": b"x" for number in range(150)})
    server.fault = lambda asked: {"status": 403} if asked.kind == "list" and asked.count else None
    result = sync(server, "gs://b/p", tmp_path / "out")
    assert result.code == 1
    assert "../evil" in result.err
    assert "access refused" in result.err


@pytest.mark.usefixtures("here")
def test_a_local_file_that_cannot_be_read_stops_nothing(
    tmp_path: Path, server: GcsServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put_all(server, {"a": b"a", "b": b"b", "c": b"c"})
    out = folder_of(tmp_path / "out", {"a": b"a", "b": b"b"})

    def digest(path: Path) -> object:
        if path.name == "b":
            raise PermissionError(13, "Permission denied")
        return real(path)

    real = bucket_sync.digest_of_file
    monkeypatch.setattr(bucket_sync, "digest_of_file", digest)
    monkeypatch.setattr(publishing, "digest_of_file", digest)
    bucket_sync.download(OriginSettings("gs://b/p"), out, bucket_sync.SyncOptions())
    assert tree(out) == {"a": b"a", "b": b"b", "c": b"c"}
    with pytest.raises(CocomineError, match="b: permission denied"):
        publishing.upload(out, OriginSettings("gs://b/q"), bucket_sync.SyncOptions())
    assert held(server, "q/") == {"a": b"a", "c": b"c"}


# -- publishing


def test_other_bytes_of_the_same_size_and_second_are_published(tmp_path: Path, server: GcsServer) -> None:
    up = folder_of(tmp_path / "up", {"a": b"AAAA", "b": b"same"})
    sync(server, up, "gs://b/p").ok()
    stat = (up / "a").stat()
    for nanoseconds in (1, 0):  # another time within the second; then the very time, and a ledger that is not there
        data = b"BBBB" if nanoseconds else b"CCCC"
        (up / "a").write_bytes(data)
        os.utime(up / "a", ns=(stat.st_atime_ns, stat.st_mtime_ns // 10**9 * 10**9 + nanoseconds))
        if not nanoseconds:
            (up / ".cocomine" / "ledger.jsonl").unlink()
        sync(server, up, "gs://b/p").ok()
        assert held(server) == {"a": data, "b": b"same"}
    assert server.requests("upload").count("p/b") == 1


def test_the_manifest_says_what_the_bucket_holds_not_what_the_disk_does(tmp_path: Path, server: GcsServer) -> None:
    put_all(server, {"kept": b"the bucket's"})
    up = folder_of(tmp_path / "up", {"kept": b"ours", "new": b"new"})
    for _ in range(2):  # sent, then found equal
        sync(server, up, "gs://b/p", "-i", "--manifest", "sums.json").ok()
        rows = json.loads(held(server)["sums.json"])["files"]
        assert {name: row["bytes"] for name, row in rows.items()} == {"kept": 12, "new": 3}
        assert "sha256" not in rows["kept"]
    sync(server, up, "gs://b/p", "--manifest", "sums.json").ok()
    rows = json.loads(held(server)["sums.json"])["files"]
    assert {name: (row["bytes"], len(row["sha256"])) for name, row in rows.items()} == {"kept": (4, 64), "new": (3, 64)}


def test_a_manifest_that_a_server_refuses_at_first_is_tried_again(tmp_path: Path, server: GcsServer) -> None:
    up = folder_of(tmp_path / "up", {"a": b"a"})
    server.fault = lambda asked: {"status": 503} if asked.name == "p/sums.json" and asked.count == 0 else None
    sync(server, up, "gs://b/p", "--manifest", "sums.json").ok()
    server.fault = lambda asked: {"status": 403} if asked.name == "p/sums.json" else None
    result = sync(server, up, "gs://b/p", "--manifest", "sums.json")
    assert result.code == 1
    assert "refused: HTTP 403: sums.json" in result.err


def test_a_manifest_leads_nowhere_else_and_replaces_no_file(tmp_path: Path, server: GcsServer) -> None:
    up = folder_of(tmp_path / "up", {"a": b"a", "sums.json": b"mine"})
    for name, advice in (("../x", "path part '..'"), ("sums.json", "the folder has a file of that name")):
        result = sync(server, up, "gs://b/p", "--manifest", name)
        assert result.code == 1
        assert advice in result.err
    assert held(server) == {}
    assert "give --manifest" in sync(server, up, "gs://b/p", "--lock", tmp_path / "lock").err
    assert "give --lock" in sync(server, "gs://b/p", up, "--manifest", "sums.json").err


def test_an_extra_that_changed_meanwhile_is_not_removed(tmp_path: Path, server: GcsServer) -> None:
    up = folder_of(tmp_path / "up", {"a": b"a"})
    put_all(server, {"extra": b"old", "gone": b"old"})

    def change(asked: object) -> None:
        if getattr(asked, "kind", "") == "upload":
            server.put("b", "p/extra", b"someone's new")

    server.fault = change
    result = sync(server, up, "gs://b/p", "-d")
    assert result.code == 1
    assert "cannot be removed: the object was changed by someone else meanwhile: extra" in result.err
    assert held(server) == {"a": b"a", "extra": b"someone's new"}


def test_retry_after_is_waited_for_when_publishing(tmp_path: Path, server: GcsServer) -> None:
    moments: list[float] = []

    def later(asked: object) -> dict[str, object] | None:
        if getattr(asked, "kind", "") != "upload":
            return None
        moments.append(time.monotonic())
        return {"status": 429, "headers": {"Retry-After": "1"}} if len(moments) == 1 else None

    server.fault = later
    sync(server, folder_of(tmp_path / "up", {"a": b"a"}), "gs://b/p").ok()
    assert moments[1] - moments[0] >= 1.0


# -- the lock of a prefix


def test_a_lock_holds_each_object_whatever_is_on_the_disk(tmp_path: Path, server: GcsServer) -> None:
    put_all(server, {"a": b"aaa", "b": b"bbb", "left": b"bucket's"})
    out = folder_of(tmp_path / "out", {"left": b"mine", "only here": b"x"})
    sync(server, "gs://b/p", out, "-i").ok()  # without a lock: no SHA-256 is taken
    lock = tmp_path / "lock"
    sync(server, "gs://b/p", out, "-i", "--lock", lock).ok()
    rows = {row[0]: row for row in map(json.loads, lock.read_text().splitlines())}
    assert sorted(rows) == ["a", "b", "left"]
    assert [len(rows[name][4]) for name in ("a", "b", "left")] == [64, 64, 0]
    assert rows["left"][1] == len(b"bucket's")
    sync(server, "gs://b/p", tmp_path / "fresh", "--lock", lock, "--locked").ok()
    assert tree(tmp_path / "fresh") == {"a": b"aaa", "b": b"bbb", "left": b"bucket's"}
    sync(server, "gs://b/p", tmp_path / "less", "--lock", lock, "--locked", "-x", "left").ok()


def test_a_packed_object_that_changed_breaks_the_lock(tmp_path: Path, server: GcsServer) -> None:
    server.put("b", "p/x", gzip.compress(b"one"), encoding="gzip")
    lock = tmp_path / "lock"
    sync(server, "gs://b/p", tmp_path / "out", "--lock", lock).ok()
    sync(server, "gs://b/p", tmp_path / "out", "--lock", lock, "--locked").ok()
    server.put("b", "p/x", gzip.compress(b"two"), encoding="gzip")
    result = sync(server, "gs://b/p", tmp_path / "out", "--lock", lock, "--locked")
    assert result.code == 1
    assert "changed at the origin" in result.err
