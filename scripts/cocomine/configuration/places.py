"""What a config names that must be there before a build: folders, annotation files, lists. A dry run asks it too."""

import difflib
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cocomine.base.errors import CocomineError
from cocomine.configuration.plan import Plan
from cocomine.configuration.sources import Source
from cocomine.sources.annotations import annotation_folder, remote_names
from cocomine.sources.images import image_folder
from cocomine.sources.presets import preset
from cocomine.sources.settings import SourceSettings


@dataclass(frozen=True)
class Mistake:
    """What is wrong in a config, and the remedy."""

    message: str
    hint: str = ""


def mistakes_on_disk(plan: Plan) -> list[Mistake]:
    """Return what the config names that is not there: folders, annotation files, lists, files of a preset."""
    result: list[Mistake] = []
    if plan.shared and not Path(plan.shared).is_dir():
        result.append(Mistake(f"shared: {plan.shared} is no folder", f"make it: mkdir -p {shlex.quote(plan.shared)}"))
    for source in plan.used_sources:
        if source.labels is not None:
            result += _of_labels(source, source.labels)
        elif not source.bucket:
            result += [*_of_annotations(source), *_of_images(source)]
    made = {subset.labels for subset in plan.subsets.values()}
    for subset in plan.subsets.values():
        result += [
            Mistake(f"subsets.{subset.name}.labels_from: {path} is not there", "name the labels.json of a build")
            for path in subset.pinned
            if path not in made and not Path(path).is_file()
        ]
        result += [
            Mistake(f"subsets.{subset.name}: the list {path} is not there", "give its path from the working directory")
            for path in (*subset.lists, *subset.split_lists, *subset.tagged[1:])
            if not Path(path).is_file()
        ]
    for one in plan.predictions.values():
        result += [
            Mistake(
                f"predictions.{one.name}: {path} is not there",
                "give its path from the working directory; leave it out until there is something to predict on",
            )
            for path in (*(() if one.output else one.given), *filter(None, [one.settings.tags]))
            if not Path(path).exists()
        ]
    for program in plan.programs.values():
        environment = program.experiment.environment
        if environment is not None and not (Path(environment) / "bin").is_dir():
            result.append(
                Mistake(
                    f"experiments.{program.name}: {environment} is no environment: it has no folder bin",
                    "make it, or name another",
                )
            )
    result += [
        Mistake(
            f"comparisons.{one.name}.crosswalk: the table {path} is not there",
            "give its path from the working directory",
        )
        for one in plan.comparisons.values()
        for path in one.crosswalk
        if not Path(path).is_file()
    ]
    return list(dict.fromkeys(result))


def _of_annotations(source: Source) -> Iterator[Mistake]:
    settings, where = source.settings, f"sources.{source.name}"
    if settings.preset and not settings.origins and not settings.folder:
        row = preset(settings.preset)
        known = sorted({(task, split) for task, split in ((file.task, file.split) for file in row.files)})
        for task, split in source.files:
            if row.file(task, split) is None:
                shown = ", ".join(f"{one} of {other}" for one, other in known)
                yield Mistake(f"{where}: preset {settings.preset} has no {task} of {split}", f"it has {shown}")
        return
    if not settings.is_local:
        return
    folder = annotation_folder(settings)
    try:
        folder.check()
    except CocomineError as error:
        yield Mistake(f"{where}: {error.message}", error.hint)
        return
    remote = remote_names(settings)
    elsewhere = "say where it lies: annotations: {SPLIT: FILE}"
    if not settings.folder:
        elsewhere = f"give it from the working directory, which is {Path.cwd()}, or in full"
    names = {f"{task}_{split}.json": (task, split) for task, split in source.files}
    found = folder.find(remote(name) for name in names)
    for name, (task, split) in names.items():
        item = found[remote(name)]
        if item.path is None:
            yield Mistake(
                f"{where}: {task} of {split}: {remote(name)}: {item.reason}",
                nearest_of(remote(name), _json_below(folder.root)) or elsewhere,
            )


def _of_labels(source: Source, labels: SourceSettings) -> Iterator[Mistake]:
    from cocomine.imports.labels import Tally  # not at the top: a plan without such labels does without NumPy
    from cocomine.imports.load import open_labels

    try:
        open_labels(labels, Tally())
    except CocomineError as error:
        yield Mistake(f"sources.{source.name}: {error.message}", error.hint)


def _json_below(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in sorted([*root.glob("*.json"), *root.glob("*/*.json")])[:200]]


def _of_images(source: Source) -> Iterator[Mistake]:
    settings = source.store.settings
    told = settings.folder and settings.folder == source.settings.folder and not Path(settings.folder).is_dir()
    if settings.is_local and not told:
        try:
            image_folder(settings, source.splits).check()
        except CocomineError as error:
            yield Mistake(f"stores.{source.store.name}: {error.message}", error.hint)


def nearest_of(name: str, known: Iterable[str]) -> str:
    """Return a question that names what may have been meant; empty where nothing is near."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else ""
