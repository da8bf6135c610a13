"""Drawings as inline SVG. They take traced facts, so that what they draw can be compared with report.json.

A drawn series names its place (`data-series`); a written tick is a number of the facts like any other.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from cocomine.reporting.page import keyed

WIDTH, HEIGHT = 360, 216
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 38


def ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Return about `wanted` round numbers (1, 2 or 5 times a power of ten apart) between `low` and `high`."""
    if not high > low:
        return [low]
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [float(f"{number * step:.6g}") for number in range(first, last + 1)]


def line_chart_facts(
    title: str, x_name: str, series: Sequence[tuple[str, Sequence[tuple[float, float]]]], floor: float | None = None
) -> dict[str, Any] | None:
    """Return the facts of a chart: its title, its series as [[x, y], …], its ticks; None without a point.

    `floor` is a value that the y axis must reach down to, such as 0 for a share.
    """
    kept = [(name, [[float(x), float(y)] for x, y in points]) for name, points in series if points]
    if not kept:
        return None
    xs = [x for _, points in kept for x, _ in points]
    ys = [y for _, points in kept for _, y in points] + ([] if floor is None else [floor])
    return {
        "title": title,
        "x_name": x_name,
        "x_ticks": ticks(min(xs), max(xs)),
        "y_ticks": ticks(min(ys), max(ys)),
        "floor": floor,
        "series": [{"name": name, "points": points} for name, points in kept],
    }


def line_chart(chart: Mapping[str, Any]) -> Markup:
    """Draw a chart of the facts: lines (a dot where a series has one point), ticks, and the axes' names."""
    everything = [point for series in chart["series"] for point in series["points"]]
    xs = [x for x, _ in everything] + list(chart["x_ticks"])
    ys = [y for _, y in everything] + list(chart["y_ticks"])
    # A single point stands in the middle.
    x_low, x_span = float(min(xs)), float(max(xs) - min(xs))
    y_low, y_span = float(min(ys)), float(max(ys) - min(ys)) or 1.0

    def across(x: float) -> float:
        share = (float(x) - x_low) / x_span if x_span else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def down(y: float) -> float:
        return HEIGHT - BOTTOM - (float(y) - y_low) / y_span * (HEIGHT - TOP - BOTTOM)

    parts = [
        Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
            WIDTH, HEIGHT, f"{chart['title']}: " + ", ".join(str(series["name"]) for series in chart["series"])
        )
    ]
    for tick in chart["y_ticks"]:
        parts.append(_line(LEFT, down(tick), WIDTH - RIGHT, down(tick), "grid"))
        parts.append(_text(LEFT - 6, down(tick) + 4, "end", keyed(tick, "plain", "tspan")))
    for tick in chart["x_ticks"]:
        parts.append(_line(across(tick), HEIGHT - BOTTOM, across(tick), HEIGHT - BOTTOM + 4, "axis"))
        anchor = "end" if across(tick) > WIDTH - 24 else "middle"
        parts.append(_text(across(tick), HEIGHT - BOTTOM + 16, anchor, keyed(tick, "plain", "tspan")))
    parts.append(_line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "axis"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, "middle", Markup("{}").format(str(chart["x_name"]))))
    for number, series in enumerate(chart["series"]):
        points = series["points"]
        path = points[0][0].path.rsplit(".", 2)[0]
        shape = "".join(f"{'L' if index else 'M'}{across(x):.2f} {down(y):.2f}" for index, (x, y) in enumerate(points))
        parts.append(Markup('<path class="line s{}" data-series="{}" d="{}"/>').format(number % 6, path, shape))
        if len(points) == 1:
            x, y = points[0]
            parts.append(
                Markup('<circle class="dot s{}" cx="{}" cy="{}" r="3"/>').format(
                    number % 6, f"{across(x):.2f}", f"{down(y):.2f}"
                )
            )
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
        style, *(f"{value:.2f}" for value in (x1, y1, x2, y2))
    )


def _text(x: float, y: float, anchor: str, content: Markup) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(f"{x:.2f}", f"{y:.2f}", anchor, content)


def funnel_step(before: float, after: float, widest: float) -> Markup:
    """Draw one step of a funnel: a trapezoid from the share before to the share after, of the widest step."""
    top, bottom = (max(0.4, 100 * part / widest) if widest else 0.4 for part in (before, after))
    points = [(50 - top / 2, 0), (50 + top / 2, 0), (50 + bottom / 2, 10), (50 - bottom / 2, 10)]
    shape = " ".join(f"{x:.2f},{y:g}" for x, y in points)
    return Markup(
        '<svg class="step" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        '<polygon points="{}"/></svg>'
    ).format(shape)


def bar(value: Any, highest: float = 1.0, low: Any = None, high: Any = None, style: str = "") -> Markup:
    """Draw a bar of `value` out of `highest`, with a thin line from `low` to `high` when these are known."""
    length = 0.0 if value is None or not highest else max(0.0, min(100.0, 100 * float(value) / highest))
    parts = [
        Markup('<svg class="bar {}" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">').format(style),
        Markup('<rect class="track" width="100" height="10"/><rect class="fill" width="{}" height="10"/>').format(
            f"{length:.2f}"
        ),
    ]
    if low is not None and high is not None and highest:
        ends = [f"{max(0.0, min(100.0, 100 * float(end) / highest)):.2f}" for end in (low, high)]
        shape = Markup("M{0} 5H{1}M{0} 2V8M{1} 2V8").format(*ends)
        parts.append(Markup('<path class="halo" d="{0}"/><path class="interval" d="{0}"/>').format(shape))
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


def swatch(colour: str) -> Markup:
    """Draw a small square of a class's colour."""
    return Markup(
        '<svg class="swatch" viewBox="0 0 10 10" aria-hidden="true">'
        '<rect width="10" height="10" rx="2" fill="{}"/></svg>'
    ).format(colour)
