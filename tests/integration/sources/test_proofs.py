"""What a sync says without moving files: proofs that origins still hold the same bytes, and plans; and whole zips."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.gcs_server import GcsServer
from helpers.range_server import RangeServer
from helpers.shared import ROOT, coco_mini
from helpers.sync import Result, script, tree, write_selection

QUICK = ("--first-wait", "0.02", "--stall", "2", "--tries", "4")
FILES = {f"val2017/{number}.jpg": bytes([number]) * (3000 + number) for number in range(12)}
Serve = Callable[[dict[str, bytes]], None]


def images(folder: Path, origins: list, names: list[str], *more: str) -> Result:
    selection = write_selection(folder / "selection.tsv", names)
    places = ["--selection", selection, "--store-dir", folder / "store", "--lock", folder / "images.lock.tsv"]
    env = {key: os.environ[key] for key in ("STORAGE_EMULATOR_HOST",) if key in os.environ}
    return script("sync_images.py", "--settings", json.dumps({"origins": origins}), *places, *QUICK, *more, env=env)


def write_zip(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[RangeServer]:
    (tmp_path / "served").mkdir()
    with RangeServer(tmp_path / "served") as server:
        yield server


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsServer]:
    server = GcsServer()
    server.buckets["b"] = {}
    with server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server


@pytest.fixture(params=["gs", "gs split", "https", "zip", "zip split", "gs zip", "whole zip", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path, web: RangeServer, bucket: GcsServer) -> tuple[object, Serve]:
    """An origin of each kind as it stands in settings, and a function that makes it hold files."""
    folder = web.folder

    def serve(files: dict[str, bytes]) -> None:
        shutil.rmtree(folder)
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        write_zip(folder / "val2017.zip", files)
        for name, data in {**files, "val2017.zip": (folder / "val2017.zip").read_bytes()}.items():
            if name not in bucket.buckets["b"] or bucket.buckets["b"][name].data != data:
                bucket.put("b", name, data)

    origin: object = {
        "gs": "gs://b",
        "gs split": "gs://b/{split}",
        "https": web.url,
        "zip": f"{web.url}/val2017.zip",
        "zip split": f"{web.url}/{{split}}.zip",
        "gs zip": "gs://b/val2017.zip",
        "whole zip": {"url": f"{web.url}/val2017.zip", "whole": True},
        "folder": str(folder),
    }[request.param]
    if request.param == "gs split":

        def serve_split(files: dict[str, bytes]) -> None:
            for name, data in files.items():
                path = f"val2017/{name}"
                if path not in bucket.buckets["b"] or bucket.buckets["b"][path].data != data:
                    bucket.put("b", path, data)

        return origin, serve_split
    return origin, serve


def test_an_origin_of_any_kind_is_proven_and_what_changed_in_it_is_named(
    tmp_path: Path, place: tuple[object, Serve]
) -> None:
    origin, serve = place
    names = list(FILES)
    serve(FILES)
    # In the very run that fetches, and in a later one.
    for _ in range(2):
        said = images(tmp_path, [origin], names, "--verify-origin").ok().err
        assert "origins still hold 12 of 12 files as recorded" in said
    serve({**FILES, names[3]: FILES[names[3]][::-1][:-1] + b"!"})
    result = images(tmp_path, [origin], names, "--verify-origin")
    assert result.code == 1
    if isinstance(origin, dict):  # its version changed: nothing of it is known without fetching it whole
        assert "origins still hold 0 of 12" in result.err
        assert "cannot be proven" in result.err
    elif origin == str(tmp_path / "served") or "zip" in str(origin) or str(origin).startswith("gs:"):
        assert "origins still hold 11 of 12" in result.err
        assert names[3] in result.err
        assert "changed at the origin" in result.err
    else:  # a plain web server: every file was written anew, and its ETag is all that there is to go by
        assert names[3] in result.err


def test_files_of_an_origin_that_is_no_longer_asked_are_named_as_unproven(tmp_path: Path, bucket: GcsServer) -> None:
    for name, data in FILES.items():
        bucket.put("b", f"coco2/{name}", data)
    images(tmp_path, ["gs://b/coco2"], list(FILES)).ok()
    result = images(tmp_path, ["gs://b/coco"], list(FILES), "--verify-origin")
    assert result.code == 1
    assert "origins still hold 0 of 12" in result.err
    assert "gs://b/coco2 served it" in result.err


def test_a_server_that_names_neither_checksum_nor_version_proves_nothing(tmp_path: Path, web: RangeServer) -> None:
    for name, data in FILES.items():
        (web.folder / name).parent.mkdir(exist_ok=True)
        (web.folder / name).write_bytes(data)
    web.fault = lambda method, name, count: {"headers": {"ETag": ""}}
    images(tmp_path, [web.url], list(FILES)).ok()
    result = images(tmp_path, [web.url], list(FILES), "--verify-origin")
    assert result.code == 1
    assert "names neither a checksum nor a version" in result.err


@pytest.mark.parametrize("use", ["in-place", "copy"])
def test_a_folder_is_proven_by_reading_it(tmp_path: Path, use: str) -> None:
    disk = tmp_path / "disk"
    for name, data in FILES.items():
        (disk / name).parent.mkdir(parents=True, exist_ok=True)
        (disk / name).write_bytes(data)
    selection = write_selection(tmp_path / "s.tsv", list(FILES))
    places = ["--selection", selection, "--store-dir", tmp_path / "store", "--lock", tmp_path / "l.tsv"]
    settings = ["--settings", json.dumps({"folder": str(disk), "use": use})]
    script("sync_images.py", *settings, *places).ok()
    assert "still hold" in script("sync_images.py", *settings, *places, "--verify-origin").ok().err
    changed = disk / "val2017" / "3.jpg"
    before = changed.stat()
    changed.write_bytes(b"x" * before.st_size)
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))  # size and time say unchanged
    result = script("sync_images.py", *settings, *places, "--verify-origin")
    assert result.code == 1
    assert "val2017/3.jpg: " in result.err
    assert "changed at the origin" in result.err


def test_panoptic_pngs_out_of_a_zip_are_proven_too(tmp_path: Path, web: RangeServer) -> None:
    source = coco_mini() / "annotations"
    (web.folder / "annotations").mkdir()
    shutil.copyfile(source / "panoptic_train2017.json", web.folder / "annotations" / "panoptic_train2017.json")
    pngs = {f"panoptic_train2017/{p.name}": p.read_bytes() for p in sorted((source / "panoptic_train2017").iterdir())}
    write_zip(web.folder / "annotations" / "panoptic_train2017.zip", pngs)
    settings = json.dumps({"origins": [web.url], "splits": ["train2017"], "tasks": ["panoptic"]})
    places = ["--out-dir", tmp_path / "out", "--lock", tmp_path / "lock.json", *QUICK]
    script("sync_annotations.py", "--settings", settings, *places).ok()
    said = script("sync_annotations.py", "--settings", settings, *places, "--verify-origin").ok().err
    assert f"origins still hold {len(pngs)} of {len(pngs)}" in said


# -- plans


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("whole", [True, False], ids=["asked for", "no ranges served"])
def test_a_plan_fetches_no_zip_and_says_what_it_would_cost(tmp_path: Path, web: RangeServer, whole: bool) -> None:
    write_zip(web.folder / "val2017.zip", {**FILES, "more.bin": os.urandom(400_000)})
    web.ranges = whole
    origin = {"url": f"{web.url}/{{split}}.zip", "whole": whole}
    result = images(tmp_path, [origin], list(FILES), "--plan").ok()
    assert "12 files, 43" in result.out
    assert "val2017.zip is fetched whole" in result.out
    assert "about 43" in result.out
    assert sum(method == "GET" and asked == "" for method, _, asked in web.log) == 0
    assert not (tmp_path / "store").exists()
    images(tmp_path, [origin], list(FILES)[:6]).ok()
    assert "6 to fetch, 18.1 kB" in images(tmp_path, [origin], list(FILES), "--plan").ok().out, "it is here now"


def test_a_plan_writes_nothing_where_files_lie_that_nobody_recorded(tmp_path: Path, bucket: GcsServer) -> None:
    for name, data in FILES.items():
        bucket.put("b", name, data)
        (tmp_path / "store" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "store" / name).write_bytes(data)
    names = list(FILES)
    write_selection(tmp_path / "selection.tsv", names)
    before = everything(tmp_path)
    assert "12 already there" in images(tmp_path, ["gs://b"], names, "--plan").ok().out
    assert {n: v[1] for n, v in everything(tmp_path).items()} == {n: v[1] for n, v in before.items()}


def test_a_plan_names_what_would_be_refused_and_counts_the_spare(tmp_path: Path, bucket: GcsServer) -> None:
    names = ["val2017/1.jpg", "../x.jpg", "val2017/2.jpg"]
    bucket.put("b", names[0], b"1")
    selection = write_selection(tmp_path / "s.tsv", names, {names[2]: "spare"})
    places = ["--selection", selection, "--store-dir", tmp_path / "store", "--lock", tmp_path / "l.tsv", "--plan"]
    env = {"STORAGE_EMULATOR_HOST": bucket.url}
    out = script("sync_images.py", "--settings", '{"origins": ["gs://b"]}', *places, env=env).ok().out
    assert "refused: unsafe name: path part '..': ../x.jpg" in out
    assert "1 spare files, fetched only in place of others" in out


# -- whole zips


def test_a_byte_flipped_in_a_whole_zip_is_found_and_the_zip_fetched_again(tmp_path: Path, web: RangeServer) -> None:
    write_zip(web.folder / "val2017.zip", FILES)
    web.fault = lambda method, name, count: {"flip": 9000} if method == "GET" and count < 2 else None
    origin = {"url": f"{web.url}/val2017.zip", "whole": True}
    result = images(tmp_path, [origin], list(FILES)).ok()
    assert "damaged; it is fetched again" in result.err
    assert tree(tmp_path / "store") == FILES


def test_a_zip_that_is_damaged_at_the_origin_is_fetched_twice_and_not_for_ever(
    tmp_path: Path, web: RangeServer
) -> None:
    write_zip(web.folder / "val2017.zip", FILES)
    data = bytearray((web.folder / "val2017.zip").read_bytes())
    data[9000] ^= 255
    (web.folder / "val2017.zip").write_bytes(data)
    origin = {"url": f"{web.url}/val2017.zip", "whole": True}
    result = images(tmp_path, [origin], list(FILES))
    assert result.code == 1
    assert "corrupted" in result.err
    assert len(tree(tmp_path / "store")) == len(FILES) - 1
    assert sum(method == "GET" for method, _, _ in web.log) == 2


def test_a_checksum_sent_with_a_whole_zip_is_held_to(tmp_path: Path, web: RangeServer) -> None:
    import base64
    import hashlib

    write_zip(web.folder / "val2017.zip", FILES)
    right = base64.b64encode(hashlib.sha256((web.folder / "val2017.zip").read_bytes()).digest()).decode()

    def fault(method: str, name: str, count: int) -> dict:
        flip = {"flip": 1000} if method == "GET" and count < 2 else {}
        return {"headers": {"Repr-Digest": f"sha-256=:{right}:"}, **flip}

    web.fault = fault
    origin = {"url": f"{web.url}/val2017.zip", "whole": True}
    names = ["val2017/11.jpg"]  # the flipped byte lies in another member, which nobody reads
    images(tmp_path, [origin], names).ok()
    assert sum(method == "GET" for method, _, _ in web.log) == 2


@pytest.mark.parametrize("left", ["part", "done"])
def test_what_an_earlier_run_left_of_a_whole_zip_cannot_poison_it(tmp_path: Path, web: RangeServer, left: str) -> None:
    write_zip(web.folder / "val2017.zip", FILES)
    origin = {"url": f"{web.url}/val2017.zip", "whole": True}
    images(tmp_path, [origin], list(FILES)[:2]).ok()
    whole = tmp_path / "store" / ".cocomine" / "whole"
    (done,) = whole.glob("*.zip")
    if left == "part":  # longer than the zip, as two runs that appended to one part left it
        done.rename(done.with_suffix(".part"))
        with open(done.with_suffix(".part"), "ab") as file:
            file.write(b"x" * 5000)
    else:
        data = done.read_bytes()
        done.write_bytes(data[:20_000] + bytes(len(data) - 20_000))
    images(tmp_path, [origin], list(FILES)).ok()
    assert tree(tmp_path / "store") == FILES


def test_two_runs_that_need_one_whole_zip_fetch_it_once(tmp_path: Path, web: RangeServer) -> None:
    files = {**FILES, "more.bin": os.urandom(3_000_000)}
    write_zip(web.folder / "val2017.zip", files)
    settings = json.dumps({"origins": [{"url": f"{web.url}/val2017.zip", "whole": True}]})
    running = []
    for number, names in enumerate((list(FILES)[:6], list(FILES)[6:])):
        selection = write_selection(tmp_path / f"{number}.tsv", names)
        places = ["--selection", selection, "--store-dir", tmp_path / "store", "--lock", tmp_path / f"{number}.l.tsv"]
        command = [sys.executable, ROOT / "scripts" / "sync_images.py", "--settings", settings, *places, *QUICK]
        running.append(subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True))
    for process in running:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert tree(tmp_path / "store") == FILES
    assert sum(method == "GET" for method, _, _ in web.log) == 1


def test_a_zip_whose_directory_is_nonsense_is_an_error_of_that_origin_only(tmp_path: Path, web: RangeServer) -> None:
    write_zip(web.folder / "bad.zip", FILES)
    data = bytearray((web.folder / "bad.zip").read_bytes())
    place = data.index(b"PK\x01\x02")
    data[place + 6 : place + 8] = b"\xff\xff"  # needs a version of zip that there is not
    (web.folder / "bad.zip").write_bytes(data)
    write_zip(web.folder / "good.zip", FILES)
    result = images(tmp_path, [f"{web.url}/bad.zip", f"{web.url}/good.zip"], list(FILES)).ok()
    assert "not a zip" in result.err
    assert tree(tmp_path / "store") == FILES
