"""From a config to the plan: everything named in it looked up, and what does not go together refused."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cocomine.base.errors import CocomineError
from cocomine.base.settings import merged, shaped, twice, without_places
from cocomine.coco.tasks import TASK_OF
from cocomine.configuration.config import Config
from cocomine.configuration.judged import Prediction, Program, planned_predictions, planned_programs
from cocomine.configuration.plan import Comparison, Plan, PlannedRun, Subset
from cocomine.configuration.sources import Source, Store, merged_source, sources_of, stores_of
from cocomine.formats.settings import DEFAULT
from cocomine.formats.settings import problems as export_problems
from cocomine.images.settings import ImageSettings
from cocomine.learning import grid
from cocomine.masks.settings import MaskSettings
from cocomine.matching.settings import ComparisonSettings
from cocomine.mining.settings import OTHER_SECTIONS, SubsetSettings
from cocomine.sources.settings import merged_name
from cocomine.splits.settings import SplitSettings
from cocomine.tensors.settings import TensorSettings


def make_plan(config: Mapping[str, Any]) -> Plan:
    """Return the plan of a config.

    Raises CocomineError, naming the key, the value and the remedy, for whatever in the config cannot be built: unknown
    keys, wrong types, names that name nothing, a split that does not add up, subsets that follow one another in a ring.
    """
    shaped(Config, config, "")
    sources = dict(sources_of(config))
    sources |= {source.name: source for source in _merged_sources(config, sources)}
    subsets = {name: _subset(name, config, sources) for name in config["subsets"]}
    for name in subsets:
        _check_parents(subsets, [name])
    experiments = _experiments(config)
    commanded = {name: given for name, given in experiments.items() if given.get("command") is not None}
    trained = {name: given for name, given in experiments.items() if name not in commanded}
    runs = {run.name: _planned(run, subsets) for run in grid.expand(trained)}
    programs, predicted = planned_programs(commanded, subsets)
    compared = {
        name: _comparison(
            f"comparisons.{name}", name, ComparisonSettings.from_mapping(given, f"comparisons.{name}"), sources
        )
        for name, given in config.get("comparisons", {}).items()
    }
    judged = planned_predictions(config.get("predictions", {}), subsets, sources)
    _check_names(runs, programs, "experiments", "run")
    _check_names(judged, predicted, "predictions", "set of predictions")
    judged |= predicted
    stores = {source.store.name: source.store for source in sources.values()}
    stores = {**stores_of(config), **stores}
    resolved = _resolved(stores_of(config), sources, subsets, runs, compared, judged, programs)
    shared = config.get("shared", "")
    return Plan(resolved, stores, sources, subsets, runs, compared, judged, programs, shared)


def _resolved(
    stores: Mapping[str, Store],
    sources: Mapping[str, Source],
    subsets: Mapping[str, Subset],
    runs: Mapping[str, PlannedRun],
    comparisons: Mapping[str, Comparison],
    predictions: Mapping[str, Prediction],
    programs: Mapping[str, Program],
) -> dict[str, Any]:
    """Return the config as the lock holds it: every default filled in, and no place where something lies."""
    stages = ("images", "masks", "split", "tensors")
    result: dict[str, Any] = {
        "stores": {name: without_places(store.settings) for name, store in stores.items()},
        "sources": {
            name: {
                **without_places(source.labels or source.settings),
                "synthetic": without_places(source.synthetic),
                **({"sources": [part.name for part in source.parts]} if source.parts else {}),
            }
            for name, source in sources.items()
        },
        "subsets": {
            name: {
                **without_places(subset.query),
                **{stage: without_places(getattr(subset, stage)) for stage in stages},
                "source": subset.source.name,
                "exports": list(subset.formats),
                # Links and copies are the same bytes.
                **({"export_images": "none"} if subset.export_images == "none" else {}),
            }
            for name, subset in subsets.items()
        },
        "experiments": {
            name: {**without_places(run.run.settings), "evaluate_on": list(run.run.evaluate_on)}
            for name, run in runs.items()
        },
    }
    if comparisons:
        result["comparisons"] = {name: without_places(one.settings) for name, one in comparisons.items()}
    result["experiments"] |= {
        name: {**without_places(program.experiment), "seeds": [program.seed]} for name, program in programs.items()
    }
    if predictions:
        result["predictions"] = {name: without_places(one.settings) for name, one in predictions.items()}
    return result


def _check_names(first: Mapping[str, object], second: Mapping[str, object], where: str, what: str) -> None:
    """Raise CocomineError where two have one name."""
    for name in first.keys() & second.keys():
        raise CocomineError(f"{where}: a second {what} is called {name!r}", "rename one of them")


def _comparison(where: str, name: str, settings: ComparisonSettings, sources: Mapping[str, Source]) -> Comparison:
    for key, stated in (("first", settings.first), ("second", settings.second)):
        if stated not in sources:
            raise CocomineError(
                f"{where}.{key}: no source is called {stated!r}",
                f"sources in this config: {', '.join(sources) or 'none'}",
            )
    first, second = sources[settings.first], sources[settings.second]
    there = [[split for kind, split in source.files if kind == settings.task] for source in (first, second)]
    common = settings.splits or tuple(split for split in there[0] if split in there[1])
    given = (settings.first_splits or common, settings.second_splits or common)
    keys = ("first_splits", "second_splits") if settings.first_splits else ("splits", "splits")
    for source, known, splits, key in zip((first, second), there, given, keys, strict=True):
        lacking = [split for split in splits if split not in known]
        if lacking or not splits:
            raise CocomineError(
                f"{where}: the sources {first.name} and {second.name} share no split of {settings.task}"
                if not splits
                else f"{where}.{key}: the source {source.name} has no {settings.task} of {lacking[0]!r}",
                f"{first.name} has {', '.join(there[0]) or 'none'}; {second.name} has {', '.join(there[1]) or 'none'}. "
                "Where they call them otherwise: first_splits and second_splits",
            )
    return Comparison(name, first, second, *given, settings)


def _merged_sources(config: Mapping[str, Any], sources: Mapping[str, Source]) -> Iterator[Source]:
    """Yield the sources that the subsets of several are mined from."""
    for name, given in config["subsets"].items():
        for source in given.get("sources", ()):
            if source not in sources:
                raise CocomineError(
                    f"subsets.{name}.sources: no source is called {source!r}",
                    f"sources in this config: {', '.join(sources) or 'none'}",
                )
        several = dict.fromkeys(given.get("sources", ()))
        if len(several) > 1:
            yield merged_source([sources[source] for source in several])


def _subset(name: str, config: Mapping[str, Any], sources: Mapping[str, Source]) -> Subset:
    where, given, seed = f"subsets.{name}", config["subsets"][name], {"seed": config.get("seed", 0)}
    several = tuple(dict.fromkeys(given.get("sources", ())))  # one that stands twice is named below
    source_name = merged_name(several) or given.get("source") or (next(iter(sources)) if len(sources) == 1 else "")
    if source_name not in sources:
        known = ", ".join(sources) or "none"
        problem = (
            f"no source is called {source_name!r}" if source_name else "it is not said which source it is mined from"
        )
        raise CocomineError(f"{where}.source: {problem}", f"sources in this config: {known}")
    source = sources[source_name]
    own = {key: value for key, value in given.items() if key not in OTHER_SECTIONS}
    query = SubsetSettings.from_mapping(seed | own | {"source": given.get("source") or source_name}, where)
    unknown = sorted(set(query.source_splits) - set(source.splits))
    if unknown:
        raise CocomineError(
            f"{where}.source_splits: the source {source_name} has no split {unknown[0]!r}",
            f"its splits: {', '.join(source.splits)}",
        )
    if query.labels_from and (Path(query.labels_from).is_absolute() or ".." in Path(query.labels_from).parts):
        raise CocomineError(
            f"{where}.labels_from: {query.labels_from} lies outside the working directory, where no lock reaches",
            "copy it into the working directory, such as beside the config, and give its relative path",
        )
    stages = {key: merged(config.get(key, {}), given.get(key, {})) for key in ("images", "masks", "split", "tensors")}
    # Shares, lists and official splits are wholes: of two, no part of one completes the other.
    stages["split"] |= {key: value for key, value in given.get("split", {}).items() if isinstance(value, Mapping)}
    images = ImageSettings.from_mapping(stages["images"], f"{where}.images")
    masks = MaskSettings.from_mapping(stages["masks"], f"{where}.masks")
    split = SplitSettings.from_mapping(seed | stages["split"], f"{where}.split")
    tensors = TensorSettings.from_mapping(stages["tensors"], f"{where}.tensors")
    splits = query.source_splits or source.splits
    if tensors.pack and masks.outputs is not None and "semantic" not in masks.outputs:
        raise CocomineError(
            f"{where}.tensors.pack: it needs semantic masks, and masks.outputs is {list(masks.outputs)}",
            f"add semantic to {where}.masks.outputs",
        )
    _check_instances(where, source, splits)
    _check_drawn(where, source, splits, masks.draw_from)
    formats = given.get("exports", config.get("exports", DEFAULT))
    if doubled := list(twice("exports", formats)):
        raise CocomineError(f"{where}.exports: {doubled[0].message}", doubled[0].hint)
    placed = given.get("export_images", config.get("export_images", "hardlink"))
    tasks = {task for task, _ in source.files if all((task, one) in source.files for one in splits)}
    drawn = ("semantic",) if masks.outputs is None else masks.outputs
    for lacking in export_problems(formats, placed, drawn, tasks):
        raise CocomineError(f"{where}.{lacking.key}: {lacking.message}", lacking.hint)
    return Subset(
        name,
        source,
        query,
        images,
        masks,
        split,
        tensors,
        tuple(formats),
        placed,
        given.get("tags"),
        given.get("single_file", False),
    )


def _check_instances(where: str, source: Source, splits: Iterable[str]) -> None:
    """Raise CocomineError when a split that a subset draws from has no instances, which its images are chosen by."""
    there = [split for task, split in source.files if task == "instances"]
    lacking = [split for split in splits if split not in there]
    if lacking:
        tasks = ", ".join(dict.fromkeys(task for task, split in source.files if split == lacking[0]))
        some = f", or leave the split out by source_splits (those with one: {', '.join(there)})" if there else ""
        raise CocomineError(
            f"{where}: the source {source.name} has no instances file for {lacking[0]} (it has: {tasks}), and "
            "a subset's images are chosen by their instances",
            f"add instances to sources.{source.name}.tasks; other tasks follow the images{some}",
        )


def _check_drawn(where: str, source: Source, splits: Iterable[str], draw_from: str) -> None:
    """Raise CocomineError when the masks are to be drawn from annotation files that the source does not have."""
    task = TASK_OF[draw_from]
    there = [split for name, split in source.files if name == task]
    lacking = [split for split in splits if split not in there]
    if task is not None and lacking:
        some = f"leave the split out by source_splits (those with one: {', '.join(there)})"
        raise CocomineError(
            f"{where}.masks.draw_from: {draw_from}: the source {source.name} has no {task} file for {lacking[0]}",
            f"add {task} to sources.{source.name}.tasks{f', or {some}' if there else ', or draw from instances'}",
        )


def _check_parents(subsets: Mapping[str, Subset], seen: list[str]) -> None:
    """Raise CocomineError where the last subset of `seen` follows one that is not there, or one that follows it."""
    subset = subsets[seen[-1]]
    parents = [("images_from", subset.query.images_from)] if subset.query.images_from else []
    parents += [("labels_from", name) for name, other in subsets.items() if other.labels in subset.pinned]
    for key, current in parents:
        where = f"subsets.{subset.name}.{key}"
        if current not in subsets:
            raise CocomineError(f"{where}: no subset is called {current!r}", f"subsets: {', '.join(subsets)}")
        if key == "labels_from" and current == subset.name:
            raise CocomineError(
                f"{where}: {subset.labels} is the file that this subset writes", "copy it elsewhere, and name the copy"
            )
        if current in seen:
            raise CocomineError(f"{where}: {' → '.join([*seen, current])} is a ring", "let one of them stand alone")
        _check_parents(subsets, [*seen, current])


def _experiments(config: Mapping[str, Any]) -> dict[str, Any]:
    seed = config.get("seed", 0)
    return {name: {"seeds": [seed], **settings} for name, settings in config.get("experiments", {}).items()}


def _planned(run: grid.Run, subsets: Mapping[str, Subset]) -> PlannedRun:
    where = f"experiments.{run.settings.experiment}"
    for name in (run.subset, *run.evaluate_on):
        if name not in subsets:
            raise CocomineError(f"{where}: no subset is called {name!r}", f"subsets: {', '.join(subsets)}")
    evaluated_on = tuple(subsets[name] for name in run.evaluate_on)
    for subset in dict.fromkeys((subsets[run.subset], *evaluated_on)):
        if subset.masks.outputs is not None and "semantic" not in subset.masks.outputs:
            raise CocomineError(
                f"{where}: it needs semantic masks of {subset.name}, whose outputs are {list(subset.masks.outputs)}",
                f"add semantic to subsets.{subset.name}.masks.outputs",
            )
    _check_splits(where, run, subsets)
    sizes = {subset.name: subset.tensor_size for subset in (subsets[run.subset], *evaluated_on)}
    if len(set(sizes.values())) > 1:
        raise CocomineError(
            f"{where}: its subsets are packed at different sizes: {sizes}", "give them one tensors.size"
        )
    return PlannedRun(run, subsets[run.subset], evaluated_on)


def _check_splits(where: str, run: grid.Run, subsets: Mapping[str, Subset]) -> None:
    """Raise CocomineError when a split that training or evaluation needs is none of those that a subset is parted into.

    Where the source's own names decide, only the split itself can tell.
    """
    judged = {run.judged} - {"all"} if run.judged else set()
    needed = [(run.subset, {"train", "val"}), *((name, judged) for name in run.evaluate_on)]
    for name, wanted in needed:
        parent = subsets[name]
        while parent.query.images_from:
            parent = subsets[parent.query.images_from]
        named = parent.split.named
        lacking = sorted(wanted - set(named)) if named else []
        if lacking:
            raise CocomineError(
                f"{where}: it needs the split {lacking[0]} of {name}, which has {', '.join(named)}",
                f"training takes train and is watched on val: give {lacking[0]} a share in subsets.{parent.name}.split"
                if lacking[0] in ("train", "val")
                else f"set evaluation.split to one of these, or give {lacking[0]} a share in "
                f"subsets.{parent.name}.split",
            )
