"""The stores and sources of a config: which store holds a source's images, and what has to be made first.

A source that is drawn, imported or merged is one like any other from there on: files of ours in its form.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from cocomine.base.errors import CocomineError
from cocomine.base.settings import merged
from cocomine.coco.tasks import TASKS
from cocomine.sources.merged import PartOfStore
from cocomine.sources.settings import SourceSettings, StoreSettings, merged_name
from cocomine.synthetic.settings import SyntheticSettings

# What the generator of the synthetic bucket draws; see make_demo_bucket.
SYNTHETIC_SPLITS = ("train", "val")
SYNTHETIC_TASKS = TASKS


@dataclass(frozen=True)
class Store:
    """A store of photographs: its folder in the work tree and the settings of `sync_images`."""

    name: str
    settings: StoreSettings

    @property
    def folder(self) -> str:
        """Where the store lies in the working directory."""
        return f"data/images/{self.name}"

    @property
    def in_place(self) -> bool:
        """Whether its photographs are somebody else's folder, which no link of ours may lead a writer into."""
        return self.settings.in_place


@dataclass(frozen=True)
class Source:
    """A source of annotations: its store, its files and the settings of `sync_annotations`."""

    name: str
    store: Store
    settings: SourceSettings
    synthetic: SyntheticSettings | None = None
    labels: SourceSettings | None = None
    """What the config says of a source whose labels are imported; `settings` are then those of what is made of them."""
    parts: tuple["Source", ...] = ()
    """The sources that a merged one is made of."""

    @property
    def files(self) -> tuple[tuple[str, str], ...]:
        """Its annotation files, as (task, split)."""
        return self.settings.annotation_files

    @property
    def folder(self) -> str:
        """Where its annotation files lie in the working directory."""
        return f"data/annotations/{self.name}"

    @property
    def lock(self) -> str:
        """The lock of its annotation files."""
        return f"{self.folder}/sync.lock.json"

    @property
    def index_folder(self) -> str:
        """Where the indexes of its annotation files lie."""
        return f"{self.folder}/index"

    @property
    def splits(self) -> tuple[str, ...]:
        """Its splits, in the config's order."""
        return tuple(dict.fromkeys(split for _, split in self.files))

    @property
    def bucket(self) -> list[str]:
        """What has to be drawn, imported or merged first; nothing for a source that exists."""
        if self.parts:
            return [f"data/merged/{self.name}/merge.json", f"data/merged/{self.name}/annotations"]
        if self.labels is not None:
            return [f"data/imports/{self.name}/import.json", f"data/imports/{self.name}/annotations"]
        return [] if self.synthetic is None else [f"data/demo/{self.name}/bucket.json"]

    @property
    def indexes_of_parts(self) -> list[str]:
        """The manifests of the indexes of the sources that it is made of."""
        return [manifest for part in self.parts for manifest in part.indexes()]

    @property
    def parts_of_store(self) -> dict[str, PartOfStore]:
        """Where the images of each of its splits lie, when it is a merged one."""
        return {
            merged_split(part, split): PartOfStore(
                part.store.folder, part.store.settings, split, part.splits, split in part.store.settings.images
            )
            for part in self.parts
            for split in part.splits
        }

    @property
    def panoptic_options(self) -> list[str]:
        """The options that say where the PNGs of its panoptic files lie."""
        splits = (split for task, split in self.files if task == "panoptic")
        return [word for split in splits for word in ("--panoptic-png-dir", f"{self.folder}/panoptic_{split}")]

    def name_options(self, split: str) -> list[str]:
        """The options of `index_annotations` that say what the file names of a split's images are below."""
        return ["--below-split"] if split in self.store.settings.images else []

    def indexes(self, splits: Iterable[str] = ()) -> list[str]:
        """The manifests of the indexes of the given splits (all of them when none is given)."""
        wanted = set(splits) or set(self.splits)
        return [f"{self.index_folder}/{task}_{split}/index.json" for task, split in self.files if split in wanted]


def stores_of(config: Mapping[str, Any]) -> dict[str, Store]:
    """Return the stores that a config names."""
    given = config.get("stores", {})
    return {name: Store(name, StoreSettings.from_mapping(given[name], f"stores.{name}")) for name in given}


def sources_of(config: Mapping[str, Any]) -> Iterator[tuple[str, Source]]:
    """Yield every source with its store, whose settings say where the images of all its sources' splits lie."""
    stores, settings, store_of = stores_of(config), {}, {}
    given_sources = config.get("sources", {})
    for name, given in given_sources.items():
        if "synthetic" in given:
            continue
        where = f"sources.{name}"
        if given.get("format", "coco") != "coco":
            continue
        store = _store_of(name, given, stores)
        stores.setdefault(store.name, store)
        # A source that says nothing of places has those of its store.
        own = given.keys() & {"origins", "folder", "preset", "annotations"}
        below = {} if own else {key: value for key, value in config["stores"][store.name].items() if key != "images"}
        settings[name] = SourceSettings.from_mapping({**below, **given, "store": store.name}, where)
        stores[store.name] = _with_images(stores[store.name], settings[name].images_of, f"{where}.images")
        store_of[name] = store.name
    for name, given in given_sources.items():
        if name in settings:
            yield name, Source(name, stores[store_of[name]], settings[name])
        elif "synthetic" not in given:
            yield name, _imported_source(name, given, f"sources.{name}")
        else:
            yield name, _synthetic_source(name, given, f"sources.{name}", config.get("seed", 0))


def _with_images(store: Store, images: Mapping[str, str], where: str) -> Store:
    """Return the store with a source's word on where images lie. Raises CocomineError where another says otherwise."""
    for split, place in images.items():
        if store.settings.images.get(split, place) != place:
            raise CocomineError(
                f"{where}: of the split {split!r} it is said elsewhere that its images lie in "
                f"{store.settings.images[split]!r}, in the same store",
                "give one of the sources a store of its own",
            )
    return replace(store, settings=msgspec.structs.replace(store.settings, images={**store.settings.images, **images}))


def _imported_source(name: str, given: Mapping[str, Any], where: str) -> Source:
    """Return a source whose labels are imported: documents of our own over images that lie in the user's folder."""
    if given.get("store", name) != name:
        raise CocomineError(
            f"{where}.store: a source whose labels are imported has a store of its own", "leave `store` out"
        )
    labels = msgspec.structs.replace(SourceSettings.from_mapping(given, where), store=name)
    made = {"folder": f"data/imports/{name}", "splits": labels.splits, "tasks": labels.tasks, "store": name}
    images = dict.fromkeys(labels.splits, labels.folder)
    store = StoreSettings(use=labels.use, follow_links=labels.follow_links, images=images)
    return Source(name, Store(name, store), SourceSettings.from_mapping(made, where), labels=labels)


def _synthetic_source(name: str, given: Mapping[str, Any], where: str, seed: int) -> Source:
    drawn = SourceSettings.from_mapping(merged({"synthetic": {"seed": seed}}, given), where).synthetic
    folder = f"data/demo/{name}"
    files = {"splits": SYNTHETIC_SPLITS, "tasks": SYNTHETIC_TASKS}
    settings = SourceSettings.from_mapping({"folder": folder, "use": "hardlink", "store": name, **files}, where)
    return Source(name, Store(name, StoreSettings(folder=folder, use="hardlink")), settings, drawn)


def _store_of(source: str, settings: Mapping[str, Any], stores: Mapping[str, Store]) -> Store:
    alone = settings.keys() & {"annotations", "images"} == {"annotations", "images"}
    only = next(iter(stores)) if len(stores) == 1 and not alone else ""
    wanted = settings.get("store") or (source if source in stores else only)
    if wanted in stores:
        return stores[wanted]
    known = ", ".join(stores) or "none"
    if wanted:
        raise CocomineError(f"sources.{source}.store: no store is called {wanted!r}", f"stores in this config: {known}")
    places = {key: settings[key] for key in ("origins", "folder", "use", "preset", "follow_links") if key in settings}
    if (places.keys() & {"origins", "folder", "preset"} and not stores) or alone:
        return Store(source, msgspec.convert(places, StoreSettings))  # a store of its own
    raise CocomineError(
        f"sources.{source}: it is not said which store holds its images",
        f"add `images: FOLDER` or `store: NAME` to it; stores in this config: {known}",
    )


def merged_split(source: Source, split: str) -> str:
    """Return what a split of a source is called in a merged source: no name of a source holds a dot."""
    return f"{source.name}.{split}"


def merged_source(parts: Sequence[Source]) -> Source:
    """Return the source that several are merged into: files of ours, and a store of links into theirs."""
    name = merged_name([part.name for part in parts])
    annotations: dict[str, dict[str, str]] = {}
    for part in parts:
        for task, split in part.files:
            new = merged_split(part, split)
            files = annotations.setdefault(new, {})
            files[task] = f"annotations/{task}_{new}.json"
            if task == "panoptic":
                files["panoptic_pngs"] = f"{part.folder}/panoptic_{split}"
    images = {merged_split(part, split): f"{part.store.folder}/{split}" for part in parts for split in part.splits}
    settings = {"folder": f"data/merged/{name}", "annotations": annotations, "store": name}
    source = SourceSettings.from_mapping(settings, f"sources.{name}")
    return Source(name, Store(name, StoreSettings(images=images, follow_links=True)), source, parts=tuple(parts))
