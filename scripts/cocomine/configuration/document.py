"""What is made from the definitions of the config: config/README.md and config/schema.json."""

import json
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

import msgspec

from cocomine.base.files import canonical_json
from cocomine.base.settings import Section, description, wording
from cocomine.configuration.config import Config

INTRODUCTION = """\
# The config

<!-- Written by scripts/document_config.py from the settings of each stage; a test holds them equal. -->

A config says what to mine, from where, and what to do with it. Start from a file in [examples](examples) and run

    ./run snakemake --cores 8 --configfile my.yaml

This much is a whole one; everything else has a default:

```yaml
sources:
  own: {annotations: my.json, images: my/images}   # a COCO file and its images: used in place, nothing is written there
subsets:
  leaves: {categories: [leaf]}
```

| example | for |
|---|---|
| [coco-public.yaml](examples/coco-public.yaml) | COCO 2017 from its public home |
| [private-mirror.yaml](examples/private-mirror.yaml) | a bucket of one's own, with a second origin to fall back on |
| [coco-on-disk.yaml](examples/coco-on-disk.yaml) | COCO that is already on disk, read-only |
| [own-yolo.yaml](examples/own-yolo.yaml) | labels of one's own that are not COCO's |
| [train-val-test.yaml](examples/train-val-test.yaml) | a test set that training and the choice of weights never see |
| [sama-against-coco.yaml](examples/sama-against-coco.yaml) | two annotation sources over the same images |
| [coconut-on-disk.yaml](examples/coconut-on-disk.yaml) | COCONut's masks beside COCO's, object against object |
| [paper.yaml](examples/paper.yaml) | the paper's experiment, for a GPU |
| [paper-small.yaml](examples/paper-small.yaml) | its question on two cores, offline |
| [judge-detection.yaml](examples/judge-detection.yaml), [-instances](examples/judge-instances.yaml), \
[-keypoints](examples/judge-keypoints.yaml), [-panoptic](examples/judge-panoptic.yaml), \
[-semantic](examples/judge-semantic.yaml) | a program's predictions of each task judged, offline |

Unknown keys are refused, and so are values that cannot be meant; the message names the key and the remedy. A key that
several subsets share (`masks`, `split`, `tensors`, `exports`) can stand at the top and again in a subset, which then
has the last word. `NAME` stands for a name of your choice. An editor with a YAML language server completes and checks
keys where the first line of a config is

    # yaml-language-server: $schema=PATH/TO/cocomine/config/schema.json

## Every key
"""

SHARED = ("images", "masks", "split", "tensors")


def document() -> str:
    """Return the text of config/README.md."""
    parts = [INTRODUCTION]
    for field in msgspec.structs.fields(Config):
        named, section = _section(field.type)
        name = f"{field.encode_name}.NAME" if named else field.encode_name
        parts.append(f"\n### `{field.encode_name}`\n\n{_text(description(field.type))}\n")
        if section is None:
            parts.append(f"\nType: {_kind(field.type)}. Default: {_default(field)}.\n")
            continue
        parts.append(f"\n`{name}`: {_text(section.__doc__ or '')}\n" if named else "")
        parts.append("\n| key | type | default | meaning |\n|---|---|---|---|\n")
        rows = _rows(section, name, set())
        parts += [f"| `{key}` | {kind} | {default} | {text} |\n" for key, kind, default, text in rows]
    return "".join(parts)


def json_schema() -> str:
    """Return the text of config/schema.json."""
    return canonical_json(msgspec.json.schema(Config), indent=1) + "\n"


def _rows(section: type[Section], prefix: str, said: set[type]) -> Iterator[tuple[str, str, str, str]]:
    """Yield key, type, default and meaning of each key, those of a section that stands at several keys once."""
    for field in msgspec.structs.fields(section):
        key = f"{prefix}.{field.encode_name}"
        yield key, _kind(field.type), _default(field), _text(description(field.type))
        named, inner = _section(field.type)
        if inner is not None and inner not in said and key not in {f"subsets.NAME.{stage}" for stage in SHARED}:
            said.add(inner)
            listed = "[]" if get_origin(_bare(field.type)) is tuple else ".NAME" if named else ""
            yield from _rows(inner, key + listed, said)


def _bare(kind: Any) -> Any:
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return kind


def _section(kind: Any) -> tuple[bool, type[Section] | None]:
    """Return whether sections of names of choice stand in a type, and the section that stands in it, if any."""
    base = _bare(kind)
    if isinstance(base, type) and issubclass(base, Section):
        return False, base
    named = get_origin(base) is dict
    for part in get_args(base)[1:] if named else get_args(base):
        inner_named, found = _section(part)
        if found is not None:
            return named or inner_named, found
    return named, None


def _kind(kind: Any) -> str:
    return wording(kind).replace("|", "\\|")


def _text(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _default(field: Any) -> str:
    if field.required:
        return "–"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    plain = msgspec.to_builtins(value, str_keys=True)
    return f"`{json.dumps({} if isinstance(plain, dict) else plain, ensure_ascii=False)}`"
