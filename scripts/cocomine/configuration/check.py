"""Checking a config before anything runs: all its mistakes at once, what lies on disk, and what it would give."""

import copy
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from cocomine.annotations.file_names import store_paths
from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json
from cocomine.configuration.look import SAMPLE, Document, names_of, read_document
from cocomine.configuration.places import Mistake, mistakes_on_disk, nearest_of
from cocomine.configuration.plan import Plan, Subset
from cocomine.configuration.planning import make_plan
from cocomine.configuration.sources import Source, merged_split
from cocomine.imports.labels import Tally
from cocomine.imports.load import open_labels
from cocomine.inquiry.count import count_query
from cocomine.mining.tables import splits_of
from cocomine.sources.annotations import annotation_folder, remote_names
from cocomine.sources.images import image_folder
from cocomine.sources.presets import preset
from cocomine.sources.settings import SourceSettings
from cocomine.transfer.places import public_label

SECTIONS: Final = ("stores", "sources", "subsets", "experiments", "comparisons", "predictions")
MOST_MISTAKES: Final = 50
WARNING: Final = "warning: "
"""How a fact begins that the user should look at."""

_ENTRY = re.compile(rf"({'|'.join(SECTIONS)})\.([A-Za-z0-9_-]+)")


def check_config(config: Mapping[str, Any]) -> tuple[list[Mistake], list[str]]:
    """Return every mistake that can be known before a build, and in words what the config would fetch and give.

    Looks at files on disk; asks no network.
    """
    plan, mistakes = _plan_without_mistakes(config)
    if plan is None:
        return mistakes, []
    mistakes += mistakes_on_disk(plan)
    facts = [_what_is_fetched(source) for source in plan.used_sources]
    for source in plan.used_sources:
        said, wrong = _images_there(source)
        mistakes += wrong
        facts += said
    for subset in plan.subsets.values():
        said, wrong = _what_a_subset_gives(subset)
        mistakes += wrong
        facts += said
    return mistakes, facts


# The config alone -----------------------------------------------------------------------------------------------------


def _plan_without_mistakes(config: Mapping[str, Any]) -> tuple[Plan | None, list[Mistake]]:
    """Plan the config; an entry that cannot be planned is noted and left out, so that the others are looked at too."""
    left: dict[str, Any] = copy.deepcopy(dict(config))
    mistakes: list[Mistake] = []
    gone: set[str] = set()
    while len(mistakes) < MOST_MISTAKES:
        try:
            return make_plan(left), mistakes
        except CocomineError as error:
            follows = any(f"is called {name!r}" in error.message for name in gone) or (
                bool(gone) and "it is not said which" in error.message
            )
            if not follows and not (gone and "subsets: " in error.message and not left.get("subsets")):
                mistakes += _one_by_one(error)
            entries = _entries_of(error.message, left)
            if not entries:
                return None, mistakes
            for section, name in entries:
                del left[section][name]
                gone.add(name)
            if not left.get("subsets"):
                return None, mistakes
    return None, mistakes


def _one_by_one(error: CocomineError) -> list[Mistake]:
    """Part an error that names several mistakes, a line each."""
    lines = error.message.splitlines()
    return [Mistake(line, error.hint if number == len(lines) else "") for number, line in enumerate(lines, 1)]


def _entries_of(message: str, config: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = (_ENTRY.match(line) for line in message.splitlines())
    entries = dict.fromkeys((match[1], match[2]) for match in found if match)
    return [(section, name) for section, name in entries if name in (config.get(section) or {})]


# What it would give ---------------------------------------------------------------------------------------------------


def _what_is_fetched(source: Source) -> str:
    settings, files = source.settings, f"{len(source.files)} annotation file{'s' if len(source.files) != 1 else ''}"
    if source.synthetic is not None:
        return f"source {source.name}: {source.synthetic.images} images are drawn, nothing is fetched"
    if source.labels is not None:
        return f"source {source.name}: labels of the format {source.labels.format} are imported, images used in place"
    if source.parts:
        return f"source {source.name}: {files} merged of those of {' and '.join(part.name for part in source.parts)}"
    if settings.is_local:
        how = {"in-place": "used where they are", "hardlink": "hard-linked", "copy": "copied"}[settings.use]
        annotations = f"{files} {how}"
    elif Path(source.lock).is_file():
        annotations = f"{files} fetched already"
    elif settings.origins:
        annotations = f"{files} to fetch from {public_label(settings.origins[0].url)}"
    else:
        urls = {row.url: row.bytes for row in preset(settings.preset).files if (row.task, row.split) in source.files}
        annotations = f"{files} to fetch out of {len(urls)} public zips"
    store = source.store.settings
    images = "images used where they are" if source.store.in_place else "the images that a subset needs to fetch"
    if store.is_local and not source.store.in_place:
        images = f"the images that a subset needs to {'link' if store.use == 'hardlink' else 'copy'}"
    return f"source {source.name}: {annotations}; {images}"


def _images_there(source: Source) -> tuple[list[str], list[Mistake]]:
    """Look for the images of local annotation files, an even sample of them, in the folders where they should lie."""
    store = source.store.settings
    facts: list[str] = []
    mistakes: list[Mistake] = []
    if source.bucket or not (source.settings.is_local and store.is_local):
        return [], []
    for split in source.splits:
        document = _local_document(source, next(task for task, other in source.files if other == split), split)
        try:
            folder = image_folder(store, source.splits)
            folder.check()
        except CocomineError:
            return [], []  # named already
        paths = [] if document is None else store_paths(names_of(document), split, split in store.images)
        safe = [path for path in paths if path is not None]
        sample = safe[:: max(1, len(safe) // SAMPLE)]
        folder.split_of = dict.fromkeys(sample, split)
        missing = [name for name, found in folder.find(sample).items() if found.path is None]
        if sample and len(missing) == len(sample):
            mistakes.append(
                Mistake(
                    f"sources.{source.name}: of split {split} none of the {len(sample)} images that were looked for is "
                    f"there, such as {sample[0]}",
                    "say where they lie: images: FOLDER, or images: {SPLIT: FOLDER}",
                )
            )
        elif sample:
            there = len(sample) - len(missing)
            facts.append(f"source {source.name}: {there} of {len(sample)} images looked for in {split} are there")
        if sample and 0 < len(missing) < len(sample):
            shown = ", ".join([*missing[:3], *("…" for _ in missing[3:4])])
            facts.append(
                f"{WARNING}sources.{source.name}: {shown} of {split} cannot be found\n"
                "Hint: a build stops at an image that it needs and has not; to go on without it, write "
                "policy: {image-missing: quarantine} in the subset"
            )
    return facts, mistakes


def _local_document(source: Source, task: str, split: str) -> Document | None:
    name = remote_names(source.settings)(f"{task}_{split}.json")
    path = annotation_folder(source.settings).find([name])[name].path
    return None if path is None else read_document(path)


def _what_a_subset_gives(subset: Subset) -> tuple[list[str], list[Mistake]]:
    """Count a subset where its source is indexed; otherwise hold its categories to those that can be known."""
    where, index = f"subsets.{subset.name}", Path(subset.source.index_folder)
    wanted = subset.query.source_splits or subset.source.splits
    indexed = set(splits_of(index)) if index.is_dir() else set()
    there = all(Path(path).is_file() for path in subset.pinned)
    if set(wanted) <= indexed and there and not subset.query.images_from:
        try:
            count = count_query(subset.name, subset.query, index, subset.source.splits)
        except CocomineError as error:
            return [], [Mistake(error.message.replace("subset:", f"{where}:", 1), error.hint)]
        return [f"subset {subset.name}: {count.images} images, {count.objects} objects"], []
    known = _categories(subset.source)
    if not known:
        return [f"subset {subset.name}: counted once its source is indexed (--until index_annotations)"], []
    names = {item for _, items in known.items() for item in items}
    wrong = [
        Mistake(f"{where}.{key}: the source {subset.source.name} has no category {name!r}", nearest_of(name, names))
        for key, name in _named_categories(subset)
        if name not in names
    ]
    return ([] if wrong else [f"subset {subset.name}: all its categories are there"]), wrong


def _named_categories(subset: Subset) -> Iterator[tuple[str, str]]:
    """Yield the categories that a query names by plain names, with the key; ids and supercategories are left out."""
    values = subset.query.as_mapping()
    for key in ("categories", "exclude_categories", "none"):
        yield from ((key, item) for item in values.get(key) or () if isinstance(item, str))
    for one in subset.query.named_classes:
        yield from ((f"classes.{one.name}", item) for item in one.categories if isinstance(item, str))


def _classes(labels: SourceSettings) -> list[str]:
    """Return the classes that a folder of labels lists; none where only its labels name them, or it cannot be read."""
    try:
        return open_labels(labels, Tally()).classes or []
    except CocomineError:
        return []  # named already


def _categories(source: Source) -> dict[str, list[str]]:
    """Return the category names by file: of an index, of a preset, or of an annotation file that is on disk."""
    if source.parts:
        return {merged_split(part, split): names for part in source.parts for split, names in _categories(part).items()}
    settings = source.settings
    result: dict[str, list[str]] = {}
    for task, split in source.files:
        if task != "instances":
            continue
        manifest = Path(source.index_folder) / f"{task}_{split}" / "index.json"
        if manifest.is_file():
            result[split] = [str(category.get("name")) for category in read_json(manifest).get("categories", [])]
        elif source.labels is not None:
            result[split] = _classes(source.labels)
        elif settings.preset and preset(settings.preset).categories:
            result[split] = list(preset(settings.preset).categories)
        elif settings.is_local:
            document = _local_document(source, task, split)
            result[split] = [] if document is None else [str(item.name) for item in document.categories]
    return {split: names for split, names in result.items() if names}
