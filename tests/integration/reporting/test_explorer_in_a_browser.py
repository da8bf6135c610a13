"""The explorer in a real browser, from the disk: filters, sorting, keys, links to a view, and no request."""

import html
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pyarrow.parquet as pq
import pytest
from cocomine.reporting.explorer import Inputs, render_explorer
from helpers.browser import visit
from helpers.explored import make_explored
from helpers.small_subset import SmallSubset

PROBE = """<script>
addEventListener("load", () => {{
  const press = key => document.activeElement.dispatchEvent(
    new KeyboardEvent("keydown", {{key, bubbles: true, cancelable: true}}));
  {actions}
}});
</script></body>"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SmallSubset:
    return make_explored(tmp_path_factory.mktemp("explorer"))


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


def test_each_image_shows_the_cell_that_its_thumbnail_was_given(made: SmallSubset, tmp_path: Path) -> None:
    document = html.unescape(visit(made.folder / "explorer.html", tmp_path / "plain").document)
    found = re.findall(r'data-image="(\d+)".*?url\("([^"]*)"\).*?background-position: ([\d.]+)% ([\d.]+)%', document)
    cell_of = pq.read_table(made.folder / "images.parquet").to_pydict()
    expected = {
        image: (f"thumbnails/sheet-{cell // 100}.jpg", round(cell % 10 / 9 * 100), round(cell % 100 // 10 / 9 * 100))
        for image, cell in zip(cell_of["image_id"], cell_of["cell"], strict=True)
    }
    assert {int(one): (sheet, round(float(x)), round(float(y))) for one, sheet, x, y in found} == expected
    assert {sheet for sheet, *_ in expected.values()} == {"thumbnails/sheet-0.jpg", "thumbnails/sheet-1.jpg"}


def test_a_search_reads_every_caption_and_only_a_search_loads_them(made: SmallSubset, tmp_path: Path) -> None:
    assert "captions.js" not in after(made, tmp_path / "still", "")
    searched = after(
        made,
        tmp_path / "text",
        '$("text").value = "they play"; $("text").dispatchEvent(new Event("input", {bubbles: true}));',
    )
    assert "captions.js" in searched
    assert cells(searched) == [44]


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


def told(made: SmallSubset, scratch: Path, expression: str) -> Any:
    """Return what a script that may wait finds in the page, as JSON."""
    script = (
        f"(async () => {{ document.body.dataset.told = JSON.stringify(await (async () => {{ {expression} }})()); }})();"
    )
    found = re.search(r'data-told="([^"]*)"', after(made, scratch, script))
    assert found
    return json.loads(html.unescape(found[1]))


FILTERS = {
    "": [7, 12, 31, 44, 58],
    "classes=1": [7, 12],
    "classes=0&classes=1&match=all": [7, 12],
    "size=small": [7, 12, 44, 58],
    "size=large": [],
    "classes=1&size=small": [7, 12],
    "split=val": [44, 58],
    "role=negative": [31],
    "licence=Odd+one": [44],
    "min=3": [7, 44],
    "min=1&max=1": [58],
    "of=brightness&min=0.25&max=0.45": [31, 44],
    "of=aspect&max=0.9": [12],
    "of=score%3Alinknet&max=0.5": [44],
    "near=44": [44],
    "lost=any": [7],
    "lost=1": [7],
    "lost=box-zero-side": [7],
    "lost=image-truncated": [],
    "lost=other_annotations": [12],
    "text=run": [7],
    "text=000000000012": [12],
    "text=58": [58],
    "sort=brightness&down=1": [58, 44, 31, 12, 7],
    "sort=score%3Alinknet": [44, 7, 12, 31, 58],
    "sort=objects&down=1": [7, 44, 12, 58, 31],
    "sort=aspect": [12, 44, 7, 31, 58],
}


def test_each_filter_and_order_of_an_address_shows_its_images_and_counts_them(
    made: SmallSubset, tmp_path: Path
) -> None:
    found = told(
        made,
        tmp_path / "filters",
        f"""
      await load("captions");
      return {json.dumps(list(FILTERS))}.map(address => {{
        history.replaceState(null, "", "#" + address); read(); draw();
        const images = [...document.querySelectorAll(".cell")].map(cell => Number(cell.dataset.image));
        return [images, $("count").textContent];
      }});""",
    )
    shown_by = dict(zip(FILTERS, found, strict=True))
    assert {address: images for address, (images, _) in shown_by.items()} == FILTERS
    assert all(words == f"{len(images)} of 5 images" for images, words in found)


def test_an_address_is_written_as_it_is_read(made: SmallSubset, tmp_path: Path) -> None:
    full = "classes=1&match=all&size=small&of=aspect&min=0.1&near=7&lost=any&layers=boxes&opacity=0.2&image=7"
    written = told(
        made,
        tmp_path / "written",
        f"""
      history.replaceState(null, "", "#{full}"); read(); draw(); return location.hash;""",
    )
    assert dict(parse_qsl(written[1:])) == dict(parse_qsl(full))


LOOK = """
  const look = async id => { open(data.id.indexOf(id)); await new Promise(resolve => setTimeout(resolve, 400));
    const there = Object.keys(LAYERS).filter(name => !$("show-" + name).closest("label").hidden);
    return {there, on: there.filter(name => $(name).style.visibility === "visible"),
      lines: $("points").querySelectorAll("line").length, joints: $("points").querySelectorAll("circle").length,
      boxes: $("boxes").children.length, captions: [...$("captions").children].map(one => one.textContent),
      lost: $("lost-list").children.length, gone: [...$("gone-list").children].map(one => one.textContent),
      repaired: [...$("repaired-list").children].map(one => one.textContent),
      trace: $("trace").textContent, facts: $("facts").textContent,
      broken: [...document.querySelectorAll("#stack img")].filter(i => i.src && !i.naturalWidth).length};
  };
"""


def test_an_enlarged_image_has_every_layer_that_is_there_and_says_what_became_of_its_objects(
    made: SmallSubset, tmp_path: Path
) -> None:
    first, judged = told(made, tmp_path / "layers", LOOK + "return [await look(7), await look(44)];")
    assert first["there"] == ["mask", "boxes", "points", "segments", "captions"]
    assert first["on"] == ["mask", "boxes", "points", "captions"]
    assert (first["lines"], first["joints"], first["boxes"]) == (1, 2, 3)
    assert first["captions"] == ['A giraffe & a "dog" <b>run</b>.']
    assert first["lost"] == 2
    assert first["trace"] == "./run python scripts/trace_record.py animals --image 7 --config YOUR.yaml"
    assert judged["there"] == ["mask", "boxes", "segments", "predicted", "difference", "captions"]
    assert "Mean IoU, linknet0.250" in judged["facts"]
    assert (first["broken"], judged["broken"]) == (0, 0)
    (repaired,) = told(made, tmp_path / "repaired", LOOK + "return [await look(12)];")
    assert repaired["gone"] == ["person, annotation 77: annotations of other categories left out"]
    assert repaired["repaired"] == ["annotation 104: text-id,not-finite"]


def test_every_layer_has_a_key_and_opacity_and_a_key_copies(made: SmallSubset, tmp_path: Path) -> None:
    keys = told(
        made,
        tmp_path / "keys",
        LOOK
        + """
      const seen = {}; await look(44);
      const copied = [], clipboard = {writeText: async text => copied.push(text)};
      Object.defineProperty(navigator, "clipboard", {value: clipboard});
      for (const [name, key] of Object.entries(LAYERS)) {
        const before = $("show-" + name).checked; press(key); seen[name] = before !== $("show-" + name).checked; }
      press("i"); press("f"); press("t");
      $("opacity").value = "0.9"; $("opacity").dispatchEvent(new Event("input"));
      return [seen, copied, $("mask").style.opacity, new URLSearchParams(location.hash.slice(1)).get("opacity")];""",
    )
    switched, copied, opacity, written = keys
    assert {name for name, yes in switched.items() if not yes} == {"points"}, "an image without people has no joints"
    assert copied == [
        "44",
        "000000000044.jpg",
        "./run python scripts/trace_record.py animals --image 44 --config YOUR.yaml",
    ]
    assert (opacity, written) == ("0.9", "0.9")


def test_keys_search_and_turn_pages_and_help_is_a_key_away(made: SmallSubset, tmp_path: Path) -> None:
    found = told(
        made,
        tmp_path / "search",
        """
      press("/"); const searched = document.activeElement.id; document.activeElement.blur();
      press("?"); return [searched, $("help").open];""",
    )
    assert found == ["text", True]


def test_near_duplicates_are_one_click_from_an_image(made: SmallSubset, tmp_path: Path) -> None:
    images = told(
        made,
        tmp_path / "near",
        LOOK
        + """
      data.grouped[0] = data.grouped[3] = 1; data.group[0] = data.group[3] = "7"; await look(7);
      $("near-duplicates").click();
      return [...document.querySelectorAll(".cell")].map(cell => Number(cell.dataset.image));""",
    )
    assert images == [7, 44]


def test_a_page_of_a_single_file_shows_the_same_from_any_folder(made: SmallSubset, tmp_path: Path) -> None:
    page = tmp_path / "mailed.html"
    render_explorer(Inputs(made.folder, "animals", made.store), page, single_file=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mailed.html"]
    first = page.read_bytes()
    render_explorer(Inputs(made.folder, "animals", made.store), page, single_file=True)
    assert page.read_bytes() == first, "the same inputs give the same bytes"
    assert b"<b>run</b>" not in first, "a caption cannot end the script"
    seen = visit(page, tmp_path / "plain")
    assert (seen.asked, seen.console) == ([], "")
    assert len(cells(seen.document)) == 5
    alone = SmallSubset(tmp_path, made.store)
    page.rename(tmp_path / "explorer.html")
    (looked,) = told(alone, tmp_path / "large", LOOK + "return [await look(7)];")
    assert looked["there"] == ["mask", "boxes", "points", "captions"]
    assert (looked["boxes"], looked["broken"]) == (3, 0)
