"""The charts of a report, as Vega-Lite specifications over its facts; a mark that stands for images leads to them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from cocomine.reporting.vega import Chart, draw

EXPLORER: Final = "explorer.html#"
WIDTH: Final = 300
STEP: Final = {"step": 16}
MOST_GAPS: Final = 20
COUNTS: Final = {"tickMinStep": 1, "tickCount": 5, "format": "~s"}

Specification = dict[str, Any]
Rows = list[dict[str, Any]]


def charts(content: Mapping[str, Any]) -> dict[str, list[Chart]]:
    """Return the charts of each section of a report's facts; a chart without a mark is left out."""
    classes, split, look = content["classes"], content["split"], content["look"]
    made: dict[str, list[Chart | None]] = {
        "funnel": [_funnel(content["funnel"])],
        "interference": _interference(content["interference"], classes["rows"]),
        "records": [_quarantine(content["quarantine"])],
        "classes": [_imbalance(classes), _sizes(classes), _per_image(content["per_image"])],
        "split": [_shares(split), _deviation(split)] if split else [],
        "images": [_positions(look["positions"]), _bins("aspect", look), _bins("brightness", look)],
    }
    return {section: [chart for chart in drawn if chart] for section, drawn in made.items()}


def run_charts(facts: Mapping[str, Any], number: int) -> list[Chart]:
    """Return the charts of a run, the `number`-th of the report: each class with its interval, curves and slices."""
    here = f"runs.{number}."
    made = [_per_class(facts, here), *_curves(facts["charts"], here), _slices(facts["slices"], here)]
    return [chart for chart in made if chart]


def compared_charts(group: Mapping[str, Any], number: int) -> list[Chart]:
    """Return the charts of what was judged on the same images, the `number`-th group of a comparison."""
    here = f"groups.{number}."
    made = [_reliability(group["entries"], f"{here}entries"), _gaps(group["coverage"], f"{here}coverage")]
    return [chart for chart in made if chart]


def _reliability(entries: Sequence[Mapping[str, Any]], series: str) -> Chart | None:
    """Of what is scored so, the share that is right (a reliability diagram); on the diagonal scores tell the truth."""
    rows = [
        {
            "name": entry["name"], "score": one["mean_score"], "right": one["right"],
            "said": f"{entry['name']}, scored {one['mean_score']:.3f}: {one['right']:.3f} right of {one['scored']:,}",
        }
        for entry in entries
        for one in entry["bins"]
    ]  # fmt: skip
    x = _field("score", "quantitative", title="mean score", scale={"domain": [0, 1]}, axis={"tickCount": 5})
    y = _field("right", "quantitative", title="share that is right", scale={"domain": [0, 1]}, axis={"tickCount": 5})
    color = _field("name", "nominal", sort=None)
    true = {"values": [{"score": end, "right": end} for end in (0, 1)]}
    quiet = {"type": "line", "aria": False}
    layers = [
        {"data": true, "mark": quiet | {"color": "var(--soft)", "strokeDash": [4, 4]}, "encoding": {"x": x, "y": y}},
        {"mark": quiet | {"strokeWidth": 2}, "encoding": {"x": x, "y": y, "color": color}},
        _marks("point", x=x, y=y, color=color),
    ]
    return _chart("Scores and how often they are right", series, rows, {"layer": layers}, height=WIDTH)


def _gaps(coverage: Mapping[str, Any], series: str) -> Chart | None:
    """The classes and slices that are judged and hardly trained on, those with most judged images first."""
    rows = [
        {
            "gap": f"{gap['attribute']} {gap['cell']}", "where": where, "images": gap[key],
            "said": f"{gap['attribute']} {gap['cell']}, {where}: {gap[key]:,} images",
        }
        for gap in coverage.get("gaps", [])[:MOST_GAPS]
        for key, where in (("judged_images", "judged"), ("training_images", "for training"))
    ]  # fmt: skip
    x = _field("images", "quantitative", title="images", axis=COUNTS)
    y = _field("gap", "nominal", sort=None, title=None)
    joined = {"mark": {"type": "line", "color": "var(--rule)", "aria": False},
              "encoding": {"x": x, "y": y, "detail": {"field": "gap"}}}  # fmt: skip
    layers = [joined, _marks("point", x=x, y=y, color=_field("where", "nominal", sort=None))]
    return _chart("Coverage gaps: judged, and hardly trained on", series, rows, {"layer": layers}, height=STEP)


def _chart(title: str, series: str, rows: Rows, layers: Specification, **more: Any) -> Chart | None:
    return draw(title, series, {"width": WIDTH, "data": {"values": rows}, **layers, **more}) if rows else None


def _field(name: str, kind: str, **more: Any) -> Specification:
    return {"field": name, "type": kind, **more}


def _marks(mark: str | Specification, **encoding: Any) -> Specification:
    """Return a mark of the rows: what it says is their `said`."""
    return {"mark": mark, "encoding": {"description": {"field": "said"}, **encoding}}


def _linked(mark: str | Specification, **encoding: Any) -> Specification:
    """Return a mark that leads to the rows' `href`, where they have one."""
    return _marks(mark, href={"condition": {"test": "datum.href", "field": "href"}, "value": None}, **encoding)


CLASS: Final = _field("class", "nominal", sort=None, title=None)


def _joined(x: Specification) -> Specification:
    """Return the line that joins the points of each class."""
    mark = {"type": "line", "color": "var(--rule)", "aria": False}
    return {"mark": mark, "encoding": {"x": x, "y": CLASS, "detail": {"field": "class"}}}


def _imbalance(classes: Mapping[str, Any]) -> Chart | None:
    """Objects of each class in the source and in the subset, on a scale of powers, the most frequent first."""
    order = sorted(enumerate(classes["rows"]), key=lambda row: (-row[1]["after"]["objects"], row[1]["name"]))
    rows = [
        {
            "class": row["name"], "where": where, "objects": row[side]["objects"],
            "href": f"{EXPLORER}classes={number}",
            "said": f"{row['name']}, {where}: {row[side]['objects']:,} objects",
        }
        for number, row in order
        for side, where in (("before", "in the source"), ("after", "in the subset"))
        if row[side]["objects"]
    ]  # fmt: skip
    x = _field("objects", "quantitative", scale={"type": "log", "nice": False}, title="objects, on a logarithmic scale")
    x |= {"axis": {"tickCount": 3, "format": "~s"}}
    layers = [
        _joined(x),
        _linked("point", x=x, y=CLASS, color=_field("where", "nominal", sort=None)),
    ]  # fmt: skip
    return _chart("Objects of each class, before and after", "classes.rows", rows, {"layer": layers}, height=STEP)


def _sizes(classes: Mapping[str, Any]) -> Chart | None:
    """The subset's objects of each class by their size."""
    columns = classes["detail_columns"]
    rows = [
        {
            "class": row["name"], "size": size, "objects": row["cells"][at], "order": at,
            "href": f"{EXPLORER}classes={number}&size={size.lower()}",
            "said": f"{row['name']}, {size.lower()}: {row['cells'][at]:,} objects",
        }
        for number, row in sorted(enumerate(classes["details"][:-1]), key=lambda row: -sum(row[1]["cells"][-3:]))
        for at, size in enumerate(columns)
        if size in ("Small", "Medium", "Large") and row["cells"][at]
    ]  # fmt: skip
    marks = _linked(
        "bar", x=_field("objects", "quantitative", title="objects", axis=COUNTS), y=CLASS,
        color=_field("size", "nominal", sort=["Small", "Medium", "Large"]), order={"field": "order"},
    )  # fmt: skip
    return _chart("Objects of each class by size, as COCO parts them", "classes.details", rows, marks, height=STEP)


def _per_image(bins: Sequence[Mapping[str, Any]]) -> Chart | None:
    return _histogram("How many objects an image holds", "per_image", "objects", bins)


def _histogram(title: str, series: str, name: str, bins: Sequence[Mapping[str, Any]]) -> Chart | None:
    rows = [
        {
            "bin": one["name"], "images": one["images"], "href": EXPLORER + one["filter"],
            "said": f"{name} {one['name']}: {one['images']:,} images",
        }
        for one in bins
    ]  # fmt: skip
    x = _field("bin", "ordinal", sort=None, title=name, axis={"labelAngle": -40})
    y = _field("images", "quantitative", title="images", axis=COUNTS)
    return _chart(title, series, rows, _linked("bar", x=x, y=y), height=150)


def _bins(name: str, look: Mapping[str, Any]) -> Chart | None:
    title = {"aspect": "Aspect of the images, width by height", "brightness": "Brightness of the images"}[name]
    return _histogram(title, f"look.{name}", name, look[name])


def _funnel(funnel: Mapping[str, Any] | None) -> Chart | None:
    """The images that each clause leaves, below those of the source; what the last one leaves are the explorer's."""
    if not funnel:
        return None
    source = funnel["source_images"]
    steps = [("the source", source), *((step["words"], step["images"]["after"]) for step in funnel["steps"])]
    rows = [
        {
            "step": f"{number} {words}" if number else words, "images": left,
            "said": f"{words}: {left:,} of {source:,} images",
            "href": EXPLORER if number == len(steps) - 1 else None,
        }
        for number, (words, left) in enumerate(steps)
    ]  # fmt: skip
    marks = _linked(
        "bar", x=_field("images", "quantitative", title="images", axis=COUNTS),
        y=_field("step", "nominal", sort=None, title=None),
    )  # fmt: skip
    return _chart("Images that each clause leaves", "funnel", rows, marks, height=STEP)


def _interference(facts: Mapping[str, Any] | None, classes: Sequence[Mapping[str, Any]]) -> list[Chart | None]:
    """How often classes meet in an image, in the source and in the subset; a pair of the subset leads to its images."""
    if not facts:
        return []
    number = {row["name"]: at for at, row in enumerate(classes)}
    return [
        _pairs(shown, f"interference.matrices.{at}", facts["classes"], facts["columns"], number if at else {})
        for at, shown in enumerate(facts["matrices"])
    ]


def _pairs(
    shown: Mapping[str, Any], series: str, names: Sequence[str], columns: Sequence[str], number: Mapping[str, int]
) -> Chart | None:
    rows = [
        {
            "row": row, "column": column, "share": share, "said": f"{row}, also {column}: {100 * share:.1f} %",
            "href": f"{EXPLORER}classes={number[row]},{number[column]}&match=all"
            if share and {row, column} <= number.keys() else None,
        }
        for row, cells in zip(names, shown["shares"], strict=True)
        for column, share in zip(columns, cells, strict=True)
        if share is not None
    ]  # fmt: skip
    x = _field("column", "nominal", sort=None, title="also shows", scale={"domain": list(columns)})
    y = _field("row", "nominal", sort=None, title=None)
    mark = {"type": "rect", "color": "var(--s0)", "stroke": "var(--rule)"}
    # Opacity, and not a scale of colours: the colour is the page's, which changes by night.
    opacity = _field("share", "quantitative", scale={"domain": [0, 1], "range": [0, 1]}, legend=None)
    layers = _linked(mark, x=x | {"axis": {"labelAngle": -40}}, y=y, fillOpacity=opacity)
    return _chart(shown["label"], series, rows, layers, height=STEP)


def _quarantine(found: Sequence[Mapping[str, Any]]) -> Chart | None:
    """Records left out by reason; a reason whose records lie on images of the subset leads to these."""
    rows = [
        {
            "reason": row["reason"], "of": row["kind"], "records": row["count"],
            "said": f"{row['reason']}, of {row['kind']}: {row['count']:,}",
            "href": f"{EXPLORER}lost={row['reason']}" if row["in_explorer"] else None,
        }
        for row in found
    ]  # fmt: skip
    marks = _linked(
        "bar", x=_field("records", "quantitative", title="records", axis=COUNTS),
        y=_field("reason", "nominal", sort=None, title=None), color=_field("of", "nominal", sort=None),
    )  # fmt: skip
    return _chart("Records left out, by reason", "quarantine", rows, marks, height=STEP)


def _positions(cells: Sequence[Sequence[int]]) -> Chart | None:
    rows = [
        {"x": x, "y": y, "objects": count, "said": f"column {x + 1}, row {y + 1}: {count:,} objects"}
        for y, row in enumerate(cells)
        for x, count in enumerate(row)
    ]
    axis = {"title": None, "axis": None}
    opacity = _field("objects", "quantitative", scale={"range": [0, 1]}, legend=None)
    marks = _marks({"type": "rect", "color": "var(--s0)"}, x=_field("x", "ordinal", **axis),
                   y=_field("y", "ordinal", **axis), opacity=opacity)  # fmt: skip
    frame = {"view": {"stroke": "var(--soft)"}}
    return _chart(
        "Where in the frame the middles of the objects lie",
        "look.positions",
        rows,
        {**marks, **frame},
        height=WIDTH * 3 // 4,
    )


def _shares(split: Mapping[str, Any]) -> Chart | None:
    """What share of a split's objects is of each class: points that lie apart are a class that was split unevenly."""
    names = [part["name"] for part in split["splits"]]
    rows = []
    for row in split["classes"]:
        objects = row["cells"][len(names) :]
        for name, count, part in zip(names, objects, split["splits"], strict=True):
            if part["objects"]:
                said = f"{row['name']} in {name}: {count:,} of {part['objects']:,} objects"
                rows.append({"class": row["name"], "split": name, "share": count / part["objects"], "said": said})
    x = _field("share", "quantitative", title="share of the split's objects", axis={"format": "%", "tickCount": 5})
    layers = [
        _joined(x),
        _marks("point", x=x, y=CLASS, color=_field("split", "nominal", sort=None)),
    ]  # fmt: skip
    return _chart("Share of each class in the splits", "split.classes", rows, {"layer": layers}, height=STEP)


def _deviation(split: Mapping[str, Any]) -> Chart | None:
    rows = [
        {
            "class": row["name"], "deviation": 100 * row["deviation"], "best": 100 * row["best"],
            "said": f"{row['name']}: {100 * row['deviation']:.1f} points, least possible {100 * row['best']:.1f}",
        }
        for row in split["classes"]
        if row["deviation"] is not None and row["best"] is not None
    ]  # fmt: skip
    x = {"title": "percentage points; tick: the least possible"}
    layers = [
        _marks("bar", x=_field("deviation", "quantitative", **x), y=CLASS),
        {"mark": {"type": "tick", "aria": False}, "encoding": {"x": _field("best", "quantitative", **x), "y": CLASS}},
    ]
    title = "How far each class's share is from the one asked for"
    return _chart(title, "split.classes", rows, {"layer": layers}, height=STEP)


def _per_class(run: Mapping[str, Any], here: str) -> Chart | None:
    rows = [
        {
            "class": row["name"], "iou": row["iou"], "low": row["low"], "high": row["high"],
            "trivial": max((value for value in row["trivial"] if value is not None), default=None),
            "said": f"{row['name']}: IoU {row['iou']:.3f}"
            + (f", {row['low']:.3f} to {row['high']:.3f}" if row["low"] is not None else ""),
        }
        for row in run["classes"]
        if row["iou"] is not None
    ]  # fmt: skip
    x = {"scale": {"domain": [0, 1]}, "title": "IoU with its interval; tick: the better guess without learning"}
    quiet = {"aria": False}
    layers = [
        {"mark": {"type": "tick", "color": "var(--s1)", **quiet},
         "encoding": {"x": _field("trivial", "quantitative", **x), "y": CLASS}},
        {"mark": {"type": "rule", **quiet},
         "encoding": {"x": _field("low", "quantitative", **x), "x2": {"field": "high"}, "y": CLASS}},
        _marks("point", x=_field("iou", "quantitative", **x), y=CLASS),
    ]  # fmt: skip
    return _chart("IoU of each class", f"{here}classes", rows, {"layer": layers}, height=STEP)


def _curves(found: Sequence[Mapping[str, Any]], here: str) -> Iterator[Chart | None]:
    for number, one in enumerate(found):
        rows = [
            {"name": series["name"], "x": x, "y": y, "said": f"{one['title']}: {series['name']}"}
            for series in one["series"]
            for x, y in series["points"]
        ]
        single = all(len(series["points"]) == 1 for series in one["series"])
        marks = _marks(
            {"type": "point"} if single else {"type": "line", "strokeWidth": 2},
            x=_field("x", "quantitative", title="iteration", axis={"tickCount": 5}, scale={"zero": False}),
            y=_field("y", "quantitative", title=None, scale={"zero": True}),
            color=_field("name", "nominal", sort=None),
        )
        yield _chart(one["title"], f"{here}charts.{number}", rows, marks, height=160)


def _slices(slices: Sequence[Mapping[str, Any]], here: str) -> Chart | None:
    rows = [
        {
            "attribute": row["attribute"], "slice": row["slice"], "iou": row["iou"],
            "said": f"{row['attribute']} {row['slice']}: IoU {row['iou']:.3f}, {row['images']:,} images",
        }
        for row in slices
        if row["iou"] is not None and not row["too_few"]
    ]  # fmt: skip
    y = _field("slice", "nominal", sort=None, title=None)
    marks = _marks("bar", x=_field("iou", "quantitative", scale={"domain": [0, 1]}, title="IoU"), y=y)
    facet = {"field": "attribute", "type": "nominal", "sort": None, "header": {"labelAnchor": "start"}}
    inner = {"spec": {"width": WIDTH, "height": STEP, **marks}, "resolve": {"scale": {"y": "independent"}}}
    if not rows:
        return None
    specification = {"data": {"values": rows}, "facet": facet, "columns": 1, "spacing": 8, **inner}
    return draw("IoU in each slice that holds enough images", f"{here}slices", specification)
