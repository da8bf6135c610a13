"""The config's `masks` section: which masks are drawn, and who owns a pixel that several objects claim."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from cocomine.base.errors import CocomineError

CHOICES: dict[str, tuple[str, ...]] = {
    "outputs": ("semantic", "instance", "panoptic"),
    "draw_from": ("instances", "stuff", "instances+stuff", "panoptic"),
    "overlap": ("annotation-order", "smaller-on-top", "void", "refuse"),
    "crowds": ("void", "class"),
    "unwanted": ("background", "void"),
    "boxes": ("void", "fill", "exclude"),
    "bad_images": ("quarantine", "stop"),
}
RANGES: dict[str, tuple[int, int]] = {"border": (0, 255), "contact_sheet": (0, 400)}


@dataclasses.dataclass(frozen=True)
class MaskSettings:
    """How the ground truth is drawn; `workflow/schemas/masks.schema.yaml` says what each value means.

    `border` is in pixels, `contact_sheet` a number of images. Without `outputs` semantic masks are drawn where any
    object has an outline.
    """

    outputs: tuple[str, ...] | None = None
    draw_from: str = "instances"
    stuff_categories: tuple[int | str, ...] = ()
    overlap: str = "smaller-on-top"
    crowds: str = "void"
    unwanted: str = "background"
    boxes: str = "void"
    border: int = 0
    bad_images: str = "quarantine"
    contact_sheet: int = 24

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Return the settings of a config section; raise CocomineError for an unknown key or a value out of range."""
        return cls(**checked(mapping, "masks", [field.name for field in dataclasses.fields(cls)], CHOICES, RANGES))


def checked(
    mapping: Mapping[str, Any],
    section: str,
    known: list[str],
    choices: Mapping[str, tuple[str, ...]],
    ranges: Mapping[str, tuple[int, int]],
) -> dict[str, Any]:
    """Return `mapping` with lists as tuples, or raise CocomineError naming the first key that cannot be used.

    `outputs` is a list of some of its choices, kept in their order, `stuff_categories` one of names and ids; other keys
    of `choices` take one of theirs; keys of `ranges` take a whole number between both ends.
    """
    result: dict[str, Any] = {}
    for key, value in mapping.items():
        if key not in known:
            raise CocomineError(f"{section}: unknown key {key!r}", f"known here: {', '.join(known)}")
        if key == "outputs" and value is not None:
            result[key] = _some_of(section, key, value, choices[key])
            continue
        if key == "stuff_categories":
            result[key] = _names(section, key, value)
            continue
        if key in choices and key != "outputs" and value not in choices[key]:
            raise CocomineError(f"{section}.{key}: {value!r} is not known", f"write one of: {', '.join(choices[key])}")
        if key in ranges:
            low, high = ranges[key]
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                hint = f"write a whole number from {low} to {high}"
                raise CocomineError(f"{section}.{key}: {value!r} cannot be used", hint)
        result[key] = value
    return result


def _names(section: str, key: str, value: object) -> tuple[int | str, ...]:
    items = value if isinstance(value, list | tuple) else [None]
    if any(isinstance(item, bool) or not isinstance(item, int | str) for item in items):
        raise CocomineError(f"{section}.{key}: {value!r} cannot be used", "write a list of names or ids")
    return tuple(item for item in items if isinstance(item, int | str))


def _some_of(section: str, key: str, value: object, choices: tuple[str, ...]) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or any(name not in choices for name in value):
        hint = f"write a list of some of: {', '.join(choices)}"
        raise CocomineError(f"{section}.{key}: {value!r} cannot be used", hint)
    return tuple(name for name in choices if name in value)
