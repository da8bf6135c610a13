"""Repairs as the miner calls them: one function for images, one for everything that labels an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cocomine.annotations.reasons import Reason


def mend_image(record: dict[str, Any], reasons: Sequence[Reason], width: int, height: int) -> Any:
    """Mend an image record. Returns None when it cannot be mended."""
    raise NotImplementedError


def mend_label(record: dict[str, Any], reasons: Sequence[Reason], width: int, height: int) -> Any:
    """Mend an annotation, a caption or a panoptic record. Returns None when it cannot be mended."""
    raise NotImplementedError
