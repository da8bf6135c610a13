"""The lock that a page says it is part of, as chromium shows it of a real build on the disk."""

import hashlib
import html
import json
import re
import shutil
from pathlib import Path

import pytest
from helpers.browser import visit
from helpers.tiny_coco import write_config, write_tiny_coco
from helpers.workflow import snakemake

pytestmark = pytest.mark.slow

NOT_YET = "Not part of a lock yet"
ANOTHER = "Not part of the build.lock.json that lies here"
PAGES = ("pets/report.html", "pets/explorer.html", "comparisons/both/differences.html")


class Build:
    """A small build of one subset and one comparison, and what its pages say of the lock."""

    def __init__(self, folder: Path) -> None:
        coco = write_tiny_coco(folder / "coco")
        document = json.loads((coco / "annotations" / "instances_train2017.json").read_text())
        document["annotations"][0]["category_id"] = 1
        theirs = folder / "theirs.json"
        theirs.write_text(json.dumps(document))
        sources = {"coco": {"splits": ["train2017"]}, "theirs": {"annotations": str(theirs), "store": "coco"}}
        comparisons = {
            "both": {"first": "coco", "second": "theirs", "first_splits": ["train2017"], "second_splits": ["all"]}
        }
        subset = {"source": "coco", "categories": ["cat", "dog"], "single_file": True}
        self.work, self.config = folder / "wörk & <more>", folder / "config.json"
        self.work.mkdir()
        more = {"sources": sources, "comparisons": comparisons, "subsets": {"pets": subset}, "exports": []}
        write_config(self.config, coco, **more)

    def run(self, *arguments: str) -> None:
        done = snakemake(self.work, "--configfile", str(self.config), *arguments)
        assert done.returncode == 0, done.stderr[-3000:]

    @property
    def results(self) -> Path:
        return self.work / "results"

    def sha256(self) -> str:
        """What `sha256sum results/build.lock.json` prints."""
        return hashlib.sha256((self.results / "build.lock.json").read_bytes()).hexdigest()

    def says(self, page: str, scratch: Path, address: str = "") -> str:
        """Return the visible text of a page's note of the lock."""
        seen = visit(self.results / page, scratch, address=address)
        assert seen.asked == []
        assert "Content Security Policy" not in seen.console
        note = re.search(r'<p id="build-lock"([^>]*)>(.*?)</p>', seen.document, re.DOTALL)
        if note is None:
            return ""
        assert "hidden" not in note[1]
        return html.unescape(re.sub("<[^>]*>", "", note[2]))


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    made = Build(tmp_path_factory.mktemp("lock"))
    made.run()
    return made


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_of_which_lock_it_is_part(build: Build, page: str, tmp_path: Path) -> None:
    assert build.says(page, tmp_path) == f"Part of build.lock.json, SHA-256 {build.sha256()}."


def test_a_page_to_be_mailed_says_nothing_of_a_lock(build: Build, tmp_path: Path) -> None:
    assert build.says("pets/explorer/single.html", tmp_path) == ""


def test_before_the_lock_and_away_from_it_a_page_says_that_it_is_of_none(build: Build, tmp_path: Path) -> None:
    names = build.results / "build.lock.js"
    kept = names.read_text()
    apart = build.results.with_name("apart") / "pets"
    shutil.copytree(build.results / "pets", apart)
    try:
        assert build.says("../apart/pets/report.html", tmp_path).startswith(NOT_YET)
        for text in (None, "", "window.cocomineLock = {};", f'window.cocomineLock = {{"sha256": "{"<b>x</b>" * 8}"}};'):
            names.unlink(missing_ok=True)
            if text is not None:
                names.write_text(text)
            for page in ("pets/report.html", "pets/explorer.html"):
                assert build.says(page, tmp_path).startswith(NOT_YET)
        # The lock is that of another build: one that has not the page, or has other numbers in it.
        for pages in ("null", '{"cats/report.html": ""}', '{"pets/report.html": "0"}', '{"__proto__": ""}'):
            names.write_text(f'window.cocomineLock = {{"sha256": "{build.sha256()}", "pages": {pages}}};')
            assert build.says("pets/report.html", tmp_path).startswith(ANOTHER)
    finally:
        names.write_text(kept)
        shutil.rmtree(apart.parent)


def test_after_a_change_a_page_is_of_the_new_lock_and_meanwhile_of_another(build: Build, tmp_path: Path) -> None:
    before = build.sha256()
    config = json.loads(build.config.read_text())
    config["subsets"]["pets"]["categories"] = ["cat"]
    build.config.write_text(json.dumps(config))
    build.run("--until", "render_report", "render_explorer")
    for page in ("pets/report.html", "pets/explorer.html"):
        assert build.says(page, tmp_path).startswith(ANOTHER)
    build.run("--until", "lock_build")
    assert build.sha256() != before
    for page in PAGES:  # the differences are as before, the lock is not
        assert build.says(page, tmp_path) == f"Part of build.lock.json, SHA-256 {build.sha256()}."


def test_a_bare_percent_in_an_address_stops_no_script(build: Build, tmp_path: Path) -> None:
    apart = build.results.with_name("100%")
    shutil.copytree(build.results / "pets", apart)
    address = (apart / "explorer.html").as_uri().replace("%25", "%")
    assert build.says("../100%/explorer.html", tmp_path, address).startswith(NOT_YET)


def test_differences_of_other_data_are_of_no_lock(build: Build, tmp_path: Path) -> None:
    config = json.loads(build.config.read_text())
    config["comparisons"]["both"]["shown"] = 0
    build.config.write_text(json.dumps(config))
    build.run("--until", "render_differences")
    assert build.says("comparisons/both/differences.html", tmp_path).startswith(ANOTHER)
