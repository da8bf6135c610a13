"""Small parts of moving bytes: gzip members, times, tokens, redirects, staging beside another run."""

import gzip
import shutil
import tracemalloc
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cocomine.base import staging as staging_module
from cocomine.base.errors import CocomineError
from cocomine.transfer.behaviour import Behaviour
from cocomine.transfer.gcs import Bucket, mtime_of
from cocomine.transfer.listing import walk
from cocomine.transfer.names import collisions
from cocomine.transfer.s3_origin import S3
from cocomine.transfer.settings import OriginSettings
from cocomine.transfer.staging import staging
from cocomine.transfer.unpacking import gunzipped
from cocomine.transfer.web import Web
from helpers.range_server import RangeServer

CREATED = datetime(2023, 11, 14, tzinfo=UTC)


def pieces(data: bytes, count: int) -> list[bytes]:
    return [data[start : start + count] for start in range(0, len(data), count)]


@pytest.mark.parametrize("count", [1, 7, 1000])
def test_every_member_of_a_gzip_object_is_unpacked(count: int) -> None:
    plain = [bytes(range(256)) * 30, b"", b"second"]
    packed = b"".join(map(gzip.compress, plain)) + bytes(100)
    assert b"".join(gunzipped(pieces(packed, count))) == b"".join(plain)
    assert b"".join(gunzipped([])) == b""


def test_a_gzip_object_that_ends_too_early_or_goes_on_as_something_else_is_an_error() -> None:
    packed = gzip.compress(bytes(1000)) + gzip.compress(b"second")
    for wrong in (packed[:-3], packed + b"no gzip", packed + packed[:5]):
        with pytest.raises(zlib.error):
            list(gunzipped(pieces(wrong, 50)))


def test_a_gzip_bomb_is_unpacked_in_small_pieces() -> None:
    packed = gzip.compress(bytes(100_000_000))
    tracemalloc.start()
    assert sum(map(len, gunzipped([packed]))) == 100_000_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize("text", ["\u00b2", "1e9", "-5", "", "9" * 30, "1600000000000", "\u0661\u0662"])
def test_a_time_that_is_none_gives_the_time_of_creation(text: str) -> None:
    assert mtime_of({"goog-reserved-file-mtime": text}, CREATED) == int(CREATED.timestamp()) * 10**9


def test_many_refusals_of_a_token_renew_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Credentials:
        valid, token, refreshed = True, "t0", 0

        def refresh(self, request: Any) -> None:
            self.refreshed += 1
            self.token = f"t{self.refreshed}"

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    bucket = Bucket(OriginSettings("gs://b"))
    bucket.credentials = Credentials()
    assert bucket.authorization(False) == "Bearer t0"
    assert {bucket.authorization(True) for _ in range(64)} == {"Bearer t1"}


def test_credentials_go_to_no_host_that_an_answer_leads_to(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    with RangeServer(tmp_path) as first, RangeServer(tmp_path) as second:
        for place, sent in ((f"{second.url}/x", ""), ("/x?again", "Bearer secret")):
            first.fault = lambda method, name, count, place=place: (
                {"status": 302, "headers": {"Location": place}} if len(first.authorizations) % 2 else None
            )
            for server in (first, second):
                server.authorizations.clear()
            web = Web(Behaviour(), lambda renew: "Bearer secret")
            assert web.ask("GET", f"{first.url}/x").read() == b"x"
            assert [*first.authorizations, *second.authorizations] == ["Bearer secret", sent]


def test_the_login_in_a_url_is_sent(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    with RangeServer(tmp_path) as server:
        url = server.url.replace("://", "://me:p%40ss@")
        assert Web(Behaviour()).ask("GET", f"{url}/x").read() == b"x"
        assert server.authorizations == ["Basic bWU6cEBzcw=="]


def test_an_unknown_profile_of_s3_is_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody-has-this")
    with pytest.raises(CocomineError, match="nobody-has-this"):
        S3(OriginSettings("s3://b/p"), Behaviour())


def test_another_run_that_ends_at_the_same_moment_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep, turns = staging_module._sweep, iter([True, False])

    def meanwhile(parent: Path) -> None:
        if next(turns):
            shutil.rmtree(tmp_path / ".cocomine")
        sweep(parent)

    monkeypatch.setattr(staging_module, "_sweep", meanwhile)
    with staging(tmp_path) as folder:
        assert folder.is_dir()


def test_a_file_that_vanishes_while_a_folder_is_read_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c/d"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = walk(tmp_path)
    assert next(found).name == "a"
    (tmp_path / "b").unlink()
    shutil.rmtree(tmp_path / "c")
    assert list(found) == []


def test_names_that_a_case_insensitive_disk_cannot_hold_are_told_apart() -> None:
    said = collisions(["A", "B/x", "B/y", "C/D/e", "a/z", "b", "b/Y", "c/d", "c/d/f", "c/g"])
    assert list(said) == ["a/z", "b", "b/Y", "c/d"]
