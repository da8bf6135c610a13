"""sync_bucket beside the real `gsutil rsync`, against one server, over a matrix of cases and in both directions."""

import gzip
import os
import shutil
from pathlib import Path

import pytest
from helpers.gcs_server import GcsServer
from helpers.peers import gsutil, require_gsutil, write_boto_config
from helpers.sync import Result, script, tree
from helpers.tls import make_certificate

OLD = 1_600_000_000  # seconds; well before anything is made in the tests
CREATED = 1_700_000_000.0
NEW = 1_710_000_000
NEWER = {"newer.txt": b"newer here than in the bucket"}


class World:
    """A server, gsutil and ours, each with a folder of its own that begins alike."""

    def __init__(self, folder: Path) -> None:
        require_gsutil()
        self.folder = folder
        self.cert = make_certificate(folder / "tls")
        self.server = GcsServer(page=4, tls=self.cert)
        self.boto = write_boto_config(folder / "boto", self.server.port, folder / "state")
        self.env = {"STORAGE_EMULATOR_HOST": self.server.url, "REQUESTS_CA_BUNDLE": str(self.cert[0])}

    def put(self, name: str, data: bytes, **more: object) -> None:
        self.server.put("b", f"p/{name}", data, **{"created": CREATED, **more})

    def both(
        self, prepare: dict[str, bytes], *options: str, mine: tuple[str, ...] | None = None
    ) -> tuple[Path, Path, Result]:
        """Sync the bucket into two folders that begin with the files of `prepare`: gsutil's first, then ours.

        `mine` are our options where they are other words for the same.
        """
        theirs, ours = self.folder / "theirs", self.folder / "ours"
        for folder in (theirs, ours):
            write(folder, prepare)
            write(folder, NEWER, NEW)
        done = gsutil(self.boto, self.folder, "rsync", "-r", *options, "gs://b/p", str(theirs))
        assert done.returncode == 0, done.stderr
        return theirs, ours, script("sync_bucket.py", "gs://b/p", ours, *(mine or options), env=self.env)

    def both_up(self, files: dict[str, bytes], *options: str) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """Publish one folder into two buckets that begin alike, and return what they hold."""
        folder = self.folder / "up"
        write(folder, files)
        (folder / "link.txt").symlink_to("new.txt")
        write(self.folder / "elsewhere", {"x.txt": b"x"})
        (folder / "linked").symlink_to(self.folder / "elsewhere")
        for bucket in ("theirs", "ours"):
            self.server.buckets[bucket] = {}
            for name, blob in self.server.buckets.get("b", {}).items():
                self.server.put(bucket, name, blob.data, created=CREATED, metadata=dict(blob.metadata))
        done = gsutil(self.boto, self.folder, "rsync", "-r", *options, str(folder), "gs://theirs/p")
        assert done.returncode == 0, done.stderr
        self.said = (done.stderr, script("sync_bucket.py", folder, "gs://ours/p", *options, env=self.env).ok().err)
        held = {b: {name: blob.data for name, blob in self.server.buckets[b].items()} for b in ("theirs", "ours")}
        return held["theirs"], held["ours"]


def write(folder: Path, files: dict[str, bytes], seconds: int = OLD) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (seconds, seconds))
    folder.mkdir(parents=True, exist_ok=True)


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    with made.server:
        yield made


REMOTE = {
    "new.txt": b"new",
    "sub/deep/deeper/x.bin": b"x" * 70_000,
    "with space.txt": b"a space",
    "uni\u00e9\u4e2d\U0001f992.txt": b"unicode",
    "per%20cent%.txt": b"per cent",
    "plus+and&=?#.txt": b"reserved",
    "zero": b"",
    "..dots": b"two dots at the front are a name like another",
    "changed.txt": b"changed, and longer",
    "samesize.txt": b"BBBB",
    "same.txt": b"same",
    "a.txt": b"sorts before a/",
    "a/b.txt": b"sorts after a.txt",
    "folder/in.txt": b"in a folder that has a placeholder",
    "newer.txt": b"older",
}
PLACEHOLDERS = {"": b"", "folder/": b"", "emptyfolder/": b"", "old_$folder$": b""}
LOCAL = {
    "changed.txt": b"before",
    "samesize.txt": b"AAAA",
    "same.txt": b"same",
    "extra.txt": b"nobody has it",
    "deep/extra/too.txt": b"nor this",
    "sub/extra.jpg": b"nor that",
}


def fill(world: World) -> None:
    for name, data in {**REMOTE, **PLACEHOLDERS}.items():
        world.put(name, data)
    world.put("composite.bin", b"no md5 is published", composite=True)
    world.put("dated.txt", b"has gsutil's own time", metadata={"goog-reserved-file-mtime": str(OLD)})
    world.put("packed.json", gzip.compress(b'{"k": 1}' * 100), encoding="gzip")


@pytest.mark.parametrize(
    "options",
    [[], ["-d"], ["-c"], ["-c", "-d"], ["-d", "-x", r".*\.txt$"], ["-x", "sub/"], ["-i"], ["-u"], ["-u", "-d"]],
    ids=lambda options: " ".join(options) or "plain",
)
def test_a_folder_gets_the_tree_that_gsutil_makes(world: World, options: list[str]) -> None:
    fill(world)
    theirs, ours, result = world.both(LOCAL, *options)
    result.ok()
    assert tree(ours) == tree(theirs)
    if "-c" in options:  # gsutil leaves the time alone then; ours keeps it equal to the object's
        return
    times = {name: (theirs / name).stat().st_mtime_ns // 10**9 for name in tree(theirs)}
    assert {name: (ours / name).stat().st_mtime_ns // 10**9 for name in tree(ours)} == times
    assert (tree(ours)["newer.txt"] == NEWER["newer.txt"]) == (
        options[0:1] in (["-i"], ["-u"]) or r".*\.txt$" in options
    )


def test_including_is_leaving_out_all_else(world: World) -> None:
    fill(world)
    theirs, ours, result = world.both(
        LOCAL, "-d", "-x", r"(?!sub/|a)", mine=("-d", "--include", "sub/", "--include", "a")
    )
    result.ok()
    assert tree(ours) == tree(theirs)
    assert "sub/extra.jpg" not in tree(ours)
    assert "extra.txt" in tree(ours)


@pytest.mark.parametrize(
    "options", [[], ["-d"], ["-e"], ["-e", "-d"]], ids=lambda options: " ".join(options) or "plain"
)
def test_symlinks_in_a_folder_fare_as_with_gsutil(world: World, options: list[str]) -> None:
    for name in ("same.txt", "other.txt", "kept.txt"):
        world.put(name, f"of the bucket: {name}".encode())
    write(world.folder / "elsewhere", {"x.txt": b"x"})
    for folder in (world.folder / "theirs", world.folder / "ours"):
        write(folder, {"kept.txt": b"of the bucket: kept.txt", "target": b"of the bucket: same.txt"}, int(CREATED))
        (folder / "same.txt").symlink_to("target")
        (folder / "other.txt").symlink_to("kept.txt")
        (folder / "extra.txt").symlink_to("kept.txt")
        (folder / "linked").symlink_to(world.folder / "elsewhere")
    theirs, ours, result = world.both({}, *options)
    result.ok()
    assert tree(ours) == tree(theirs)
    links = [{path.name for path in folder.iterdir() if path.is_symlink()} for folder in (theirs, ours)]
    assert links[0] == links[1]
    assert tree(world.folder / "elsewhere") == {"x.txt": b"x"}


def test_gsutil_finds_nothing_to_do_after_ours(world: World) -> None:
    fill(world)
    world.server.buckets["b"].pop("p/packed.json")  # gsutil copies this one every time, see below
    world.server.sorted.clear()
    ours = world.folder / "ours"
    script("sync_bucket.py", "gs://b/p", ours, env=world.env).ok()
    shutil.rmtree(ours / ".cocomine")
    before = len(world.server.requests("media"))
    assert gsutil(world.boto, world.folder, "rsync", "-r", "-d", "gs://b/p", str(ours)).returncode == 0
    assert len(world.server.requests("media")) == before


def test_a_second_sync_moves_nothing_where_gsutil_copies_packed_objects_again(world: World) -> None:
    fill(world)
    theirs, ours, result = world.both({})
    result.ok()
    before = len(world.server.requests("media"))
    script("sync_bucket.py", "gs://b/p", ours, env=world.env).ok()
    assert len(world.server.requests("media")) == before
    gsutil(world.boto, world.folder, "rsync", "-r", "gs://b/p", str(theirs))
    assert len(world.server.requests("media")) > before


def test_a_dry_run_names_the_same_files_as_gsutils_and_writes_nothing(world: World) -> None:
    fill(world)
    theirs, ours = world.folder / "theirs", world.folder / "ours"
    write(theirs, LOCAL)
    write(ours, LOCAL)
    said = gsutil(world.boto, world.folder, "rsync", "-r", "-d", "-n", "gs://b/p", str(theirs)).stderr
    mine = script("sync_bucket.py", "gs://b/p", ours, "-d", "-n", env=world.env).ok().err
    prefix = "Would copy gs://b/p/"
    copied = {line[len(prefix) :].partition(" to file")[0] for line in said.splitlines() if line.startswith(prefix)}
    removed = {line.partition(str(theirs) + "/")[2] for line in said.splitlines() if line.startswith("Would remove")}
    words = [line for line in mine.splitlines() if line.startswith("Would")]
    mine_copied = {w[len("Would copy ") :].rpartition(" (")[0] for w in words if w.startswith("Would copy")}
    assert mine_copied == copied - {"same.txt"}  # another time, the same bytes: gsutil copies it, ours looks first
    assert {w[len("Would remove ") :] for w in words if w.startswith("Would remove")} == removed
    assert tree(ours) == LOCAL
    assert not (ours / ".cocomine").exists()


UP = {
    "new.txt": b"new",
    "with space/in folder.txt": b"a space",
    "uni\u00e9\u4e2d.txt": b"unicode",
    "per%20cent%.txt": b"per cent",
    "zero": b"",
    "changed.txt": b"changed, and longer",
    "samesize.txt": b"AAAA",
    "same.txt": b"same",
    "deep/er/file.bin": bytes(range(256)) * 500,
    "older.txt": b"newer than the bucket's",
    "newer.txt": b"older than the bucket's",
}


@pytest.mark.parametrize(
    "options",
    [[], ["-d"], ["-c", "-d"], ["-d", "-x", r".*\.bin$"], ["-i"], ["-u"], ["-u", "-d"], ["-e"], ["-e", "-d"]],
    ids=lambda options: " ".join(options) or "plain",
)
def test_a_bucket_gets_the_objects_that_gsutil_puts(world: World, options: list[str]) -> None:
    begin_up(world)
    theirs, ours = world.both_up(UP, *options)
    assert ours == theirs
    assert all(f"p/{name}" in ours for name in PLACEHOLDERS)
    assert ours["p/changed.txt"] == (b"old" if options == ["-i"] else UP["changed.txt"])
    assert (ours["p/newer.txt"] == UP["newer.txt"]) == (options[0:1] not in (["-i"], ["-u"]))
    assert ours["p/older.txt"] == (b"old, and older" if options == ["-i"] else UP["older.txt"])


def begin_up(world: World) -> None:
    before = {
        "changed.txt": b"old",
        "samesize.txt": b"BBBB",
        "same.txt": b"same",
        "extra.bin": b"x",
        "link.txt": b"old",
    }
    for name, data in {**before, **PLACEHOLDERS}.items():
        world.put(name, data)
    world.put("older.txt", b"old, and older", metadata={"goog-reserved-file-mtime": str(OLD - 1000)})
    world.put("newer.txt", b"newer than the file", metadata={"goog-reserved-file-mtime": str(OLD + 1000)})


def test_a_dry_run_of_publishing_names_the_same_as_gsutils_and_sends_nothing(world: World) -> None:
    begin_up(world)
    theirs, ours = world.both_up(UP, "-d", "-n")
    assert ours == theirs
    assert not world.server.requests("upload")
    words = [[line for line in said.splitlines() if line.startswith("Would")] for said in world.said]
    copied = {
        w.partition(" file://")[2].partition(f"{world.folder / 'up'}/")[2].rpartition(" to gs://")[0] for w in words[0]
    }
    removed = {w.partition("gs://theirs/p/")[2] for w in words[0] if w.startswith("Would remove")}
    mine = {w[len("Would copy ") :].rpartition(" (")[0] for w in words[1] if w.startswith("Would copy")}
    assert mine == copied - {"", "same.txt"}  # another time, the same bytes: gsutil copies it, ours looks first
    assert {w[len("Would remove ") :] for w in words[1] if w.startswith("Would remove")} == removed


def test_publishing_twice_sends_nothing_the_second_time_for_either_program(world: World) -> None:
    world.server.buckets["b"] = {}
    world.both_up(UP)
    before = len(world.server.requests("upload"))
    script("sync_bucket.py", world.folder / "up", "gs://ours/p", env=world.env).ok()
    script("sync_bucket.py", world.folder / "up", "gs://theirs/p", env=world.env).ok()
    gsutil(world.boto, world.folder, "rsync", "-r", "-x", r"\.cocomine/", str(world.folder / "up"), "gs://ours/p")
    assert len(world.server.requests("upload")) == before


# -- where gsutil's behaviour is a trap, and ours is another


def test_other_bytes_of_the_same_size_and_time_are_noticed_where_gsutil_is_blind(world: World) -> None:
    world.put("file.txt", b"BBBB")
    theirs, ours = world.folder / "theirs", world.folder / "ours"
    for folder in (theirs, ours):
        write(folder, {"file.txt": b"AAAA"}, int(CREATED))
    gsutil(world.boto, world.folder, "rsync", "-r", "gs://b/p", str(theirs))
    script("sync_bucket.py", "gs://b/p", ours, env=world.env).ok()
    assert tree(theirs) == {"file.txt": b"AAAA"}
    assert tree(ours) == {"file.txt": b"BBBB"}


def test_a_name_that_is_object_and_prefix_is_refused_by_name_and_the_rest_arrives(world: World) -> None:
    for name in ("both", "both/child", "both.txt", "last.txt"):
        world.put(name, name.encode())
    theirs, ours = world.folder / "theirs", world.folder / "ours"
    theirs.mkdir()
    assert gsutil(world.boto, world.folder, "rsync", "-r", "gs://b/p", str(theirs)).returncode != 0
    result = script("sync_bucket.py", "gs://b/p", ours, env=world.env)
    assert result.code == 1
    assert "both/child" in result.err
    assert tree(ours) == {"both": b"both", "both.txt": b"both.txt", "last.txt": b"last.txt"}
    assert "last.txt" not in tree(theirs)


def test_an_empty_source_does_not_empty_the_destination(world: World) -> None:
    world.put("x.txt", b"x")
    theirs, ours = world.folder / "theirs", world.folder / "ours"
    for folder in (theirs, ours):
        write(folder, {"precious.txt": b"mine"})
    result = script("sync_bucket.py", "gs://b/misspelt", ours, "-d", env=world.env)
    assert result.code == 1
    assert "--allow-empty" in result.err
    assert tree(ours) == {"precious.txt": b"mine"}
    script("sync_bucket.py", "gs://b/misspelt", ours, "-d", "--allow-empty", env=world.env).ok()
    assert tree(ours) == {}


def test_names_that_lead_elsewhere_are_refused_and_nothing_is_written_outside(world: World) -> None:
    hostile = ["../evil", "a//b", "back\\slash", "./dot", "sub/../../evil", "new\nline", "/absolute", "Case", "case"]
    for name in hostile:
        world.put(name, b"evil")
    world.put("good", b"good")
    ours = world.folder / "in" / "ours"
    result = script("sync_bucket.py", "gs://b/p", ours, env=world.env)
    assert result.code == 1
    assert tree(ours) == {"good": b"good", "Case": b"evil"}
    assert sorted(path.name for path in (world.folder / "in").iterdir()) == ["ours"]
    for name in ("../evil", "a//b", "./dot", "sub/../../evil", "/absolute", "case"):
        assert name in result.err
