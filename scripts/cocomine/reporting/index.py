"""The page that leads to the reports of all subsets, to the comparison of the experiments, and to the build's lock."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cocomine.base.errors import CocomineError
from cocomine.base.files import canonical_json, read_json, sha256_of_file, write_text
from cocomine.base.words import counted
from cocomine.reporting import charts
from cocomine.reporting.page import render
from cocomine.reporting.predictions import prediction_facts

log = logging.getLogger("cocomine")


def render_index(
    reports: Sequence[Path],
    comparison: Path | None,
    build_lock: Path | None,
    out: Path,
    predictions: Sequence[Path] = (),
) -> None:
    """Write the index to `out`, and its numbers beside it as JSON. Raises CocomineError as `make_index` does."""
    page, facts = make_index(reports, comparison, build_lock, out, predictions)
    write_text(out.with_suffix(".json"), facts)
    write_text(out, page)


def make_index(
    reports: Sequence[Path],
    comparison: Path | None,
    build_lock: Path | None,
    out: Path,
    predictions: Sequence[Path] = (),
) -> tuple[str, str]:
    """Return the page of the index as it is written to `out`, and its numbers as JSON text.

    `reports` are the subsets' report.html or report.json; the other of the pair lies beside it. The page follows from
    them and from the lock, whose SHA-256 it gives, so whoever has those can make it again and compare. Raises
    CocomineError for a missing report.json or lock.
    """
    subsets = []
    for report in sorted(reports):
        content = read_json(report.with_suffix(".json"))
        runs = [run["score"]["value"] for run in content["runs"] if run["score"]["value"] is not None]
        subsets.append(
            {
                "name": content["subset"]["name"],
                "words": content["query"]["words"] or "",
                "page": _relative(report.with_suffix(".html"), out),
                "images": content["subset"]["images"],
                "objects": content["subset"]["objects"],
                "classes": content["subset"]["classes"],
                "synthetic": content["subset"]["synthetic"],
                "exports": [export["format"] for export in content["exports"]],
                "best_iou": max(runs, default=None),
            }
        )
    facts = {
        "subsets": subsets,
        "experiments": _experiments(read_json(comparison) if comparison is not None else None),
        "predictions": [_brief(one) for one in prediction_facts(sorted(predictions))],
        "compared": _compared_link(comparison, predictions, out),
        "comparison": _comparison_link(comparison, out),
        "build_lock": _relative(build_lock, out) if build_lock is not None else "",
        "build_lock_sha256": _sha256(build_lock) if build_lock is not None else "",
    }
    log.info("index: %s, %s", counted(len(subsets), "subset"), counted(len(facts["experiments"]), "experiment"))
    page = render("index.html.j2", facts, bar=charts.bar, json_name=out.with_suffix(".json").name)
    return page, canonical_json(facts, indent=1) + "\n"


def _brief(prediction: Mapping[str, Any]) -> dict[str, Any]:
    """What the index says of predictions; the rest stands in their own report."""
    return {key: prediction[key] for key in ("name", "task", "judged_on", "split", "images", "figures")}


def _sha256(build_lock: Path) -> str:
    try:
        return sha256_of_file(build_lock)
    except FileNotFoundError as error:
        raise CocomineError(f"{build_lock}: no such file", "run lock_build first") from error


def _relative(target: Path, page: Path) -> str:
    return Path(os.path.relpath(target, page.parent)).as_posix()


def _comparison_link(comparison: Path | None, out: Path) -> str:
    if comparison is None:
        return ""
    page = comparison.with_suffix(".html")
    return _relative(page if page.is_file() else comparison.with_suffix(".tsv"), out)


def _compared_link(comparison: Path | None, predictions: Sequence[Path], out: Path) -> str:
    """The page that sets predictions and runs beside one another, where it was made; it lies with the predictions."""
    if predictions:
        return _relative(predictions[0].parent / "comparison.html", out)
    page = comparison.parent.with_name("predictions") / "comparison.html" if comparison is not None else None
    return _relative(page, out) if page is not None and page.is_file() else ""


def _experiments(comparison: Any) -> list[dict[str, Any]]:
    """The cells of the grid: mean IoU over seeds, its deviation, and the better trivial baseline's."""
    rows = []
    for cell in comparison["cells"] if comparison else []:
        figures = cell["figures"]
        trivial = [figures[name]["mean"] for name in ("baseline_background", "baseline_place")]
        rows.append(
            {
                "experiment": cell["experiment"],
                "arm": cell["arm"] or "",
                "model": cell["model"],
                "trained_on": cell["trained_on"],
                "evaluated_on": cell["evaluated_on"],
                "seeds": cell["seeds"],
                "iou": figures["iou"]["mean"],
                "deviation": figures["iou"]["deviation"],
                "trivial": max((value for value in trivial if value is not None), default=None),
            }
        )
    return rows
