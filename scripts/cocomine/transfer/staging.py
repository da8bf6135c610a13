"""Where a sync writes files before they are complete: below its own folder in the root, on the same disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cocomine.base import staging as base
from cocomine.transfer.ledger import FOLDER


@contextmanager
def staging(root: Path) -> Iterator[Path]:
    """Yield a folder of this run's own below `root`; see `cocomine.base.staging`."""
    with base.staging(_place(root)) as folder:
        yield folder


def sweep(root: Path) -> None:
    """Remove what runs that died have left below `root`, for a run that has nothing to stage itself."""
    base.sweep(_place(root))


def _place(root: Path) -> Path:
    return root / FOLDER / "incomplete"
