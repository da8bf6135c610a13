"""The learning curves as a picture: loss and IoU over iterations, the form of the paper's figures 5 and 6."""

import csv
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from cocomine.base.files import atomic_path


def draw_curves(history: Path, out: Path, title: str) -> None:
    """Draw history.csv into the PNG `out`; the same history gives the same bytes."""
    with open(history, encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))

    def series(column: str) -> tuple[list[int], list[float]]:
        known = [(int(row["iteration"]), float(row[column])) for row in rows if row[column]]
        return [step for step, _ in known], [value for _, value in known]

    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9.0, 3.4), dpi=110, layout="constrained")
        left, right = figure.subplots(1, 2)
        left.plot(*series("val_iou"), color="#0b6e4f", marker="o", markersize=3, label="mean foreground IoU")
        left.plot(*series("val_iou_with_background"), color="#3d5a80", linestyle="--", label="with background")
        left.plot(*series("val_eq2_as_printed"), color="#b08968", linestyle=":", label="Eq. 2 as printed")
        left.set(title="IoU on validation images", xlabel="iteration", ylim=(0, 1))
        right.plot(*series("train_loss"), color="#9aa5b1", linewidth=1, label="training loss")
        right.plot(*series("val_cross_entropy"), color="#c1121f", marker="o", markersize=3, label="validation")
        right.set(title="Cross-entropy", xlabel="iteration", ylim=(0, None))
        for axes in (left, right):
            axes.grid(alpha=0.25)
            axes.legend(frameon=False, fontsize=8)
        figure.suptitle(title, fontsize=10)
        with atomic_path(out) as temporary:
            figure.savefig(temporary, format="png", metadata={"Software": None})
