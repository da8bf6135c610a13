"""Charts by Vega-Lite, drawn when the page is made: inline SVG without a script, in the page's own colours.

The chart in the page needs neither Vega's 0.6 MB of JavaScript nor a policy that allows code from texts, and is there
in print and without scripts. Each mark says its values to a screen reader and to who points at it, and can be a link.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import vl_convert
from markupsafe import Markup

VERSION: Final = "6.4"
SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v6.json"

CONFIG: Final = {
    # Those texts are measured by are part of vl-convert; Arial and Helvetica are as wide.
    "font": "Liberation Sans, Arial, Helvetica, sans-serif",
    "background": None,
    "view": {"stroke": None},
    "axis": {
        "domainColor": "var(--soft)", "tickColor": "var(--soft)", "gridColor": "var(--rule)",
        "labelColor": "var(--ink)",
        "titleColor": "var(--soft)", "titleFontWeight": "normal", "labelFontSize": 11, "titleFontSize": 11,
        "labelLimit": 110,
    },
    "header": {"labelColor": "var(--ink)", "labelFontSize": 11, "labelFontWeight": "bold", "title": None},
    "legend": {"labelColor": "var(--ink)", "labelFontSize": 11, "title": None, "orient": "top", "labelLimit": 260},
    "range": {"category": [f"var(--s{number})" for number in range(6)]},
    "bar": {"color": "var(--s0)"},
    "point": {"color": "var(--s0)", "filled": True, "size": 50, "opacity": 1},
    "rule": {"color": "var(--ink)"},
    "tick": {"color": "var(--ink)", "thickness": 2},
}  # fmt: skip

_HEAD: Final = re.compile(r'<svg class="marks" width="[\d.]+" height="[\d.]+"|<svg [^>]*?(?= viewBox)')
_MARK: Final = re.compile(r'<path( aria-label="([^"]*)" role="graphics-symbol"[^>]*)/>')
_LINK: Final = re.compile(r'xlink:href="https://vega\.github\.io/vega-datasets/')
"""Vega resolves a link against the address of its own examples."""


@dataclass(frozen=True)
class Chart:
    """A drawn chart, its title, and where its numbers stand in report.json."""

    title: str
    series: str
    drawn: Markup


def draw(title: str, series: str, specification: Mapping[str, Any]) -> Chart:
    """Draw a Vega-Lite specification; the same one gives the same bytes, whatever fonts there are."""
    whole = {"$schema": SCHEMA, "config": CONFIG, **specification}
    svg = vl_convert.vegalite_to_svg(whole, vl_version=VERSION)
    head = Markup('<svg class="chart" role="graphics-document" aria-roledescription="chart" aria-label="{}"')
    svg = _HEAD.sub(lambda _: str(head.format(title)), svg, count=1)
    svg = _LINK.sub('href="', _MARK.sub(r"<path\1><title>\2</title></path>", svg))
    return Chart(title, series, Markup(svg))  # noqa: S704 - Vega escapes every text that it draws
