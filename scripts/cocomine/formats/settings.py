"""The config's `exports`: the formats that a subset is exported to."""

from collections.abc import Sequence
from typing import Any

from cocomine.base.errors import CocomineError
from cocomine.formats.registry import FORMATS

DEFAULT = ("coco", "yolo-detect", "yolo-segment", "masks")
"""What is exported where the config does not say."""


def formats_from(value: Any) -> tuple[str, ...]:
    """Return the formats that the config's `exports` asks for, in the order of FORMATS.

    `value` is a list of names. Raises CocomineError for anything else, for an unknown name and for one given twice.
    """
    remedy = f"write a list of some of: {', '.join(FORMATS)}"
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise CocomineError(f"exports: expected a list of formats, got {value!r}", remedy)
    for number, name in enumerate(value):
        if name not in FORMATS:
            raise CocomineError(f"exports[{number}]: unknown format {name!r}", remedy)
        if name in value[:number]:
            raise CocomineError(f"exports[{number}]: {name!r} is there twice", "name each format once")
    return tuple(name for name in FORMATS if name in value)
