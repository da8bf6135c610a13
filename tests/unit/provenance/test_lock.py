"""What a build lock promises: the same bytes for the same build, and every difference by name."""

import hashlib
import os
import subprocess
import time
from pathlib import Path

import pytest
from cocomine.base import tree
from cocomine.base.errors import CocomineError
from cocomine.base.files import sha256_of_file, write_json, write_table
from cocomine.base.tree import Listings, read_listing
from cocomine.provenance import lock, verify
from cocomine.sources.proof import LEDGER
from cocomine.sources.selection import COLUMNS
from cocomine.transfer.ledger import Entry, Ledger
from helpers.shared import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

SCRIPTS = ROOT / "scripts"
HISTORY = Path("data/locks")
CONFIG = {"seed": 7, "sources": {"coco": {"store": "coco"}}, "subsets": {"a": {"source": "coco"}}}
IMAGES = ("val/1.jpg", "val/2.jpg")
MADE_BY = {
    "results/{subset}/labels.json": "assemble_subset",
    "results/{subset}/images.lock.tsv": "sync_images",
    "results/{subset}/masks": "rasterize_masks",
    "results/{subset}/masks.tsv": "rasterize_masks",
    "results/{subset}/exports/{format}": "export_dataset",
    "results/experiments/{run}/on-{subset}": "evaluate_model",
}
FILES = {
    "data/annotations/coco/instances_val.json": "{}",
    "results/a/labels.json": "[]",
    "results/a/masks/semantic/1.png": "one",
    "results/a/masks/semantic/2.png": "two",
}


def write(name: str, text: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text, encoding="utf-8")


def make(config: dict | None = None) -> lock.Lock:
    outputs = [Path("results/a", name) for name in ("labels.json", "images.lock.tsv", "masks")]
    inputs = [Path("data/annotations/coco", name) for name in ("sync.lock.json", "instances_val.json")]
    listings = Listings(HISTORY / "files")
    return lock.make_lock(config or CONFIG, SCRIPTS, ["lock_build"], inputs, outputs, MADE_BY, listings)


def made_in(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Go to `folder` and write a tree of one annotation file, two images, two outputs and a folder of masks there."""
    patch.chdir(folder)
    for name, text in FILES.items():
        write(name, text)
    row = {"sha256": sha256_of_file(Path("data/annotations/coco/instances_val.json"))}
    write_json(Path("data/annotations/coco/sync.lock.json"), {"files": {"instances_val.json": row}})
    entries = []
    for name in IMAGES:
        path = Path("data/images/coco", name)
        write(path.as_posix(), name)
        status = path.stat()
        entries.append(Entry(name, status.st_size, status.st_mtime_ns, "", sha256_of_file(path), "", "", "", ""))
    Ledger.write(Path("data/images/coco") / LEDGER, entries)
    rows = [(1, one.name, "ok", one.bytes, "", one.sha256, "", "", "", "") for one in entries]
    write_table(Path("results/a/images.lock.tsv"), COLUMNS, rows)
    lock.write_lock(Path("results/build.lock.json"), make())
    return folder


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return made_in(tmp_path, monkeypatch)


def found(root: Path, images: verify.How = "bytes") -> list[str]:
    locked = lock.read_lock(root / "results/build.lock.json")
    return [str(one) for one in verify.differences_of_tree(locked, root, SCRIPTS, images)]


def test_an_untouched_tree_is_proved(build: Path) -> None:
    assert found(build) == []


def test_the_same_tree_gives_the_same_lock_whatever_the_time_and_the_staging(build: Path) -> None:
    before = Path("results/build.lock.json").read_bytes()
    os.utime("results/a/labels.json", (0, time.time() + 1000))
    write("results/a/masks/.snakemake_timestamp", "")
    write("results/a/masks/.incomplete/12-ab/half.png", "")
    write("results/a/.incomplete/12-ab/half.json", "")
    lock.write_lock(Path("results/build.lock.json"), make())
    assert Path("results/build.lock.json").read_bytes() == before
    assert found(build) == []


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("data/annotations/coco/instances_val.json", "[]", "input {}: the same size but other bytes"),
        ("results/a/labels.json", "{}", "output {}: the same size but other bytes"),
        ("results/a/labels.json", "longer", "output {}: 6 bytes instead of 2"),
        ("results/a/labels.json", None, "output {}: missing"),
        ("results/a/masks/semantic/1.png", "ONE", "output {}: other bytes"),
        ("results/a/masks/semantic/1.png", None, "output {}: missing"),
        ("results/a/masks/semantic/3.png", "", "output {}: not in the lock"),
        ("results/a/stray.txt", "", "output {}: not in the lock"),
        ("data/images/coco/val/2.jpg", "val/3.jpg", "image {}: other bytes"),
        ("data/images/coco/val/2.jpg", None, "image {}: missing"),
    ],
)
def test_whatever_is_changed_added_or_gone_is_named(build: Path, name: str, text: str | None, said: str) -> None:
    Path(name).unlink(missing_ok=True)
    if text is not None:
        write(name, text)
    assert found(build) == [said.format(name)]


@given(data=st.data())
@settings(max_examples=40)
def test_any_byte_of_any_output_input_or_image_that_is_changed_is_named(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        root = made_in(tmp_path_factory.mktemp("build"), patch)
        names = [*FILES, "results/a/images.lock.tsv", *(f"data/images/coco/{name}" for name in IMAGES)]
        path = root / data.draw(st.sampled_from(names))
        content = bytearray(path.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 127))
        locked = lock.read_lock(root / "results/build.lock.json")
        path.write_bytes(content)
        said = []
        try:
            said += (str(one) for one in verify.differences_of_tree(locked, root, None))
        except (CocomineError, ValueError, KeyError) as error:  # of a table that is none any more
            said.append(repr(error))
        assert any(path.relative_to(root).as_posix() in text for text in said), said


def test_the_fast_look_at_images_goes_by_size_and_time_and_none_looks_at_none(build: Path) -> None:
    image = Path("data/images/coco/val/2.jpg")
    times = image.stat()
    image.write_text("val/3.jpg")
    os.utime(image, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert found(build, "fast") == []
    os.utime(image)
    assert found(build, "fast") == ["image data/images/coco/val/2.jpg: another size or time than remembered"]
    assert found(build, "none") == []


def test_a_folder_whose_listing_is_not_here_is_still_held_to_its_lock(build: Path) -> None:
    write("results/a/masks/semantic/1.png", "ONE")
    for path in (HISTORY / "files").iterdir():
        path.unlink()
    assert found(build)[0].startswith("output results/a/masks/: other files, or other bytes in them")


def test_the_listing_of_a_folder_is_what_sha256sum_reads(build: Path) -> None:
    write("results/a/masks/odd\\name\n.png", "odd")
    made = make()["outputs"]["results/a/masks/"]
    path = HISTORY / "files" / f"{made['sha256']}.gz"
    text = subprocess.run(["zcat", path], check=True, capture_output=True).stdout
    subprocess.run(["sha256sum", "-c", "--quiet"], input=text, cwd="results/a/masks", check=True)
    assert hashlib.sha256(text).hexdigest() == made["sha256"]
    known = Listings(HISTORY / "files").read(made["sha256"])
    assert known is not None
    assert set(known) == {"semantic/1.png", "semantic/2.png", "odd\\name\n.png"}
    assert (made["files"], made["bytes"]) == (3, 9)


@given(st.dictionaries(st.text(st.characters(exclude_categories=("Cs",)), min_size=1), st.just("0" * 64)))
def test_a_listing_gives_back_every_name(names: dict[str, str]) -> None:
    assert read_listing("".join(tree.line(name, sha256) for name, sha256 in names.items())) == names


def test_a_lock_is_small_however_many_files_a_folder_holds(build: Path) -> None:
    before = Path("results/build.lock.json").stat().st_size
    for number in range(300):
        write(f"results/a/masks/semantic/{number}.png", str(number))
    lock.write_lock(Path("results/build.lock.json"), make())
    assert Path("results/build.lock.json").stat().st_size < before + 100


def test_a_lock_refuses_what_lies_outside_the_build() -> None:
    with pytest.raises(CocomineError, match="outside the working directory"):
        lock.make_lock({}, SCRIPTS, [], [], [Path("/etc/hostname")])


def test_an_annotation_file_that_is_not_as_its_sync_locked_it_is_not_locked(build: Path) -> None:
    write("data/annotations/coco/instances_val.json", "[]")
    with pytest.raises(CocomineError, match=r"instances_val\.json: not as locked"):
        make()


def test_a_file_that_is_no_lock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[]", encoding="utf-8")
    with pytest.raises(CocomineError, match="not a build lock"):
        lock.read_lock(tmp_path / "x.json")


def test_two_locks_are_compared_down_to_the_key_and_the_file(build: Path) -> None:
    first = make()
    write("results/a/labels.json", "{}")
    write("results/a/masks/semantic/1.png", "ONE")
    second = make({**CONFIG, "seed": 8, "split": {"train": 0.8}})
    assert [f"{d.kind} {d.name}" for d in lock.differences_of_locks(first, second, Listings(HISTORY / "files"))] == [
        "config seed", "config split.train", "output results/a/labels.json", "output results/a/masks/semantic/1.png",
    ]  # fmt: skip


def test_the_same_build_with_other_bytes_stops_and_says_which_rule_makes_them_again(build: Path) -> None:
    lock.check_against_earlier(make(), HISTORY)
    lock.check_against_earlier(make(), HISTORY)
    write("results/a/masks/semantic/1.png", "ONE")
    with pytest.raises(CocomineError, match=r"results/a/masks/semantic/1\.png: ") as caught:
        lock.check_against_earlier(make(), HISTORY)
    assert "--forcerun rasterize_masks" in caught.value.hint


def test_a_build_of_another_config_is_not_built_on_an_output_that_was_changed_by_hand(build: Path) -> None:
    write("logs/rasterize_masks/a.log", "drawn")
    os.utime("logs/rasterize_masks/a.log", (1, 1))
    lock.check_against_earlier(make(), HISTORY)
    write("results/a/masks/semantic/1.png", "ONE")
    other = make({**CONFIG, "seed": 8})
    with pytest.raises(CocomineError, match=r"no step has made them since: 1 output.*\n.*semantic/1\.png") as caught:
        lock.check_against_earlier(other, HISTORY)
    assert "--forcerun rasterize_masks" in caught.value.hint
    os.utime("logs/rasterize_masks/a.log", (time.time() + 9, time.time() + 9))
    lock.check_against_earlier(other, HISTORY)


def test_a_subset_that_the_config_no_longer_has_is_no_change(build: Path) -> None:
    write("logs/rasterize_masks/a.log", "drawn")
    os.utime("logs/rasterize_masks/a.log", (1, 1))
    lock.check_against_earlier(make(), HISTORY)
    made = make({**CONFIG, "seed": 8})
    del made["outputs"]["results/a/masks/"]
    lock.check_against_earlier(made, HISTORY)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("results/a/masks/", "rasterize_masks"),
        ("results/a/masks.tsv", "rasterize_masks"),
        ("results/a/exports/coco/", "export_dataset"),
        ("results/experiments/run/on-a/", "evaluate_model"),
        ("results/a/exports/coco/deep/", ""),
    ],
)
def test_the_rule_that_makes_an_output_follows_from_the_rules_patterns(name: str, rule: str) -> None:
    assert lock.rule_of(name, MADE_BY) == rule


def test_what_a_program_of_the_users_made_is_marked_and_not_held_to_be_the_same_again(build: Path) -> None:
    folder = Path("results/experiments/mine")
    write_json(folder / "program.json", {"command": "train", "packages": {"own": "1"}})
    write("results/experiments/mine/output/boxes.json", "[1]")

    def made() -> lock.Lock:
        outputs = [Path("results/a/labels.json"), folder / "program.json", folder / "output"]
        return lock.make_lock(CONFIG, SCRIPTS, ["lock_build"], [], outputs, not_ours=[folder])

    first = made()
    assert first["programs"] == {"mine": {"command": "train", "packages": {"own": "1"}}}
    marked = {name for name, entry in first["outputs"].items() if entry.get("reproducible") is False}
    assert marked == {"results/experiments/mine/program.json", "results/experiments/mine/output/"}
    lock.check_against_earlier(first, HISTORY)
    write("results/experiments/mine/output/boxes.json", "[2]")
    second = made()
    lock.check_against_earlier(second, HISTORY)
    assert [one.name for one in lock.differences_of_locks(first, second)] == ["results/experiments/mine/output/"]
    write("results/a/labels.json", "{}")
    with pytest.raises(CocomineError, match=r"gave other bytes before.*\noutput results/a/labels\.json"):
        lock.check_against_earlier(made(), HISTORY)
