"""The build lock: what went into a build and what came out, in bytes that depend on nothing else.

A lock holds the config in canonical form, the digest of every script's code, the versions of the packages, every
input and every output with its SHA-256 and size. It holds no time, no host and no absolute path, so two builds of the
same config are the same build exactly when their locks are the same file.
"""

import hashlib
import importlib.metadata
import json
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cocomine.base.errors import CocomineError
from cocomine.base.files import canonical_json, read_json, sha256_of_file, write_json
from cocomine.base.progress import Progress
from cocomine.provenance.digests import code_digest, package_versions, reached_files

FORMAT = 1

MOST_SHOWN = 5

# Which rule makes an output, by its name; the first steps stand first, and a test holds the table to the rules.
MADE_BY = (
    (r"/(selection\.tsv|funnel\.json)$", "mine_subset"),
    (r"/images\.lock\.tsv$", "sync_images"),
    (r"/images\.parquet$", "measure_images"),
    (
        r"/(subset\.json|images\.tsv|dictionary\.json|labels\.json|statistics\.json|quarantine\.tsv|repairs\.tsv"
        r"|ATTRIBUTION\.md|interference\.png)$|^results/[^/]+/tasks/",
        "assemble_subset",
    ),
    (r"^results/[^/]+/(split\.tsv|train\.json|val\.json|split_audit\.json|split_tasks/)", "split_dataset"),
    (r"^results/[^/]+/(masks/|masks\.tsv|masks\.json|contact_sheet\.png)", "rasterize_masks"),
    (r"^results/[^/]+/tensors/", "pack_tensors"),
    (r"^results/[^/]+/exports/", "export_dataset"),
    (r"^results/experiments/[^/]+/on-", "evaluate_model"),
    (r"^results/experiments/[^/]+/[^/]+\.(safetensors|json|tsv|csv|png)$", "train_model"),
    (r"^results/experiments/comparison\.", "compare_experiments"),
    (r"^results/[^/]+/report\.(html|json)$", "render_report"),
    (r"^results/index\.", "render_index"),
)

# Outputs that quote the origin which served each file: the same build from another mirror differs in them alone.
SAYS_WHERE_FROM = r"/(images\.lock\.tsv|report\.html|report\.json|index\.html|index\.json)$"

# Written by Snakemake into folders that are outputs; it holds a time.
NOT_OUTPUTS = frozenset({".snakemake_timestamp"})


@dataclass(frozen=True)
class Difference:
    """One thing in which a tree or a lock is unlike another: what it is and how it differs."""

    kind: str
    name: str
    how: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.how}"


def files_below(paths: Iterable[Path]) -> list[Path]:
    """Return the files among `paths` and below the folders among them, sorted by their POSIX names.

    Raises CocomineError when one of them does not exist.
    """
    found: set[Path] = set()
    for path in paths:
        if path.is_dir():
            found |= {file for file in path.rglob("*") if file.is_file() and file.name not in NOT_OUTPUTS}
        elif path.is_file():
            found.add(path)
        else:
            raise CocomineError(f"{path}: no such file or folder", "run snakemake again; it makes what is missing")
    return sorted(found, key=lambda path: path.as_posix())


def fingerprint(path: Path) -> dict[str, Any]:
    """Return the SHA-256 and the size in bytes of a file."""
    return {"sha256": sha256_of_file(path), "bytes": path.stat().st_size}


def _fingerprints(description: str, files: Sequence[Path]) -> dict[str, dict[str, Any]]:
    result = {}
    with Progress(description, len(files), "file") as progress:
        for path in files:
            result[path.as_posix()] = fingerprint(path)
            progress.advance()
    return result


def torch_identity() -> dict[str, str] | None:
    """Return the version and a digest of the installed torch, or None where there is none.

    torch's builds share a version, so the digest is taken over the names and SHA-256s of the files that its wheel
    brought, as the installation records them (compiled `.pyc` files left out).
    """
    try:
        distribution = importlib.metadata.distribution("torch")
    except importlib.metadata.PackageNotFoundError:
        return None
    recorded = sorted(
        f"{file.as_posix()} {file.hash.value}"
        for file in distribution.files or []
        if file.hash is not None and file.parts[0] == "torch" and file.suffix != ".pyc"
    )
    return {"version": distribution.version, "sha256": hashlib.sha256("\n".join(recorded).encode()).hexdigest()}


def make_lock(
    config: Mapping[str, Any], scripts: Path, rules: Sequence[str], inputs: Sequence[Path], outputs: Sequence[Path]
) -> dict[str, Any]:
    """Return the lock of a build.

    `config` is the resolved config without the places where stores lie; `scripts` the folder of the scripts of
    `rules`; `inputs` and `outputs` files or folders, relative to the working directory. Raises CocomineError for an
    absolute path or one that does not exist.
    """
    for path in [*inputs, *outputs]:
        if path.is_absolute() or ".." in path.parts:
            raise CocomineError(f"{path}: a lock holds no path outside the working directory", "give a relative path")
    paths = [scripts / f"{rule}.py" for rule in sorted(rules)]
    modules = sorted({module for path in paths for module in reached_files(path)})
    return {
        "format": FORMAT,
        "config": config,
        "code": {path.stem: code_digest(path) for path in paths},
        "packages": {"python": ".".join(platform.python_version_tuple()[:2]), **package_versions(modules)},
        "torch": torch_identity(),
        "inputs": _fingerprints("hash inputs", files_below(inputs)),
        "outputs": _fingerprints("hash outputs", files_below(outputs)),
    }


def check_against_earlier(lock: Mapping[str, Any], history: Path) -> None:
    """Hold a build to an earlier one of the same config, code, packages and inputs, or remember it as the first.

    `history` is a folder with a lock for each such combination. Raises CocomineError, naming what differs and how to
    make it again, when the same build gave other bytes: a file was damaged or edited, or a step is not deterministic.
    """
    causes = {key: lock[key] for key in ("config", "code", "packages", "torch", "inputs")}
    name = hashlib.sha256(canonical_json(causes).encode()).hexdigest()
    remembered = history / f"{name}.json"
    if not remembered.exists():
        write_lock(remembered, lock)
        return
    found = _differences_of_mapping("output", read_lock(remembered)["outputs"], lock["outputs"])
    differences = [difference for difference in found if not re.search(SAYS_WHERE_FROM, difference.name)]
    if differences:
        shown = [str(difference) for difference in differences[:MOST_SHOWN]]
        more = len(differences) - len(shown)
        raise CocomineError(
            f"the same config, code and inputs gave other bytes before: {len(differences)} outputs differ\n"
            + "\n".join(shown + ([f"… and {more} more"] if more > 0 else [])),
            f"{repair_command(difference.name for difference in differences)}; "
            f"where other bytes are right (a GPU's arithmetic), delete {remembered} and run again",
        )


def repair_command(names: Iterable[str]) -> str:
    """Return the command that makes the outputs called `names` again: their rules, forced."""
    listed = list(names)
    rules = [rule for pattern, rule in MADE_BY if any(re.search(pattern, name) for name in listed)]
    return f"make them again with: ./run snakemake --cores 8 --forcerun {' '.join(rules)}" if rules else "run snakemake"


def write_lock(path: Path, lock: Mapping[str, Any]) -> None:
    """Write a lock in its one canonical form."""
    write_json(path, lock)


def read_lock(path: Path) -> dict[str, Any]:
    """Read a lock; raises CocomineError when it is none or of a format that this version does not know."""
    lock = read_json(path)
    if not isinstance(lock, dict) or lock.get("format") != FORMAT:
        raise CocomineError(f"{path}: not a build lock of format {FORMAT}", "name results/build.lock.json of a build")
    return lock


def differences_of_tree(lock: Mapping[str, Any], root: Path, scripts: Path | None) -> Iterator[Difference]:
    """Yield how the tree at `root` (and the code at `scripts`, unless None) is unlike `lock`.

    Every file of the lock must be there with its bytes, and the folders that hold locked outputs of a build must hold
    no file that the lock does not know.
    """
    for kind in ("inputs", "outputs"):
        with Progress(f"check {kind}", len(lock[kind]), "file") as progress:
            for name, expected in lock[kind].items():
                progress.advance()
                yield from _difference_of_file(kind.removesuffix("s"), name, expected, root / name)
    yield from _unknown_files(lock, root)
    if scripts is not None:
        current = {name: code_digest(scripts / f"{name}.py") for name in lock["code"]}
        yield from _differences_of_mapping("code", lock["code"], current)
        modules = sorted({module for name in lock["code"] for module in reached_files(scripts / f"{name}.py")})
        versions = {"python": ".".join(platform.python_version_tuple()[:2]), **package_versions(modules)}
        yield from _differences_of_mapping("package", lock["packages"], versions)
        if lock["torch"] != torch_identity():
            yield Difference("package", "torch", "another build than the lock's")


def _difference_of_file(kind: str, name: str, expected: Mapping[str, Any], path: Path) -> Iterator[Difference]:
    if not path.is_file():
        yield Difference(kind, name, "missing")
    elif path.stat().st_size != expected["bytes"]:
        yield Difference(kind, name, f"{path.stat().st_size} bytes instead of {expected['bytes']}")
    elif sha256_of_file(path) != expected["sha256"]:
        yield Difference(kind, name, "the same size but other bytes")


def _unknown_files(lock: Mapping[str, Any], root: Path) -> Iterator[Difference]:
    known = set(lock["outputs"])
    folders = {Path(name).parent for name in known} - {Path("results")}
    for folder in sorted(folders):
        for path in sorted((root / folder).glob("*")):
            name = (folder / path.name).as_posix()
            if path.is_file() and path.name not in NOT_OUTPUTS and name not in known:
                yield Difference("output", name, "not in the lock")


def differences_of_locks(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Difference]:
    """Yield how the build `second` is unlike the build `first`: config, code, packages, inputs, outputs."""
    yield from _differences_of_mapping("config", _flat(first["config"]), _flat(second["config"]))
    for kind, name in (("code", "code"), ("package", "packages"), ("input", "inputs"), ("output", "outputs")):
        yield from _differences_of_mapping(kind, first[name], second[name])
    if first["torch"] != second["torch"]:
        yield Difference("package", "torch", f"{first['torch']} became {second['torch']}")


def _differences_of_mapping(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield Difference(kind, name, "gone")
        elif name not in old:
            yield Difference(kind, name, "new")
        elif old[name] != new[name]:
            yield Difference(kind, name, f"{_brief(old[name])} became {_brief(new[name])}")


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value:
        return {prefix.rstrip("."): value}
    return {name: leaf for key, part in value.items() for name, leaf in _flat(part, f"{prefix}{key}.").items()}


def _brief(value: Any) -> str:
    if isinstance(value, Mapping) and "sha256" in value:
        return f"{str(value['sha256'])[:12]} ({value['bytes']} bytes)"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 60 else text[:57] + "…"
