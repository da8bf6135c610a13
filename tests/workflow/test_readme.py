"""What README promises: its two commands are CI's, its graph is the graph, its links lead somewhere."""

import importlib.util
import re

import cocomine
from helpers.shared import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_two_commands_stand_at_the_top_and_are_the_very_lines_that_ci_runs() -> None:
    commands = re.findall(r"^    (\./run .*)$", README, re.MULTILINE)[:2]
    assert commands == ["./run snakemake --cores 8", "./run pytest -n 2 --dist loadfile"]
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert all(re.search(rf"(^|[ {{]){re.escape(command)}($|[ ;}}])", ci, re.MULTILINE) for command in commands)


def test_the_picture_of_the_graph_is_the_graph() -> None:
    path = ROOT / "docs" / "pictures" / "draw_rulegraph.py"
    spec = importlib.util.spec_from_file_location("draw_rulegraph", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.drawn(module.rule_graph()) in README, "run: ./run python docs/pictures/draw_rulegraph.py"


def test_every_link_of_every_page_leads_to_a_file() -> None:
    for page in [
        ROOT / "README.md",
        ROOT / "DEVELOPING.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").glob("*.md")),
        ROOT / "config/README.md",
    ]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if not re.match(r"https?:|mailto:", target):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_version_is_one_in_the_library_the_citation_and_the_changes() -> None:
    assert f"\nversion: {cocomine.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {cocomine.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_page_of_the_docs_is_in_the_site() -> None:
    pages = re.findall(r": (\w[\w-]*\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(pages) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))
