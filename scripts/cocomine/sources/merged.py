"""The store of a merged source: it holds links into the stores of its sources, each of which is synced as its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec import Struct, convert, structs

from cocomine.base.files import read_json
from cocomine.base.staging import alone
from cocomine.sources.in_place import LINKS_LOCK, InPlace, link_each, point
from cocomine.sources.proof import LEDGER, doubt
from cocomine.sources.settings import StoreSettings
from cocomine.sources.store import Store
from cocomine.sources.sync_plan import Plan
from cocomine.transfer.ledger import FOLDER, Ledger, entry_of
from cocomine.transfer.records import Outcome


class PartOfStore(Struct, frozen=True):
    """Where the images of one split of a merged source are: a split of a source, in that one's store.

    `folder` is the store's, `settings` its own, and `splits` are all that the source has. `below_split` says that a
    name is below the split's folder, though it has a folder of its own.
    """

    folder: str
    settings: StoreSettings
    split: str
    splits: tuple[str, ...]
    below_split: bool

    def path(self, name: str) -> str:
        """Return the path in its store of an image that is called so in the merged split."""
        return name if "/" in name and not self.below_split else f"{self.split}/{name}"


def read_parts(path: Path) -> dict[str, PartOfStore]:
    """Read the parts of a merged store, by split, from a JSON file."""
    return convert(read_json(path), dict[str, PartOfStore])


@dataclass(frozen=True)
class Plans:
    """What the syncs of several stores would do."""

    plans: Mapping[str, Plan]

    def lines(self) -> list[str]:
        """Say it in words."""
        return [line for folder, plan in self.plans.items() for line in (f"{folder}:", *plan.lines())]


class MergedStore:
    """A store of links; `parts` are its splits, and `opened` opens a part's store for names and their splits."""

    def __init__(
        self,
        root: Path,
        parts: Mapping[str, PartOfStore],
        opened: Callable[[PartOfStore, Mapping[str, str]], Store | InPlace],
    ) -> None:
        self.root, self.parts, self._opened = root, parts, opened
        self.hints: list[str] = []

    def sync(self, names: Sequence[str], pins: Mapping[str, Outcome]) -> dict[str, Outcome]:
        """Sync every part's store, and link what came; return an outcome for each name, in their order.

        Runs take turns, to the end: what others read through a link that is parted is known by what they have brought.
        """
        with alone(self.root / FOLDER / LINKS_LOCK, f"brings images into {self.root}"):
            return self._sync(names, pins)

    def _sync(self, names: Sequence[str], pins: Mapping[str, Outcome]) -> dict[str, Outcome]:
        outcomes: dict[str, Outcome] = {}
        remembered = Ledger(self.root / LEDGER).read()
        for folder, paths in self._by_store(names).items():
            doubt(Path(folder) / LEDGER, [p for n, p in paths.items() if n in remembered and remembered[n].bytes < 0])
            store = self._store(paths)
            found = store.sync(list(dict.fromkeys(paths.values())), _renamed(pins, paths))
            self.hints += [hint for hint in store.hints if hint not in self.hints]
            outcomes |= {name: structs.replace(found[path], name=name) for name, path in paths.items()}
        arrived = [outcome for outcome in outcomes.values() if outcome.status == "ok"]
        self._link([outcome.name for outcome in arrived], list(remembered))
        ledger = Ledger(self.root / LEDGER)
        ledger.append([entry_of(one) for one in arrived if remembered.get(one.name) != entry_of(one)])
        ledger.close()
        return {name: outcomes[name] for name in names}

    def plan(self, names: Sequence[str], pins: Mapping[str, Outcome]) -> Plans:
        """Say what `sync` would do; fetches and writes nothing."""
        plans = {}
        for folder, paths in self._by_store(names).items():
            plans[folder] = self._store(paths).plan(list(dict.fromkeys(paths.values())), _renamed(pins, paths))
        return Plans(plans)

    def _by_store(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return for each store its names in the merged store, and their paths in it."""
        result: dict[str, dict[str, str]] = {}
        for name in names:
            split, _, rest = name.partition("/")
            result.setdefault(self.parts[split].folder, {})[name] = self.parts[split].path(rest)
        return result

    def _store(self, paths: Mapping[str, str]) -> Store | InPlace:
        part_of = {path: self.parts[name.partition("/")[0]] for name, path in paths.items()}
        first = next(iter(part_of.values()))
        return self._opened(first, {path: part.split for path, part in part_of.items()})

    def _link(self, names: Sequence[str], remembered: Sequence[str]) -> None:
        """Make a link for each split whose images lie as they are named, and for each image of the others."""
        by_split: dict[str, list[str]] = {}
        for name in names:
            by_split.setdefault(name.partition("/")[0], []).append(name)
        for split, group in sorted(by_split.items()):
            link, part = self.root / split, self.parts[split]
            as_named = all(self._path(name) == f"{part.split}/{name.partition('/')[2]}" for name in group)
            if as_named and (link.is_symlink() or not link.exists()):
                point(link, Path(part.folder, part.split))
                continue
            if link.is_symlink():
                group += [name for name in remembered if name.partition("/")[0] == split and name not in set(group)]
            files = {name: Path(part.folder, self._path(name)) for name in group}
            link_each(link, files, "remove it: it is a folder of links")

    def _path(self, name: str) -> str:
        split, _, rest = name.partition("/")
        return self.parts[split].path(rest)


def _renamed(pins: Mapping[str, Outcome], paths: Mapping[str, str]) -> dict[str, Outcome]:
    return {path: structs.replace(pins[name], name=path) for name, path in paths.items() if name in pins}
