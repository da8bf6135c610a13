"""The build lock: what went into a build and what came out, in bytes that depend on nothing else.

A lock holds the config in canonical form, the digest of every script's code, the versions of the packages, and every
input and output with its SHA-256 and size; a folder of outputs is one entry, whose hash is that of its listing. It
holds no time, no host and no absolute path, so two builds of the same config are the same build exactly when their
locks are the same file.
"""

import hashlib
import importlib.metadata
import json
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import cocomine
from cocomine.base.commands import commands
from cocomine.base.errors import CocomineError
from cocomine.base.files import canonical_json, read_json, write_json, write_text
from cocomine.base.tree import Listings, entry_of_folder, files_in, fingerprints
from cocomine.provenance.digests import code_digest, package_versions, reached_files
from cocomine.sources.proof import changed_annotations

FORMAT = 2

MOST_SHOWN = 5

SYNC_LOCK = "sync.lock.json"

PROGRAM = "program.json"
"""What is said of a program of the user's: its command, versions, and what it wrote."""

# Outputs that quote the origin which served each file: the same build from another mirror differs in them alone.
SAYS_WHERE_FROM = r"/(images\.lock\.tsv|report\.html|report\.json)$"

Lock = dict[str, Any]


@dataclass(frozen=True)
class Difference:
    """One thing in which a tree or a lock is unlike another: what it is, how it differs, and which rule makes it."""

    kind: str
    name: str
    how: str
    rule: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.how}"


def versions_of(modules: Sequence[Path]) -> dict[str, str]:
    """Return the versions of cocomine, of Python (major.minor) and of the packages that `modules` import."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"cocomine": cocomine.__version__, "python": python, **package_versions(list(modules))}


@cache
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
    config: Mapping[str, Any],
    scripts: Path,
    rules: Sequence[str],
    inputs: Sequence[Path],
    outputs: Sequence[Path],
    made_by: Mapping[str, str] | None = None,
    listings: Listings | None = None,
    processes: int = 1,
    not_ours: Sequence[Path] = (),
) -> Lock:
    """Return the lock of a build.

    `config` is the resolved config without the places where stores lie; `scripts` the folder of the scripts of
    `rules`; `inputs` and `outputs` files or folders, relative to the working directory; `made_by` tells which rule
    makes an output, by the rules' own patterns; `listings` keeps what is in each folder. What lies in `not_ours` was
    made by a program of the user's, whose bytes are not held to be the same each time. Raises CocomineError for an
    absolute path, one that does not exist, and an input that is not as the sync of its source locked it.
    """
    for path in [*inputs, *outputs]:
        if path.is_absolute() or ".." in path.parts:
            raise CocomineError(f"{path}: a lock holds no path outside the working directory", "give a relative path")
        if not path.exists():
            raise CocomineError(f"{path}: no such file or folder", f"make it with: {commands().again()}")
    paths = [scripts / f"{rule}.py" for rule in sorted(rules)]
    modules = sorted({module for path in paths for module in reached_files(path)})
    lock_of_inputs = _entries("hash inputs", inputs, {}, None, processes)
    locked = synced(Path(), lock_of_inputs)
    found = fingerprints("check synced files", list(locked), processes)
    for (name, wanted), (sha256, _) in zip(locked.items(), found, strict=True):
        if sha256 != wanted:
            raise changed_annotations(Path(name), f"its SHA-256 is {sha256 or 'none'}, and {wanted} was locked")
    made = _entries("hash outputs", outputs, made_by or {}, listings, processes)
    for name, entry in made.items():
        if any(Path(name).is_relative_to(folder) for folder in not_ours):
            entry["reproducible"] = False
    programs = {path.parent.name: read_json(path) for path in outputs if path.name == PROGRAM}
    return {
        "format": FORMAT,
        "config": config,
        "code": {path.stem: code_digest(path) for path in paths},
        "packages": versions_of(modules),
        "torch": torch_identity(),
        "inputs": lock_of_inputs,
        "outputs": made,
        **({"programs": programs} if programs else {}),
    }


def _entries(
    what: str, paths: Sequence[Path], made_by: Mapping[str, str], listings: Listings | None, processes: int
) -> dict[str, dict[str, Any]]:
    """Return the entry of each file, and of each folder under its name with a slash at the end."""
    inside = {path: files_in(path) if path.is_dir() else [str(path)] for path in dict.fromkeys(paths)}
    ordered = sorted(inside.items(), key=lambda pair: pair[0].as_posix())
    prints = fingerprints(what, [file for _, files in ordered for file in files], processes)
    result: dict[str, dict[str, Any]] = {}
    for path, files in ordered:
        name, own = path.as_posix(), islice(prints, len(files))
        if path.is_dir():
            name += "/"
            entry, text = entry_of_folder(path, files, own)
            if listings is not None:
                listings.keep([text])
        else:
            sha256, size = next(own)
            entry = {"sha256": sha256, "bytes": size}
        rule = rule_of(name, made_by)
        result[name] = entry | ({"rule": rule} if rule else {})
    assert next(prints, None) is None  # to its end, where it says how long it took
    return result


def rule_of(name: str, made_by: Mapping[str, str]) -> str:
    """Return the rule that makes the output `name`; `made_by` gives the rule of each pattern such as `x/{subset}.tsv`.

    Of several patterns that fit the one with most letters of its own counts; "" where none does.
    """
    fitting = [pattern for pattern in made_by if re.fullmatch(_expression(pattern), name.rstrip("/"))]
    return made_by[max(fitting, key=lambda pattern: len(re.sub(r"{.*?}", "", pattern)))] if fitting else ""


def _expression(pattern: str) -> str:
    literal = re.split(r"({.*?})", pattern)
    return "".join("[^/]+" if part.startswith("{") else re.escape(part) for part in literal)


def synced(root: Path, inputs: Mapping[str, Any]) -> dict[str, str]:
    """Return name -> SHA-256 of every file that the syncs of a lock's inputs brought, PNGs of panoptic files too."""
    result: dict[str, str] = {}
    for name in inputs:
        path = root / name
        if path.name == SYNC_LOCK and path.is_file():
            rows = read_json(path)["files"]
            result |= {(Path(name).parent / file).as_posix(): row["sha256"] for file, row in rows.items()}
    return result


def check_against_earlier(lock: Lock, history: Path, logs: Path = Path("logs")) -> None:
    """Hold a build to earlier ones in `history`, or remember it.

    A build of the same config, code, packages and inputs must give the same bytes; and an output that differs from the
    last build's must have been made since, which its job's log in `logs` tells. Raises CocomineError otherwise, naming
    what differs and how to make it again: a file was damaged or edited, or a step is not deterministic.
    """
    causes = {key: lock[key] for key in ("config", "code", "packages", "torch", "inputs")}
    name = hashlib.sha256(canonical_json(causes).encode()).hexdigest()
    remembered, latest = history / f"{name}.json", history / "latest"
    listings = Listings(history / "files")
    if remembered.exists() and is_lock(remembered):
        found = differences("output", read_lock(remembered)["outputs"], lock["outputs"], listings)
        _stop_at(
            "the same config, code and inputs gave other bytes before",
            [one for one in found if not re.search(SAYS_WHERE_FROM, one.name) and not _not_ours(one.name, lock)],
            f"; where other bytes are right (a GPU's arithmetic), delete {remembered} and run again",
        )
    elif latest.is_file() and is_lock(last := history / latest.read_text(encoding="utf-8").strip()):
        since = latest.stat().st_mtime
        before = {name: entry for name, entry in read_lock(last)["outputs"].items() if name in lock["outputs"]}
        found = differences("output", before, {name: lock["outputs"][name] for name in before}, listings)
        changed = [one for one in found if one.rule and not _made_since(one, logs, since)]
        _stop_at("outputs of the last build were changed, and no step has made them since", changed)
    write_lock(remembered, lock)
    write_text(latest, f"{remembered.name}\n")


def _not_ours(name: str, lock: Lock) -> bool:
    """Tell whether an output, or the folder that it lies in, was made by a program of the user's."""
    holding = (entry for path, entry in lock["outputs"].items() if path == name or name.startswith(path))
    return any(entry.get("reproducible") is False for entry in holding)


def _made_since(difference: Difference, logs: Path, since: float) -> bool:
    """Tell whether a job of the rule that makes the output has run since, or leaves no log to tell it by."""
    parts = {part.removeprefix("on-") for part in Path(difference.name).parts} | {"all"}
    found = (path for path in (logs / difference.rule).rglob("*.log"))
    times = [
        path.stat().st_mtime
        for path in found
        if set(path.relative_to(logs / difference.rule).with_suffix("").parts) <= parts
    ]
    return not times or max(times) > since


def _stop_at(what: str, found: Sequence[Difference], otherwise: str = "") -> None:
    if found:
        more = [f"… and {len(found) - MOST_SHOWN} more"] if len(found) > MOST_SHOWN else []
        shown = [str(difference) for difference in found[:MOST_SHOWN]]
        raise CocomineError(
            "\n".join([f"{what}: {len(found)} outputs differ", *shown, *more]), repair_hint(found) + otherwise
        )


def repair_hint(found: Iterable[Difference], root: Path = Path()) -> str:
    """Return the command that makes again what differs: the rules that make it, forced."""
    rules = dict.fromkeys(difference.rule for difference in found if difference.rule)
    return f"make them again with: {commands(root).again(*rules)}"


def write_lock(path: Path, lock: Lock) -> None:
    """Write a lock in its one canonical form."""
    write_json(path, lock)


def files_of(entries: Mapping[str, Any]) -> int:
    """Return how many files the entries of a lock stand for."""
    return sum(int(entry.get("files", 1)) for entry in entries.values())


def is_lock(path: Path) -> bool:
    """Tell whether a file is a lock of this version's format; one of an earlier version remembers nothing for us."""
    try:
        read_lock(path)
    except CocomineError:
        return False
    return True


def read_lock(path: Path) -> Lock:
    """Read a lock; raises CocomineError when it is none or of a format that this version does not know."""
    lock = read_json(path)
    if not isinstance(lock, dict) or lock.get("format") != FORMAT:
        raise CocomineError(f"{path}: not a build lock of format {FORMAT}", "name results/build.lock.json of a build")
    return lock


def differences_of_locks(first: Lock, second: Lock, listings: Listings | None = None) -> Iterator[Difference]:
    """Yield how the build `second` is unlike the build `first`: config, code, packages, inputs, outputs."""
    yield from differences("config", _flat(first["config"]), _flat(second["config"]))
    for kind, name in (("code", "code"), ("package", "packages"), ("input", "inputs"), ("output", "outputs")):
        yield from differences(kind, first[name], second[name], listings)
    yield from differences("program", first.get("programs", {}), second.get("programs", {}))
    if first["torch"] != second["torch"]:
        yield Difference("package", "torch", f"{first['torch']} became {second['torch']}")


def differences(
    kind: str, old: Mapping[str, Any], new: Mapping[str, Any], listings: Listings | None = None
) -> Iterator[Difference]:
    """Yield how one part of a lock is unlike another's; files of a folder are named where its listings are kept."""
    for name in sorted(old.keys() | new.keys()):
        rule = _rule(new.get(name)) or _rule(old.get(name))
        if name not in new:
            yield Difference(kind, name, "gone", rule)
        elif name not in old:
            yield Difference(kind, name, "new", rule)
        elif old[name] != new[name]:
            before = listings.read(old[name]["sha256"]) if listings and name.endswith("/") else None
            after = listings.read(new[name]["sha256"]) if listings and before is not None else None
            if before is None or after is None:
                yield Difference(kind, name, f"{_brief(old[name])} became {_brief(new[name])}", rule)
            else:
                for one in differences(kind, before, after):
                    yield Difference(kind, name + one.name, one.how, rule)


def _rule(entry: Any) -> str:
    return str(entry.get("rule", "")) if isinstance(entry, Mapping) else ""


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value:
        return {prefix.rstrip("."): value}
    return {name: leaf for key, part in value.items() for name, leaf in _flat(part, f"{prefix}{key}.").items()}


def _brief(value: Any) -> str:
    if isinstance(value, Mapping) and "sha256" in value:
        files = f"{value['files']} files, " if "files" in value else ""
        return f"{str(value['sha256'])[:12]} ({files}{value['bytes']} bytes)"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 64 else text[:61] + "…"
