"""Sync of a store: fetch exactly the files that are named, from the first origin that has each, and prove them."""

import logging
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cocomine.base.errors import CocomineError
from cocomine.base.progress import Progress
from cocomine.sources.behaviour import Behaviour
from cocomine.sources.folder import FolderOrigin, digests_in_place, link_splits
from cocomine.sources.ledger import FOLDER, Entry, Ledger
from cocomine.sources.names import FolderGuard, collisions, refusal
from cocomine.sources.origins import Origin, open_origin, without_secrets
from cocomine.sources.pins import held_to
from cocomine.sources.records import Facts, Outcome, Want
from cocomine.sources.settings import StoreSettings
from cocomine.sources.staging import staging, sweep
from cocomine.sources.transfer import Target, free_bytes

log = logging.getLogger("cocomine")

SAMPLE = 24  # files whose sizes are asked for to judge whether the disk will do
NAMES_SHOWN = 100


@dataclass(frozen=True)
class Options:
    """How a store is synced. `checksum` reads every byte that is there; `verify_origin` asks the origins too."""

    behaviour: Behaviour = field(default_factory=Behaviour)
    checksum: bool = False
    verify_origin: bool = False


@dataclass(frozen=True)
class Plan:
    """What a sync would do. `bytes_` counts what would be fetched; `exact` says whether it is known or estimated."""

    wanted: int
    present: int
    present_bytes: int
    fetch: int
    bytes_: int
    exact: bool
    by_origin: dict[str, tuple[int, int]]
    nowhere: tuple[str, ...]
    free: int

    def lines(self) -> list[str]:
        """Say it in words."""
        about = "" if self.exact else "about "
        result = [
            f"{self.wanted} files wanted",
            f"{self.present} already there ({size(self.present_bytes)})",
            f"{self.fetch} to fetch, {about}{size(self.bytes_)}",
        ]
        result += [f"  {count} files, {size(total)} from {label}" for label, (count, total) in self.by_origin.items()]
        if self.nowhere:
            result.append(f"  {len(self.nowhere)} files that no origin has: {shown(self.nowhere)}")
        result.append(f"{size(self.free)} free on the disk")
        return result


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
        self.in_place = bool(settings.folder) and settings.use == "in-place"
        self.origins: list[Origin] = origins or (
            [FolderOrigin(Path(settings.folder), settings.use)]
            if settings.folder
            else [open_origin(origin, options.behaviour, root / FOLDER / "whole") for origin in settings.origins]
        )

    def sync(self, names: Sequence[str], pins: Mapping[str, Outcome]) -> dict[str, Outcome]:
        """Bring the named files and return an outcome for each, in the order of `names`.

        `pins` are the outcomes of an earlier lock: a file whose bytes are not those pinned is a failure that says so.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        if self.in_place:
            return self._sync_in_place(names, pins)
        outcomes, wants = self._look(names, pins)
        if wants:
            with staging(self.root) as folder:
                self._check_disk(wants)
                self._fetch(wants, outcomes, folder)
        else:
            sweep(self.root)
        self.ledger.close()
        if self.options.verify_origin:
            self._verify(outcomes)
        return {name: outcomes[name] for name in names}

    def plan(self, names: Sequence[str], pins: Mapping[str, Outcome]) -> Plan:
        """Say what `sync` would do. Asks origins for sizes, fetches and writes nothing."""
        if self.in_place:
            facts = self.origins[0].facts(names)
            total = sum(f.bytes for f in facts.values())
            nowhere = tuple(name for name in names if name not in facts)
            return Plan(len(names), len(facts), total, 0, 0, True, {}, nowhere, free_bytes(self.root))
        outcomes, wants = self._look(names, pins, prepare=False)
        present = [o for o in outcomes.values() if o.status == "ok"]
        by_origin, lacking = self._sizes([want.name for want in wants])
        return Plan(
            len(names),
            len(present),
            sum(o.bytes for o in present),
            sum(count for count, _ in by_origin.values()),
            sum(total for _, total in by_origin.values()),
            True,
            by_origin,
            tuple(lacking),
            free_bytes(self.root),
        )

    # -- what is there already

    def _look(
        self, names: Sequence[str], pins: Mapping[str, Outcome], prepare: bool = True
    ) -> tuple[dict[str, Outcome], list[Want]]:
        """Sort the names into outcomes known at once (present, refused) and files to fetch."""
        entries = self.ledger.read()
        guard = FolderGuard(self.root)
        clashes = collisions(list(names))
        outcomes: dict[str, Outcome] = {}
        wants: list[Want] = []
        unsure: list[str] = []
        for name in names:
            reason: str | None = refusal(name) or clashes.get(name) or _reserved(name)
            if not reason and prepare:
                reason = guard.prepare(name)
            if reason:
                outcomes[name] = Outcome(name, "refused", f"unsafe name: {reason}")
                continue
            state, reason = self._state(name, entries.get(name))
            if state == "refused":
                outcomes[name] = Outcome(name, "refused", reason)
            elif state == "same" and not self.options.checksum:
                outcomes[name] = _of_entry(entries[name])
            elif state == "absent":
                wants.append(_want(name, pins.get(name)))
            else:
                unsure.append(name)
        wants += self._judge(unsure, entries, pins, outcomes)
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
        outcomes: dict[str, Outcome],
    ) -> list[Want]:
        """Read the files whose bytes are in doubt; keep those with the checksums of the ledger, a pin or an origin."""
        wants: list[Want] = []
        unknown: list[Outcome] = []
        for outcome in digests_in_place(self.root, names) if names else ():
            name = outcome.name
            entry, pin = entries.get(name), pins.get(name)
            known = (pin.sha256 if pin else "") or (entry.sha256 if entry else "")
            if known and known == outcome.sha256:
                origin = entry or pin
                assert origin is not None
                outcome.origin, outcome.generation = origin.origin, origin.generation
                self._adopt(outcome, outcomes)
            elif known:
                log.info("%s: its bytes are not those recorded; fetched again", name)
                wants.append(_want(name, pin))
            else:
                unknown.append(outcome)
        if unknown:
            wants += self._adopt_by_facts(unknown, outcomes)
        return wants

    def _adopt_by_facts(self, found: list[Outcome], outcomes: dict[str, Outcome]) -> list[Want]:
        """Keep files that nobody has recorded when an origin publishes their very checksums; fetch the others."""
        remaining = {outcome.name: outcome for outcome in found}
        for origin in self.origins:
            try:
                facts = origin.facts(list(remaining))
            except CocomineError:
                continue
            for name, fact in facts.items():
                outcome = remaining[name]
                same = fact.bytes == outcome.bytes and (
                    (fact.md5 and fact.md5 == outcome.md5) or (fact.crc32c and fact.crc32c == outcome.crc32c)
                )
                if same:
                    outcome.origin, outcome.generation, outcome.etag = origin.label, fact.generation, fact.etag
                    self._adopt(remaining.pop(name), outcomes)
        return [Want(name, name) for name in remaining]

    def _adopt(self, outcome: Outcome, outcomes: dict[str, Outcome]) -> None:
        outcomes[outcome.name] = outcome
        self.ledger.append([_entry(outcome)])

    # -- what it costs

    def _sizes(self, names: list[str]) -> tuple[dict[str, tuple[int, int]], list[str]]:
        """Return for each origin how many files it would serve, and their bytes; and the names that none has."""
        result: dict[str, tuple[int, int]] = {}
        for origin in self.origins:
            if not names:
                break
            try:
                facts = origin.facts(names)
            except CocomineError as error:
                log.warning("%s: %s", origin.label, without_secrets(error.message))
                continue
            if facts:
                result[origin.label] = (len(facts), sum(max(0, f.bytes) for f in facts.values()))
            names = [name for name in names if name not in facts]
        return result, names

    def _check_disk(self, wants: list[Want]) -> None:
        """Raise CocomineError when the files will not fit. Sizes of a sample settle it unless it is close."""
        free = free_bytes(self.root)
        names = [want.name for want in wants]
        if self.settings.use == "hardlink" and self.settings.folder:
            return
        if len(names) > SAMPLE:
            step = len(names) / SAMPLE
            sizes, _ = self._sizes([names[int(number * step)] for number in range(SAMPLE)])
            total = sum(count for _, count in sizes.values()) * len(names) // SAMPLE
            if total * 2 < free:
                return
        sizes, _ = self._sizes(names)
        total = sum(count for _, count in sizes.values())
        if total > free:
            raise CocomineError(
                f"{self.root}: {size(total)} are needed and {size(free)} are free",
                "make room, mine a smaller subset, or put the store on another disk",
            )

    # -- fetching

    def _fetch(self, wants: list[Want], outcomes: dict[str, Outcome], folder: Path) -> None:
        reasons: dict[str, list[str]] = {}
        remaining = {want.name: want for want in wants}
        moved = 0
        with Progress(f"sync {self.what}", len(wants), "file") as progress:

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
                            progress.advance(1, size(moved))
                            progress.count(f"from {outcome.origin}")
                        else:
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
                outcomes[name] = replace_reason(outcomes.get(name), name, "; ".join(reasons.get(name, ["no origin"])))
            progress.count("bytes", moved)
            if remaining:
                progress.count("not fetched", len(remaining))

    def _sync_in_place(self, names: Sequence[str], pins: Mapping[str, Outcome]) -> dict[str, Outcome]:
        link_splits(Path(self.settings.folder), self.root, [name for name in names if not refusal(name)])
        return self.check_in_place(names, pins)

    def check_in_place(self, names: Sequence[str], pins: Mapping[str, Outcome]) -> dict[str, Outcome]:
        """Return an outcome for each file of a folder that is linked into the store.

        A file of the recorded size and time is not read, unless every byte is asked for.
        """
        entries = self.ledger.read()
        outcomes: dict[str, Outcome] = {}
        unread: list[str] = []
        for name in names:
            reason = refusal(name)
            if reason:
                outcomes[name] = Outcome(name, "refused", f"unsafe name: {reason}")
                continue
            entry = entries.get(name)
            try:
                found = (self.root / name).stat()
            except (FileNotFoundError, NotADirectoryError):
                outcomes[name] = Outcome(name, "missing", "folder: no such file")
                continue
            same = entry is not None and (found.st_size, found.st_mtime_ns) == (entry.bytes, entry.mtime_ns)
            if same and entry is not None and not self.options.checksum and not self.options.verify_origin:
                outcomes[name] = _of_entry(entry)
            else:
                unread.append(name)
        with Progress(f"check {self.what} in place", len(unread), "file") as progress:
            for outcome in digests_in_place(self.root, unread):
                progress.advance()
                entry = entries.get(outcome.name)
                if self.options.verify_origin and entry is not None:
                    outcome = held_to(_of_entry(entry), outcome)
                outcomes[outcome.name] = outcome
                if outcome.status == "ok":
                    self.ledger.append([_entry(outcome)])
        self.ledger.close()
        if self.options.verify_origin:
            log.info("the folder still holds %d of %d files as recorded", _count_ok(outcomes), len(names))
        return {name: held_to(pins.get(name), outcomes[name]) for name in names}

    # -- proof

    def _verify(self, outcomes: dict[str, Outcome]) -> None:
        """Ask the origins whether they still hold the bytes recorded; what differs becomes a failure that says how."""
        checked = {name: outcome for name, outcome in outcomes.items() if outcome.status == "ok"}
        same = 0
        for origin in self.origins:
            names = [name for name, outcome in checked.items() if outcome.origin.startswith(origin.label)]
            if not names:
                continue
            facts = origin.facts(names)
            for name in names:
                difference = differs(checked[name], facts.get(name))
                if difference:
                    outcomes[name] = Outcome(name, "failed", f"{origin.label}: {difference}", origin=origin.label)
                else:
                    same += 1
        log.info("origins still hold %d of %d files as recorded", same, len(checked))


def differs(pin: Outcome, fact: Facts | None) -> str:
    """Return how an origin's word of a file differs from what was pinned, or an empty string."""
    if fact is None:
        return "changed at the origin: no longer there"
    if fact.bytes >= 0 and fact.bytes != pin.bytes:
        return f"changed at the origin: {fact.bytes} bytes instead of {pin.bytes}"
    for kind in ("md5", "crc32c"):
        now, then = getattr(fact, kind), getattr(pin, kind)
        if now and then:
            return "" if now == then else f"changed at the origin: {kind} {now} instead of {then}"
    now, then = fact.generation or fact.etag, pin.generation or pin.etag
    if now and then and now != then:
        return f"changed at the origin: {now} instead of {then}"
    return ""


def replace_reason(outcome: Outcome | None, name: str, reason: str) -> Outcome:
    """Return the last outcome of a file that nobody served, with what every origin said."""
    return Outcome(name, outcome.status if outcome is not None else "missing", reason)


def report_lacking(outcomes: Iterable[Outcome]) -> None:
    """Log every file that could not be had by name, gathered by what was wrong."""
    groups: dict[tuple[str, str], list[str]] = {}
    for outcome in outcomes:
        if outcome.status != "ok":
            groups.setdefault((outcome.status, outcome.reason), []).append(outcome.name)
    for (status, reason), names in groups.items():
        log.warning("%s: %s: %s", status, reason, shown(names, NAMES_SHOWN))


def size(count: float) -> str:
    """Return bytes in words: 1.5 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def shown(names: Iterable[str], most: int = 20) -> str:
    """Return the first names, and how many more there are."""
    all_names = list(names)
    more = f" and {len(all_names) - most} more" if len(all_names) > most else ""
    return ", ".join(all_names[:most]) + more


def _count_ok(outcomes: Mapping[str, Outcome]) -> int:
    return sum(outcome.status == "ok" for outcome in outcomes.values())


def _reserved(name: str) -> str:
    return "a reserved name" if name.partition("/")[0].casefold() == FOLDER else ""


def _said(label: str, reason: str) -> str:
    reason = without_secrets(reason)
    return reason if reason.startswith(label) else f"{label}: {reason}"


def _want(name: str, pin: Outcome | None) -> Want:
    return Want(name, name, sha256=pin.sha256) if pin is not None and pin.sha256 else Want(name, name)


def _of_entry(entry: Entry) -> Outcome:
    return Outcome(
        entry.name,
        "ok",
        "",
        entry.bytes,
        entry.md5,
        entry.sha256,
        entry.crc32c,
        entry.generation,
        entry.etag,
        entry.mtime_ns,
        entry.origin,
    )


def _entry(outcome: Outcome) -> Entry:
    return Entry(
        outcome.name,
        outcome.bytes,
        outcome.mtime_ns,
        outcome.md5,
        outcome.sha256,
        outcome.crc32c,
        outcome.generation,
        outcome.etag,
        outcome.origin,
    )
