"""Publishing with a manifest, locks of whole prefixes, presets, credentials and scarce disks, on loopback."""

import dataclasses
import hashlib
import json
import threading
import urllib.parse
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cocomine.base.errors import CocomineError
from cocomine.sources import annotations as annotations_module
from cocomine.sources.presets import PresetFile, preset
from cocomine.sources.settings import SourceSettings
from cocomine.sources.store import Options as StoreOptions
from cocomine.transfer import bucket_sync
from cocomine.transfer.behaviour import Behaviour
from cocomine.transfer.gcs import Bucket
from cocomine.transfer.settings import OriginSettings
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from helpers.gcs_server import GcsServer
from helpers.range_server import RangeServer
from helpers.shared import coco_mini
from helpers.sync import Result, script, tree
from helpers.tls import make_certificate

QUICK = ("--first-wait", "0.02", "--stall", "2", "--tries", "3")
FILES = {
    "manifest.json": b'{"counts": {}}',
    "a/train.json": b"{}",
    "b/1.jpg": b"one",
    "b/2.jpg": b"two",
    "z/sync.lock.json": b'{"files": {}}',
}


@pytest.fixture
def server() -> Iterator[GcsServer]:
    made = GcsServer(page=3)
    made.buckets["b"] = {}
    with made:
        yield made


def folder_of(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def sync(server: GcsServer, *arguments: object) -> Result:
    return script("sync_bucket.py", *arguments, *QUICK, env={"STORAGE_EMULATOR_HOST": server.url})


# -- publishing


def test_manifests_are_published_after_all_else_and_the_asked_one_last(tmp_path: Path, server: GcsServer) -> None:
    folder = folder_of(tmp_path / "up", FILES)
    sync(server, folder, "gs://b/p", "--manifest", "checksums.json").ok()
    sent = [name.removeprefix("p/") for name in server.requests("upload")]
    assert sorted(sent[:3]) == ["a/train.json", "b/1.jpg", "b/2.jpg"]
    assert sorted(sent[3:5]) == ["manifest.json", "z/sync.lock.json"]
    assert sent[5:] == ["checksums.json"]
    rows = json.loads(server.buckets["b"]["p/checksums.json"].data)["files"]
    assert sorted(rows) == sorted(FILES)
    assert {name: row["bytes"] for name, row in rows.items()} == {name: len(data) for name, data in FILES.items()}


def test_no_manifest_is_published_when_a_file_fails(tmp_path: Path, server: GcsServer) -> None:
    folder = folder_of(tmp_path / "up", FILES)
    server.fault = lambda asked: {"status": 403} if asked.kind == "upload" and asked.name == "p/b/2.jpg" else None
    result = sync(server, folder, "gs://b/p", "--manifest", "checksums.json")
    assert result.code == 1
    assert "b/2.jpg" in result.err
    assert sorted(server.buckets["b"]) == ["p/a/train.json", "p/b/1.jpg"]


def test_the_manifest_is_not_an_extra_when_published_again_with_delete(tmp_path: Path, server: GcsServer) -> None:
    folder = folder_of(tmp_path / "up", FILES)
    for _ in range(2):
        sync(server, folder, "gs://b/p", "--manifest", "checksums.json", "-d").ok()
    assert sorted(server.buckets["b"]) == sorted(f"p/{name}" for name in [*FILES, "checksums.json"])
    assert not server.requests("delete")


# -- the lock of a prefix


def test_a_locked_prefix_is_synced_and_what_is_new_changed_or_gone_is_named(tmp_path: Path, server: GcsServer) -> None:
    for name, data in FILES.items():
        server.put("b", f"p/{name}", data)
    out, lock = tmp_path / "out", tmp_path / "bucket.lock"
    sync(server, "gs://b/p", out, "--lock", lock).ok()
    written = lock.read_bytes()
    rows = [json.loads(line) for line in written.splitlines()]
    assert [row[0] for row in rows] == sorted(FILES)
    assert all(len(row[4]) == 64 for row in rows)
    assert str(tmp_path).encode() not in written

    fresh = tmp_path / "fresh"
    sync(server, "gs://b/p", fresh, "--lock", lock, "--locked").ok()
    assert tree(fresh) == FILES
    server.put("b", "p/new.txt", b"new")
    server.put("b", "p/b/1.jpg", b"ONE")
    del server.buckets["b"]["p/b/2.jpg"]
    server.sorted.clear()
    before = lock.read_bytes()
    result = sync(server, "gs://b/p", tmp_path / "third", "--lock", lock, "--locked")
    assert result.code == 1
    said = result.err.splitlines()
    assert "failed: new at the origin: not in the lock: new.txt" in said
    assert any(line.startswith("failed: changed at the origin: gen") and line.endswith(": b/1.jpg") for line in said)
    assert "failed: changed at the origin: no longer there: b/2.jpg" in said
    assert lock.read_bytes() == before
    assert sorted(tree(tmp_path / "third")) == ["a/train.json", "manifest.json", "z/sync.lock.json"]


def test_a_run_that_failed_leaves_the_lock_as_it_was(tmp_path: Path, server: GcsServer) -> None:
    for name, data in FILES.items():
        server.put("b", f"p/{name}", data)
    out, lock = tmp_path / "out", tmp_path / "bucket.lock"
    sync(server, "gs://b/p", out, "--lock", lock).ok()
    before = lock.read_bytes()
    server.put("b", "p/b/1.jpg", b"ONE")
    server.fault = lambda asked: {"status": 503} if asked.kind == "media" else None
    assert sync(server, "gs://b/p", out, "--lock", lock).code == 1
    assert lock.read_bytes() == before


def test_locked_without_a_lock_is_advice(tmp_path: Path, server: GcsServer) -> None:
    result = sync(server, "gs://b/p", tmp_path / "out", "--lock", tmp_path / "absent", "--locked")
    assert result.code == 1
    assert "run once without --locked" in result.err
    assert "lock: --lock FILE" in sync(server, "gs://b/p", tmp_path / "out", "--locked").err


# -- disks


def test_scarce_disk_stops_a_bucket_before_its_first_byte(
    tmp_path: Path, server: GcsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        server.put("b", f"{number:03d}", bytes(1000))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    monkeypatch.setattr(bucket_sync, "free_bytes", lambda folder: 39_000)
    with pytest.raises(CocomineError, match=r"40\.0 kB are needed and 39\.0 kB are free"):
        bucket_sync.download(OriginSettings("gs://b"), tmp_path / "out", bucket_sync.SyncOptions())
    assert not server.requests("media")
    assert tree(tmp_path / "out") == {}


# -- presets


@pytest.fixture
def public(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    """The preset coco2017 with its zips on loopback: instances, captions, panoptic and the PNGs of train2017."""
    source, served = coco_mini() / "annotations", tmp_path / "served"
    served.mkdir()
    with zipfile.ZipFile(tmp_path / "pngs.zip", "w") as archive:
        for path in sorted((source / "panoptic_train2017").iterdir()):
            archive.write(path, f"panoptic_train2017/{path.name}")
    row = preset("coco2017")
    held: dict[str, dict[str, Path]] = {}
    for file in row.files:
        path = tmp_path / "pngs.zip" if file.task == "panoptic_pngs" else source / f"{file.task}_{file.split}.json"
        if file.split == "train2017" and path.exists():
            held.setdefault(Path(urllib.parse.urlsplit(file.url).path).name, {})[file.member] = path
    for name, members in held.items():
        with zipfile.ZipFile(served / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, path in members.items():
                archive.write(path, member)
    cert = make_certificate(tmp_path / "tls")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(cert[0]))
    with RangeServer(served, cert) as made:
        here = dataclasses.replace(row, files=tuple(_served_here(file, made) for file in row.files))
        monkeypatch.setattr(annotations_module, "preset", lambda name: here)
        yield made


def _served_here(file: PresetFile, server: RangeServer) -> PresetFile:
    """Return a preset's file with the address, the size and the SHA-256 of its zip on loopback."""
    path = server.folder / Path(urllib.parse.urlsplit(file.url).path).name
    data = path.read_bytes() if path.exists() else b""
    sha256 = hashlib.sha256(data).hexdigest()
    return dataclasses.replace(file, url=f"{server.url}/{path.name}", bytes=len(data), sha256=sha256, md5="")


def bring(out: Path, tasks: list[str]) -> None:
    settings = SourceSettings.from_mapping({"preset": "coco2017", "splits": ["train2017"], "tasks": tasks})
    options = StoreOptions(Behaviour(first_wait=0.02, tries=3))
    annotations_module.sync_annotations(annotations_module.Job(out, out / "sync.lock.json"), settings, options)


def test_a_preset_brings_annotation_files_and_pngs_out_of_the_public_zips(tmp_path: Path, public: RangeServer) -> None:
    source, out = coco_mini() / "annotations", tmp_path / "out"
    bring(out, ["instances", "captions", "panoptic"])
    for task in ("instances", "captions", "panoptic"):
        name = f"{task}_train2017.json"
        assert (out / name).read_bytes() == (source / name).read_bytes()
    assert tree(out / "panoptic_train2017") == tree(source / "panoptic_train2017")
    files = json.loads((out / "sync.lock.json").read_text())["files"]
    assert files["instances_train2017.json"]["origin"].startswith(public.url)
    asked = len(public.log)
    bring(out, ["instances", "captions", "panoptic"])
    assert not [entry for entry in public.log[asked:] if entry[0] == "GET"]


def test_a_preset_whose_zip_is_gone_names_the_file_and_why(tmp_path: Path, public: RangeServer) -> None:
    for path in public.folder.glob("*.zip"):
        path.unlink()
    with pytest.raises(CocomineError, match=r"instances_train2017\.json: .*HTTP 404"):
        bring(tmp_path / "out", ["instances"])


def test_a_public_zip_of_another_size_than_published_is_refused(tmp_path: Path, public: RangeServer) -> None:
    path = public.folder / "annotations_trainval2017.zip"
    published = path.stat().st_size
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more.txt", b"more")
    found = path.stat().st_size
    with pytest.raises(CocomineError, match=f"{found} bytes, not the {published} that are published"):
        bring(tmp_path / "out", ["instances"])


def test_a_public_zip_that_is_fetched_whole_must_have_the_published_checksum(
    tmp_path: Path, public: RangeServer
) -> None:
    public.ranges = False
    bring(tmp_path / "first", ["captions"])
    path = public.folder / "annotations_trainval2017.zip"
    data = bytearray(path.read_bytes())
    data[100] ^= 255  # of the instances, so that the captions' own CRC-32 is right
    path.write_bytes(data)
    with pytest.raises(CocomineError, match="sha256 is"):
        bring(tmp_path / "out", ["captions"])


# -- credentials


@pytest.fixture
def key_file(tmp_path: Path, server: GcsServer) -> Iterator[Path]:
    """A service account's key file whose token endpoint gives the token that the bucket asks for."""
    server.token = "given-by-the-endpoint"

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
            assert form["assertion"][0].count(".") == 2
            body = json.dumps({"access_token": server.token, "expires_in": 3600, "token_type": "Bearer"}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Be quiet."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True).start()
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    plain = serialization.NoEncryption()
    private = made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path = tmp_path / "service-account.json"
    fields = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "1",
        "private_key": private.decode(),
        "client_email": "reader@p.example",
        "token_uri": f"http://127.0.0.1:{httpd.server_address[1]}/token",
    }
    path.write_text(json.dumps(fields))
    yield path
    httpd.shutdown()
    httpd.server_close()


def test_a_service_account_reads_and_publishes(tmp_path: Path, server: GcsServer, key_file: Path) -> None:
    for name, data in FILES.items():
        server.put("b", f"p/{name}", data)
    assert sync(server, "gs://b/p", tmp_path / "refused", "--credentials", "anonymous").code == 1
    sync(server, "gs://b/p", tmp_path / "out", "--credentials", key_file).ok()
    assert tree(tmp_path / "out") == FILES
    result = sync(server, tmp_path / "out", "gs://b/q", "--credentials", key_file).ok()
    assert {n: blob.data for n, blob in server.buckets["b"].items() if n.startswith("q/")} == {
        f"q/{name}": data for name, data in FILES.items()
    }
    assert server.token not in result.err + result.out


def test_application_default_credentials_are_found(
    server: GcsServer, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put("b", "p/x", b"x")
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key_file))
    bucket = Bucket(OriginSettings("gs://b/p"), Behaviour(tries=1))
    bucket.base = server.url
    assert [facts.name for facts in bucket.listing()] == ["x"]


def test_credentials_that_the_endpoint_refuses_are_advice_and_tell_nothing(
    tmp_path: Path, server: GcsServer, key_file: Path
) -> None:
    server.token = ""
    fields = json.loads(key_file.read_text()) | {"token_uri": f"{server.url}/nowhere"}
    key_file.write_text(json.dumps(fields))
    result = sync(server, "gs://b/p", tmp_path / "out", "--credentials", key_file)
    assert result.code == 1
    assert "the credentials were refused" in result.err
    assert "PRIVATE KEY" not in result.err
