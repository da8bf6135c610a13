"""The explorer in a real browser, from the disk: filters, sorting, keys, links to a view, and no request."""

import re
from pathlib import Path

import pytest
from cocomine.reporting.explorer import Inputs, render_explorer
from helpers.browser import visit
from helpers.small_report import add_report_inputs
from helpers.small_subset import SmallSubset, make_small_subset

PROBE = """<script>
addEventListener("load", () => {{
  const press = key => document.activeElement.dispatchEvent(
    new KeyboardEvent("keydown", {{key, bubbles: true, cancelable: true}}));
  {actions}
}});
</script></body>"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SmallSubset:
    small = make_small_subset(tmp_path_factory.mktemp("explorer"))
    add_report_inputs(small)
    render_explorer(Inputs(small.folder, "animals", small.store), small.folder / "explorer.html", 1)
    return small


def after(made: SmallSubset, scratch: Path, actions: str) -> str:
    """Return the page's document after some script ran in it (its policy taken out, since the script is a stranger)."""
    text = (made.folder / "explorer.html").read_text(encoding="utf-8")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    page = made.folder / f"{scratch.name}.html"
    page.write_text(text.replace("</body>", PROBE.format(actions=actions)), encoding="utf-8")
    return visit(page, scratch).document


def cells(document: str) -> list[int]:
    return [int(number) for number in re.findall(r'class="cell" data-image="(\d+)"', document)]


def shown(document: str) -> str:
    found = re.search(r'id="count"[^>]*>([^<]*)<', document)
    assert found
    return found[1]


def test_all_images_are_shown_and_nothing_is_asked_or_said(made: SmallSubset, tmp_path: Path) -> None:
    seen = visit(made.folder / "explorer.html", tmp_path / "plain")
    assert seen.asked == []
    assert seen.console == ""
    assert shown(seen.document) == "5 of 5 images"
    assert len(cells(seen.document)) == 5


def test_filters_and_sorting_choose_and_order_the_images(made: SmallSubset, tmp_path: Path) -> None:
    everything = cells(after(made, tmp_path / "all", ""))
    set_value = '$("{0}").value = "{1}"; $("{0}").dispatchEvent(new Event("input", {{bubbles: true}}));'
    validation = after(made, tmp_path / "val", set_value.format("split", "val"))
    assert shown(validation) == "2 of 5 images"
    assert set(cells(validation)) < set(everything)
    assert "split=val" in re.findall(r"data-hash=\"([^\"]*)\"", after(
        made, tmp_path / "hash", set_value.format("split", "val") + "document.body.dataset.hash = location.hash;"
    ))[0]  # fmt: skip
    turned = after(made, tmp_path / "down", '$("down").click();')
    assert cells(turned) == everything[::-1]
    assert shown(after(made, tmp_path / "none", set_value.format("text", "no such name"))) == "0 of 5 images"


def test_keys_move_open_and_close(made: SmallSubset, tmp_path: Path) -> None:
    opened = 'press("ArrowRight"); press("ArrowRight"); document.activeElement.click();'
    document = after(made, tmp_path / "open", opened)
    first, second = cells(document)[:2]
    assert re.search(r'<dialog id="view"[^>]* open', document)
    assert f"<dd>{second}</dd>" in document
    stepped = after(made, tmp_path / "step", opened + 'press("ArrowLeft");')
    assert f"<dd>{first}</dd>" in stepped
    closed = after(made, tmp_path / "close", opened + '$("close").click();')
    assert not re.search(r'<dialog id="view"[^>]* open', closed)


def test_a_link_to_a_view_shows_that_view(made: SmallSubset, tmp_path: Path) -> None:
    document = after(made, tmp_path / "link", 'location.hash = "#split=val&down=1";')
    assert shown(document) == "2 of 5 images"
