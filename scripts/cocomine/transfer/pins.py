"""Checksums pinned on first use: a file's bytes as they first came, which every later run must find again.

The workflow's locks are outputs, and Snakemake removes outputs before it makes them again; what must outlive that lies
in a file of its own that is only ever added to. Runs at the same time may add to it: the first line of a name counts.
"""

from collections.abc import Iterable
from pathlib import Path

from cocomine.transfer.digests import CHANGED, changed
from cocomine.transfer.ledger import Entry, Ledger
from cocomine.transfer.records import Facts, Outcome


def read_pins(path: Path | None) -> dict[str, Outcome]:
    """Return name -> what was pinned; an absent file, or no path, pins nothing."""
    pins: dict[str, Outcome] = {}
    for entry in Ledger(path).entries() if path is not None else ():
        if entry.name not in pins:
            sums = (entry.bytes, entry.md5, entry.sha256, entry.crc32c, entry.generation, entry.etag)
            pins[entry.name] = Outcome(entry.name, "ok", "", *sums, origin=entry.origin)
    return pins


def add_pins(path: Path | None, outcomes: Iterable[Outcome]) -> None:
    """Pin the files that came and are not pinned yet, in the order of their names."""
    if path is None:
        return
    pinned = read_pins(path)
    new = (o for o in outcomes if o.status == "ok" and o.sha256 and o.name not in pinned)
    ledger = Ledger(path)
    ledger.append(
        [
            Entry(o.name, o.bytes, 0, o.md5, o.sha256, o.crc32c, o.generation, o.etag, o.origin)
            for o in sorted(new, key=lambda outcome: outcome.name)
        ]
    )
    ledger.close()


def held_to(pin: Outcome | None, outcome: Outcome) -> Outcome:
    """Return `outcome`, or that it is refused where its bytes are not those pinned."""
    if outcome.status != "ok" or pin is None or not pin.sha256 or pin.sha256 == outcome.sha256:
        return outcome
    return Outcome(outcome.name, "refused", f"{outcome.origin}: {changed(outcome.sha256, pin.sha256)}")


def is_changed(outcome: Outcome) -> bool:
    """Tell whether a file was refused because its bytes are not those pinned."""
    return CHANGED in outcome.reason


def how_to_accept(lacking: Iterable[Outcome], lock: Path, pins: Path | None) -> str:
    """Return what to do when the changed bytes are right, or an empty string when nothing has changed."""
    if not any(map(is_changed, lacking)):
        return ""
    files = [str(path) for path in (lock, pins) if path is not None and path.exists()]
    return f"where the new bytes are right, delete {' and '.join(files)} and run again: they are then pinned anew"


def differs(pin: Outcome, fact: Facts | None) -> str:
    """Return how an origin's word of a file differs from what was pinned, or that it does not suffice to tell.

    Empty when it is the same.
    """
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
    return "" if now and then else "cannot be proven: the origin names neither a checksum nor a version"
