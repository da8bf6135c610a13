"""Every kind of origin, by the commands that users run, against real servers on loopback."""

import json
import os
import random
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cocomine.base.files import read_table
from helpers.gcs_server import GcsServer
from helpers.range_server import RangeServer
from helpers.shared import coco_mini
from helpers.static_bucket import free_port
from helpers.sync import Result, script, tree, write_selection
from helpers.tls import make_certificate

QUICK = ("--first-wait", "0.02", "--stall", "2", "--tries", "4")


def images(
    folder: Path, store: object, names: list[str], *more: str, env: dict[str, str] | None = None
) -> tuple[Result, Path]:
    selection = write_selection(folder / "selection.tsv", names)
    settings = store if isinstance(store, dict) else {"origins": store}
    places = ["--selection", selection, "--store-dir", folder / "store", "--lock", folder / "images.lock.tsv"]
    arguments = ["--settings", json.dumps(settings), *places, *QUICK, *more]
    return script("sync_images.py", *arguments, env=env), folder / "store"


def lock(folder: Path) -> dict[str, dict[str, str]]:
    return {row["store_path"]: row for row in read_table(folder / "images.lock.tsv")}


@pytest.fixture(scope="module")
def pictures() -> dict[str, bytes]:
    folder = coco_mini()
    names = sorted(path.name for path in (folder / "val2017").iterdir())[:20]
    return {f"val2017/{name}": (folder / "val2017" / name).read_bytes() for name in names}


@pytest.fixture
def served(tmp_path: Path, pictures: dict[str, bytes]) -> Iterator[RangeServer]:
    cert = make_certificate(tmp_path / "tls")
    folder = tmp_path / "served"
    for name, data in pictures.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    with zipfile.ZipFile(folder / "val2017.zip", "w") as archive:
        for name, data in pictures.items():
            archive.writestr(name, data)
    with RangeServer(folder, cert) as server:
        os.environ["REQUESTS_CA_BUNDLE"] = str(cert[0])
        yield server
        del os.environ["REQUESTS_CA_BUNDLE"]


# -- https


def test_https_serves_files_one_by_one(tmp_path: Path, served: RangeServer, pictures: dict[str, bytes]) -> None:
    result, store = images(tmp_path, [served.url], list(pictures))
    result.ok()
    assert tree(store) == pictures
    assert {row["origin"] for row in lock(tmp_path).values()} == {served.url}


def test_a_web_page_instead_of_a_picture_is_refused(tmp_path: Path, served: RangeServer) -> None:
    served.fault = lambda method, name, count: {
        "status": 200,
        "body": b"<html>",
        "headers": {"Content-Type": "text/html"},
    }
    result, store = images(tmp_path, [served.url], ["val2017/a.jpg"])
    assert result.code == 1
    assert "a web page came instead" in result.err
    assert tree(store) == {}


def test_a_certificate_of_another_name_is_refused_with_advice(tmp_path: Path, pictures: dict[str, bytes]) -> None:
    with RangeServer(tmp_path, make_certificate(tmp_path / "other", "elsewhere.example")) as server:
        env = {"REQUESTS_CA_BUNDLE": str(tmp_path / "other" / "cert.pem")}
        result, store = images(tmp_path, [server.url], list(pictures)[:2], env=env)
    assert result.code == 1
    assert "certificate does not verify" in result.err
    assert tree(store) == {}


def test_the_signature_of_a_signed_url_reaches_neither_log_nor_lock(
    tmp_path: Path, served: RangeServer, pictures: dict[str, bytes]
) -> None:
    signed = served.url.replace("https://", "https://user:hunter2@") + "/?X-Goog-Signature=5ec7e7&token=s3cr3t"
    names = [*pictures, "val2017/absent.jpg"]
    result, _ = images(tmp_path, [signed], names)
    said = result.err + result.out + (tmp_path / "images.lock.tsv").read_text()
    assert "absent.jpg" in said
    for secret in ("hunter2", "5ec7e7", "s3cr3t"):
        assert secret not in said


# -- zips


def directory_of(path: Path) -> int:
    """Return the bytes of a zip's directory, to its end."""
    with zipfile.ZipFile(path) as archive:
        return path.stat().st_size - archive.start_dir


@pytest.mark.parametrize("url", ["{url}/val2017.zip", "{url}/{{split}}.zip"])
def test_members_of_a_zip_are_fetched_without_the_rest(
    tmp_path: Path, served: RangeServer, pictures: dict[str, bytes], url: str
) -> None:
    some = dict(list(pictures.items())[::4])
    result, store = images(tmp_path, [url.format(url=served.url)], list(some))
    result.ok()
    assert tree(store) == some
    assert served.bytes_sent <= 1.05 * sum(map(len, some.values())) + directory_of(served.folder / "val2017.zip")
    assert all(row["generation"].startswith("crc32:") for row in lock(tmp_path).values())


def test_neighbours_in_a_zip_come_by_one_request(
    tmp_path: Path, served: RangeServer, pictures: dict[str, bytes]
) -> None:
    result, store = images(tmp_path, [f"{served.url}/val2017.zip"], list(pictures))
    result.ok()
    assert tree(store) == pictures
    assert len(served.log) <= 5


def test_a_zip64_of_many_members_moves_little_more_than_the_members(tmp_path: Path) -> None:
    """70,000 members need zip64; 200 of them are fetched over TLS."""
    pick = random.Random(0)
    cert = make_certificate(tmp_path / "tls")
    chosen = {f"train2017/{pick.randrange(70_000):012d}.jpg": b"" for _ in range(200)}
    with zipfile.ZipFile(tmp_path / "train2017.zip", "w") as archive:
        for number in range(70_000):
            name = f"train2017/{number:012d}.jpg"
            data = pick.randbytes(30_000) if name in chosen else b"x" * 10
            archive.writestr(zipfile.ZipInfo(name), data)
            if name in chosen:
                chosen[name] = data
    directory = directory_of(tmp_path / "train2017.zip")
    with RangeServer(tmp_path, cert) as server:
        result, store = images(
            tmp_path, [f"{server.url}/train2017.zip"], sorted(chosen), env={"REQUESTS_CA_BUNDLE": str(cert[0])}
        )
        result.ok()
        assert tree(store) == chosen
        assert server.bytes_sent <= 1.05 * sum(map(len, chosen.values())) + directory


def test_one_annotation_file_comes_out_of_the_annotations_zip(tmp_path: Path) -> None:
    cert = make_certificate(tmp_path / "tls")
    source = tmp_path / "source"
    source.mkdir()
    for task in ("captions", "instances", "person_keypoints"):  # large, so that the limit below leaves no room
        name = f"{task}_val2017.json"
        document = json.loads((coco_mini() / "annotations" / name).read_bytes())
        document["info"] = {"description": random.Random(task).randbytes(500_000).hex()}
        (source / name).write_text(json.dumps(document))
    with zipfile.ZipFile(tmp_path / "annotations.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(source.glob("*.json")):
            archive.write(path, f"annotations/{path.name}")
        packed = archive.getinfo("annotations/instances_val2017.json").compress_size
    with RangeServer(tmp_path, cert) as server:
        settings = {"origins": [f"{server.url}/annotations.zip"], "splits": ["val2017"]}
        out = tmp_path / "out"
        arguments = ["--settings", json.dumps(settings), "--out-dir", out, "--lock", out / "sync.lock.json"]
        script("sync_annotations.py", *arguments, env={"REQUESTS_CA_BUNDLE": str(cert[0])}).ok()
        assert server.bytes_sent <= 1.05 * packed + directory_of(tmp_path / "annotations.zip")
    name = "instances_val2017.json"
    assert (out / name).read_bytes() == (source / name).read_bytes()
    pinned = json.loads((out / "sync.lock.json").read_text())["files"][name]
    assert pinned["bytes"] == (source / name).stat().st_size
    assert len(pinned["sha256"]) == 64


@pytest.mark.parametrize(
    "fault", [{"flip": 5000}, {"truncate": 9000}, {"status": 503}], ids=["flip", "truncate", "503"]
)
def test_a_member_that_arrives_broken_is_fetched_again(
    tmp_path: Path, served: RangeServer, pictures: dict[str, bytes], fault: dict[str, int]
) -> None:
    seen = {"n": 0}

    def sometimes(method: str, name: str, count: int) -> dict[str, int] | None:
        seen["n"] += 1
        return fault if seen["n"] > 3 and seen["n"] % 3 == 1 else None

    served.fault = sometimes
    some = dict(list(pictures.items())[::3])
    result, store = images(tmp_path, [f"{served.url}/val2017.zip"], list(some))
    result.ok()
    assert tree(store) == some


@pytest.mark.parametrize("whole", [True, False], ids=["asked for", "no ranges served"])
def test_a_zip_is_fetched_whole_where_it_must_be_and_only_once(
    tmp_path: Path, served: RangeServer, pictures: dict[str, bytes], whole: bool
) -> None:
    served.ranges = whole
    origin = {"url": f"{served.url}/val2017.zip", "whole": whole}
    names = list(pictures)
    images(tmp_path, [origin], names[:5])[0].ok()
    result, store = images(tmp_path, [origin], names)
    result.ok()
    assert tree(store) == pictures
    # A server without ranges is asked for one byte first, to find that out; only a request without a range reads on.
    assert [asked for method, _, asked in served.log if method == "GET"].count("") == 1


def test_a_broken_download_of_a_whole_zip_goes_on_where_it_broke(
    tmp_path: Path, served: RangeServer, pictures: dict[str, bytes]
) -> None:
    served.fault = lambda method, name, count: {"truncate": 700_000} if method == "GET" and count < 3 else None
    images(tmp_path, [{"url": f"{served.url}/val2017.zip", "whole": True}], list(pictures))[0].ok()
    assert [asked for method, _, asked in served.log if method == "GET"][1] == "bytes=700000-"


@pytest.mark.parametrize("where", ["local", "gs"])
def test_local_and_bucket_zips_serve_members(tmp_path: Path, pictures: dict[str, bytes], where: str) -> None:
    with zipfile.ZipFile(tmp_path / "v.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in pictures.items():
            archive.writestr(f"coco/{name}", data)
    with GcsServer() as server:
        server.put("b", "zips/v.zip", (tmp_path / "v.zip").read_bytes())
        url = str(tmp_path / "v.zip") if where == "local" else "gs://b/zips/v.zip"
        result, store = images(tmp_path, [url], list(pictures), env={"STORAGE_EMULATOR_HOST": server.url})
    result.ok()
    assert tree(store) == pictures
    assert str(tmp_path) not in (tmp_path / "images.lock.tsv").read_text()


@pytest.mark.parametrize("inner", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_panoptic_pngs_come_out_of_the_zip_inside_the_zip(tmp_path: Path, inner: int) -> None:
    source = coco_mini() / "annotations"
    pngs = sorted((source / "panoptic_train2017").iterdir())
    with zipfile.ZipFile(tmp_path / "panoptic_train2017.zip", "w") as archive:
        for path in pngs:
            archive.write(path, f"panoptic_train2017/{path.name}")
    served = tmp_path / "served"
    served.mkdir()
    with zipfile.ZipFile(served / "all.zip", "w", inner) as archive:
        archive.write(source / "panoptic_train2017.json", "annotations/panoptic_train2017.json")
        archive.write(tmp_path / "panoptic_train2017.zip", "annotations/panoptic_train2017.zip")
    (served / "annotations").mkdir()
    (served / "annotations" / "panoptic_train2017.json").write_bytes((source / "panoptic_train2017.json").read_bytes())
    with RangeServer(served) as server:
        settings = {
            "origins": [server.url],
            "splits": ["train2017"],
            "tasks": ["panoptic"],
            "files": {"train2017": {"panoptic_pngs": "all.zip/annotations/panoptic_train2017.zip"}},
        }
        out = tmp_path / "out"
        arguments = ["--settings", json.dumps(settings), "--out-dir", out, "--lock", out / "sync.lock.json"]
        script("sync_annotations.py", *arguments, *QUICK).ok()
    assert tree(out / "panoptic_train2017") == {path.name: path.read_bytes() for path in pngs}


def test_members_are_never_written_under_their_own_names(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../../evil.jpg", b"evil")
        archive.writestr("/abs/evil.jpg", b"evil")
        archive.writestr("val2017/good.jpg", b"good")
    names = ["val2017/good.jpg", "../../evil.jpg", "/abs/evil.jpg", "val2017/..\\evil.jpg"]
    (tmp_path / "in").mkdir()
    result, store = images(tmp_path / "in", [str(tmp_path / "evil.zip")], names)
    assert result.code == 1
    for name in names[1:]:
        assert name in result.err
    assert tree(store) == {"val2017/good.jpg": b"good"}
    assert not list(tmp_path.rglob("evil.jpg"))


def test_a_truncated_zip_is_said_to_be_one_and_the_next_origin_is_asked(
    tmp_path: Path, served: RangeServer, pictures: dict[str, bytes]
) -> None:
    whole = (served.folder / "val2017.zip").read_bytes()
    (served.folder / "cut.zip").write_bytes(whole[: len(whole) // 2])
    result, store = images(tmp_path, [f"{served.url}/cut.zip", served.url], list(pictures))
    result.ok()
    assert "not a zip, or a truncated one" in result.err
    assert tree(store) == pictures


# -- s3


@pytest.fixture(scope="module")
def s3_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    program = [sys.executable, "-m", "moto.server", "-p", str(port), "-H", "127.0.0.1"]
    server = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    import socket

    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait()


def test_s3_serves_files_and_zips(tmp_path: Path, s3_url: str, pictures: dict[str, bytes]) -> None:
    import boto3

    env = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    client = boto3.client(
        "s3", endpoint_url=s3_url, aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1"
    )
    client.create_bucket(Bucket="coco")
    for name, data in pictures.items():
        client.put_object(Bucket="coco", Key=f"mirror/{name}", Body=data)
    with zipfile.ZipFile(tmp_path / "v.zip", "w") as archive:
        for name, data in pictures.items():
            archive.writestr(name, data)
    client.put_object(Bucket="coco", Key="zips/val2017.zip", Body=(tmp_path / "v.zip").read_bytes())
    zips = "s3://coco/zips/{split}.zip"
    for number, (url, whole) in enumerate([("s3://coco/mirror", False), (zips, False), (zips, True)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        origin = {"url": url, "endpoint": s3_url, "whole": whole}
        result, store = images(folder, [origin], [*pictures, "val2017/absent.jpg"], "--missing", "record", env=env)
        result.ok()
        assert tree(store) == pictures
        assert lock(folder)["val2017/absent.jpg"]["status"] == "missing"
        assert len(list((store / ".cocomine").glob("whole/*.zip"))) == whole
    result, _ = images(tmp_path, [{"url": "s3://nowhere/x", "endpoint": s3_url}], list(pictures)[:1], env=env)
    assert result.code == 1
    assert "no such bucket" in result.err


# -- several origins, pins, plans, disks


def test_the_next_origin_is_asked_and_the_lock_says_who_served_what(
    tmp_path: Path, served: RangeServer, pictures: dict[str, bytes]
) -> None:
    names = list(pictures)
    with GcsServer() as server:
        for name in names[:8]:
            server.put("b", f"coco/{name}", pictures[name])
        origins = ["gs://images.cocodataset.org", "gs://b/coco", served.url]
        env = {"STORAGE_EMULATOR_HOST": server.url}
        result, store = images(tmp_path, origins, names, env=env)
    result.ok()
    assert tree(store) == pictures
    rows = lock(tmp_path)
    assert [rows[name]["origin"] for name in names] == ["gs://b/coco"] * 8 + [served.url] * 12
    assert "no such bucket" in result.err


def test_coco_s_dead_bucket_is_answered_with_what_to_use_instead(tmp_path: Path) -> None:
    with GcsServer() as server:
        env = {"STORAGE_EMULATOR_HOST": server.url}
        result, _ = images(tmp_path, ["gs://images.cocodataset.org"], ["val2017/1.jpg"], env=env)
        assert result.code == 1
        assert "preset: coco2017" in result.err
        again = script("sync_bucket.py", "gs://images.cocodataset.org/val2017", tmp_path / "x", env=env)
    assert again.code == 1
    assert "preset: coco2017" in again.err


def test_a_plan_says_what_comes_from_where_and_moves_nothing(
    tmp_path: Path, served: RangeServer, pictures: dict[str, bytes]
) -> None:
    names = list(pictures)
    with GcsServer() as server:
        server.buckets["b"] = {}
        for name in names[:5]:
            server.put("b", f"coco/{name}", pictures[name])
        env = {"STORAGE_EMULATOR_HOST": server.url}
        result, store = images(tmp_path, ["gs://b/coco", served.url], [*names, "val2017/no.jpg"], "--plan", env=env)
        assert not server.requests("media")
    result.ok()
    assert "21 files wanted" in result.out
    assert "5 files, " in result.out
    assert "15 files, " in result.out
    assert "1 files that no origin has: val2017/no.jpg" in result.out
    assert "free on the disk" in result.out
    assert not store.exists()


def test_too_little_disk_is_an_error_before_the_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: dict[str, bytes]
) -> None:
    from cocomine.base.errors import CocomineError
    from cocomine.sources import store as store_module
    from cocomine.sources.settings import StoreSettings

    monkeypatch.setattr(store_module, "free_bytes", lambda folder: 10_000)
    with GcsServer() as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        for name, data in pictures.items():
            server.put("b", name, data)
        settings = StoreSettings.from_mapping({"origins": ["gs://b"]})
        with pytest.raises(CocomineError, match=r"are needed and 10\.0 kB are free"):
            store_module.Store(tmp_path / "s", settings, store_module.Options()).sync(list(pictures), {})
        assert not server.requests("media")


def test_a_lock_proves_the_origin_or_names_what_changed(tmp_path: Path, pictures: dict[str, bytes]) -> None:
    names = list(pictures)
    with GcsServer() as server:
        for name, data in pictures.items():
            server.put("b", f"coco/{name}", data)
        env = {"STORAGE_EMULATOR_HOST": server.url}
        images(tmp_path, ["gs://b/coco"], names, env=env)[0].ok()
        assert "still hold 20 of 20" in images(tmp_path, ["gs://b/coco"], names, "--verify-origin", env=env)[0].ok().err
        server.put("b", f"coco/{names[3]}", b"other bytes")
        result, _ = images(tmp_path, ["gs://b/coco"], names, "--verify-origin", env=env)
        assert result.code == 1
        assert names[3] in result.err
        assert "changed at the origin" in result.err
        # A fresh store held to the lock of the first refuses the changed bytes too.
        pins = tmp_path / "pinned.tsv"
        (tmp_path / "images.lock.tsv").rename(pins)
        images(tmp_path, ["gs://b/coco"], names, env=env)
        fresh = tmp_path / "fresh"
        fresh.mkdir()
        result, store = images(fresh, ["gs://b/coco"], names, "--against", str(pins), env=env)
        assert result.code == 1
        assert names[3] in result.err
        assert tree(store) == {name: data for name, data in pictures.items() if name != names[3]}


@pytest.mark.parametrize("command", ["a selection", "a whole bucket"])
def test_500_images_added_to_a_bucket_of_many_fetch_500(tmp_path: Path, command: str) -> None:
    many = {f"val2017/{number:06d}.jpg": b"%d" % number * 40 for number in range(2_000)}
    added = {name: data for number, (name, data) in enumerate(many.items()) if number % 4 == 1}
    with GcsServer() as server:
        env = {"STORAGE_EMULATOR_HOST": server.url}

        def sync(files: dict[str, bytes]) -> None:
            for name, data in files.items():
                server.put("b", name, data)
            if command == "a selection":
                images(tmp_path, ["gs://b"], sorted(server.buckets["b"]), env=env)[0].ok()
            else:
                script("sync_bucket.py", "gs://b", tmp_path / "store", *QUICK, env=env).ok()

        sync({name: data for name, data in many.items() if name not in added})
        assert len(server.requests("media")) == 1_500
        sync(added)
        assert sorted(server.requests("media")[1_500:]) == sorted(added)
    assert tree(tmp_path / "store") == many


def test_damage_done_on_disk_is_found_by_checksum_and_mended(tmp_path: Path, pictures: dict[str, bytes]) -> None:
    name = next(iter(pictures))
    with GcsServer() as server:
        server.put("b", name, pictures[name])
        env = {"STORAGE_EMULATOR_HOST": server.url}
        _, store = images(tmp_path, ["gs://b"], [name], env=env)
        before = (store / name).stat()
        (store / name).write_bytes(b"x" * before.st_size)
        os.utime(store / name, ns=(before.st_atime_ns, before.st_mtime_ns))  # size and time say unchanged
        images(tmp_path, ["gs://b"], [name], env=env)[0].ok()
        assert tree(store)[name] != pictures[name]
        images(tmp_path, ["gs://b"], [name], "--checksum", env=env)[0].ok()
        assert tree(store)[name] == pictures[name]


def test_requester_pays_names_the_project_and_says_so_when_it_is_missing(tmp_path: Path) -> None:
    with GcsServer() as server:
        server.put("b", "val2017/1.jpg", b"1")
        server.requester_pays.add("b")
        env = {"STORAGE_EMULATOR_HOST": server.url}
        result, _ = images(tmp_path, ["gs://b"], ["val2017/1.jpg"], env=env)
        assert result.code == 1
        assert "requester_pays" in result.err
        images(tmp_path, [{"url": "gs://b", "requester_pays": "me"}], ["val2017/1.jpg"], env=env)[0].ok()


# -- COCO on disk


@pytest.mark.parametrize("use", ["in-place", "hardlink", "copy"])
def test_coco_on_disk_is_used_as_asked_and_left_as_it_was(tmp_path: Path, pictures: dict[str, bytes], use: str) -> None:
    disk = tmp_path / "disk"
    for name, data in pictures.items():
        (disk / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (disk / "images" / name).write_bytes(data)
    for path in [*disk.rglob("*"), disk]:
        path.chmod(0o555)  # stops a writer who is not root; what root does shows in the times

    def state() -> dict[Path, tuple[int, int, int]]:
        found = {path: path.stat() for path in [disk, *disk.rglob("*")]}
        # A hard link to a file changes that file's ctime, and nothing else.
        linked = {path for path in found if use == "hardlink" and path.is_file()}
        return {p: (s.st_mtime_ns, s.st_mode, 0 if p in linked else s.st_ctime_ns) for p, s in found.items()}

    before = state()
    result, store = images(tmp_path, {"folder": str(disk), "use": use}, list(pictures))
    result.ok()
    name = next(iter(pictures))
    assert (store / name).read_bytes() == pictures[name]
    assert (store / "val2017").is_symlink() == (use == "in-place")
    assert ((store / name).stat().st_ino == (disk / "images" / name).stat().st_ino) == (use != "copy")
    assert state() == before
    assert str(disk) not in (tmp_path / "images.lock.tsv").read_text()
    assert {row["origin"] for row in lock(tmp_path).values()} == {"folder"}


def test_a_symlink_in_the_way_is_refused_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    store = tmp_path / "store"
    store.mkdir()
    (store / "val2017").symlink_to(outside)
    (store / "train2017").mkdir()
    (store / "train2017" / "1.jpg").symlink_to(outside / "target.jpg")
    with GcsServer() as server:
        names = ["val2017/1.jpg", "train2017/1.jpg", "train2017/2.jpg"]
        for name in names:
            server.put("b", name, b"data")
        result, _ = images(tmp_path, ["gs://b"], names, env={"STORAGE_EMULATOR_HOST": server.url})
    assert result.code == 1
    assert "val2017/1.jpg" in result.err
    assert "train2017/1.jpg" in result.err
    assert not list(outside.iterdir())
    assert (store / "train2017" / "2.jpg").read_bytes() == b"data"


def test_spare_images_take_the_place_of_those_that_cannot_be_had(tmp_path: Path) -> None:
    with GcsServer() as server:
        for number in (1, 3, 4, 5):
            server.put("b", f"val2017/{number}.jpg", b"data")
        names = [f"val2017/{number}.jpg" for number in (1, 2, 4, 5)]
        write_selection(tmp_path / "s.tsv", names, {names[2]: "spare", names[3]: "spare"})
        arguments = ["--selection", tmp_path / "s.tsv", "--store-dir", tmp_path / "store"]
        settings = json.dumps({"origins": ["gs://b"]})
        lock_path = tmp_path / "images.lock.tsv"
        script(
            "sync_images.py", "--settings", settings, *arguments, "--lock", lock_path, "--missing", "record",
            env={"STORAGE_EMULATOR_HOST": server.url},
        ).ok()  # fmt: skip
    assert {name: row["status"] for name, row in lock(tmp_path).items()} == {
        "val2017/1.jpg": "ok",
        "val2017/2.jpg": "missing",
        "val2017/4.jpg": "ok",
    }
