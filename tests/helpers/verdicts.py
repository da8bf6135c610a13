"""Holding the verdicts on single records against what a build counted."""

from collections import Counter
from typing import Any

import numpy as np
from cocomine.base.files import read_table
from cocomine.inquiry.left_out import left_out
from cocomine.inquiry.trace import Trace
from cocomine.inquiry.verdict import LEFT_OUT
from cocomine.mining.objects import quarantined_by_policy


def assert_agreement(trace: Trace, statistics: dict[str, Any]) -> None:
    """Assert that verdicts on all images and annotations add up to the funnel's and the conservation's counts.

    A record that a clause took back in counts as removed by the clause that had left it out before as well.
    """
    kept = {int(row["image_id"]) for row in read_table(trace.subset_dir / "images.tsv")}
    here = np.isin(trace.source.image_ids, list(kept))[trace.source.image_row] & (trace.source.image_row >= 0)
    away = [trace.annotation_at(row) for row in np.flatnonzero(here).tolist()]
    told = left_out(trace, kept)
    listed = Counter(told.clauses[number][0] for objects in told.objects.values() for *_, number in objects)
    assert listed == Counter(verdict.clause for verdict in away if verdict.outcome == LEFT_OUT)
    for kind, table, at in (
        ("image", trace.source.images, trace.image_at),
        ("annotation", trace.source.annotations, trace.annotation_at),
    ):
        verdicts = [at(row) for row in range(table.rows)]
        assert all(verdict.why for verdict in verdicts if verdict.outcome == LEFT_OUT)
        sums = Counter(verdict.outcome for verdict in verdicts)
        counted = statistics["conservation"][kind]["instances"]
        assert {name.replace("_", " "): n for name, n in counted.items() if n and name != "in"} == dict(sums), kind
        late = Counter(verdict.clause for verdict in verdicts if verdict.clause and verdict.outcome == LEFT_OUT)
        removed: Counter[str] = Counter()
        added = 0
        for step in statistics["funnel"]["steps"]:
            change = step[f"{kind}s"]
            removed[step["clause"]] = change["removed"]
            added += change["added"]
        # Those that policy quarantined first are the clause `records`, and no verdict names it.
        early = np.count_nonzero(quarantined_by_policy(trace.source, trace.query)[kind == "annotation"])
        assert removed.pop("records") == early
        assert LEFT_OUT not in {verdict.outcome for verdict in verdicts if verdict.clause == "records"}
        if not added:
            assert dict(late) == {clause: n for clause, n in removed.items() if n}, kind
            continue
        # Negatives that came back were removed by one clause before, and their annotations by another after.
        returned = Counter(_first_clause(trace, kind, row) for row in _returned(trace, kind))
        assert dict(late + returned) == {clause: n for clause, n in removed.items() if n}, kind


def _returned(trace: Trace, kind: str) -> list[int]:
    parts = trace.funnel.images_added if kind == "image" else trace.funnel.annotations_added
    return [row for rows in parts for row in rows.tolist()]


def _first_clause(trace: Trace, kind: str, row: int) -> str:
    parts = trace.funnel.images_removed if kind == "image" else trace.funnel.annotations_removed
    return next(step.clause for step, rows in zip(trace.funnel.steps, parts, strict=True) if row in rows)


def assert_task_agreement(trace: Trace, task: str, statistics: dict[str, Any]) -> None:
    """Assert that verdicts on all records of another task add up to the conservation's counts."""
    (counted,) = (
        tasks[task]
        for kind, tasks in statistics["conservation"].items()
        if kind not in ("image", "category") and task in tasks
    )
    table = trace.source_of(task).annotations
    verdicts = [trace.other_at(task, row) for row in range(table.rows)]
    assert all(verdict.why for verdict in verdicts if verdict.outcome == LEFT_OUT)
    sums = Counter(verdict.outcome for verdict in verdicts)
    assert {name.replace("_", " "): n for name, n in counted.items() if n and name != "in"} == dict(sums)
