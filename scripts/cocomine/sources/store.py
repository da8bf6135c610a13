"""Sync of a store: fetch exactly the files that are named, from the first origin that has each, and prove them."""

import errno
import logging
import os
import stat
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cocomine.base.errors import CocomineError, without_secrets
from cocomine.base.progress import Progress
from cocomine.base.space import free_bytes, size
from cocomine.base.staging import alone
from cocomine.sources.settings import StoreSettings
from cocomine.sources.sync_plan import Plan
from cocomine.transfer.behaviour import Behaviour
from cocomine.transfer.folder import FolderOrigin, digests_in_place
from cocomine.transfer.lacking import shown
from cocomine.transfer.ledger import FOLDER, Entry, Ledger, entry_of, outcome_of
from cocomine.transfer.names import FolderGuard, collisions, unsafe
from cocomine.transfer.origins import open_origin
from cocomine.transfer.pins import differs
from cocomine.transfer.places import Origin, Place, UnseenError, by_place
from cocomine.transfer.receiving import Target, room_for
from cocomine.transfer.records import Facts, Outcome, Status, Want
from cocomine.transfer.staging import staging, sweep

log = logging.getLogger("cocomine")

SAMPLE = 24  # files whose sizes are asked for to judge whether the disk will do


@dataclass(frozen=True)
class Options:
    """How a store is synced. `checksum` reads every byte that is there; `verify_origin` asks the origins too."""

    behaviour: Behaviour = field(default_factory=Behaviour)
    checksum: bool = False
    verify_origin: bool = False


class Store:
    """An image store on disk and the origins that fill it."""

    def __init__(
        self,
        root: Path,
        settings: StoreSettings,
        options: Options,
        origins: list[Origin] | None = None,
        what: str = "images",
    ) -> None:
        self.root = root
        self.settings = settings
        self.options = options
        self.what = what
        self.hints: list[str] = []  # the advice of origins that are gone as a whole
        self.ledger = Ledger(root / FOLDER / "ledger.jsonl")
        self.origins: list[Origin] = origins or [
            open_origin(origin, options.behaviour, root / FOLDER / "whole") for origin in settings.origins
        ]

    def sync(self, names: Sequence[str], pins: Mapping[str, Outcome]) -> dict[str, Outcome]:
        """Bring the named files and return an outcome for each, in the order of `names`.

        `pins` are the outcomes of an earlier lock: a file whose bytes are not those pinned is a failure that says so.
        Runs at the same time take turns, so that no file is fetched twice. A store that this user may only read is
        read; raises CocomineError where it lacks a file.
        """
        if self._is_of_others():
            outcomes = self._found(names, pins)
        else:
            with alone(self.root / FOLDER / "sync.lock", f"brings {self.what} into {self.root}"):
                outcomes = self._bring(names, pins)
        if self.options.verify_origin:
            self._verify(outcomes)
        return {name: outcomes[name] for name in names}

    def _is_of_others(self) -> bool:
        """Say whether the store is there and this user may not add to it."""
        ledger = self.ledger.path
        return self.root.is_dir() and not os.access(ledger if ledger.exists() else self.root, os.W_OK)

    def _found(self, names: Sequence[str], pins: Mapping[str, Outcome]) -> dict[str, Outcome]:
        outcomes, wants = self._look(names, pins, planning=True)
        if wants and os.statvfs(self.root).f_flag & os.ST_RDONLY:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self.root))
        if wants:
            raise CocomineError(
                f"{self.root}: {len(wants)} of {len(names)} {self.what} are not there as wanted, and only its owner "
                f"may bring them: {shown(want.name for want in wants)}",
                "ask its owner to build this once, or leave `shared` out of the config",
            )
        return outcomes

    def _bring(self, names: Sequence[str], pins: Mapping[str, Outcome]) -> dict[str, Outcome]:
        outcomes, wants = self._look(names, pins)
        if wants:
            with staging(self.root) as folder:
                needed = self._check_disk(wants)
                self._fetch(wants, outcomes, folder, needed)
        else:
            sweep(self.root)
        self.ledger.close()
        return outcomes

    def plan(self, names: Sequence[str], pins: Mapping[str, Outcome]) -> Plan:
        """Say what `sync` would do. Asks origins for sizes, fetches and writes nothing."""
        outcomes, wants = self._look(names, pins, planning=True)
        present = [o for o in outcomes.values() if o.status == "ok"]
        by_origin, lacking, whole = self._sizes([want.name for want in wants])
        return Plan(
            len(names),
            len(present),
            sum(o.bytes for o in present),
            sum(count for count, _ in by_origin.values()),
            sum(total for _, total in by_origin.values()),
            not whole,
            by_origin,
            tuple(lacking),
            free_bytes(self.root),
            whole,
            {outcome.name: outcome.reason for outcome in outcomes.values() if outcome.status != "ok"},
        )

    # -- what is there already

    def _look(
        self, names: Sequence[str], pins: Mapping[str, Outcome], planning: bool = False
    ) -> tuple[dict[str, Outcome], list[Want]]:
        """Sort the names into outcomes known at once (present, refused) and files to fetch.

        With `planning` nothing is written.
        """
        entries = self.ledger.read()
        guard = FolderGuard(self.root)
        clashes = collisions(list(names))
        outcomes: dict[str, Outcome] = {}
        wants: list[Want] = []
        unsure: list[str] = []
        for name in names:
            wrong = unsafe(name) or _clash(clashes.get(name) or _reserved(name))
            if wrong:
                outcomes[name] = Outcome(name, *wrong)
                continue
            in_the_way = None if planning else guard.prepare(name)
            if in_the_way:
                outcomes[name] = Outcome(name, "refused", in_the_way)
                continue
            state, reason = self._state(name, entries.get(name))
            if state == "refused":
                outcomes[name] = Outcome(name, "refused", reason)
            elif state == "same" and not self.options.checksum:
                outcomes[name] = outcome_of(entries[name])
            elif state == "absent":
                wants.append(_want(name, pins.get(name)))
            else:
                unsure.append(name)
        adopted: list[Outcome] = []
        wants += self._judge(unsure, entries, pins, adopted)
        outcomes |= {outcome.name: outcome for outcome in adopted}
        if not planning:
            self.ledger.append([entry_of(outcome) for outcome in adopted])
        for name, outcome in outcomes.items():
            pin = pins.get(name)
            if outcome.status == "ok" and pin is not None and pin.sha256 and pin.sha256 != outcome.sha256:
                # Pinned otherwise than what lies here: the pinned bytes may still be at the origin.
                wants.append(_want(name, pin))
        for want in wants:
            outcomes.pop(want.name, None)
        return outcomes, wants

    def _state(self, name: str, entry: Entry | None) -> tuple[str, str]:
        """Return absent, same (size and time are the ledger's), unsure or refused, with the reason."""
        try:
            found = os.lstat(self.root / name)
        except (FileNotFoundError, NotADirectoryError):
            return "absent", ""
        if stat.S_ISLNK(found.st_mode):
            return "refused", "a symlink is in the way"
        if not stat.S_ISREG(found.st_mode):
            return "refused", "a folder is in the way"
        if entry is not None and (found.st_size, found.st_mtime_ns) == (entry.bytes, entry.mtime_ns):
            return "same", ""
        return "unsure", ""

    def _judge(
        self,
        names: list[str],
        entries: Mapping[str, Entry],
        pins: Mapping[str, Outcome],
        adopted: list[Outcome],
    ) -> list[Want]:
        """Read the files whose bytes are in doubt; adopt those with the checksums of the ledger, a pin or an origin."""
        wants: list[Want] = []
        unknown: list[Outcome] = []
        for outcome in digests_in_place((name, self.root / name) for name in names):
            name = outcome.name
            entry, pin = entries.get(name), pins.get(name)
            known = (pin.sha256 if pin else "") or (entry.sha256 if entry else "")
            if known and known == outcome.sha256:
                origin = entry or pin
                assert origin is not None
                outcome.origin, outcome.generation, outcome.etag = origin.origin, origin.generation, origin.etag
                adopted.append(outcome)
            elif known:
                log.info("%s: its bytes are not those recorded; fetched again", name)
                wants.append(_want(name, pin))
            else:
                unknown.append(outcome)
        if unknown:
            wants += self._adopt_by_facts(unknown, adopted)
        return wants

    def _adopt_by_facts(self, found: list[Outcome], adopted: list[Outcome]) -> list[Want]:
        """Keep files that nobody has recorded when an origin publishes their very checksums; fetch the others."""
        remaining = {outcome.name: outcome for outcome in found}
        for origin in self.origins:
            facts = [
                (name, fact, place)
                for place, there in by_place(origin, remaining)
                for name, fact in _facts_quietly(place, there).items()
            ]
            for name, fact, place in facts:
                outcome = remaining[name]
                same = fact.bytes == outcome.bytes and (
                    (fact.md5 and fact.md5 == outcome.md5) or (fact.crc32c and fact.crc32c == outcome.crc32c)
                )
                if same:
                    outcome.origin, outcome.generation, outcome.etag = place.label, fact.generation, fact.etag
                    adopted.append(remaining.pop(name))
        return [Want(name, name) for name in remaining]

    # -- what it costs

    def _sizes(self, names: Sequence[str]) -> tuple[dict[str, tuple[int, int]], list[str], dict[str, int]]:
        """Return for each place how many files it would serve, and their bytes; the names that none has; and the bytes
        of the zips that would be fetched whole, since what they hold is known only then.
        """
        result: dict[str, tuple[int, int]] = {}
        whole: dict[str, int] = {}
        left = dict.fromkeys(names)
        for origin in self.origins:
            for place, there in by_place(origin, left):
                try:
                    facts = _facts_of(place, there)
                except UnseenError as error:
                    whole[place.label] = error.bytes
                    result[place.label] = (len(there), error.bytes)
                    found: Iterable[str] = there
                except CocomineError as error:
                    log.warning("%s: %s", place.label, without_secrets(error.message))
                    continue
                else:
                    if facts:
                        result[place.label] = (len(facts), sum(max(0, fact.bytes) for fact in facts.values()))
                    found = facts
                for name in found:
                    left.pop(name)
        return result, list(left), whole

    def _check_disk(self, wants: list[Want]) -> int:
        """Return about how many bytes the files need. Raises CocomineError when they will not fit.

        Sizes of a sample settle it unless it is close.
        """
        free = free_bytes(self.root)
        names = [want.name for want in wants]
        if self.settings.use == "hardlink" and self.settings.folder:
            return 0
        if len(names) > SAMPLE:
            step = len(names) / SAMPLE
            sizes, *_ = self._sizes([names[int(number * step)] for number in range(SAMPLE)])
            total = sum(count for _, count in sizes.values()) * len(names) // SAMPLE
            if total * 2 < free:
                return total
        sizes, *_ = self._sizes(names)
        total = sum(count for _, count in sizes.values())
        if total > free:
            raise CocomineError(
                f"{self.root}: {size(total)} are needed and {size(free)} are free",
                "make room, mine a smaller subset, or put the store on another disk",
            )
        return total

    # -- fetching

    def _fetch(self, wants: list[Want], outcomes: dict[str, Outcome], folder: Path, needed: int) -> None:
        reasons: dict[str, list[str]] = {}
        remaining = {want.name: want for want in wants}
        moved = 0
        started = time.monotonic() - 1e-3  # never a rate out of nothing
        with Progress(f"sync {self.what}", len(wants), "file") as progress, room_for(needed, lambda: moved):

            def count(amount: int) -> None:
                nonlocal moved
                moved += amount

            for origin in self.origins:
                if not remaining:
                    break
                target = Target(
                    self.root, folder, count, self.options.behaviour, ledger=self.ledger, origin=origin.label
                )
                last: dict[str, Outcome] = {}
                try:
                    for outcome in origin.fetch(list(remaining.values()), target):
                        if outcome.status == "ok":
                            outcome.origin = outcome.origin or origin.label
                            outcomes[outcome.name] = outcome
                            del remaining[outcome.name]
                            progress.advance(1, f"{size(moved)}, {size(moved / (time.monotonic() - started))}/s")
                            progress.count(f"from {outcome.origin}")
                        elif outcome.name in remaining:
                            last[outcome.name] = outcome
                except CocomineError as error:
                    log.warning("%s: %s", origin.label, without_secrets(error.message))
                    if error.hint and error.hint not in self.hints:
                        self.hints.append(error.hint)
                    for name in remaining:
                        last.setdefault(name, Outcome(name, "failed", without_secrets(error.message)))
                for name, outcome in last.items():
                    reasons.setdefault(name, []).append(_said(origin.label, outcome.reason))
                    outcomes[name] = outcome
            for name in remaining:
                status: Status = outcomes[name].status if name in outcomes else "missing"
                outcomes[name] = Outcome(name, status, "; ".join(reasons.get(name, ["no origin"])))
            progress.count("bytes", moved)
            if remaining:
                progress.count("not fetched", len(remaining))

    # -- proof

    def _verify(self, outcomes: dict[str, Outcome]) -> None:
        """Ask the places that served whether they still hold the bytes recorded.

        What differs becomes a failure that says how, and so does what no place can be asked about.
        """
        checked = {name: outcome for name, outcome in outcomes.items() if outcome.status == "ok"}
        unproven = {
            name: f"cannot be proven: {o.origin or 'what'} served it, no longer an origin"
            for name, o in checked.items()
        }
        for origin in self.origins:
            for place, there in by_place(origin, list(unproven)):
                asked = {
                    name: remote
                    for name, remote in there.items()
                    if checked[name].origin in (place.label, origin.label)
                }
                if not asked:
                    continue
                try:
                    facts = _facts_of(place, asked, read=True)
                except CocomineError as error:
                    unproven |= dict.fromkeys(asked, f"cannot be proven: {without_secrets(error.message)}")
                    continue
                for name in asked:
                    difference = differs(checked[name], facts.get(name))
                    if difference:
                        unproven[name] = f"{place.label}: {difference}"
                    else:
                        del unproven[name]
        for name, reason in unproven.items():
            outcomes[name] = Outcome(name, "failed", reason, origin=checked[name].origin)
        log.info("origins still hold %d of %d files as recorded", len(checked) - len(unproven), len(checked))


def _facts_of(place: Place, there: Mapping[str, str], read: bool = False) -> dict[str, Facts]:
    """Return what a place says of files, by our names; `there` gives the place's. `read` reads a folder's files."""
    remotes = list(dict.fromkeys(there.values()))
    facts = place.facts_by_reading(remotes) if read and isinstance(place, FolderOrigin) else place.facts(remotes)
    return {name: facts[remote] for name, remote in there.items() if remote in facts}


def _facts_quietly(place: Place, there: Mapping[str, str]) -> dict[str, Facts]:
    try:
        return _facts_of(place, there)
    except CocomineError:
        return {}


def _clash(reason: str) -> tuple[Status, str] | None:
    return ("refused", f"unsafe name: {reason}") if reason else None


def _reserved(name: str) -> str:
    return "a reserved name" if name.partition("/")[0].casefold() == FOLDER else ""


def _said(label: str, reason: str) -> str:
    reason = without_secrets(reason)
    return reason if reason.startswith(label) else f"{label}: {reason}"


def _want(name: str, pin: Outcome | None) -> Want:
    return Want(name, name, sha256=pin.sha256) if pin is not None and pin.sha256 else Want(name, name)
