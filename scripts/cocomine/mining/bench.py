"""What all tasks of a subset share while it is assembled: the query, the open files, and the books that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from cocomine.coco.compressed import unpacked
from cocomine.coco.writer import SEPARATOR
from cocomine.mining.arrays import Mask, Rows
from cocomine.mining.index import Source
from cocomine.mining.outcomes import KEPT, REPAIRED, Ledger, Outcomes
from cocomine.mining.settings import SubsetSettings
from cocomine.mining.spans import SpanFile


class Spill:
    """A temporary file of re-serialised records, each a sequence number after the last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._out = open(path, "wb")  # noqa: SIM115 - closed by close()
        self.count = 0
        self.size = 0

    def add(self, content: bytes) -> tuple[int, int, int]:
        """Append a record; return its sequence number, offset and length."""
        if self.size:
            self._out.write(SEPARATOR)
            self.size += len(SEPARATOR)
        place = (self.count, self.size, len(content))
        self._out.write(content)
        self.count += 1
        self.size += len(content)
        return place

    def flush(self) -> None:
        """Make what was added readable."""
        self._out.flush()

    def close(self) -> None:
        """Close and remove the file."""
        self._out.close()
        self.path.unlink(missing_ok=True)


@dataclass
class Bench:
    """What all tasks share while a subset is assembled: the query, the files, and the books that are kept."""

    query: SubsetSettings
    annotations_dir: Path
    spill: Spill
    ledger: Ledger
    stack: ExitStack
    threads: int = 1
    pool: ProcessPoolExecutor | None = None
    conservation: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    by_split: dict[str, dict[str, dict[str, dict[str, int]]]] = field(default_factory=dict)

    def files_of(self, task: str, source: Source) -> list[SpanFile]:
        """Open the annotation files of a task, those of all splits."""
        given = [self.annotations_dir / f"{task}_{split.name}.json" for split in source.splits]
        paths = [self.stack.enter_context(unpacked(path, self.spill.path.parent)) for path in given]
        return [
            self.stack.enter_context(SpanFile(path, int(split.manifest["bytes"]), str(split.manifest["sha256"])))
            for path, split in zip(paths, source.splits, strict=True)
        ]

    def spilled(self) -> SpanFile | None:
        """The repaired records so far, opened for copying; None when there is none."""
        self.spill.flush()
        return self.stack.enter_context(SpanFile(self.spill.path, self.spill.size)) if self.spill.count else None

    def conserve(self, outcomes: Outcomes, written: Rows, repaired: Mask, starts: Rows, splits: Sequence[str]) -> None:
        """Decide the records that were written, and hold their sums, in all and by split; `starts` are the splits'."""
        outcomes.decide(written[~repaired], KEPT)
        outcomes.decide(written[repaired], REPAIRED)
        lines = self.ledger.lines[outcomes.kind, outcomes.task]
        self.conservation.setdefault(outcomes.kind, {})[outcomes.task] = outcomes.sums(len(written), lines)
        self.by_split.setdefault(outcomes.kind, {})[outcomes.task] = outcomes.by_split(starts, splits)
