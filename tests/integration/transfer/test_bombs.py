"""Archives that unpack to far more than they are: refused before a byte is written, in bounded memory."""

import gzip
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cocomine.base.errors import CocomineError
from cocomine.transfer.attempts import NotServedError
from cocomine.transfer.behaviour import Behaviour
from cocomine.transfer.byte_source import FileSource
from cocomine.transfer.receiving import Target
from cocomine.transfer.records import Want
from cocomine.transfer.unpacking import MOST_DIRECTORY, inflated
from cocomine.transfer.zips import ZipOrigin
from helpers.gcs_server import GcsServer
from helpers.shared import ROOT
from helpers.sync import script, tree

BIG = 80 << 20  # bytes of nothing: packed, a thousandth


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def origin(path: Path, most: int = 100) -> ZipOrigin:
    return ZipOrigin("bomb.zip", lambda: FileSource(path), Behaviour(tries=1), most)


@pytest.fixture
def target(tmp_path: Path) -> Target:
    (tmp_path / "root").mkdir()
    return Target(tmp_path / "root", tmp_path / "root", lambda count: None, Behaviour(tries=1))


def test_a_member_that_is_a_bomb_is_refused_and_its_limit_and_key_are_named(tmp_path: Path, target: Target) -> None:
    path = zip_of(tmp_path / "bomb.zip", {"a.jpg": b"a", "b.jpg": bytes(BIG)})
    wants = [Want("a.jpg", "a.jpg"), Want("b.jpg", "b.jpg")]
    outcomes = {outcome.name: outcome for outcome in origin(path).fetch(wants, target)}
    assert outcomes["a.jpg"].status == "ok"
    assert outcomes["b.jpg"].status == "refused"
    assert "unpacks to 83.9 MB" in outcomes["b.jpg"].reason
    assert "max_unpack_ratio: 100" in outcomes["b.jpg"].reason
    assert [path.name for path in target.root.iterdir()] == ["a.jpg"]
    (outcome,) = origin(path, 2000).fetch(wants[1:], target)
    assert (outcome.status, outcome.bytes) == ("ok", BIG)


def test_a_packed_zip_inside_a_zip_is_held_to_the_same(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "outer.zip", {"inner.zip": bytes(BIG)})
    with pytest.raises(NotServedError, match="max_unpack_ratio: 100"):
        origin(path).nested("inner.zip", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["outer.zip"]


def test_what_would_not_fit_on_the_disk_is_not_begun(
    tmp_path: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cocomine.base.space.free_bytes", lambda folder: 1_000_000)
    path = zip_of(tmp_path / "full.zip", {"a.jpg": b"a", "b.jpg": bytes(2_000_000)})
    with pytest.raises(CocomineError, match=r"needs about 2\.0 MB, and 1\.0 MB are free"):
        list(origin(path).fetch([Want("a.jpg", "a.jpg"), Want("b.jpg", "b.jpg")], target))
    with pytest.raises(CocomineError, match=r"b\.jpg, unpacked, needs about 2\.0 MB"):
        origin(path).nested("b.jpg", tmp_path / "whole").stream(0, 1).__next__()
    assert tree(target.root) == {}


def test_a_member_that_holds_more_than_its_directory_says_is_corrupted_and_takes_little_memory(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "lies.zip", {"a.jpg": bytes(400 << 20)})
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<L", 1000)  # APPNOTE 4.3.12: the uncompressed size
    path.write_bytes(data)
    program = f"""
import resource, sys
sys.path[:0] = [{str(ROOT / "scripts")!r}]
from pathlib import Path
from cocomine.transfer.behaviour import Behaviour
from cocomine.transfer.byte_source import FileSource
from cocomine.transfer.receiving import Target
from cocomine.transfer.records import Want
from cocomine.transfer.zips import ZipOrigin
root = Path({str(tmp_path / "out")!r})
root.mkdir()
target = Target(root, root, lambda count: None, Behaviour(tries=1))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
source = FileSource(Path({str(path)!r}))
(outcome,) = ZipOrigin("lies.zip", lambda: source, Behaviour(tries=1), 100).fetch([Want("a.jpg", "a.jpg")], target)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(outcome.status, outcome.reason.startswith("corrupted"), after - before)
assert not list(root.iterdir())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    status, corrupted, kilobytes = done.stdout.split()
    assert (status, corrupted) == ("failed", "True")
    assert int(kilobytes) < 30_000


def test_a_directory_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    class Endless:
        """A file of 10 GB that ends like a zip with a directory of 1 GB."""

        size, validator = 10 << 30, ""

        def stream(self, start: int, length: int) -> Iterator[bytes]:
            assert length < 1 << 20, "the directory was asked for"
            end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, 1 << 30, 9 << 28, 0)
            data = bytes(length)
            yield data if start + length < self.size else data[: -len(end)] + end

    with pytest.raises(CocomineError, match=r"its directory of 1\.1 GB is larger than"):
        ZipOrigin("endless.zip", Endless, Behaviour(tries=1), 100).facts(["a"])
    assert MOST_DIRECTORY < 1 << 30


def test_a_gzip_object_that_is_a_bomb_is_refused(tmp_path: Path) -> None:
    with GcsServer() as server:
        server.put("b", "p/bomb", gzip.compress(bytes(BIG)), encoding="gzip")
        server.put("b", "p/fine", gzip.compress(b"fine"), encoding="gzip")
        env = {"STORAGE_EMULATOR_HOST": server.url}
        result = script("sync_bucket.py", "gs://b/p", tmp_path / "out", "--tries", "1", env=env)
    assert result.code == 1
    assert "max_unpack_ratio" in result.err
    assert "bomb" in result.err
    assert tree(tmp_path / "out") == {"fine": b"fine"}


def test_any_split_of_a_deflate_stream_unpacks_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cocomine.transfer.unpacking.PIECE", 100)
    plain = bytes(range(256)) * 40 + bytes(5000)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(plain) + packer.flush()
    for count in (1, 7, len(packed)):
        pieces = [packed[start : start + count] for start in range(0, len(packed), count)]
        found = list(inflated(pieces))
        assert b"".join(found) == plain
        assert max(map(len, found)) <= 100
    with pytest.raises(zlib.error):
        list(inflated([packed[:-1]]))
