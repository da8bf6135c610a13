"""Reading a YAML file that a person wrote: what is wrong with it is said with file, line and column."""

from pathlib import Path
from typing import Any

import yaml

from cocomine.base.errors import CocomineError

MOST_NODES = 1_000_000
"""Values that a file may stand for once its aliases are written out; a config has hundreds."""

# libyaml's loader is ten times as fast; PyYAML's wheels bring it, a build from source may not.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Node = yaml.Node


def read_yaml(path: Path) -> Any:
    """Return what a YAML (or JSON) file holds.

    Raises CocomineError, with file, line and column, for a file that is none, for a key that stands twice in one
    mapping, and for aliases that stand for more than a million values.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise CocomineError(f"{path}: {error.strerror or error}", "give the path of a file that is there") from error
    except UnicodeDecodeError as error:
        raise CocomineError(f"{path}: not UTF-8: {error.reason} at byte {error.start}", "save it as UTF-8") from error
    try:
        loader = _LOADER(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            _check(path, root)
            return loader.construct_document(root)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "not YAML"
        raise CocomineError(f"{_place(path, mark)}: {problem}", _remedy(problem)) from error
    except yaml.YAMLError as error:
        raise CocomineError(f"{path}: not YAML: {error}", "correct the file") from error


def read_config(path: Path) -> dict[str, Any]:
    """Return the mapping that a config file holds; raises CocomineError as `read_yaml`, and where it holds none."""
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise CocomineError(f"{path}: holds no mapping of keys", "config/README.md shows a whole config")
    return content


def given_on_command_line(text: str) -> dict[str, Any]:
    """Return what `key=value` says, the value as YAML, so that numbers are numbers at every depth."""
    key, _, value = text.partition("=")
    try:
        return {key: yaml.load(value, Loader=_LOADER)}  # noqa: S506 - a safe loader either way
    except yaml.YAMLError as error:
        raise CocomineError(f"--config {key}: not YAML: {error}", "write key=value, a mapping as {a: 1}") from error


def _place(path: Path, mark: Any) -> str:
    return f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark is not None else str(path)


def _remedy(problem: str) -> str:
    if "'\\t'" in problem or "tab" in problem:
        return "indent with spaces, not with tabs"
    if "mapping values are not allowed" in problem or "found character" in problem:
        return "put a value that holds ': ', '#', '@', '%' or a bracket into quotation marks"
    return "look at this line and the one above it: indentation, colons, quotation marks, brackets"


def _check(path: Path, root: Node) -> None:
    """Raise CocomineError for keys that stand twice, and for a file whose aliases multiply beyond measure."""
    sizes: dict[int, int] = {}
    waiting = [(root, False)]
    open_nodes: set[int] = set()
    while waiting:
        node, seen = waiting.pop()
        children = _children(node)
        if seen:
            sizes[id(node)] = 1 + sum(sizes[id(child)] for child in children)
            open_nodes.discard(id(node))
            if sizes[id(node)] > MOST_NODES:
                raise CocomineError(
                    f"{_place(path, node.start_mark)}: stands for over {MOST_NODES:,} values, by aliases of aliases",
                    "write the values out, or use fewer aliases",
                )
        elif id(node) in open_nodes:
            raise CocomineError(f"{_place(path, node.start_mark)}: an alias that holds itself", "remove the alias")
        elif id(node) not in sizes:
            if isinstance(node, yaml.MappingNode):
                _check_keys(path, node)
            open_nodes.add(id(node))
            waiting.append((node, True))
            waiting += [(child, False) for child in children if id(child) not in sizes]


def _children(node: Node) -> list[Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _check_keys(path: Path, node: yaml.MappingNode) -> None:
    first: dict[tuple[str, str], Any] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
            continue
        here: Any = key.start_mark
        before = first.setdefault((key.tag, key.value), here)
        if before is not here:
            raise CocomineError(
                f"{_place(path, here)}: the key {key.value!r} stands twice, in line {before.line + 1} and in line "
                f"{here.line + 1}",
                "keep one of them: the first would be ignored without a word",
            )
