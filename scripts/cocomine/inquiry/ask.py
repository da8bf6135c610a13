"""Where `count_subset` finds what it is asked about: an expression, or a subset of a config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cocomine.base.errors import CocomineError
from cocomine.base.files import canonical_json
from cocomine.base.yaml_file import read_config
from cocomine.inquiry.count import Count, count_expression, count_query, document, table
from cocomine.mining.index import nearest
from cocomine.mining.settings import OTHER_SECTIONS, SubsetSettings
from cocomine.mining.tables import splits_of
from cocomine.sources.settings import merged_name


def answer(
    query: str,
    config: Path | None,
    index_dir: Path | None,
    splits: Sequence[str] = (),
    images_from: Path | None = None,
    as_json: bool = False,
    root: Path = Path(),
) -> str:
    """Return the answer to a question as text, or as JSON; `root` is the folder of the build."""
    if config is not None:
        count = _count_of_config(query, config, index_dir, splits, images_from, root)
    else:
        count = count_expression(query, index_dir or _only_index(root), splits)
    return canonical_json(document(count), indent=1) if as_json else table(count)


def _count_of_config(
    name: str, config: Path, index_dir: Path | None, splits: Sequence[str], images_from: Path | None, root: Path
) -> Count:
    query, source = subset_of_config(config, name)
    if query.images_from is not None and images_from is None:
        images_from = root / "results" / query.images_from / "images.tsv"
    return count_query(name, query, index_dir or root / "data/annotations" / source / "index", splits, images_from)


def subset_of_config(path: Path, name: str) -> tuple[SubsetSettings, str]:
    """Return a subset's query and its source's name, read straight from a config file.

    The workflow checks the whole config; this reads one section, to be quick. Raises CocomineError when the file or the
    subset is not there.
    """
    content = read_config(path)
    subsets = content.get("subsets")
    if not isinstance(subsets, Mapping) or not isinstance(subsets.get(name), Mapping):
        known = list(map(str, subsets)) if isinstance(subsets, Mapping) else []
        raise CocomineError(f"{path}: has no subset '{name}'", nearest(name, known) if known else "add it to `subsets`")
    settings = {"seed": content.get("seed", 0)} | dict(subsets[name])
    sources = content.get("sources") or {}
    several = settings.get("sources") or ()
    alone = next(iter(sources)) if len(sources) == 1 else None
    source = merged_name(several) or settings.get("source") or alone
    if not isinstance(source, str):
        raise CocomineError(f"{path}: subsets.{name} names no source", f"add source: {' or '.join(map(str, sources))}")
    own = {key: value for key, value in settings.items() if key not in OTHER_SECTIONS}
    return SubsetSettings.from_mapping(own | {"source": source}, f"subsets.{name}"), source


def _only_index(root: Path) -> Path:
    found = sorted(path for path in (root / "data/annotations").glob("*/index") if splits_of(path))
    if len(found) == 1:
        return found[0]
    there = ", ".join(map(str, found)) or f"none in {root / 'data/annotations'}"
    raise CocomineError(f"which index to count in? There: {there}", "name one with --index-dir")
