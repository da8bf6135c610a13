"""Digests of code: what a script's result can depend on, and nothing else.

A digest covers the script and every module of cocomine that it reaches by imports, as syntax trees without docstrings
(comments and layout are not in a tree at all), the data files that lie in the folders of those modules, and the
versions of the packages they import. An edit that can change a result changes the digest; a comment does not.
"""

import ast
import hashlib
import importlib.metadata
import itertools
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from cocomine.base.errors import CocomineError
from cocomine.base.files import write_text

# Import names whose distribution is called otherwise.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "botocore": "botocore",
    "google.api_core": "google-api-core",
    "google.auth": "google-auth",
    "google.cloud": "google-cloud-storage",
    "google.oauth2": "google-auth",
    "google_crc32c": "google-crc32c",
    "tensorboardX": "tensorboardx",
    "vl_convert": "vl-convert-python",
    "yaml": "pyyaml",
}


def code_digest(script: Path) -> str:
    """Return the hex SHA-256 of everything that `script`'s results can depend on but its inputs and parameters.

    Raises CocomineError when a package that it imports is not installed.
    """
    script = script.resolve()
    modules = sorted(reached_files(script))
    root = script.parent
    result = hashlib.sha256()
    for path in modules:
        result.update(f"{path.relative_to(root).as_posix()}\0{_tree_digest(path)}\n".encode())
    for path in sorted(data_files(modules)):
        result.update(f"{path.relative_to(root).as_posix()}\0{_bytes_digest(path)}\n".encode())
    for package, version in package_versions(modules).items():
        result.update(f"{package}=={version}\n".encode())
    _remember()
    return result.hexdigest()


def reached_files(script: Path) -> set[Path]:
    """Return `script` and every file of cocomine that it imports, directly or not, at the top or inside a function."""
    root = script.resolve().parent
    waiting, reached = [script.resolve()], set[Path]()
    while waiting:
        path = waiting.pop()
        if path in reached:
            continue
        reached.add(path)
        for name in _imports(path):
            waiting.extend(_files_of_module(root, name) - reached)
    return reached


def data_files(modules: list[Path]) -> set[Path]:
    """Return the files beside `modules` that are no Python: templates, presets, styles."""
    folders = {path.parent for path in modules if (path.parent / "__init__.py").exists()}
    return {
        path
        for folder in folders
        for path in folder.iterdir()
        if path.is_file() and path.suffix not in (".py", ".pyc") and not path.name.startswith(".")
    }


def package_versions(modules: list[Path]) -> dict[str, str]:
    """Return the installed version of every third-party distribution that `modules` import, by name, sorted."""
    names = {distribution for path in modules for name in _imports(path) if (distribution := _distribution(name))}
    return {name: _version(name) for name in sorted(names)}


def _distribution(module: str) -> str | None:
    top = module.split(".", maxsplit=1)[0]
    if top == "cocomine" or top in sys.stdlib_module_names:
        return None
    two = ".".join(module.split(".")[:2])
    return DISTRIBUTIONS.get(two) or DISTRIBUTIONS.get(top) or (None if top == "google" else top.replace("_", "-"))


@cache
def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError as error:
        raise CocomineError(
            f"the package {distribution} is not installed", "run through ./run, or install envs/pinned.txt"
        ) from error


@cache
def _files_of_module(root: Path, name: str) -> frozenset[Path]:
    parts = name.split(".")
    if parts[0] != "cocomine":
        return frozenset()
    found = {root.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)}
    found.add(root.joinpath(*parts).with_suffix(".py"))
    return frozenset(path for path in found if path.is_file())


class _Facts(NamedTuple):
    """What a walk needs to know of a file: the digest of its tree, and the names that it imports."""

    tree: str
    imports: list[str]


@cache
def _facts(path: Path) -> _Facts:
    source = path.read_bytes()
    key = hashlib.sha256(source).hexdigest()
    remembered = _memory().get(key)
    if remembered is None:
        remembered = _facts_of_source(source, path.name)
        _memory()[key] = remembered
        _LEARNT.append(key)
    return _Facts(*remembered)


def _imports(path: Path) -> list[str]:
    return _facts(path).imports


def _tree_digest(path: Path) -> str:
    return _facts(path).tree


def _facts_of_source(source: bytes, name: str) -> _Facts:
    tree = ast.parse(source, filename=name)
    imports = sorted(set(_imported_names(tree)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _docstring(node):
            node.body = node.body[1:]
    return _Facts(hashlib.sha256(written(tree).encode()).hexdigest(), imports)


def written(node: object) -> str:
    """Return a syntax tree, or a part of one, as text that every version of Python gives of the same source.

    `ast.dump` does not: 3.12 gave functions a field `type_params`, 3.13 leaves out fields that are empty, and the
    constants of an f-string are cut in different places. So empty fields are left out and those constants joined.
    """
    if isinstance(node, ast.JoinedStr):
        return f"JoinedStr({','.join(_pieces(node))})"
    if isinstance(node, ast.AST):
        fields = [(name, value) for name, value in ast.iter_fields(node) if value not in (None, [])]
        kept = (f"{name}={written(value)}" for name, value in fields if not isinstance(value, ast.expr_context))
        return f"{type(node).__name__}({','.join(kept)})"
    return f"[{','.join(map(written, node))}]" if isinstance(node, list) else repr(node)


def _pieces(node: ast.JoinedStr) -> Iterator[str]:
    for constant, values in itertools.groupby(node.values, lambda value: isinstance(value, ast.Constant)):
        if constant:
            text = "".join(str(value.value) for value in values if isinstance(value, ast.Constant))
            yield from [repr(text)] if text else []
        else:
            yield from map(written, values)


# Parsing 170 files takes most of a second, at every start of Snakemake. What was learnt of a file is remembered where
# Python remembers its bytecode, by the digest of its source: a copy of the project need not learn it again.
_LEARNT: list[str] = []


def _memory_file() -> Path:
    return Path(__file__).parent / "__pycache__" / f"trees.{sys.implementation.cache_tag}.json"


@cache
def _memory() -> dict[str, Any]:
    try:
        remembered = json.loads(_memory_file().read_bytes())
    except (OSError, ValueError):
        return {}
    return remembered if isinstance(remembered, dict) else {}


def _remember() -> None:
    if not _LEARNT:
        return
    _LEARNT.clear()
    # A folder that cannot be written, as in a shared installation, costs time and nothing else.
    with suppress(OSError):
        write_text(_memory_file(), json.dumps(_memory()))


def _imported_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    first = node.body[0] if node.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


@cache
def _bytes_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
