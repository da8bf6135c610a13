"""A folder that is used where it lies: its files are found, read and proven there, and the store holds links to them.

Where all files of a split lie as they are named, the store's folder of that split is one link. Otherwise it is a folder
of the store's own, with a link for each file.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from cocomine.base.errors import CocomineError
from cocomine.base.files import atomic_path
from cocomine.base.folder import put_in_place
from cocomine.base.progress import Progress
from cocomine.base.space import free_bytes
from cocomine.base.staging import INCOMPLETE, alone, staging
from cocomine.sources.store import Options
from cocomine.sources.sync_plan import Plan
from cocomine.transfer.finding import Folder, Found
from cocomine.transfer.folder import digests_in_place
from cocomine.transfer.lacking import shown
from cocomine.transfer.ledger import FOLDER, Ledger, entry_of, outcome_of
from cocomine.transfer.names import FolderGuard
from cocomine.transfer.pins import held_to
from cocomine.transfer.records import Outcome

log = logging.getLogger("cocomine")

FEW = 5
LINKS_LOCK = "links.lock"


class InPlace:
    """A store whose files stay in a folder that is somebody else's: nothing is written there, no byte is copied."""

    def __init__(self, root: Path, folder: Folder, options: Options, what: str = "images") -> None:
        self.root = root
        self.folder = folder
        self.options = options
        self.what = what
        where = ", ".join(dict.fromkeys(folder.images.values())) or folder.root
        self.hints = [
            f"look whether the images lie in {where}: they are looked for by their names, and by the ends of these."
        ]
        self.ledger = Ledger(root / FOLDER / "ledger.jsonl")

    def sync(self, names: Sequence[str], pins: Mapping[str, Outcome]) -> dict[str, Outcome]:
        """Link and read the named files; return an outcome for each, in the order of `names`. Runs take turns.

        `pins` are the outcomes of an earlier lock: a file whose bytes are not those pinned is refused. Raises
        CocomineError when a folder is not there, or the store holds something else where a link must be.
        """
        self.folder.check()
        found = self.folder.find(names)
        moved = [f"{name} at {item.elsewhere}" for name, item in found.items() if item.elsewhere]
        if moved:
            log.warning(
                "%d of %d %s lie elsewhere than named: %s",
                len(moved),
                len(names),
                self.what,
                shown(moved, FEW),
            )
        # To the end: what others read through a link that is parted is known by what they have proven.
        with alone(self.root / FOLDER / LINKS_LOCK, f"links and reads {self.what} in {self.root}"):
            self._link(found)
            return self.prove(found, pins)

    def plan(self, names: Sequence[str], pins: Mapping[str, Outcome]) -> Plan:
        """Say what `sync` would find; reads and writes nothing."""
        del pins
        self.folder.check()
        found = self.folder.find(names)
        there = [item.path for item in found.values() if item.path is not None]
        return Plan(
            len(names),
            len(there),
            sum(path.stat().st_size for path in there),
            0,
            0,
            True,
            {},
            tuple(name for name, item in found.items() if item.status == "missing"),
            free_bytes(self.root),
            refused={name: item.reason for name, item in found.items() if item.status not in ("ok", "missing")},
        )

    def prove(self, found: Mapping[str, Found], pins: Mapping[str, Outcome]) -> dict[str, Outcome]:
        """Return an outcome for each file. Of the recorded size and time it is not read, unless asked for."""
        entries = self.ledger.read()
        outcomes: dict[str, Outcome] = {}
        unread: list[tuple[str, Path]] = []
        for name, item in found.items():
            if item.path is None:
                outcomes[name] = Outcome(name, item.status, f"folder: {item.reason}")
                continue
            entry = entries.get(name)
            state = item.path.stat()
            same = entry is not None and (state.st_size, state.st_mtime_ns) == (entry.bytes, entry.mtime_ns)
            # Other bytes may have been recorded under this size and time; those pinned may be here again.
            same = same and entry is not None and (name not in pins or pins[name].sha256 in ("", entry.sha256))
            if same and entry is not None and not self.options.checksum and not self.options.verify_origin:
                outcomes[name] = outcome_of(entry)
            else:
                unread.append((name, item.path))
        with Progress(f"check {self.what} in place", len(unread), "file") as progress:
            for outcome in digests_in_place(unread):
                progress.advance()
                entry = entries.get(outcome.name)
                if self.options.verify_origin and entry is not None:
                    outcome = held_to(outcome_of(entry), outcome)
                outcomes[outcome.name] = outcome
                if outcome.status == "ok":
                    self.ledger.append([entry_of(outcome)])
        self.ledger.close()
        if self.options.verify_origin:
            still = sum(outcome.status == "ok" for outcome in outcomes.values())
            log.info("the folder still holds %d of %d files as recorded", still, len(found))
        for name, item in found.items():
            if outcomes[name].status == "ok":
                outcomes[name].reason = item.note
        return {name: held_to(pins.get(name), outcomes[name]) for name in found}

    # -- links

    def _link(self, found: Mapping[str, Found]) -> None:
        """Make the store's links to what was found."""
        groups: dict[str, dict[str, Found]] = {}
        for name, item in found.items():
            if item.path is not None:
                groups.setdefault(name.partition("/")[0], {})[name] = item
        for split, group in sorted(groups.items()):
            link = self.root / split
            whole = self.folder.whole_split(split)
            as_named = whole is not None and not any(item.elsewhere for item in group.values())
            if whole is not None and as_named and (link.is_symlink() or not link.exists()):
                point(link, whole)
                continue
            if link.is_symlink():
                known = self.folder.find(name for name in self.ledger.read() if name.partition("/")[0] == split)
                group = known | group
            files = {name: item.path for name, item in group.items() if item.path is not None}
            link_each(link, files, "name the store differently, or remove it")


def link_each(split: Path, files: Mapping[str, Path], hint: str) -> None:
    """Make the folder `split` of a store hold links to `files`, which have their names in the store.

    Where it is one link, a folder takes its place in one step: other jobs read through it, and what they need has to be
    among `files`. Raises CocomineError, with the hint, where something else is in the way.
    """
    if split.is_symlink():
        with staging(split.parent / INCOMPLETE) as own:
            _link_each(own, split.parent, files, hint)
            put_in_place(own / split.name, split, own)
    else:
        _link_each(split.parent, split.parent, files, hint)


def _link_each(root: Path, final: Path, files: Mapping[str, Path], hint: str) -> None:
    guard, real = FolderGuard(root), Path(os.path.realpath(final))
    for name, path in files.items():
        if (reason := guard.prepare(name)) is not None:
            raise CocomineError(f"{final / name}: {reason}", hint)
        _point(root / name, os.path.relpath(os.path.realpath(path), (real / name).parent))


def point(link: Path, destination: Path) -> None:
    """Make `link` a relative symlink to `destination`, replacing another link.

    Raises CocomineError when a file or a folder of its own is there.
    """
    _point(link, os.path.relpath(os.path.realpath(destination), os.path.realpath(link.parent)))


def _point(link: Path, relative: str) -> None:
    with suppress(OSError):
        if link.readlink() == Path(relative):
            return
    if link.exists() and not link.is_symlink():
        raise CocomineError(
            f"{link} already holds files of its own, and use: in-place needs it for a link",
            "name the store differently, remove it, or choose use: copy",
        )
    with atomic_path(link) as temporary:
        temporary.symlink_to(relative)
