"""Everything the rules ask of a config: names, paths, settings and what depends on what. Pure and typed.

The Snakefile has one plan made (`planning`) and the rules read it; no rule looks into the config itself.
"""

import itertools
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from cocomine.base.files import canonical_json
from cocomine.coco.tasks import TASKS
from cocomine.configuration.judged import Prediction, Program
from cocomine.configuration.settings_files import SettingsFile
from cocomine.configuration.sources import Source, Store
from cocomine.formats.registry import FORMATS
from cocomine.images.settings import ImageSettings
from cocomine.learning import grid
from cocomine.masks.settings import MaskSettings
from cocomine.matching.settings import ComparisonSettings
from cocomine.mining.settings import SubsetSettings
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
        """A regular expression that matches these names and no other; with no name it matches nothing.

        Beginnings that names share stand once: Snakemake looks through it for each file of each job, and with 200
        names side by side that was a ninth of planning.
        """
        known = sorted(set(names))
        if not known:
            return "(?!)"
        start = os.path.commonprefix(known)  # noqa: RUF071 - letters are what is compared
        tails = [name.removeprefix(start) for name in known]
        branches = [
            re.escape(first) + (Plan.pattern(tail[1:] for tail in same) if first else "")
            for first, same in itertools.groupby(tails, key=lambda tail: tail[:1])
        ]
        return re.escape(start) + (f"(?:{'|'.join(branches)})" if len(branches) > 1 else "")

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
    def compared_subsets(self) -> list[str]:
        """The subsets on which anything of it was judged."""
        subsets = {one.settings.subset for one in self.predictions.values() if one.settings.subset is not None}
        return sorted(subsets | {evaluated.name for run in self.runs.values() for evaluated in run.evaluated_on})

    @property
    def compared_truth(self) -> list[str]:
        """What is shown of these subsets beside their photographs."""
        shown = ("subset.json", "labels.json", "images.tsv", "images.lock.tsv", "masks")
        return [f"{self.subsets[name].folder}/{file}" for name in self.compared_subsets for file in shown]

    @property
    def compared_on(self) -> list[str]:
        """The options of `compare_predictions` that say what was judged on, for its pictures."""
        options = [
            (name, self.subsets[name].folder, self.subsets[name].source.store.folder) for name in self.compared_subsets
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


def _plain(value: Any) -> Any:
    """Return what msgspec can write as plain JSON values."""
    return msgspec.json.decode(msgspec.json.encode(value))
