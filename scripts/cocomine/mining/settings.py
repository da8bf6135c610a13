"""The query of a subset: which images and objects of a source it holds, as the config's `subsets` section says it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any, Self

from cocomine.annotations.reasons import AREA_TOLERANCE, POLICIES, Reason, policies
from cocomine.base.errors import CocomineError

MATCHES = ("any", "all", "only")
OBJECT_POLICIES = ("keep", "drop", "exclude")
LOST_OBJECTS = ("exclude", "void")
OTHER_SECTIONS = ("images", "masks", "split", "tensors", "exports")


@dataclass(frozen=True)
class Range:
    """A closed interval; None is unbounded."""

    min: float | None = None
    max: float | None = None

    @property
    def bounded(self) -> bool:
        """Whether the range says anything at all."""
        return self.min is not None or self.max is not None

    def words(self) -> str:
        """Return the range in words: "at least 2", "at most 5", "2 to 5"."""
        if self.min is not None and self.max is not None:
            return f"{self.min:g} to {self.max:g}"
        if self.min is not None:
            return f"at least {self.min:g}"
        return f"at most {self.max:g}" if self.max is not None else "any"


@dataclass(frozen=True)
class CategoryRef:
    """One item of a list of categories: by `name`, by `id`, by `supercategory`, or a bare `text` to be looked up.

    Exactly one is set. A bare text is the name of a category or, if no category has it, of a supercategory.
    """

    text: str | None = None
    name: str | None = None
    id: int | None = None
    supercategory: str | None = None

    def words(self) -> str:
        """Return what the user wrote."""
        if self.id is not None:
            return f"id {self.id}"
        if self.supercategory is not None:
            return f"supercategory {self.supercategory}"
        return self.name if self.name is not None else str(self.text)


@dataclass(frozen=True)
class SubsetSettings:
    """The settings of one subset that decide what it holds. `docs/mining.md` says what each key means."""

    source: str = ""
    categories: tuple[CategoryRef, ...] = ()
    match: str = "any"
    none: tuple[CategoryRef, ...] = ()
    instances: Range = Range()
    instances_per_class: tuple[tuple[CategoryRef, Range], ...] = ()
    area: Range = Range()
    relative_area: Range = Range()
    outside_area: str = "drop"
    crowds: str = "keep"
    image_width: Range = Range()
    image_height: Range = Range()
    image_aspect: Range = Range()
    licenses: tuple[int | str, ...] = ()
    caption: str | None = None
    source_splits: tuple[str, ...] = ()
    include_images: tuple[int | str, ...] | str | None = None
    exclude_images: tuple[int | str, ...] | str | None = None
    fraction: float = 1.0
    max_images: int | None = None
    max_per_class: int | tuple[tuple[CategoryRef, int], ...] | None = None
    balance: bool = False
    negatives: int = 0
    refill: bool = False
    spares: int = 20
    seed: int = 0
    keep_other_annotations: bool = False
    images_from: str | None = None
    check_areas: bool = True
    area_tolerance: float = AREA_TOLERANCE
    lost_objects: str = "exclude"
    policy: tuple[tuple[str, str], ...] = field(default=())

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Build the settings from a config's subset section; missing keys take their defaults.

        The sections of other stages (images, masks, split, tensors, exports) are passed over. Raises CocomineError for
        an unknown key or a value of the wrong kind.
        """
        known = [item.name for item in fields(cls)]
        values: dict[str, Any] = {}
        for key, value in mapping.items():
            if key in OTHER_SECTIONS:
                continue
            if key not in known:
                near = get_close_matches(str(key), known, n=3, cutoff=0.6)
                hint = f"did you mean {' or '.join(near)}?" if near else f"the keys of a subset are {', '.join(known)}"
                raise CocomineError(f"subset: unknown key '{key}'", hint)
            if value is None and key in _NULLABLE:
                continue
            values[key] = _READERS[key](key, value)
        query = cls(**values)
        if query.images_from is not None:
            for key in _FORBIDDEN_WITH_IMAGES_FROM:
                if getattr(query, key) != getattr(_DEFAULT, key):
                    raise CocomineError(
                        f"subset: images_from takes the images of '{query.images_from}' as they are, "
                        f"but {key} would choose among them",
                        f"remove {key}, or remove images_from",
                    )
        return query

    @property
    def policies(self) -> dict[Reason, str]:
        """What becomes of records that have a reason, for every reason."""
        return policies(dict(self.policy))


def _fail(key: str, value: Any, wanted: str) -> CocomineError:
    return CocomineError(f"subset: {key}: {value!r} is not {wanted}", f"set {key} to {wanted}, or remove it")


def _name(key: str, value: Any) -> str:
    return "" if value == "" else _text(key, value)


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise _fail(key, value, "a text")
    return value


def _boolean(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _fail(key, value, "true or false")
    return value


def _whole(least: int) -> Callable[[str, Any], int]:
    def read(key: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise _fail(key, value, f"a whole number of at least {least}")
        return value

    return read


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _fail(key, value, "a number")
    return value


def _fraction(key: str, value: Any) -> float:
    number = _number(key, value)
    if not 0 < number <= 1:
        raise _fail(key, value, "a number above 0 and at most 1")
    return float(number)


def _not_negative(key: str, value: Any) -> float:
    number = _number(key, value)
    if number < 0:
        raise _fail(key, value, "a number of at least 0")
    return float(number)


def _one_of(choices: tuple[str, ...]) -> Callable[[str, Any], str]:
    def read(key: str, value: Any) -> str:
        if value not in choices:
            raise _fail(key, value, "one of " + ", ".join(choices))
        return str(value)

    return read


def _range(key: str, value: Any) -> Range:
    if not isinstance(value, Mapping) or not set(value) <= {"min", "max"}:
        raise _fail(key, value, "a mapping with min, max or both, such as {min: 1, max: 10}")
    bounds = {name: _not_negative(f"{key}.{name}", bound) for name, bound in value.items() if bound is not None}
    result = Range(**bounds)
    if result.min is not None and result.max is not None and result.min > result.max:
        raise CocomineError(f"subset: {key}: min {result.min:g} is above max {result.max:g}", f"swap {key}'s bounds")
    return result


def category_ref(key: str, value: Any) -> CategoryRef:
    """Read one item of a list of categories. Raises CocomineError when it is neither text, id nor a known mapping."""
    if isinstance(value, str) and value:
        return CategoryRef(text=value)
    if isinstance(value, int) and not isinstance(value, bool):
        return CategoryRef(id=value)
    if isinstance(value, Mapping) and len(value) == 1:
        ((kind, what),) = value.items()
        if kind == "name" and isinstance(what, str) and what:
            return CategoryRef(name=what)
        if kind == "supercategory" and isinstance(what, str) and what:
            return CategoryRef(supercategory=what)
        if kind == "id" and isinstance(what, int) and not isinstance(what, bool):
            return CategoryRef(id=what)
    raise _fail(key, value, "a category's name or id, or {supercategory: NAME}")


def _categories(key: str, value: Any) -> tuple[CategoryRef, ...]:
    items = value if isinstance(value, list | tuple) else [value]
    return tuple(category_ref(key, item) for item in items)


def _by_class(key: str, value: Any, read: Callable[[str, Any], Any]) -> tuple[tuple[CategoryRef, Any], ...]:
    if not isinstance(value, Mapping):
        raise _fail(key, value, "a mapping from a category to its value")
    return tuple((category_ref(key, name), read(f"{key}.{name}", what)) for name, what in value.items())


def _ranges_by_class(key: str, value: Any) -> tuple[tuple[CategoryRef, Range], ...]:
    return _by_class(key, value, _range)


def _caps(key: str, value: Any) -> int | tuple[tuple[CategoryRef, int], ...]:
    return _by_class(key, value, _whole(0)) if isinstance(value, Mapping) else _whole(1)(key, value)


def _texts(key: str, value: Any) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise _fail(key, value, "a list of texts")
    return tuple(items)


def _ids_or_names(key: str, value: Any) -> tuple[int | str, ...]:
    items = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(item, int | str) and not isinstance(item, bool) for item in items):
        raise _fail(key, value, "a list of ids or names")
    return tuple(items)


def _image_list(key: str, value: Any) -> tuple[int | str, ...] | str:
    return value if isinstance(value, str) and value else _ids_or_names(key, value)


def _policies(key: str, value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, Mapping):
        raise _fail(key, value, "a mapping from a reason code to keep, repair, quarantine or stop")
    return tuple((str(reason), _one_of(POLICIES)(f"{key}.{reason}", what)) for reason, what in value.items())


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "source": _name,
    "categories": _categories,
    "match": _one_of(MATCHES),
    "none": _categories,
    "instances": _range,
    "instances_per_class": _ranges_by_class,
    "area": _range,
    "relative_area": _range,
    "outside_area": _one_of(OBJECT_POLICIES),
    "crowds": _one_of(OBJECT_POLICIES),
    "image_width": _range,
    "image_height": _range,
    "image_aspect": _range,
    "licenses": _ids_or_names,
    "caption": _text,
    "source_splits": _texts,
    "include_images": _image_list,
    "exclude_images": _image_list,
    "fraction": _fraction,
    "max_images": _whole(1),
    "max_per_class": _caps,
    "balance": _boolean,
    "negatives": _whole(0),
    "refill": _boolean,
    "spares": _whole(0),
    "seed": _whole(0),
    "keep_other_annotations": _boolean,
    "images_from": _text,
    "check_areas": _boolean,
    "area_tolerance": _not_negative,
    "lost_objects": _one_of(LOST_OBJECTS),
    "policy": _policies,
}
_NULLABLE = ("caption", "include_images", "exclude_images", "max_images", "max_per_class", "images_from")
_FORBIDDEN_WITH_IMAGES_FROM = (
    "match",
    "none",
    "instances",
    "instances_per_class",
    "image_width",
    "image_height",
    "image_aspect",
    "licenses",
    "caption",
    "include_images",
    "exclude_images",
    "fraction",
    "max_images",
    "max_per_class",
    "balance",
    "negatives",
)
_DEFAULT = SubsetSettings()
