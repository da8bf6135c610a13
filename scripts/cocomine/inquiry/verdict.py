"""What became of one record, and the sentence that says so."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cocomine.base.files import canonical_json
from cocomine.mining.sampling import SPARE

KEPT, REPAIRED, QUARANTINED, LEFT_OUT = "kept", "repaired", "quarantined", "left out"


@dataclass(frozen=True)
class Verdict:
    """What became of one record; empty fields do not apply.

    `outcome` is kept, repaired, quarantined or left out. `clause` is the clause of the query that left it out and `why`
    the figures that decided; `reason` and `detail` are those of quarantine.tsv or repairs.tsv; `before` and `after` the
    values that a repair changed. `returned` names the clause that took an image back which `clause` had left out.
    `split` is its split, `label` the label in masks. `source_category` is the source's category of a class's object.
    """

    kind: str
    task: str
    source_split: str
    id: int
    image_id: int
    file_name: str
    outcome: str
    category: str = ""
    source_category: str = ""
    clause: str = ""
    why: str = ""
    reason: str = ""
    detail: str = ""
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    returned: str = ""
    role: str = ""
    split: str = ""
    label: int | None = None


def sentence(verdict: Verdict) -> str:
    """Return a verdict in one line."""
    made_of = f", of the source's {verdict.source_category}" if verdict.source_category else ""
    of = f" ({verdict.category}{made_of})" if verdict.category else ""
    head = f"{verdict.kind} {verdict.id}{of}: {verdict.outcome}"
    if verdict.outcome == LEFT_OUT:
        spare = "; it is a spare that was not needed" if verdict.role == SPARE and verdict.kind == "image" else ""
        return f"{head} by the clause '{verdict.clause}': {verdict.why}{spare}"
    if verdict.outcome == QUARANTINED:
        return f"{head}: {verdict.reason}" + (f" ({verdict.detail})" if verdict.detail else "")
    where = [f"{verdict.split} split" if verdict.split else "", f"label {verdict.label}" if verdict.label else ""]
    where += [verdict.role] if verdict.kind == "image" else []
    tail = ", ".join(filter(None, where))
    line = head + (f" ({tail})" if tail else "")
    if verdict.outcome == REPAIRED:
        line += f": {verdict.reason}; before {canonical_json(verdict.before)}, after {canonical_json(verdict.after)}"
    if verdict.returned:
        line += f"; left out by '{verdict.clause}' ({verdict.why}), then taken in by '{verdict.returned}'"
    return line


def document(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as plain values, without the fields that do not apply."""
    return {key: value for key, value in asdict(verdict).items() if value not in ("", None)}
