"""Holding a tree to its lock: every input, output and image with its very bytes, and nothing else beside them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_table
from cocomine.base.tree import NOT_OUTPUTS, Listings, entry_of_folder, files_in, fingerprints, read_listing
from cocomine.provenance.digests import code_digest, reached_files
from cocomine.provenance.lock import Difference, Lock, differences, synced, torch_identity, versions_of
from cocomine.sources.proof import LEDGER
from cocomine.transfer.ledger import Ledger

HISTORY = Path("data/locks")
IMAGES_LOCK = "images.lock.tsv"
PREDICTIONS = r"results/predictions/[^/]+/"
"""The folders of figures of predictions, by their names in a lock."""

How = Literal["bytes", "fast", "none"]
"""How images are looked at: read, by size and time as the store remembers them, or not at all."""


def differences_of_tree(
    lock: Lock,
    root: Path,
    scripts: Path | None,
    images: How = "bytes",
    processes: int = 1,
    index: Path | None = None,
) -> Iterator[Difference]:
    """Yield how the tree at `root` (and the code at `scripts`, unless None) is unlike `lock`.

    Every file of the lock must be there with its bytes, and so must be every file that a sync brought and every image
    of the subsets, as the locks of the syncs have them; folders that hold outputs must hold no file that the lock does
    not know. With `index`, the page in whose folder the lock lies, it must be what the reports and the lock make.
    """
    for kind in ("inputs", "outputs"):
        yield from _files(kind, lock[kind], root, processes)
    brought = {name: sha256 for name, sha256 in synced(root, lock["inputs"]).items() if name not in lock["inputs"]}
    yield from _unlike("input", "check synced files", brought, root, processes)
    yield from _unknown_files(lock, root)
    for store, locked in images_of(lock, root).items():
        yield from _images(store, locked, root, images, processes)
    if index is not None:
        yield from _index(lock, root, index)
    if scripts is not None:
        yield from _code(lock, scripts)


def _files(kind: str, entries: Mapping[str, Any], root: Path, processes: int) -> Iterator[Difference]:
    one, listings = kind.removesuffix("s"), Listings(root / HISTORY / "files")
    inside = {name: files_in(root / name) if name.endswith("/") else [str(root / name)] for name in entries}
    found = fingerprints(f"check {kind}", [file for files in inside.values() for file in files], processes)
    for name, expected in entries.items():
        rule, files = expected.get("rule", ""), inside[name]
        own = islice(found, len(files))
        if not name.endswith("/"):
            sha256, size = next(own)
            if size != expected["bytes"] or sha256 != expected["sha256"]:
                yield Difference(one, name, _how(size, expected["bytes"]), rule)
            continue
        entry, text = entry_of_folder(root / name, files, own)
        if entry["sha256"] == expected["sha256"]:
            continue
        known = listings.read(expected["sha256"])
        if not (root / name).is_dir():
            yield Difference(one, name, "missing", rule)
        elif known is None:
            listing = f"the listing {HISTORY}/files/{expected['sha256']}.gz is not here to name them"
            yield Difference(one, name, f"other files, or other bytes in them; {listing}", rule)
        else:
            yield from _in_folder(one, name, known, read_listing(text), rule)
    assert next(found, None) is None  # to its end, where it says how long it took


def _in_folder(
    kind: str, folder: str, known: Mapping[str, str], now: Mapping[str, str], rule: str
) -> Iterator[Difference]:
    said = {"gone": "missing", "new": "not in the lock"}
    for difference in differences(kind, known, now):
        yield Difference(kind, folder + difference.name, said.get(difference.how, "other bytes"), rule)


def _how(size: int, expected: int) -> str:
    if size < 0:
        return "missing"
    return "the same size but other bytes" if size == expected else f"{size} bytes instead of {expected}"


def _unlike(kind: str, what: str, locked: Mapping[str, str], root: Path, processes: int) -> Iterator[Difference]:
    """Yield the files whose SHA-256 is not the one locked."""
    if not locked:
        return
    found = fingerprints(what, [str(root / name) for name in locked], processes)
    for (name, sha256), (now, size) in zip(locked.items(), found, strict=True):
        if now != sha256:
            yield Difference(kind, name, "missing" if size < 0 else "other bytes")


def _unknown_files(lock: Lock, root: Path) -> Iterator[Difference]:
    known = set(lock["outputs"])
    folders = {Path(name).parent for name in known} - {Path("results")}
    for folder in sorted(folders):
        for path in sorted((root / folder).glob("*")):
            name = (folder / path.name).as_posix()
            if path.is_file() and path.name not in NOT_OUTPUTS and name not in known:
                yield Difference("output", name, "not in the lock")


def images_of(lock: Lock, root: Path) -> dict[str, dict[str, str]]:
    """Return, for each store, path in it -> SHA-256 of the images that the subsets of the lock have.

    They are read from the subsets' own locks, which are outputs and held to theirs.
    """
    result: dict[str, dict[str, str]] = {}
    config = lock["config"]
    for subset, settings in config.get("subsets", {}).items():
        table = root / "results" / subset / IMAGES_LOCK
        if table.is_file():
            store = config["sources"][settings["source"]]["store"]
            rows = (row for row in read_table(table) if row["status"] == "ok")
            result.setdefault(store, {}).update((row["store_path"], row["sha256"]) for row in rows)
    return result


def _images(store: str, locked: Mapping[str, str], root: Path, how: How, processes: int) -> Iterator[Difference]:
    folder = root / "data" / "images" / store
    prefix = f"data/images/{store}"
    if how == "none":
        return
    if not folder.exists():
        yield Difference("image", prefix, f"missing as a whole, with {len(locked)} images", "sync_images")
    elif how == "bytes":
        named = {f"{prefix}/{name}": sha256 for name, sha256 in locked.items()}
        for one in _unlike("image", f"check images of {store}", named, root, processes):
            yield Difference(one.kind, one.name, one.how, "sync_images")
    else:
        yield from _by_size_and_time(prefix, folder, locked)


def _by_size_and_time(prefix: str, folder: Path, locked: Mapping[str, str]) -> Iterator[Difference]:
    entries = Ledger(folder / LEDGER).read()
    for name, sha256 in locked.items():
        entry = entries.get(name)
        try:
            status = (folder / name).stat()
        except OSError:
            yield Difference("image", f"{prefix}/{name}", "missing", "sync_images")
            continue
        if entry is None or entry.sha256 != sha256:
            yield Difference("image", f"{prefix}/{name}", "the store remembers other bytes, or none", "sync_images")
        elif (status.st_size, status.st_mtime_ns) != (entry.bytes, entry.mtime_ns):
            yield Difference("image", f"{prefix}/{name}", "another size or time than remembered", "sync_images")


def _code(lock: Lock, scripts: Path) -> Iterator[Difference]:
    current = {name: code_digest(path) for name in lock["code"] if (path := scripts / f"{name}.py").is_file()}
    yield from differences("code", lock["code"], current)
    modules: Sequence[Path] = sorted({one for name in current for one in reached_files(scripts / f"{name}.py")})
    yield from differences("package", lock["packages"], versions_of(modules))
    if lock["torch"] != torch_identity():
        yield Difference("package", "torch", "another build than the lock's")


def _index(lock: Lock, root: Path, index: Path) -> Iterator[Difference]:
    """Make again what is made of the lock, and so has no hash in it, and compare."""
    from cocomine.reporting.index import make_index  # not at the top: templates are slow to import
    from cocomine.reporting.lock_note import lock_script

    reports = [root / name for name in lock["outputs"] if name.endswith("/report.html")]
    comparison = root / "results" / "experiments" / "comparison.json"
    known = comparison.relative_to(root).as_posix() in lock["outputs"]
    try:
        judged = [root / name for name in lock["outputs"] if re.fullmatch(PREDICTIONS, name)]
        build_lock = index.parent / "build.lock.json"
        made = (*make_index(reports, comparison if known else None, build_lock, index, judged), lock_script(build_lock))
    except CocomineError as error:
        yield Difference("output", index.relative_to(root).as_posix(), f"cannot be made again: {error.message}")
        return
    paths = (index, index.with_suffix(".json"), build_lock.with_suffix(".js"))
    for path, text in zip(paths, made, strict=True):
        if not path.is_file() or path.read_bytes() != text.encode():
            how = "other than the reports and the lock make it" if path.is_file() else "missing"
            rule = "lock_build" if path.suffix == ".js" else "render_index"
            yield Difference("output", path.relative_to(root).as_posix(), how, rule)
