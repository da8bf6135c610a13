"""Checking a config against the schemas of `workflow/schemas`, filling its defaults, and saying what is wrong."""

import copy
import difflib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from cocomine.base.errors import CocomineError

SCHEMAS = Path(__file__).resolve().parents[3] / "workflow" / "schemas"

MOST_ERRORS_SHOWN = 6

# libyaml's loader reads the schemas ten times as fast; PyYAML's wheels bring it, a build from source may not.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Schema = dict[str, Any]


@cache
def load_schema(name: str = "config") -> Schema:
    """Return the schema `name` with every `$ref`, to a neighbouring file or to its own `$defs`, put in place.

    The result is shared by all callers, who only read it.
    """
    document = yaml.load((SCHEMAS / f"{name}.schema.yaml").read_text(encoding="utf-8"), Loader=LOADER)  # noqa: S506 - a safe loader either way
    resolved = _inline_references(document, document)
    assert isinstance(resolved, dict)
    resolved.pop("$defs", None)
    return resolved


def _inline_references(node: Any, document: Schema) -> Any:
    if isinstance(node, list):
        return [_inline_references(value, document) for value in node]
    if not isinstance(node, dict):
        return node
    rest = {key: _inline_references(value, document) for key, value in node.items() if key not in ("$ref", "$schema")}
    reference = node.get("$ref")
    return rest if not isinstance(reference, str) else _referred(reference, document) | rest


def _referred(reference: str, document: Schema) -> Schema:
    if reference.endswith(".schema.yaml"):
        return load_schema(reference.removesuffix(".schema.yaml"))
    part: Any = document
    for step in reference.removeprefix("#/").split("/"):
        part = part[step]
    resolved = _inline_references(part, document)
    assert isinstance(resolved, dict)
    return resolved


def check(config: Mapping[str, Any], schema: Schema, where: str = "") -> None:
    """Raise CocomineError naming every key (up to six) of `config` that breaks `schema`, its value and the remedy."""
    validator = jsonschema.Draft202012Validator(schema)
    errors = sorted(validator.iter_errors(config), key=lambda error: [str(part) for part in error.absolute_path])
    if not errors:
        return
    advice = [_advice(error, where) for error in errors]
    messages = [message for message, _ in advice[:MOST_ERRORS_SHOWN]]
    hints = list(dict.fromkeys(hint for _, hint in advice[:MOST_ERRORS_SHOWN] if hint))
    if len(errors) > MOST_ERRORS_SHOWN:
        messages.append(f"… and {len(errors) - MOST_ERRORS_SHOWN} more")
    raise CocomineError("\n".join(messages), "\n      ".join([*hints, "config/README.md lists every key"]))


def _advice(error: jsonschema.ValidationError, where: str) -> tuple[str, str]:
    if error.context:
        best = jsonschema.exceptions.best_match(error.context)
        deepest = best if best is not None and len(best.absolute_path) > len(error.absolute_path) else error
        if deepest is not error:
            return _advice(deepest, where)
    key = where + ".".join(str(part) for part in error.absolute_path) if error.absolute_path else where.rstrip(".")
    assert isinstance(error.schema, Mapping)
    described = str(error.schema.get("description", "")).strip()
    instance: Any = error.instance
    rule: Any = error.validator_value
    if error.validator == "additionalProperties":
        return _unknown_keys(error, key)
    if error.validator == "required":
        missing = [name for name in rule if name not in instance]
        return f"{key or 'config'}: the key {', '.join(map(repr, missing))} is missing", f"add it: {described}"
    if error.validator == "enum":
        allowed = [str(value) for value in rule]
        return (
            f"{key}: {error.instance!r} is not one of {', '.join(allowed)}",
            _nearest(str(error.instance), allowed) or described,
        )
    if error.validator == "type":
        wanted = rule if isinstance(rule, str) else " or ".join(rule)
        return f"{key}: expected {wanted}, got {_shown(error.instance)}", described
    if "propertyNames" in error.absolute_schema_path or error.validator == "pattern":
        if "{" in str(rule):
            return f"{key}: the path {error.instance!r} cannot be used", "give the file a name without braces"
        letters = "letters, digits, '.', '-' and '_'" if "." in str(rule) else "lower-case letters, digits, '-' and '_'"
        return (
            f"{key}: the name {error.instance!r} cannot be used",
            f"names become folders: {letters}, beginning with a letter or digit",
        )
    if error.validator in ("anyOf", "oneOf"):
        return f"{key}: {_shown(error.instance)} has none of the forms that this key takes", described
    return f"{key}: {error.message}", described


def _unknown_keys(error: jsonschema.ValidationError, key: str) -> tuple[str, str]:
    assert isinstance(error.schema, Mapping)
    known = sorted(error.schema.get("properties", {}))
    instance: Any = error.instance
    unknown = sorted(str(name) for name in instance if name not in known)
    nearest = [_nearest(name, known) for name in unknown]
    hint = "; ".join(text for text in nearest if text) or f"known here: {', '.join(known)}"
    plural = "s" if len(unknown) > 1 else ""
    return f"{key or 'config'}: unknown key{plural} {', '.join(map(repr, unknown))}", hint


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    return f"instead of {name!r}, did you mean {' or '.join(map(repr, close))}?" if close else ""


def _shown(value: object) -> str:
    kinds = {dict: "a mapping", list: "a list", str: "text", bool: "true/false", int: "a number", float: "a number"}
    text = repr(value)
    shortened = text if len(text) <= 60 else text[:57] + "…"
    return f"{kinds.get(type(value), 'nothing' if value is None else type(value).__name__)}: {shortened}"


def with_defaults(value: Any, schema: Schema) -> Any:
    """Return a copy of `value` in which every absent key of an object that has a default stands with that default.

    Keys come in the schema's order, so that equal configs give equal settings whatever order they were written in.
    """
    if not isinstance(value, dict) or not ({"properties", "additionalProperties"} & schema.keys()):
        return copy.deepcopy(value)
    properties: dict[str, Schema] = schema.get("properties", {})
    result: dict[str, Any] = {}
    for key, part in properties.items():
        if key in value:
            result[key] = with_defaults(value[key], part)
        elif "default" in part:
            result[key] = with_defaults(part["default"], part)
    others = schema.get("additionalProperties")
    for key in sorted(value.keys() - properties.keys()):
        result[key] = with_defaults(value[key], others) if isinstance(others, dict) else copy.deepcopy(value[key])
    return result
