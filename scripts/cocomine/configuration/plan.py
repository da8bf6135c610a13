"""From a config to everything the rules ask of it: names, paths, settings and what depends on what. Pure and typed.

The Snakefile makes one plan and the rules read it; no rule looks into the config itself.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from cocomine.base.errors import CocomineError
from cocomine.base.files import canonical_json
from cocomine.base.settings import merged, shaped, twice, without_places
from cocomine.coco.tasks import TASK_OF, TASKS
from cocomine.configuration.config import Config
from cocomine.configuration.judged import Prediction, Program, planned_predictions, planned_programs
from cocomine.configuration.settings_files import SettingsFile
from cocomine.configuration.sources import Source, Store, merged_source, sources_of, stores_of
from cocomine.formats.registry import FORMATS
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


@dataclass(frozen=True, eq=False)
class Subset:
    """A subset: its source, the settings of each stage, and the subset that it follows, if any."""

    name: str
    source: Source
    query: SubsetSettings
    images: ImageSettings
    masks: MaskSettings
    split: SplitSettings
    tensors: TensorSettings
    formats: tuple[str, ...]
    export_images: str = "hardlink"
    tags: str | None = None
    single_file: bool = False

    @property
    def folder(self) -> str:
        """Where it is built."""
        return f"results/{self.name}"

    @property
    def indexes(self) -> list[str]:
        """The index manifests that it is mined from."""
        return self.source.indexes(self.query.source_splits)

    @property
    def lists(self) -> list[str]:
        """The files of image lists that its query names."""
        return [value for value in (self.query.include_images, self.query.exclude_images) if isinstance(value, str)]

    @property
    def labels(self) -> str:
        """The file of its labels."""
        return f"{self.folder}/labels.json"

    @property
    def pinned(self) -> list[str]:
        """The labels of an earlier build that its own follow, if any."""
        return [Path(self.query.labels_from).as_posix()] if self.query.labels_from else []

    @property
    def mailed(self) -> list[str]:
        """The option of the explorer that asks for a page of one file too."""
        return ["--single-file", f"{self.folder}/explorer/single.html"] if self.single_file else []

    @property
    def tagged(self) -> list[str]:
        """The options of an evaluation that name its tags."""
        return ["--tags", self.tags] if self.tags else []

    @property
    def split_lists(self) -> list[str]:
        """The files of image lists that its split names."""
        return [value for value in self.split.lists.values() if isinstance(value, str)]

    @property
    def missing(self) -> str:
        """What `sync_images` does about an image that no origin has: it stops, unless the query says what follows."""
        goes_on = self.query.refill or self.query.policy.get("image-missing", "stop") != "stop"
        return "record" if goes_on else "stop"

    def parent(self, file: str) -> list[str]:
        """The given file of the subset whose images and split it takes over; nothing when it has its own."""
        return [f"results/{self.query.images_from}/{file}"] if self.query.images_from else []

    @property
    def drawn(self) -> list[str]:
        """The options of `rasterize_masks` that say which annotations are drawn."""
        kind, tasks = self.masks.draw_from, f"{self.folder}/tasks"
        if kind == "panoptic":
            return ["--panoptic-json", f"{tasks}/panoptic.json", *self.source.panoptic_options]
        if kind == "stuff":
            return ["--subset", f"{tasks}/stuff.json"]
        both = ["--stuff-json", f"{tasks}/stuff.json"] if kind == "instances+stuff" else []
        return ["--subset", f"{self.folder}/subset.json", *both]

    @property
    def labelled(self) -> list[str]:
        """The options of `assemble_subset` that say which categories get a label."""
        names = canonical_json(self.masks.stuff_categories)
        return ["--draw-from", self.masks.draw_from, "--stuff-categories", names]

    @property
    def tensor_size(self) -> int:
        """Side of its tensors in pixels."""
        return self.tensors.size

    @property
    def packing(self) -> dict[str, Any]:
        """The settings of its packing; whether it is asked for changes nothing in the tensors."""
        return {key: value for key, value in self.tensors.as_mapping().items() if key != "pack"}

    @property
    def packed(self) -> str:
        """The folder of its tensors."""
        return f"{self.folder}/tensors/{self.tensor_size}"

    def export_inputs(self, name: str) -> dict[str, str]:
        """What an export of it in a format needs besides the tables that every export reads."""
        drawn = FORMATS[name].masks or (FORMATS[name].uses and self.masks.outputs != ())
        return {"masks": f"{self.folder}/masks"} if drawn else {}

    @property
    def export_options(self) -> list[str]:
        """The options of `export_dataset` that say how image files come into an export of it."""
        store = self.source.store
        shared = store.in_place and self.export_images == "hardlink"
        return ["--images", self.export_images, *(["--copies-dir", f"data/copies/{store.name}"] if shared else [])]

    @property
    def exports(self) -> list[str]:
        """The folders of its exports."""
        return [f"{self.folder}/exports/{name}" for name in self.formats]


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """A run of the experiments: what it is trained on, what it is evaluated on, and what it asks of a machine."""

    run: grid.Run
    subset: Subset
    evaluated_on: tuple[Subset, ...]

    @property
    def name(self) -> str:
        """Its name, and that of its folder."""
        return self.run.name

    @property
    def folder(self) -> str:
        """Where it is built."""
        return f"results/experiments/{self.name}"

    @property
    def tensors(self) -> str:
        """The tensors that it is trained on."""
        return self.subset.packed

    @property
    def withheld(self) -> list[str]:
        """The tensors of other subsets that it is evaluated on, whose images of the split judged it must never see."""
        return [subset.packed for subset in self.evaluated_on if subset is not self.subset]

    @property
    def judged(self) -> list[str]:
        """The option of `train_model` that names the split that is judged; nothing where the subsets decide."""
        return ["--withheld-split", self.run.judged] if self.run.judged else []

    @property
    def labels(self) -> str:
        """The labels of the subset that it is trained on."""
        return self.subset.labels

    @property
    def threads(self) -> int:
        """The threads of its arithmetic, which change its weights and therefore come from the config."""
        return self.run.settings.train.threads

    @property
    def training_threads(self) -> int:
        """The threads of all processes that it is spread over."""
        return self.threads * self.run.settings.train.processes

    @property
    def training_gpus(self) -> int:
        """The GPUs to ask a cluster for while it is trained: one for each process."""
        return self.gpus * self.run.settings.train.processes

    @property
    def gpus(self) -> int:
        """The GPUs to ask a cluster for: one when the config asks for CUDA by name."""
        return 1 if self.run.settings.train.device == "cuda" else 0

    @property
    def minutes(self) -> int:
        """The time to ask a cluster for: two seconds an iteration, the slowest that was measured, and ten minutes."""
        return 10 + self.run.settings.train.iterations // 30

    def evaluation_tensors(self, subset: str) -> str:
        """The tensors of `subset` that it is evaluated on."""
        return next(other.packed for other in self.evaluated_on if other.name == subset)

    def evaluation(self, subset: str) -> str:
        """The folder of its evaluation on `subset`."""
        return f"{self.folder}/on-{subset}"

    @property
    def evaluations(self) -> list[str]:
        """The folders of its evaluations."""
        return [self.evaluation(subset.name) for subset in self.evaluated_on]


@dataclass(frozen=True)
class Comparison:
    """Two sources of annotations set side by side, each with the splits that are taken together."""

    name: str
    first: Source
    second: Source
    first_splits: tuple[str, ...]
    second_splits: tuple[str, ...]
    settings: ComparisonSettings

    @property
    def folder(self) -> str:
        """Where it is written."""
        return f"results/comparisons/{self.name}"

    @property
    def indexes(self) -> list[str]:
        """The indexes that it reads, those of the two sources."""
        sides = ((self.first, self.first_splits), (self.second, self.second_splits))
        return list(
            dict.fromkeys(
                f"{source.index_folder}/{self.settings.task}_{split}/index.json"
                for source, splits in sides
                for split in splits
            )
        )

    @property
    def sides(self) -> tuple[Source, Source]:
        """The two sources."""
        return self.first, self.second

    def photographs(self, subsets: Iterable[Subset]) -> list[str]:
        """The locks of the photographs that subsets fetch into the first source's store, which its page shows."""
        return [f"{subset.folder}/images.lock.tsv" for subset in subsets if subset.source.store == self.first.store]

    @property
    def crosswalk(self) -> list[str]:
        """The table of classes that it names; nothing when it names none."""
        given = self.settings.crosswalk
        return [given] if isinstance(given, str) and given else []


@dataclass(frozen=True)
class Plan:
    """What a config asks for; `config` is the resolved config without the places where stores and sources lie."""

    config: Mapping[str, Any]
    stores: Mapping[str, Store]
    sources: Mapping[str, Source]
    subsets: Mapping[str, Subset]
    runs: Mapping[str, PlannedRun]
    comparisons: Mapping[str, Comparison]
    predictions: Mapping[str, Prediction]
    programs: Mapping[str, Program]
    shared: str = ""

    @staticmethod
    def pattern(names: Iterable[str]) -> str:
        """A regular expression that matches these names and no other; with no name it matches nothing."""
        return "|".join(re.escape(name) for name in names) or "(?!)"

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks of annotation files."""
        return tuple(TASKS)

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats that a subset can be exported to."""
        return tuple(FORMATS)

    @property
    def used_sources(self) -> list[Source]:
        """The sources that a subset or a comparison uses."""
        names = {subset.source.name for subset in self.subsets.values()}
        names |= {side.name for one in self.comparisons.values() for side in (one.first, one.second)}
        names |= {one.settings.source for one in self.predictions.values() if one.settings.source is not None}
        names |= {part.name for name in names for part in self.sources[name].parts}
        return [source for name, source in self.sources.items() if name in names]

    @property
    def packed_subsets(self) -> list[Subset]:
        """The subsets that a run is trained or evaluated on, and those whose `tensors.pack` asks for it."""
        used = {subset.name for run in self.runs.values() for subset in (run.subset, *run.evaluated_on)}
        return [subset for name, subset in self.subsets.items() if name in used or subset.tensors.pack]

    @property
    def evaluations(self) -> list[str]:
        """The folders of all evaluations."""
        return [folder for run in self.runs.values() for folder in run.evaluations]

    def evaluations_on(self, subset: str) -> list[str]:
        """The folders of the evaluations on a subset, of whatever run."""
        on = [run for run in self.runs.values() if subset in {evaluated.name for evaluated in run.evaluated_on}]
        return [run.evaluation(subset) for run in on]

    def predictions_on(self, subset: str) -> list[str]:
        """The folders of the figures of predictions that are judged on a subset."""
        return [one.folder for one in self.predictions.values() if one.settings.subset == subset]

    @property
    def reviews(self) -> dict[str, Prediction]:
        """The predictions that labels are held against, by name."""
        return {name: one for name, one in self.predictions.items() if one.review}

    def reviews_of(self, subset: str) -> list[str]:
        """The folders of the label errors that predictions found in a subset."""
        return [one.review for one in self.reviews.values() if one.settings.subset == subset]

    @property
    def compared(self) -> list[str]:
        """The folders of what is set side by side: all predictions and evaluations, where there is any prediction or
        more than one evaluation.
        """
        folders = [*(one.folder for one in self.predictions.values()), *self.evaluations]
        return folders if self.predictions or len(folders) > 1 else []

    @property
    def compared_on(self) -> list[str]:
        """The options of `compare_predictions` that say what was judged on, for its pictures."""
        subsets = {one.settings.subset for one in self.predictions.values() if one.settings.subset is not None}
        subsets |= {evaluated.name for run in self.runs.values() for evaluated in run.evaluated_on}
        options = [
            (name, self.subsets[name].folder, self.subsets[name].source.store.folder) for name in sorted(subsets)
        ]
        for one in self.predictions.values():
            if one.settings.source is not None:
                path = one.judged_on[1]
                options.append((Path(path).name, path, self.sources[one.settings.source].store.folder))
        return [word for option in dict.fromkeys(options) for word in ("--judged-on", *option)]

    @property
    def not_ours(self) -> list[str]:
        """The folders of what programs of the user's made, and of what is measured of it: not ours to reproduce."""
        judged = [one.folder for one in self.predictions.values() if one.output]
        compared = [f"results/predictions/comparison.{ending}" for ending in ("json", "html")] if judged else []
        return [*(program.folder for program in self.programs.values()), *judged, *compared]

    @property
    def declared_inputs(self) -> list[str]:
        """What came from outside as far as rules declare it: the locks of sources, what imports and merges say of
        themselves, and pinned labels.
        """
        imports = [source.bucket[0] for source in self.used_sources if source.labels is not None or source.parts]
        made = {subset.labels for subset in self.subsets.values()}
        pinned = (path for subset in self.subsets.values() for path in subset.pinned if path not in made)
        return [*imports, *(source.lock for source in self.used_sources), *dict.fromkeys(pinned)]

    @property
    def locked_inputs(self) -> list[str]:
        """What came from outside, annotation files too. Images stand in each subset's own lock."""
        files = [f"{source.folder}/{task}_{split}.json" for source in self.used_sources for task, split in source.files]
        return [*self.declared_inputs, *files]

    def settings(self, section: str, name: str) -> str:
        """Return the path of the file that holds the settings of a job."""
        return self.settings_files[section, name].path

    @cached_property
    def settings_files(self) -> Mapping[tuple[str, str], SettingsFile]:
        """The settings of every job, by section and name."""
        subsets, runs, sources = self.subsets.values(), self.runs.values(), self.sources.values()
        files = [
            *(SettingsFile("store", store.name, store.settings.as_mapping()) for store in self.stores.values()),
            *(SettingsFile("source", source.name, source.settings.as_mapping()) for source in sources),
            *(SettingsFile("parts", one.name, _plain(one.parts_of_store)) for one in sources if one.parts),
            *(SettingsFile("import", one.name, one.labels.as_mapping()) for one in sources if one.labels),
            *(SettingsFile("synthetic", one.name, one.synthetic.as_mapping()) for one in sources if one.synthetic),
            *(SettingsFile("query", subset.name, subset.query.as_mapping()) for subset in subsets),
            *(SettingsFile("images", subset.name, subset.images.as_mapping()) for subset in subsets),
            *(SettingsFile("masks", subset.name, subset.masks.as_mapping()) for subset in subsets),
            *(SettingsFile("split", subset.name, subset.split.as_mapping()) for subset in subsets),
            *(SettingsFile("tensors", subset.name, subset.packing) for subset in subsets),
            *(SettingsFile("training", run.name, run.run.training) for run in runs),
            *(SettingsFile("run", run.name, run.run.settings.as_mapping()) for run in runs),
            *(SettingsFile("program", one.name, one.settings) for one in self.programs.values()),
            *(SettingsFile("predictions", one.name, one.judging) for one in self.predictions.values()),
            *(SettingsFile("comparison", one.name, one.settings.as_mapping()) for one in self.comparisons.values()),
            SettingsFile("build", "all", self.config),
        ]
        return {(file.section, file.name): file for file in files}


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


def _plain(value: Any) -> Any:
    """Return what msgspec can write as plain JSON values."""
    return msgspec.json.decode(msgspec.json.encode(value))


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
