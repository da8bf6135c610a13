"""The places that files come from, behind one small interface: say what is there, and fetch."""

import urllib.parse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from cocomine.base.errors import CocomineError
from cocomine.transfer.receiving import Target
from cocomine.transfer.records import Facts, Outcome, Want


class UnseenError(CocomineError):
    """What a place holds is known only once `bytes` have been moved."""

    def __init__(self, label: str, count: int) -> None:
        super().__init__(f"{label}: it has to be fetched whole before its files are known", "run the sync")
        self.bytes = count


class Place(Protocol):
    """One place that holds files under names."""

    label: str

    def facts(self, names: Sequence[str]) -> dict[str, Facts]:
        """Return what the place says of those names that it has, without fetching them.

        Raises CocomineError when the place as a whole is gone or refuses, UnseenError when it cannot be known yet.
        """
        ...

    def fetch(self, wants: Iterable[Want], target: Target) -> Iterator[Outcome]:
        """Fetch files into `target` and yield an outcome for each; a failing file is an outcome, not an exception."""
        ...


@runtime_checkable
class Parted(Protocol):
    """An origin made of several places, or of one in which our names stand under others."""

    label: str

    def holder(self, name: str) -> tuple[Place, str] | None:
        """Return the place where a file of that name would lie and its name there; None when it can lie in none."""
        ...

    def fetch(self, wants: Iterable[Want], target: Target) -> Iterator[Outcome]:
        """Fetch as a place does. The outcomes name the place that served."""
        ...


Origin = Place | Parted


def holder_of(origin: Origin, name: str) -> tuple[Place, str] | None:
    """Return the very place of an origin where a file would lie, and its name there."""
    return origin.holder(name) if isinstance(origin, Parted) else (origin, name)


def by_place(origin: Origin, names: Iterable[str]) -> list[tuple[Place, dict[str, str]]]:
    """Gather names by the places of an origin where they would lie, each with its name there."""
    groups: dict[int, tuple[Place, dict[str, str]]] = {}
    for name in names:
        held = holder_of(origin, name)
        if held is not None:
            groups.setdefault(id(held[0]), (held[0], {}))[1][name] = held[1]
    return list(groups.values())


def all_or_reason(place: Place, wants: Sequence[Want], target: Target) -> Iterator[Outcome]:
    """Fetch from one place; when it fails as a whole, that is the reason for each file that had not come by then."""
    left = {want.name for want in wants}
    try:
        for outcome in place.fetch(wants, replace(target, origin=place.label)):
            outcome.origin = place.label
            left.discard(outcome.name)
            yield outcome
    except CocomineError as error:
        for want in wants:
            if want.name in left:
                yield Outcome(want.name, "failed", error.message)


def public_label(url: str) -> str:
    """Return a URL as it may stand in logs and locks: no user, password, query or fragment; no local path.

    A local place is `folder` or the zip's own name.
    """
    if "://" not in url or url.startswith("file://"):
        name = Path(url.removeprefix("file://")).name
        return name if name.lower().endswith(".zip") else "folder"
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    if parts.port:
        host += f":{parts.port}"
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", ""))
