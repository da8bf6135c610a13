"""Turning facts into a page: every number and text that is shown knows its place in report.json.

`traced` copies the facts so that each leaf carries its path. In a template, `{{ facts.split.images | count }}` becomes
`<span data-key="split.images" data-format="count">287</span>`; a text becomes `<span data-text="path">`, escaped. A
number that is no fact, or has no format, cannot be shown: rendering raises.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import jinja2
from markupsafe import Markup, escape

from cocomine.evaluation.verdict import times

TEMPLATES = Path(__file__).parent
BESIDE = "'self' file:"
"""What a policy calls the place that the page lies on, where it is served and where it is a file of the disk."""


class Text(str):
    """A text of the facts, and its path in report.json."""

    path: str
    __slots__ = ("path",)

    def __new__(cls, value: str, path: str) -> Self:
        """Make the text `value` at `path`."""
        self = super().__new__(cls, value)
        self.path = path
        return self


class Whole(int):
    """A whole number of the facts, and its path in report.json."""

    path: str

    def __new__(cls, value: int, path: str) -> Self:
        """Make the number `value` at `path`."""
        self = super().__new__(cls, value)
        self.path = path
        return self


class Real(float):
    """A real number of the facts, and its path in report.json."""

    path: str

    def __new__(cls, value: float, path: str) -> Self:
        """Make the number `value` at `path`."""
        self = super().__new__(cls, value)
        self.path = path
        return self


def traced(value: Any, path: str = "") -> Any:
    """Return a copy of the facts whose texts and numbers know their paths, such as `runs.0.classes.2.iou`."""
    below = f"{path}." if path else ""
    if isinstance(value, Mapping):
        return {key: traced(inner, f"{below}{key}") for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [traced(inner, f"{below}{number}") for number, inner in enumerate(value)]
    if isinstance(value, str):
        return Text(value, path)
    if value is None or isinstance(value, bool):
        return value
    return Whole(value, path) if isinstance(value, int) else Real(value, path)


def format_number(number: float, kind: str) -> str:
    """Return a number as the page shows it.

    Kinds: `count` 12,345 · `id` 12345 · `share` 12.3 % of a fraction · `points` 12.3 points, the distance of two such
    shares · `signed` +1.2 % · `score` 0.123 · `ratio` 4.3 or 0.74 · `plain` four digits · `size` in bytes as kB, MB, GB
    (powers of 1000).
    """
    if kind == "count":
        return f"{number:,}"
    if kind == "id":
        return str(int(number))
    if kind == "share":
        return f"{100 * number:.1f}\N{NO-BREAK SPACE}%"
    if kind == "points":
        return f"{100 * number:.1f}\N{NO-BREAK SPACE}points"
    if kind == "ratio":
        return times(number)
    if kind == "signed":
        return f"{100 * number:+.1f}\N{NO-BREAK SPACE}%".replace("-", "−")
    if kind == "score":
        return f"{number:.3f}".replace("-", "−")
    if kind == "plain":
        return f"{number:.4g}".replace("-", "−")
    if kind == "size":
        for power, unit in ((9, "GB"), (6, "MB"), (3, "kB")):
            if number >= 10**power:
                return f"{number / 10**power:.1f}\N{NO-BREAK SPACE}{unit}"
        return f"{int(number)}\N{NO-BREAK SPACE}B"
    raise ValueError(f"no such format: {kind}")


def keyed(number: Any, kind: str, tag: str = "span") -> Markup:
    """Return the number as an element that names its path; a missing one as a dash.

    Raises ValueError for a number that is no leaf of the facts: it would stand on the page and not in report.json.
    """
    if number is None or isinstance(number, jinja2.Undefined):
        return Markup('<span class="none" title="not known">–</span>')
    if not isinstance(number, Whole | Real):
        raise ValueError(f"{number!r} is shown as {kind} but is no number of the facts")
    shown = format_number(number, kind)
    return Markup('<{0} data-key="{1}" data-format="{2}">{3}</{0}>').format(tag, number.path, kind, shown)


def _finalize(value: Any) -> Any:
    """Wrap a text of the facts; refuse a number without a format."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, Text):
        return Markup('<span data-text="{}">{}</span>').format(value.path, str(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise TypeError(f"number {value!r} ({getattr(value, 'path', 'no path')}) is shown without a format")
    return value


def _bare(value: Any) -> Markup:
    """Return a text for an attribute: escaped, with no element round it."""
    return escape(str(value))


def _link(url: Any, label: Any) -> Markup:
    """Return `label` as a link, or alone unless the address is plain http or https."""
    shown = _finalize(label)
    if not str(url).lower().startswith(("http://", "https://")):
        return escape(shown)
    return Markup('<a href="{}" rel="noreferrer noopener">{}</a>').format(str(url), shown)


def hex_colour(colour: Any) -> str:
    """Return [r, g, b] (0 to 255) as #rrggbb."""
    return "#" + "".join(f"{int(part):02x}" for part in colour)


def heat(value: float, highest: float) -> str:
    """Return the style class, h0 to h9, for a cell of a matrix; h0 is an empty cell."""
    if value <= 0 or highest <= 0:
        return "h0"
    return f"h{1 + min(8, int(value / highest * 8.999))}"


def environment() -> jinja2.Environment:
    """Return the template environment: escaping always on, an unknown variable an error."""
    result = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for kind in ("count", "id", "share", "points", "signed", "score", "ratio", "plain", "size"):
        result.filters[kind] = lambda number, kind=kind: keyed(number, kind)
    result.filters.update(bare=_bare, hex=hex_colour)
    result.globals.update(link=_link, heat=heat)
    return result


def render(template: str, facts: Mapping[str, Any], note: Markup | None = None, **more: Any) -> str:
    """Return the page: the template over the traced facts, with style and script put in and allowed by their hashes.

    The page's own security policy forbids every request: a picture can only be part of the page. With a `note` of
    lock_note.py it allows a script of the place that the page lies on, which build.lock.js is.
    """
    style = _tidy((TEMPLATES / "style.css").read_text("utf-8"))
    script = _scripts("script.js", "lock_note.js")
    beside = f" {BESIDE}" if note is not None else ""
    policy = (
        f"default-src 'none'; img-src data:; style-src {_source_hash(style)}; "
        f"script-src {_source_hash(script)}{beside}; base-uri 'none'; form-action 'none'"
    )
    text = (
        environment()
        .get_template(template)
        .render(facts=traced(facts), style=Markup(style), script=Markup(script), policy=policy, note=note, **more)  # noqa: S704 - our own files
    )
    return _tidy(text) + "\n"


def render_explorer_page(facts: Mapping[str, Any], note: Markup | None, data: str = "") -> str:
    """Return the explorer's page; its policy allows its own style and script, and files of the disk it lies on.

    `data` is the script that holds the data, "" where it lies beside the page; such a page has no `note` of a lock.
    """
    return _page_with_files("explorer", facts, note, data)


def render_differences_page(facts: Mapping[str, Any], note: Markup) -> str:
    """Return the page of two sources' differences, with the explorer's style; its policy is the explorer's."""
    return _page_with_files("differences", facts, note)


def script_text(value: Any) -> str:
    """Return a value as a script may hold it."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _page_with_files(name: str, facts: Mapping[str, Any], note: Markup | None, data: str = "") -> str:
    style = _tidy((TEMPLATES / "explorer.css").read_text("utf-8"))
    script = _scripts("components.js", "lock_note.js", f"{name}.js")
    data = data.replace("<", "\\u003c")
    allowed = _source_hash(data) if data else BESIDE
    policy = (
        f"default-src 'none'; img-src 'self' file: data:; style-src {_source_hash(style)}; "
        f"script-src {_source_hash(script)} {allowed}; base-uri 'none'; form-action 'none'"
    )
    page = environment().get_template(f"{name}.html.j2")
    parts = {"style": style, "script": script, "data": data}
    safe = {key: Markup(text) for key, text in parts.items()}  # noqa: S704 - our own files, and a script without <
    return _tidy(page.render(facts=traced(facts), policy=policy, note=note, **safe)) + "\n"


def _scripts(*names: str) -> str:
    return _tidy("".join((TEMPLATES / name).read_text("utf-8") for name in names))


def _tidy(text: str) -> str:
    """Drop empty lines and spaces at line ends; a security policy hashes style and script as they stand on the page."""
    return "\n".join(line.rstrip() for line in text.split("\n") if line.strip())


def _source_hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
