"""One picture that shows at a glance whether masks fit their images."""

from collections.abc import Sequence
from pathlib import Path

from cocomine.masks.inputs import ImageRow, Labels


def write_contact_sheet(
    path: Path, rows: Sequence[ImageRow], labels: Labels, store: Path, masks: Path, most: int
) -> None:
    """Write."""
