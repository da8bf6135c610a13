"""A reader of reports, written apart from the code that writes them, and a small report to read."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

from cocomine.reporting.report import Inputs, render_report

from helpers.small_report import add_report_inputs
from helpers.small_subset import make_small_subset

HOSTILE = ('<script>alert("dog")</script>', "gi\"raffe' onload=alert(1) & <img src=x onerror=alert(2)>")
UNITS = {"kB": 1e3, "MB": 1e6, "GB": 1e9, "B": 1}


class Page(HTMLParser):
    """Reads a page apart from the code that wrote it: keyed numbers, keyed texts, and digits that are neither.

    `charts` are the marks of each chart by its place in report.json: what they say, their shape, and where they lead.
    """

    VOID = frozenset({"meta", "img", "input", "br", "link"})

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.stack: list[Any]
        self.stack, self.numbers, self.texts, self.loose, self.charts, self.tags = [], [], [], [], {}, []
        self.feed(text)
        assert not self.stack, self.stack

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.append((tag, values))
        if "data-series" in values:
            self.marks = self.charts.setdefault(values["data-series"], [])
        if values.get("role") == "graphics-symbol" and values["aria-roledescription"] not in ("axis", "legend"):
            above = self.stack[-1]
            self.marks.append(
                (values["aria-label"], values.get("d"), above[1].get("href") if above[0] == "a" else None)
            )
        if tag not in self.VOID:
            self.stack.append((tag, values, []))

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.handle_endtag(tag)

    def handle_data(self, text):
        if not self.stack or self.stack[-1][0] in ("style", "script", "title"):
            return
        self.stack[-1][2].append(text)
        marked = any(tag == "svg" or "data-key" in values or "data-text" in values for tag, values, _ in self.stack)
        if not marked and re.search(r"\d", text) and text.strip() not in ("report.json", "index.json", "SHA-256"):
            self.loose.append(text)

    def handle_endtag(self, tag):
        opened, values, parts = self.stack.pop()
        assert opened == tag, (opened, tag)
        if "data-key" in values:
            self.numbers.append((values["data-key"], values["data-format"], "".join(parts)))
        if "data-text" in values:
            self.texts.append((values["data-text"], "".join(parts)))


def at(facts, path):
    for step in path.split("."):
        facts = facts[int(step)] if isinstance(facts, list) else facts[step]
    return facts


def leaves(value, path=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from leaves(inner, f"{path}.{number}" if path else str(number))
    else:
        yield path, value


def read_number(text, kind):
    """What a reader takes the shown number for, and how far the rounding may put it off."""
    plain = text.replace("−", "-").replace(",", "").replace("+", "")
    if kind in ("share", "signed"):
        return float(plain.removesuffix("%")) / 100, 0.00051
    if kind == "points":
        return float(plain.removesuffix("points")) / 100, 0.00051
    if kind == "ratio":
        return float(plain), 0.051 if float(plain) >= 1 else float(plain) * 0.051
    if kind == "size":
        number, unit = plain.split()
        return float(number) * UNITS[unit], 0.051 * UNITS[unit]
    if kind == "score":
        return float(plain), 0.00051
    number = float(plain)
    return number, (0.0 if kind in ("count", "id") else abs(number) * 0.0006)


def assert_every_number_is_known(html, facts):
    """Every number and text of the page is at its place in the facts, and none stands on it that is not."""
    page = Page(html)
    assert page.loose == []
    for path, kind, text in page.numbers:
        number, off = read_number(text, kind)
        assert abs(number - at(facts, path)) <= off, (path, kind, text, at(facts, path))
    for path, text in page.texts:
        assert text == at(facts, path)
    return page


def assert_page_and_json_agree(html, facts):
    page = assert_every_number_is_known(html, facts)
    assert page.numbers
    shown = {path for path, _, _ in page.numbers}
    missing = [
        path
        for path, value in leaves(facts)
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and path not in shown
        and not re.search(r"\.(color\.\d|label|points\.\d+\.\d)$|^look\.|^per_image\.", path)  # drawn, not written
        and not (value == 0 and re.search(r"\.(removed|added|negatives|crowds|refused)$", path))  # said by leaving out
    ]
    assert missing == [], missing
    for path, marks in page.charts.items():
        known = {shown for _, value in leaves(facts[path.split(".")[0]]) for shown in said_of(value)}
        for said, _, _ in marks:
            numbers = re.findall(r"(?<![\w.])[\d,]*\.?\d+(?![\w.])", said.rpartition(": ")[2])
            assert set(numbers) <= known, (path, said)
        if ".charts." in path:
            for series, (_, shape, _) in zip(at(facts, path)["series"], marks, strict=True):
                assert_drawn(shape, series["points"])
    return page


def said_of(value):
    """How the marks of a chart may write a number of the facts."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return set()
    return {f"{value:,}", f"{value:.3f}", f"{100 * value:.1f}"}


def assert_drawn(shape, points):
    """The drawn line goes through all points of report.json: one affine map, the same for all, per axis."""
    drawn = [tuple(map(float, pair.split(","))) for pair in re.findall(r"[ML]([-\d.,]+)", shape)]
    assert len(drawn) == len(points)
    for axis in (0, 1):
        values, places = [point[axis] for point in points], [place[axis] for place in drawn]
        low, high = min(values), max(values)
        if high > low:
            slope = (places[values.index(high)] - places[values.index(low)]) / (high - low)
            start = places[values.index(low)]
            for value, place in zip(values, places, strict=True):
                assert abs(start + slope * (value - low) - place) < 0.03


def make_report(root, names=("dog", "giraffe"), *, full=True):
    subset = make_small_subset(root, names=names)
    runs = (add_report_inputs(subset, names),) if full else ()
    lock = subset.folder.parent / "sync.lock.json"
    inputs = Inputs(subset.folder, "animals", {"source": "coco"}, subset.store, runs, lock if full else None, 24)
    if full:
        listed = subset.folder.parent / "label_errors" / "yolo" / "label_errors.tsv"
        inputs = replace(inputs, reviews=(listed,))
    render_report(inputs, subset.folder / "report.html", subset.folder / "report.json")
    html = (subset.folder / "report.html").read_text("utf-8")
    return html, json.loads((subset.folder / "report.json").read_text("utf-8")), subset
