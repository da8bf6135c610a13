"""What a job's folders promise where its files lie in a bucket: one tar each, the same bytes, and back again."""

import argparse
import os
import shutil
import tarfile
from pathlib import Path

import pytest
from cocomine.base import command
from cocomine.base.bucket import pack, unpack
from cocomine.base.errors import CocomineError
from cocomine.base.folder import replaced_folder


def folder_of(root: Path) -> Path:
    """A folder with a file, a link to one elsewhere and an empty folder."""
    folder = root / "results" / "v1.5" / "masks"
    (folder / "semantic").mkdir(parents=True)
    (folder / "refused").mkdir()
    (folder / "semantic" / "1.png").write_bytes(b"drawn")
    (root / "elsewhere.png").write_bytes(b"linked")
    (folder / "semantic" / "2.png").symlink_to(root / "elsewhere.png")
    return folder.relative_to(root)


def test_a_folder_comes_back_whole_with_links_as_files_and_empty_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = folder_of(tmp_path)
    pack(Path("results/v1.5/masks.tar"), [folder])
    there = tmp_path / "there"
    (there / "results" / "v1.5").mkdir(parents=True)
    (tmp_path / "results" / "v1.5" / "masks.tar").rename(there / "results" / "v1.5" / "masks.tar")
    monkeypatch.chdir(there)
    (there / folder / "semantic").mkdir(parents=True)
    (there / folder / "semantic" / "old.png").touch()  # of an earlier build on this machine
    unpack(Path("results/v1.5/masks.tar"))
    assert sorted(path.name for path in (there / folder).rglob("*")) == ["1.png", "2.png", "refused", "semantic"]
    assert (there / folder / "semantic" / "2.png").read_bytes() == b"linked"
    assert not (there / folder / "semantic" / "2.png").is_symlink()


def test_what_tars_of_two_subsets_hold_can_be_read_while_the_second_is_laid_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    photograph = Path("data/images/coco/val/1.jpg")
    photograph.parent.mkdir(parents=True)
    photograph.write_bytes(b"1" * 100_000)
    for subset in ("a", "b"):
        pack(Path(f"{subset}.tar"), [photograph])
    unpack(Path("a.tar"))
    copied, seen = tarfile.copyfileobj, []

    def looking(*arguments: object) -> None:
        seen.append(photograph.read_bytes())
        copied(*arguments)

    monkeypatch.setattr(tarfile, "copyfileobj", looking)
    unpack(Path("b.tar"))
    assert [*seen, photograph.read_bytes()] == [b"1" * 100_000] * 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "a.unpacked", "b.tar", "b.unpacked", "data"]


def test_the_same_content_is_the_same_tar_whenever_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = folder_of(tmp_path)
    pack(Path("a.tar"), [folder])
    os.utime(folder / "semantic" / "1.png", (0, 0))
    (folder / "semantic" / "1.png").chmod(0o600)
    pack(Path("b.tar"), [folder])
    assert Path("a.tar").read_bytes() == Path("b.tar").read_bytes()


def test_a_tar_that_leads_out_of_the_build_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "build").mkdir()
    monkeypatch.chdir(tmp_path / "build")
    (tmp_path / "outside.txt").write_text("theirs")
    pack(Path("x.tar"), [Path("../outside.txt")])
    (tmp_path / "outside.txt").unlink()
    with pytest.raises(CocomineError, match="outside the destination"):
        unpack(Path("x.tar"))
    assert not (tmp_path / "outside.txt").exists()


def test_a_tar_is_not_laid_down_through_a_link_that_leads_out_of_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "build").mkdir()
    monkeypatch.chdir(tmp_path / "build")
    folder_of(tmp_path / "build")
    pack(Path("x.tar"), [Path("results/v1.5/masks/semantic/1.png")])
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "1.png").write_text("theirs")
    shutil.rmtree("results/v1.5/masks/semantic")
    Path("results/v1.5/masks/semantic").symlink_to(tmp_path / "theirs")
    with pytest.raises(CocomineError, match="outside the destination"):
        unpack(Path("x.tar"))
    assert (tmp_path / "theirs" / "1.png").read_text() == "theirs"


def test_a_tar_that_holds_a_link_is_refused_wherever_the_link_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "build").mkdir()
    monkeypatch.chdir(tmp_path / "build")
    with tarfile.open("x.tar", "w") as out:
        for name, link in (("d/d/d/d", ""), ("d/d/d/d/l", "../../../.."), ("x", "d/d/d/d/l/../../../../..")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE if link else tarfile.DIRTYPE, link
            out.addfile(member)
        out.addfile(tarfile.TarInfo("x/evil.txt"))
    with pytest.raises(CocomineError, match="is a special file"):
        unpack(Path("x.tar"))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["build", "x.tar", "x.unpacked"]


@pytest.mark.parametrize("name", ["all", "lock", "folder", "previous"])
def test_a_folder_may_have_any_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("results") / "predictions" / name
    for number in range(2):
        with replaced_folder(folder, "marker") as made:
            (made / "marker").write_text(str(number))
        pack(folder.with_suffix(".tar"), [folder])
        unpack(folder.with_suffix(".tar"))
        assert (folder / "marker").read_text() == str(number)


def test_nothing_at_all_is_a_tar_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pack(Path("x.tar"), [])
    unpack(Path("x.tar"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.tar", "x.unpacked"]


def test_a_job_sees_the_build_below_a_prefix_as_one_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seen: list[object] = []
    parser = command.parser("A test.")
    parser.add_argument("files", nargs="+")
    given = ["--work-dir", "sets/coco/", "--end-of-files", "sets/coco/results/a.tsv", "data/x", "/sets/coco/b"]
    assert command.run(lambda options: seen.extend([Path.cwd(), *options.files]), parser, given) == 0
    assert seen == [tmp_path / "sets" / "coco", "results/a.tsv", "data/x", "/sets/coco/b"]


def test_a_job_reads_and_writes_folders_where_tars_come_and_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "store"
    here.mkdir()
    monkeypatch.chdir(here)
    (here / "tasks").mkdir()
    (here / "tasks" / "a.json").write_text("{}")
    pack(Path("tasks.tar"), [Path("tasks")])
    monkeypatch.chdir(tmp_path)

    def main(options: argparse.Namespace) -> None:
        options.made.mkdir()
        (options.made / "b.json").write_text((options.read / "a.json").read_text())

    parser = command.parser("A test.")
    parser.add_argument("--read", type=Path)
    parser.add_argument("--made", type=Path)
    files = ["--work-dir", "store/", "--unpack", "store/tasks.tar", "--pack", "store/out.tar", "--end-of-files"]
    assert command.run(main, parser, [*files, "--read", "store/tasks.tar", "--made", "store/out.tar"]) == 0
    (here / "out" / "b.json").unlink()
    unpack(Path("out.tar"))
    assert (here / "out" / "b.json").read_text() == "{}"


@pytest.mark.parametrize("content", [b"", b"no tar" * 999, None])
def test_a_tar_that_cannot_be_laid_down_is_named_in_the_log_of_its_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = folder_of(tmp_path)
    pack(Path("results/v1.5/masks.tar"), [folder])
    tar = tmp_path / "results" / "v1.5" / "masks.tar"
    tar.write_bytes(tar.read_bytes()[:700] if content is None else content)
    words = ["--work-dir", str(tmp_path), "--unpack", str(tar), "--end-of-files", "--log", str(tmp_path / "logs/a.log")]
    assert command.run(lambda _: 0, command.parser("A test."), words) == 1
    said = (tmp_path / "logs" / "a.log").read_text()
    assert "error: results/v1.5/masks.tar: no folder that a job packed, or a damaged one" in said
    assert "Hint: delete it" in said
