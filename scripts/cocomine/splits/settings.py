"""The config's `split` section; workflow/schemas/split.schema.yaml says what each key means."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, Self

from cocomine.base.errors import CocomineError

STRATEGIES = ("hash", "stratified", "official", "kfold", "lists")
TWINS = ("together", "allow")
UNLISTED = ("stop", "train", "val")


@dataclass(frozen=True)
class SplitSettings:
    """How a subset is parted into train and val."""

    strategy: str = "hash"
    val_share: float = 0.2
    seed: int = 0
    folds: int = 5
    fold: int = 0
    official_val: tuple[str, ...] = ()
    train_list: tuple[int | str, ...] | str = ()
    val_list: tuple[int | str, ...] | str = ()
    unlisted: str = "stop"
    twins: str = "together"
    twins_distance: int = 6
    twins_similarity: float = 0.9
    largest_group: int = 20

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Return the settings of a config section, other keys at their defaults.

        Raises CocomineError that names the key, its value and the remedy.
        """
        known = [field.name for field in fields(cls)]
        values: dict[str, Any] = {}
        for key, value in mapping.items():
            if key not in known:
                near = get_close_matches(key, known, 1)
                raise CocomineError(
                    f"split.{key}: unknown key", f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
                )
            values[key] = _checked(key, value)
        settings = cls(**values)
        if settings.fold >= settings.folds:
            raise CocomineError(
                f"split.fold: there is no fold {settings.fold} of {settings.folds}",
                f"folds are counted from 0: choose 0 to {settings.folds - 1}, or raise split.folds",
            )
        if settings.strategy == "lists" and not (settings.train_list or settings.val_list):
            raise CocomineError(
                "split.strategy is lists, and there is no list", "give split.val_list or split.train_list, or both"
            )
        return settings


def _checked(key: str, value: Any) -> Any:
    choices = {"strategy": STRATEGIES, "twins": TWINS, "unlisted": UNLISTED}
    whole = {"seed": (0, 2**63 - 1), "folds": (2, 1000), "fold": (0, 999), "twins_distance": (0, 12)}
    whole["largest_group"] = (1, 1_000_000)
    number = {"val_share": (0.0, 1.0), "twins_similarity": (0.5, 1.0)}
    if key in choices:
        if value not in choices[key]:
            raise CocomineError(f"split.{key}: {value!r} is none of the choices", f"choose {', '.join(choices[key])}")
        return value
    if key in whole:
        low, high = whole[key]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise CocomineError(f"split.{key}: {value!r} is no whole number from {low} to {high}", "correct the value")
        return value
    if key in number:
        bottom, top = number[key]
        if isinstance(value, bool) or not isinstance(value, int | float) or not bottom <= value <= top:
            raise CocomineError(f"split.{key}: {value!r} is no number from {bottom:g} to {top:g}", "correct the value")
        if key == "val_share" and value in (0, 1):
            raise CocomineError(
                f"split.val_share: {value} leaves one side empty", "give a share between 0 and 1, such as 0.2"
            )
        return float(value)
    if key == "official_val":
        if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
            raise CocomineError(f"split.{key}: {value!r} is no list of names", "for example [val2017]")
        return tuple(value)
    if isinstance(value, str):
        return value
    if not isinstance(value, list | tuple) or not all(
        isinstance(name, int | str) and not isinstance(name, bool) for name in value
    ):
        raise CocomineError(
            f"split.{key}: neither a list of image ids or file names nor a file", "give a list, or a file of one a line"
        )
    return tuple(value)
