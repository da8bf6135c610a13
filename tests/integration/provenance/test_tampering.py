"""What a build promises of files that somebody exchanges: verify names them, and no later run builds on them unsaid."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.shared import ROOT
from helpers.tiny_coco import SPLIT, write_config, write_tiny_coco
from helpers.workflow import snakemake

pytestmark = pytest.mark.slow


class Build:
    """A build in place of the tiny COCO."""

    def __init__(self, folder: Path) -> None:
        self.coco = write_tiny_coco(folder / "coco")
        self.config = write_config(folder / "config.json", self.coco, exports=[])
        self.work = folder / "work"
        self.work.mkdir()

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return snakemake(self.work, "--configfile", str(self.config), *arguments)

    def verify(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, str(ROOT / "scripts" / "verify_build.py"), "--root", str(self.work), *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    @property
    def image(self) -> Path:
        return self.coco / SPLIT / "000000000003.jpg"

    @property
    def annotations(self) -> Path:
        return self.coco / "annotations" / f"instances_{SPLIT}.json"


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    made = Build(tmp_path_factory.mktemp("tampering"))
    done = made.run()
    assert done.returncode == 0, done.stderr[-3000:]
    assert made.verify().returncode == 0
    return made


@contextmanager
def exchanged(path: Path, content: bytes | None, same_time: bool) -> Iterator[None]:
    """Give `path` other content (or none at all) for a while, and its own again with its times afterwards."""
    kept, times = path.read_bytes(), path.stat()
    path.unlink()
    if content is not None:
        path.write_bytes(content)
        if same_time:
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    try:
        yield
    finally:
        path.write_bytes(kept)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_another_image_with_a_new_time_stops_the_next_run_that_names_it(build: Build) -> None:
    with exchanged(build.image, b"another image", same_time=False):
        assert build.verify().stdout.startswith(f"image data/images/coco/{SPLIT}/{build.image.name}: other bytes")
        assert f"{build.image.name}: another size or time" in build.verify("--images", "fast").stdout
        done = build.run()
        assert done.returncode != 0
        assert f"{SPLIT}/{build.image.name}" in done.stderr.splitlines()[-3]
    assert build.run().returncode == 0


def test_another_image_of_the_same_size_and_time_is_named_by_verify_and_by_measure(build: Build) -> None:
    other = bytearray(build.image.read_bytes())
    other[-20] ^= 1
    with exchanged(build.image, bytes(other), same_time=True):
        assert f"{build.image.name}: other bytes" in build.verify().stdout
        assert "not proved" in build.verify("--images", "fast").stdout
        done = build.run("--forcerun", "measure_images", "--until", "measure_images")
        assert done.returncode != 0
        assert f"1 image is not as locked (SHA-256 differs): {SPLIT}/{build.image.name}" in done.stderr
        # The store no longer trusts size and time: the sync that the hint proposes reads the file, and refuses it.
        assert f"{SPLIT}/{build.image.name}: folder: changed" in build.run().stderr
    assert build.run().returncode == 0
    assert build.verify().returncode == 0


def test_an_image_that_is_gone_is_named_by_verify_and_by_the_next_run(build: Build) -> None:
    with exchanged(build.image, None, same_time=False):
        assert f"{build.image.name}: missing" in build.verify().stdout
        done = build.run()
        assert done.returncode != 0
        assert build.image.name in "\n".join(done.stderr.splitlines()[-4:])
    assert build.run("--until", "sync_images").returncode == 0


def test_another_annotation_file_of_the_same_size_and_time_is_never_indexed(build: Build) -> None:
    other = build.annotations.read_bytes().replace(b'"category_id": 2', b'"category_id": 1')
    assert len(other) == build.annotations.stat().st_size
    with exchanged(build.annotations, other, same_time=True):
        assert f"instances_{SPLIT}.json: the same size but other bytes" in build.verify().stdout
        done = build.run("--forcerun", "index_annotations", "--until", "index_annotations")
        assert done.returncode != 0
        assert f"{build.annotations.name}: not as locked" in done.stderr
        again = build.run()
        assert again.returncode != 0
        assert f"{build.annotations.name}: folder: changed" in again.stderr
    assert build.run().returncode == 0
    assert build.verify().returncode == 0


@pytest.mark.parametrize("name", ["index.html", "index.json", "build.lock.js"])
def test_what_names_the_lock_is_named_when_it_was_edited_or_is_gone(build: Build, name: str) -> None:
    path = build.work / "results" / name
    locked = build.verify().stdout.splitlines()[-1].removeprefix("lock: sha256 ")
    assert locked in path.read_text()
    for content, how in (
        (path.read_bytes().replace(locked[:9].encode(), b"123456789"), "other than the reports and the lock make it"),
        (None, "missing"),
    ):
        with exchanged(path, content, same_time=True):
            done = build.verify()
            assert done.returncode == 1
            assert f"output results/{name}: {how}" in done.stdout
            assert f"--forcerun {'lock_build' if name == 'build.lock.js' else 'render_index'}" in done.stdout


def test_a_mask_that_was_exchanged_is_not_built_on_by_another_config(build: Build) -> None:
    masks = build.work / "results/pets/masks/semantic"
    one, two = sorted(masks.iterdir())[:2]
    other = two.read_bytes().ljust(one.stat().st_size, b"\0")[: one.stat().st_size]
    with exchanged(one, other, same_time=True):
        assert f"{one.name}: other bytes" in build.verify().stdout
        kept = build.config.read_text()
        write_config(build.config, build.coco, exports=["coco"])
        done = build.run()
        assert done.returncode != 0
        assert f"results/pets/masks/semantic/{one.name}" in done.stderr
        assert "--forcerun rasterize_masks" in done.stderr
    build.config.write_text(kept)
    assert build.run().returncode == 0


def test_what_a_killed_writer_left_is_no_difference_and_goes_with_the_next_run(build: Build) -> None:
    dead = build.work / "results/pets/.incomplete/1-dead"
    dead.mkdir(parents=True)
    (dead / "lock").touch()
    (dead / "images.parquet").touch()
    assert ".incomplete" not in build.verify().stdout
    assert build.run("--forcerun", "measure_images", "--until", "measure_images").returncode == 0
    assert not dead.parent.exists()
