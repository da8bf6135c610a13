"""The settings of the demo source (the config's `sources.NAME.synthetic`)."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from cocomine.base.errors import CocomineError


@dataclass(frozen=True)
class SyntheticSettings:
    """What the demo source draws.

    `images` counts every picture, twins included; `seed` salts them all. `val_share` of them go to the split `val`,
    the others to `train`. `width` and `height` are the usual size in pixels; a part is drawn upright or a little
    smaller. `twins` pictures are near-copies of others (re-encoded, or brighter or darker), `broken` records and files
    of each kind of damage are planted, `empty` is the share of pictures without a labelled object and `grey` that of
    greyscale files.
    """

    images: int = 680
    seed: int = 0
    val_share: float = 0.2
    width: int = 320
    height: int = 240
    twins: int = 16
    broken: int = 2
    empty: float = 0.04
    grey: float = 0.03

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> "SyntheticSettings":
        """Return the settings in `mapping`, the others at their defaults.

        Raises CocomineError that names the key for an unknown key, a wrong type or a value out of range.
        """
        known = {field.name: field for field in fields(cls)}
        for key, value in mapping.items():
            if key not in known:
                near = get_close_matches(key, known, 1)
                raise CocomineError(
                    f"synthetic.{key}: unknown key",
                    f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}",
                )
            share = known[key].type is float
            if isinstance(value, bool) or not isinstance(value, (int, float) if share else int):
                kind = "a number from 0 to 1" if share else "a whole number"
                raise CocomineError(f"synthetic.{key}: {value!r} is not {kind}", f"for example {known[key].default}")
            low, high = RANGES[key]
            if not low <= value <= high:
                raise CocomineError(f"synthetic.{key}: {value} is out of range", f"give a value from {low} to {high}")
        values: dict[str, Any] = {k: float(v) if known[k].type is float else v for k, v in mapping.items()}
        settings = cls(**values)
        needed = settings.twins + 8 * settings.broken
        if settings.images < needed + 2:
            raise CocomineError(
                f"synthetic.images: {settings.images} pictures cannot hold {settings.twins} twins and the damage of "
                f"{settings.broken} rounds",
                f"ask for {needed + 2} pictures or more, or for fewer `twins` and `broken`",
            )
        return settings


RANGES: dict[str, tuple[float, float]] = {
    "images": (2, 400_000),
    "seed": (0, 2**63 - 1),
    "val_share": (0, 1),
    "width": (96, 2048),
    "height": (96, 2048),
    "twins": (0, 100_000),
    "broken": (0, 1000),
    "empty": (0, 1),
    "grey": (0, 1),
}
