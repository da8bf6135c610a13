"""The facts of predictions: what evaluate_predictions wrote, as the report and the index show it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cocomine.base.files import read_json, read_table
from cocomine.evaluation.verdict import most_recall, too_few
from cocomine.reporting.runs import remarks

Facts = dict[str, Any]

LIKELIEST = 15
"""Labels of a list that the report names; the others stand in the list."""

MEANINGS = {
    "missing": "a prediction that lies on no label",
    "spurious": "a label that no prediction finds",
    "class": "a label that the predictions call otherwise",
    "outline": "a label whose outline the predictions draw otherwise",
}

WHAT = {
    "boxes": "boxes",
    "masks": "masks of objects",
    "keypoints": "keypoints",
    "panoptic": "panoptic segments",
    "semantic": "semantic masks",
}
PANOPTIC = {"PQ": "pq", "SQ": "sq", "RQ": "rq"}
OF_SEMANTIC = {"IoU, mean over classes": "mean_foreground", "IoU, mean with background": "mean_with_background"}


def prediction_facts(folders: Sequence[Path]) -> list[Facts]:
    """Return the facts of each folder of figures, in order. Raises CocomineError where one has no metrics.json."""
    return [_facts(folder.name, read_json(folder / "metrics.json")) for folder in folders]


def review_facts(path: Path) -> Facts:
    """Return the facts of a list of labels that predictions contradict: how many of each kind, and the likeliest."""
    rows = list(read_table(path))
    kinds = Counter(row["kind"] for row in rows)
    return {
        "name": path.parent.name,
        "table": f"../label_errors/{path.parent.name}/{path.name}",
        "kinds": [{"kind": kind, "meaning": meaning, "labels": kinds[kind]} for kind, meaning in MEANINGS.items()],
        "likeliest": [
            {
                "kind": row["kind"],
                "image": row["file_name"],
                "link": f"explorer.html#image={row['image_id']}",
                "annotation": int(row["annotation_id"]) if row["annotation_id"] else None,
                "category": row["category"],
                "predicted": row["predicted_category"],
                "suspicion": float(row["suspicion"]),
                "score": float(row["score"]),
            }
            for row in rows[:LIKELIEST]
        ],
    }


def _facts(name: str, metrics: Mapping[str, Any]) -> Facts:
    kind, judged = metrics["kind"], metrics["judged_on"]
    return {
        "name": name,
        "task": WHAT[kind],
        "judged_on": str(judged.get("subset") or judged.get("file")),
        "split": judged["split"],
        "images": judged["images"],
        "classes": judged["classes"],
        "too_few_images": too_few(judged["images"]),
        "comparable": metrics["leaderboard"]["comparable"],
        "leaderboard": metrics["leaderboard"]["because"],
        "figures": _figures(kind, metrics),
        "remarks": [*filter(None, [metrics["slices"].get("finding")]), *remarks(metrics)],
        "counts": [
            {"what": key.replace("_", " "), "number": number}
            for key, number in metrics.get("predictions", {}).items()
            if isinstance(number, int) and key != "bytes"
        ],
    }


def _figures(kind: str, metrics: Mapping[str, Any]) -> list[Facts]:
    if kind == "semantic":
        full = metrics["full_resolution"]
        return [_row(name, full["iou"][key], full["intervals"].get(key)) for name, key in OF_SEMANTIC.items()]
    intervals = metrics["intervals"]
    if kind == "panoptic":
        return [_row(name, metrics["all"][key], intervals.get(key)) for name, key in PANOPTIC.items()]
    recall, value = most_recall(metrics["all"])
    shown = [_row(name, metrics["all"][name], intervals.get(name)) for name in ("AP", "AP50", "AP75")]
    return [*shown, _row(recall, value, intervals.get("AR"))]


def _row(name: str, value: float | None, ends: Sequence[float] | None) -> Facts:
    low, high = ends or (None, None)
    return {"name": name, "value": value, "low": low, "high": high}
