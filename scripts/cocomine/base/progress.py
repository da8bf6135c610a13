"""The one progress bar: a bar on a terminal, a plain line now and then elsewhere, and a line of counts at the end."""

import logging
import sys
import time
from types import TracebackType
from typing import Any, Self

from cocomine.base.words import plural

log = logging.getLogger("cocomine")

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Progress through a known or unknown number of items, whose noun `unit` is given in the singular.

    Used as a context manager; `advance` counts items done and `count` counts them under a name ("kept", "skipped:
    unreadable"). On a clean exit one line says how many went in and out under each name and how long it took.
    """

    def __init__(self, description: str, total: int | None, unit: str = "item", scale: bool = False) -> None:
        self.description = description
        self.total = total
        self.unit = unit
        # Bytes are an abbreviation, which takes no plural.
        self._units = unit if scale else plural(unit)
        self.done = 0
        self.counts: dict[str, int] = {}
        self._started = time.monotonic()
        self._last_line = self._started
        self._bar: Any = None
        if sys.stderr.isatty():
            from tqdm import tqdm  # not at the top: it is slow to import, and most runs have no terminal

            self._bar = tqdm(
                total=total,
                desc=description,
                unit=unit,
                unit_scale=scale,
                dynamic_ncols=True,
                leave=False,
                file=sys.stderr,
            )

    def __enter__(self) -> Self:
        return self

    def advance(self, amount: int = 1, note: object = "") -> None:
        """Count `amount` more items as done; `note`, as text, is shown behind the bar."""
        self.done += amount
        if self._bar is not None:
            if note:
                self._bar.set_postfix_str(str(note), refresh=False)
            self._bar.update(amount)
        now = time.monotonic()
        if now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            log.info("%s: %s", self.description, self._state(now, note))

    def count(self, name: str, amount: int = 1) -> None:
        """Count `amount` items under `name` for the closing line."""
        self.counts[name] = self.counts.get(name, 0) + amount

    def _state(self, now: float, note: object) -> str:
        seconds = now - self._started
        rate = self.done / seconds if seconds else 0.0
        of_total = f" of {self.total}" if self.total is not None else ""
        left = f", {(self.total - self.done) / rate:.0f} s left" if self.total is not None and rate else ""
        done = f"{self.done}{of_total} {self._units}"
        return f"{done}, {rate:.1f}/s{left}{f', {note}' if note else ''}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        seconds = time.monotonic() - self._started
        outcome = "stopped after" if kind is not None else "in"
        named = "".join(f", {name} {number}" for name, number in self.counts.items())
        units = self.unit if self.done == 1 else self._units
        log.info("%s: %d %s %s %.1f s%s", self.description, self.done, units, outcome, seconds, named)
