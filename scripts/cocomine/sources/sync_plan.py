"""What a sync would do, known before it does it, and the lines that say so."""

from dataclasses import dataclass, field

from cocomine.base.space import size
from cocomine.transfer.lacking import shown


@dataclass(frozen=True)
class Plan:
    """What a sync would do. `bytes_` counts what would be fetched; `exact` says whether it is known or estimated.

    `whole` holds the bytes of zips that would be fetched whole, by label: what they hold is known only then. `refused`
    gives the reason for each file that would not be written.
    """

    wanted: int
    present: int
    present_bytes: int
    fetch: int
    bytes_: int
    exact: bool
    by_origin: dict[str, tuple[int, int]]
    nowhere: tuple[str, ...]
    free: int
    whole: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Say it in words."""
        about = "" if self.exact else "about "
        result = [
            f"{self.wanted} files wanted",
            f"{self.present} already there ({size(self.present_bytes)})",
            f"{self.fetch} to fetch, {about}{size(self.bytes_)}",
        ]
        result += [f"  {count} files, {size(total)} from {label}" for label, (count, total) in self.by_origin.items()]
        result += [f"  {label} is fetched whole, {size(total)}, to find them" for label, total in self.whole.items()]
        result += [f"  refused: {reason}: {shown([name])}" for name, reason in self.refused.items()]
        if self.nowhere:
            result.append(f"  {len(self.nowhere)} files that no origin has: {shown(self.nowhere)}")
        result.append(f"{size(self.free)} free on the disk")
        return result
