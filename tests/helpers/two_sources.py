"""Two annotation folders as the workflow lays them out, and what matching them gives."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from cocomine.annotations.build import build_index
from cocomine.matching.match import Inputs, match_sources
from cocomine.matching.settings import ComparisonSettings


def annotations(folder: Path, *documents: dict[str, Any], task: str = "instances") -> Path:
    """Write documents as the splits a, b, … of a source, with their indexes; return the folder."""
    for split, document in zip("abcdef", documents, strict=False):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{task}_{split}.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        build_index(path, task, split, folder / "index" / f"{task}_{split}")
    return folder


def matched(
    first: Path, second: Path, out: Path, options: Mapping[str, Any] | None = None, splits: str = "a", threads: int = 1
) -> dict[str, Any]:
    """Match two such folders; return matching.json. `options` are keys of the config's section."""
    settings = ComparisonSettings.from_mapping({"first": "one", "second": "other", **(options or {})})
    return match_sources(Inputs(first, second, tuple(splits), tuple(splits)), settings, out, threads)


def findings(out: Path) -> list[dict[str, Any]]:
    """Return the rows of matches.parquet."""
    rows: list[dict[str, Any]] = pq.read_table(out / "matches.parquet").to_pylist()
    return rows
