"""Reading a config file as a person writes it: YAML mistakes by line and column, and keys that stand twice."""

from pathlib import Path
from typing import Any

import yaml

from cocomine.base.errors import CocomineError


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping, of which YAML readers silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[Any, int] = {}
        for key_node, _ in node.value:
            key = key_node.value
            line = key_node.start_mark.line + 1
            if key in lines and key != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice, in line {lines[key]} and in line {line}"
                )
            lines[key] = line
        return super().construct_mapping(node, deep)


def read_config(path: Path) -> dict[str, Any]:
    """Return a config file's content. Raises CocomineError that names the file, and line and column of a mistake."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_Loader)  # noqa: S506 - a safe loader
    except OSError as error:
        raise CocomineError(f"{path}: {error.strerror or error}", "give the path of a config file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise CocomineError(f"{path}{where}: {getattr(error, 'problem', None) or error}", "correct the file") from error
    if not isinstance(content, dict):
        raise CocomineError(f"{path}: holds no mapping of keys", "config/README.md shows a whole config")
    return content
