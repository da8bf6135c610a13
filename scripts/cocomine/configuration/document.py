"""config/README.md, written from the schemas, so that every key stands in it with its type, default and meaning."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from cocomine.configuration.schema import Schema, load_schema

INTRODUCTION = """\
# The config

<!-- Written by scripts/document_config.py from workflow/schemas; a test holds the two equal. -->

A config says what to mine, from where, and what to do with it. Start from a file in [examples](examples) and run

    ./run snakemake --cores 8 --configfile my.yaml

This much is a whole one; everything else has a default:

```yaml
stores:
  coco: {folder: /datasets/coco}        # COCO on disk: used in place, nothing is written there
sources:
  coco: {splits: [val2017]}             # its annotations/instances_val2017.json
subsets:
  animals: {categories: [giraffe, zebra]}
```

| example | for |
|---|---|
| [coco-public.yaml](examples/coco-public.yaml) | COCO 2017 from its public home |
| [private-mirror.yaml](examples/private-mirror.yaml) | a bucket of one's own, with a second origin to fall back on |
| [coco-on-disk.yaml](examples/coco-on-disk.yaml) | COCO that is already on disk, read-only |
| [sama-against-coco.yaml](examples/sama-against-coco.yaml) | two annotation sources over the same photographs |
| [paper.yaml](examples/paper.yaml) | the paper's experiment, for a GPU |
| [paper-small.yaml](examples/paper-small.yaml) | its question on two cores, offline |

Unknown keys are refused, and so are values that cannot be meant; the message names the key and the remedy. A key that
several subsets share (`masks`, `split`, `tensors`, `exports`) can stand at the top and again in a subset, which then
has the last word. `NAME` stands for a name of your choice.

## Every key
"""


def document() -> str:
    """Return the text of config/README.md."""
    schema = load_schema()
    parts = [INTRODUCTION]
    for section, part in schema["properties"].items():
        parts.append(f"\n### `{section}`\n\n{_text(part)}\n")
        entries = part.get("additionalProperties")
        named = isinstance(entries, dict)
        if named:
            parts.append(f"\n`{section}.NAME`: {_text(entries)}\n")
        rows = list(_rows(entries if named else part, f"{section}.NAME" if named else section))
        if section == "subsets":
            rows = [row for row in rows if not _repeated(row[0])]
        if rows:
            parts.append("\n| key | type | default | meaning |\n|---|---|---|---|\n")
            parts += [f"| `{name}` | {kind} | {default} | {meaning} |\n" for name, kind, default, meaning in rows]
        else:
            parts.append(f"\nType: {_kind(part)}. Default: {_default(part)}.\n")
    return "".join(parts)


def _repeated(name: str) -> bool:
    return any(name.startswith(f"subsets.NAME.{key}.") for key in ("masks", "split", "tensors", "exports"))


def _rows(schema: Schema, prefix: str) -> Iterator[tuple[str, str, str, str]]:
    for key, part in schema.get("properties", {}).items():
        name = f"{prefix}.{key}"
        yield name, _kind(part), _default(part), _text(part)
        yield from _rows(part, name)
        items = part.get("items")
        if isinstance(items, dict) and "properties" in items:
            yield from _rows(items, f"{name}[]")
        entries = part.get("additionalProperties")
        if isinstance(entries, dict):
            yield from _rows(entries, f"{name}.NAME")


def _text(schema: Mapping[str, Any]) -> str:
    return " ".join(str(schema.get("description", "")).split()).replace("|", "\\|")


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema or "oneOf" in schema:
        kinds = [_kind(option) for option in schema.get("anyOf", schema.get("oneOf"))]
        return " or ".join(dict.fromkeys(kinds))
    kind = schema.get("type", "any")
    kinds = kind if isinstance(kind, list) else [kind]
    items = schema.get("items")
    named = [f"list of {_kind(items)}" if one == "array" and isinstance(items, dict) else _plain(one) for one in kinds]
    limits = [f"{word} {schema[key]}" for key, word in (("minimum", "≥"), ("maximum", "≤")) if key in schema]
    return " or ".join(named) + (f", {', '.join(limits)}" if limits else "")


def _plain(kind: str) -> str:
    names = {"object": "mapping", "string": "text", "array": "list", "boolean": "true/false", "null": "null"}
    return names.get(kind, kind)


def _default(schema: Mapping[str, Any]) -> str:
    if "default" not in schema:
        return "–"
    return f"`{json.dumps(schema['default'], ensure_ascii=False)}`"
