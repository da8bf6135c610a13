"""The page of all experiments: the grid, the arms of the paper's question, and what the labels trained on change."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from cocomine.reporting.figures import STEP, WIDTH
from cocomine.reporting.lock_note import lock_note
from cocomine.reporting.page import render
from cocomine.reporting.vega import Chart, draw

SHOWN: Final = {
    "iou": "IoU",
    "iou_full": "IoU, full size",
    "iou_with_background": "IoU with background",
    "soft_iou": "Soft IoU",
    "eq2_as_printed": "The equation as printed",
    "cross_entropy": "Cross-entropy",
    "pixel_accuracy": "Pixel accuracy",
    "baseline_background": "IoU of all background",
    "baseline_place": "IoU of usual places",
}
"""The columns of the grid, and their titles."""

CROSSED: Final = {"iou": "IoU per image", "boundary_iou": "Boundary IoU per image"}


def render_experiments(facts: Mapping[str, Any], numbers: Path) -> str:
    """Return the page of what `comparison.compare` found, which lies in the file `numbers`."""
    drawn = [chart for figure in CROSSED for chart in _crossed(facts["crossed"], figure)]
    more = {"shown": SHOWN, "crossed_figures": CROSSED, "drawn": drawn, "json_name": numbers.name}
    return render("experiments.html.j2", facts, lock_note("../", numbers), **more)


def _crossed(rows: Sequence[Mapping[str, Any]], figure: str) -> list[Chart]:
    """Draw a figure of models of either of two subsets, on each that they are judged on, and its differences."""
    known = [row for row in rows if row[figure]["difference"] is not None]
    if not known:
        return []
    points = [
        {
            "where": _where(row), "trained": f"trained on {row[side]}", "value": row[figure][side],
            "said": f"{_where(row)}, trained on {row[side]}: {row[figure][side]:.3f}",
        }
        for row in known
        for side in ("first", "second")
    ]  # fmt: skip
    differences = [
        {
            "where": _where(row), "value": row[figure]["difference"],
            "low": (row[figure]["interval"] or [None, None])[0], "high": (row[figure]["interval"] or [None, None])[1],
            "said": f"{_where(row)}, {row['second']} less {row['first']}: {row[figure]['difference']:.3f}",
        }
        for row in known
    ]  # fmt: skip
    y = {"field": "where", "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 170}}
    said = {"description": {"field": "said"}}
    x = {"field": "value", "type": "quantitative", "title": CROSSED[figure], "scale": {"zero": False}}
    joined = {"mark": {"type": "line", "color": "var(--rule)", "aria": False}}
    means = [
        joined | {"encoding": {"x": x, "y": y, "detail": {"field": "where"}}},
        {"mark": "point", "encoding": said | {"x": x, "y": y, "color": {"field": "trained", "sort": None}}},
    ]
    gain = x | {"title": "difference with its interval; line: none", "scale": {"zero": True}}
    ends = {"x": gain | {"field": "low"}, "x2": {"field": "high"}, "y": y}
    gains = [
        {"mark": {"type": "rule", "aria": False, "strokeDash": [4, 3]}, "encoding": {"x": {"datum": 0}}},
        {"mark": {"type": "rule", "aria": False, "strokeWidth": 2}, "encoding": ends},
        {"mark": "point", "encoding": said | {"x": gain, "y": y}},
    ]
    size = {"width": WIDTH, "height": {"step": 2 * STEP["step"]}}
    return [
        draw(f"{CROSSED[figure]}: {title}", "crossed", {**size, "data": {"values": values}, "layer": layers})
        for title, values, layers in (
            ("trained on either, judged on each", points, means),
            ("what the second labels change", differences, gains),
        )
    ]


def _where(row: Mapping[str, Any]) -> str:
    return f"{row['model']}, judged on {row['judged_on']}"
