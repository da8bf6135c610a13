"""Builds of several work folders that share what they fetch."""

import functools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import yaml
from cocomine.base.errors import CocomineError
from cocomine.configuration.planning import make_plan
from cocomine.configuration.sharing import share
from helpers.loopback import Loopback, QuietServer
from helpers.own_data import coco, lay
from helpers.sync import script, tree, write_selection
from helpers.workflow import snakemake

NAMES = [f"{number}.jpg" for number in range(1, 7)]


class Web(Loopback):
    """A server that remembers what was fetched from it."""

    def __init__(self, folder: Path) -> None:
        fetched = self.fetched = []

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                fetched.append(self.path)
                super().do_GET()

        self.httpd = QuietServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.httpd.server_address[1]}/"


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """Six images and their annotations behind HTTP."""
    folder = lay(
        tmp_path / "origin",
        {"annotations/instances_train.json": coco(NAMES)},
        [f"train/{name}" for name in NAMES],
    )
    with Web(folder) as served:
        yield served


def build(work: Path, config: dict[str, Any]) -> Any:
    """Build a config in `work` as far as its subset."""
    work.mkdir()
    (work / "my.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return snakemake(work, "--configfile", str(work / "my.yaml"), "--until", "assemble_subset")


@pytest.mark.slow
def test_two_builds_at_once_fetch_each_file_once_and_make_the_same(tmp_path: Path, web: Web) -> None:
    (tmp_path / "shared").mkdir()
    config = {
        "shared": str(tmp_path / "shared"),
        "stores": {"own": {"origins": [web.url]}},
        "sources": {"own": {"splits": ["train"]}},
        "subsets": {"leaves": {}},
    }
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda name: build(tmp_path / name, config), ("a", "b")))
    assert [one.returncode for one in done] == [0, 0], done[0].stderr + done[1].stderr
    wanted = sorted(["/annotations/instances_train.json", *(f"/train/{name}" for name in NAMES)])
    assert sorted(web.fetched) == wanted
    assert tree(tmp_path / "a/results") == tree(tmp_path / "b/results")
    alone = build(tmp_path / "alone", {key: value for key, value in config.items() if key != "shared"})
    assert alone.returncode == 0, alone.stderr
    assert tree(tmp_path / "alone/results") == tree(tmp_path / "a/results")


@pytest.mark.slow
def test_what_only_has_the_same_name_is_not_shared_and_files_of_a_work_folder_stay(tmp_path: Path, web: Web) -> None:
    (tmp_path / "shared").mkdir()
    config = {"sources": {"own": {"splits": ["train"]}}, "subsets": {"leaves": {}}}
    first = {**config, "stores": {"own": {"origins": [web.url]}}}
    second = {**config, "stores": {"own": {"origins": [f"{web.url}?mirror="]}}, "shared": str(tmp_path / "shared")}
    assert build(tmp_path / "a", first).returncode == 0
    (tmp_path / "a/my.yaml").write_text(yaml.safe_dump({**first, "shared": str(tmp_path / "shared")}), encoding="utf-8")
    done = snakemake(
        tmp_path / "a", "--configfile", str(tmp_path / "a/my.yaml"), "--until", "mine_subset", "--forceall"
    )
    assert done.returncode != 0
    assert "holds files of this work folder's own" in done.stderr
    build(tmp_path / "b", {**first, "shared": str(tmp_path / "shared")})
    build(tmp_path / "c", second)
    assert len({path.name for path in (tmp_path / "shared/annotations").iterdir()}) == 2


def test_a_link_of_the_user_s_own_stays_and_ours_goes_with_the_key(tmp_path: Path) -> None:
    config = {"sources": {"coco": {"preset": "coco2017", "splits": ["val2017"]}}, "subsets": {"all": {}}}
    shared, own, link = tmp_path / "shared", tmp_path / "disk", tmp_path / "work/data/images/coco"
    for folder in (shared, own, link.parent, tmp_path / "work/data/annotations/coco"):
        folder.mkdir(parents=True)
    link.symlink_to(own)
    share(make_plan(config), tmp_path / "work")
    assert link.readlink() == own
    with pytest.raises(CocomineError, match="own"):
        share(make_plan({**config, "shared": str(shared)}), tmp_path / "work")
    link.unlink()
    share(make_plan({**config, "shared": str(shared)}), tmp_path / "work")
    assert link.resolve().is_relative_to(shared)
    share(make_plan({**config, "stores": {"coco": {"folder": str(own)}}, "shared": str(shared)}), tmp_path / "work")
    assert not link.is_symlink()
    with pytest.raises(CocomineError, match="is no folder"):
        share(make_plan({**config, "shared": str(tmp_path / "mistyped")}), tmp_path / "work")
    assert not (tmp_path / "mistyped").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_who_may_not_write_uses_what_is_there_and_is_told_what_lacks(web: Web, tmp_path_factory: Any) -> None:
    work = tmp_path_factory.mktemp("readers")
    for folder in (work, *work.parents[:3]):  # pytest's own folders, into which only their owner may look
        if folder.name.startswith(("pytest", "popen", "readers")):
            folder.chmod(0o755)
    settings = f'{{"origins": ["{web.url}"]}}'
    own = work / "nobody"
    own.mkdir()
    own.chmod(0o777)

    def sync(folder: Path, names: list[str], user: str | None = None) -> Any:
        selection = write_selection(folder / "selection.tsv", [f"train/{name}" for name in names])
        where = ("--selection", selection, "--store-dir", work / "store", "--lock", folder / "images.lock.tsv")
        return script("sync_images.py", "--settings", settings, *where, user=user)

    sync(work, NAMES[:4]).ok()
    fetched, before = list(web.fetched), tree(work)
    sync(own, NAMES[:4], "nobody").ok()
    assert (own / "images.lock.tsv").read_bytes() == (work / "images.lock.tsv").read_bytes()
    refused = sync(own, NAMES, "nobody")
    assert refused.code != 0
    assert "2 of 6 images are not there as wanted, and only its owner may bring them" in refused.err
    assert web.fetched == fetched
    assert {name: data for name, data in tree(work).items() if not name.startswith("nobody/")} == before
