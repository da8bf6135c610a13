"""Small drawings as inline SVG that stand in a table's cell. Charts are drawn by vega.py."""

from typing import Any

from markupsafe import Markup


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
