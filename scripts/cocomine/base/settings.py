"""What every section of the config is: a frozen, typed struct, from which its schema, defaults and docs are made.

A section is one class in its stage's `settings.py`: each key a field with its type, its limits, its default and a
description. `read` turns a mapping into it, or says everything that is wrong with the mapping at once.
"""

import difflib
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta

from cocomine.base.errors import CocomineError

T = TypeVar("T")

MOST_SHOWN = 6

Natural = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Text = Annotated[str, Meta(min_length=1)]

# Python's `$` also matches before a last line break, which no name may hold.
FolderName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9_-]*$(?!\n)",
        description="names become folders: lower-case letters, digits, '-' and '_', beginning with a letter or digit",
    ),
]
FileNamePart = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)",
        description="names become files: letters, digits, '.', '-' and '_', beginning with a letter or digit",
    ),
]
# Keys that had other names once, for the message that names the new one.
RENAMED = {
    "none": "exclude_categories",
    "twins": "near_duplicates",
    "twins_distance": "near_duplicate_distance",
    "twins_similarity": "near_duplicate_similarity",
    "val_share": "shares",
    "official_val": "official",
    "train_list": "lists",
    "val_list": "lists",
}


def says(description: str, **limits: Any) -> Meta:
    """Return the annotation of a key: what it means, and the limits (ge, gt, le, lt) of its number."""
    return Meta(description=description, **limits)


KEYS = "config/README.md lists every key"


class Problem(NamedTuple):
    """A contradiction between keys: the key that it is about (empty: the section), what is wrong, and the remedy."""

    key: str
    message: str
    hint: str


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A section of the config. A subclass's docstring is the section's description."""

    SECTION: ClassVar[str] = ""
    """How messages call it where nothing says which of its kind it is."""

    PLACES: ClassVar[frozenset[str]] = frozenset()
    """Keys that say where something lies and not what it is: a build from another mirror is the same build."""

    @classmethod
    def from_mapping(cls, mapping: Any, where: str | None = None) -> Self:
        """Return the section that `mapping` describes, absent keys at their defaults.

        Raises CocomineError that names every mistake with its key, beginning with `where`, its value and the remedy.
        """
        return read(cls, mapping, cls.SECTION if where is None else where)

    def problems(self) -> Iterator[Problem]:
        """Yield what the types cannot say: keys that contradict each other."""
        return iter(())

    def as_mapping(self) -> dict[str, Any]:
        """Return the section as plain JSON values, which `from_mapping` reads back to the same section."""
        result: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return result


def read(kind: type[T], value: Any, where: str) -> T:
    """Return `value` as a `kind`, which may be any type that msgspec knows; raise CocomineError as `from_mapping`."""
    result = shaped(kind, value, where)
    _complain(list(contradictions(result, where)))
    return result


def shaped(kind: type[T], value: Any, where: str) -> T:
    """Return `value` as a `kind` whose keys may still contradict each other, as before defaults are filled in."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        _complain(list(_mistakes(kind, value, where, "")))
        raise CocomineError(f"{where}: {error}", KEYS) from error


def merged(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """Return both mappings in one, and so the mappings inside them; what `high` says stands over `low`."""
    result = dict(low)
    for key, value in high.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


def _complain(found: Sequence[tuple[str, str]]) -> None:
    if not found:
        return
    messages = [message for message, _ in found[:MOST_SHOWN]]
    if len(found) > MOST_SHOWN:
        messages.append(f"… and {len(found) - MOST_SHOWN} more")
    hints = dict.fromkeys(
        line for _, hint in [*found[:MOST_SHOWN], ("", KEYS)] for line in hint.split("\n      ") if line
    )
    raise CocomineError("\n".join(messages), "\n      ".join([*(hint for hint in hints if hint != KEYS), KEYS]))


def contradictions(value: Any, where: str) -> Iterator[tuple[str, str]]:
    """Yield the problems of a section and of those inside it, as messages and hints."""
    if isinstance(value, Section):
        for field in _fields(type(value)):
            yield from contradictions(getattr(value, field.name), _below(where, field.encode_name))
        for problem in value.problems():
            yield f"{_below(where, problem.key)}: {problem.message}", problem.hint
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from contradictions(part, _below(where, key))
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{where}: {value} is not a finite number", "write a number that JSON has"
    elif isinstance(value, tuple):
        for number, part in enumerate(value):
            yield from contradictions(part, f"{where}[{number}]")


# msgspec finds the fields of a class anew each time, which for a thousand runs was as long as all else about them.
_fields = functools.cache(msgspec.structs.fields)


def twice(key: str, values: Sequence[object]) -> Iterator[Problem]:
    """Yield a problem for each of `values` that stands in the list more than once."""
    for value in dict.fromkeys(value for value in values if values.count(value) > 1):
        yield Problem(key, f"{value!r} stands in it twice", "name each once")


def braces(key: str, path: object) -> Iterator[Problem]:
    """Yield a problem where `path` is a file name in which Snakemake would see a wildcard.

    A pattern in the type would do, but msgspec 0.22 crashes when it lets go of one in a union with a list.
    """
    if isinstance(path, str) and ("{" in path or "}" in path):
        yield Problem(key, f"the path {path!r} cannot be used", "give the file a name without braces")


def without_places(value: Any) -> Any:
    """Return a section as plain values without the keys that say where something lies."""
    if isinstance(value, Section):
        if value.__struct_config__.omit_defaults:
            return value.as_mapping()
        fields = [field for field in _fields(type(value)) if field.encode_name not in value.PLACES]
        return {field.encode_name: without_places(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        return {str(key): without_places(part) for key, part in value.items()}
    return [without_places(part) for part in value] if isinstance(value, list | tuple) else value


def wording(kind: Any) -> str:
    """Return what values a type takes, in words."""
    base, metas = _bare(kind)
    options = _options(base)
    if len(options) > 1:
        # Where an integer stays an integer beside a float, one wording is enough.
        shown = [o for o in options if _bare(o)[0] is not int or float not in [_bare(other)[0] for other in options]]
        return " or ".join(dict.fromkeys(map(wording, shown)))
    if get_origin(base) is Literal:
        return " | ".join(f"`{value}`" for value in get_args(base))
    if get_origin(base) is tuple:
        return f"list of {wording(get_args(base)[0])}"
    names = {bool: "true/false", int: "whole number", float: "number", str: "text", NoneType: "null", Any: "any"}
    limits = [
        f"{sign} {value:,}"
        for meta in metas
        for sign, value in ((">", meta.gt), ("≥", meta.ge), ("<", meta.lt), ("≤", meta.le))
        if value is not None and abs(value) < 2**53
    ]
    name = names.get(base, "mapping")
    if isinstance(base, type) and issubclass(base, Section) and len(base.__struct_fields__) <= 3:
        name += f" ({', '.join(base.__struct_encode_fields__)})"
    return " ".join([name, ", ".join(limits)]).strip()


def choices(section: type[Section], key: str) -> tuple[str, ...]:
    """Return the words that a key takes; none where it takes others too."""
    return next(_words(field.type) for field in msgspec.structs.fields(section) if field.encode_name == key)


def description(kind: Any) -> str:
    """Return the description that stands outermost in an annotated type; empty if none does."""
    return next((meta.description for meta in reversed(_bare(kind)[1]) if meta.description), "")


def _mistakes(kind: Any, value: Any, where: str, meaning: str) -> Iterator[tuple[str, str]]:
    """Yield every mistake of `value` as a message and a hint; `meaning` describes the key."""
    meaning = description(kind) or meaning
    options = _options(_bare(kind)[0])
    if _fits(kind, value):
        return
    alike = [option for option in options if _alike(option, value)]
    if not alike:
        yield f"{where or 'config'}: expected {wording(kind)}, got {_shown(value)}", meaning
        return
    option = alike[0] if len(options) > 1 else kind
    base, metas = _bare(option)
    if isinstance(value, Mapping):
        yield from _mistakes_of_mapping(base, value, where, meaning)
    elif isinstance(value, list | tuple):
        short = next((meta.min_length for meta in metas if meta.min_length), 0)
        if len(value) < short:
            yield f"{where}: an empty list", meaning
        for number, part in enumerate(value):
            yield from _mistakes(get_args(base)[0], part, f"{where}[{number}]", meaning)
    elif any(meta.pattern for meta in metas) and isinstance(value, str):
        yield f"{where}: {value!r} cannot be used", next(m.description or "" for m in metas if m.pattern)
    elif isinstance(value, str) and (words := _words(kind)):
        yield f"{where}: {value!r} is not one of {', '.join(words)}", _nearest(value, words) or meaning
    else:
        yield f"{where}: expected {wording(kind)}, got {value!r}", meaning


def _mistakes_of_mapping(base: Any, value: Mapping[Any, Any], where: str, meaning: str) -> Iterator[tuple[str, str]]:
    if get_origin(base) is dict:
        names, kinds = get_args(base)
        if not value:
            yield f"{where}: an empty mapping", meaning
        for key, part in value.items():
            if not _fits(names, key):
                yield f"{where}: the name {key!r} cannot be used", description(names)
            yield from _mistakes(kinds, part, _below(where, key), meaning)
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(base)}
    unknown = sorted(str(key) for key in value if key not in fields)
    renamed = {key: RENAMED[key] for key in unknown if RENAMED.get(key) in fields}
    for key, new in renamed.items():
        yield (
            f"{_below(where, key)}: this key is called {new!r} now",
            f"write {new} instead of {key}: {description(fields[new].type)}",
        )
    if unknown := [key for key in unknown if key not in renamed]:
        hints = [hint for key in unknown if (hint := _nearest(key, list(fields)))]
        plural = "s" if len(unknown) > 1 else ""
        known = f"known here: {', '.join(fields)}"
        yield f"{where or 'config'}: unknown key{plural} {', '.join(map(repr, unknown))}", "; ".join(hints) or known
    for name, field in fields.items():
        if name in value:
            yield from _mistakes(field.type, value[name], _below(where, name), "")
        elif field.required:
            yield f"{where or 'config'}: the key {name!r} is missing", f"add it: {description(field.type)}"


def _below(where: str, key: object) -> str:
    return f"{where}.{key}" if where and key != "" else where or str(key)


def _bare(kind: Any) -> tuple[Any, list[Meta]]:
    """Return a type without its annotations, and these, the innermost first."""
    metas: list[Meta] = []
    while get_origin(kind) is Annotated:
        kind, *more = get_args(kind)
        metas = [meta for meta in more if isinstance(meta, Meta)] + metas
    return kind, metas


def _words(kind: Any) -> tuple[str, ...]:
    """Return the words that stand in a type as literals."""
    base = _bare(kind)[0]
    if get_origin(base) is Literal:
        return get_args(base)
    return tuple(word for part in get_args(base) if part is not Ellipsis for word in _words(part))


def _options(base: Any) -> tuple[Any, ...]:
    return get_args(base) if get_origin(base) in (Union, UnionType) else (base,)


def _fits(kind: Any, value: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _alike(option: Any, value: Any) -> bool:
    """Whether `value` has the shape of `option`, whatever is wrong inside it."""
    base = _bare(option)[0]
    shape = get_origin(base) or base
    if isinstance(value, Mapping):
        return shape is dict or (isinstance(shape, type) and issubclass(shape, msgspec.Struct))
    if isinstance(value, list | tuple):
        return shape is tuple
    if isinstance(value, bool):
        return shape is bool
    if isinstance(value, int | float):
        return shape is float or (shape is int and isinstance(value, int))
    return isinstance(value, str) and (shape is str or shape is Literal)


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    return f"instead of {name!r}, did you mean {' or '.join(map(repr, close))}?" if close else ""


def _shown(value: object) -> str:
    kinds = {dict: "a mapping", list: "a list", str: "text", bool: "true/false", int: "a number", float: "a number"}
    text = repr(value)
    shortened = text if len(text) <= 60 else text[:57] + "…"
    return f"{kinds.get(type(value), 'nothing' if value is None else type(value).__name__)}: {shortened}"
