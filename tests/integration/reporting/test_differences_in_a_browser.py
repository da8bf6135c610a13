"""The page of two sources in a real browser, from the disk: filters, links to a view, and no request."""

import re
from pathlib import Path

import pytest
from helpers.browser import visit
from helpers.compared_page import compared_page


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compared_page(tmp_path_factory.mktemp("compared"))


def seen(page: Path, scratch: Path, fragment: str) -> str:
    """Return the document of a view."""
    link = page.parent / f"{scratch.name}.html"
    text = page.read_text(encoding="utf-8").replace('"use strict";', f'"use strict"; location.hash = "{fragment}";')
    link.write_text(re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text), encoding="utf-8")
    return visit(link, scratch).document


def images(document: str) -> list[str]:
    return re.findall(r'class="compared" data-image="(\d+)"', document)


def test_all_images_that_differ_are_shown_and_nothing_is_asked_or_said(page: Path, tmp_path: Path) -> None:
    shown = visit(page, tmp_path / "plain")
    assert shown.asked == []
    assert shown.console == ""
    assert images(shown.document) == ["1", "2"]
    assert "This photograph was not fetched." in shown.document
    # Image 1: the crowd, its two objects and the one that is new; image 2: an outline of each source.
    assert len(re.findall(r'class="wanted"', shown.document)) == 4 + 2


@pytest.mark.parametrize(
    ("fragment", "expected", "said"),
    [
        ("kind=crowd", ["1"], "cat: crowd, 1 → 2"),
        ("kind=outline%3Asecond", ["2"], "cat: outline, finer in other"),
        ("kind=outline%3Afirst", [], ""),
        ("category=dog", ["1"], "dog: only in other"),
        ("sort=boundary", ["2", "1"], ""),
        ("text=2.jpg", ["2"], ""),
    ],
)
def test_one_filter_finds_each_example(page: Path, tmp_path: Path, fragment: str, expected: list, said: str) -> None:
    document = seen(page, tmp_path / re.sub(r"\W", "-", fragment), fragment)
    assert images(document) == expected
    assert said in document
