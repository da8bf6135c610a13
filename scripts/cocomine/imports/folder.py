"""What the planning of a workflow asks of imported labels: their folder, its state, and what was set aside."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from cocomine.base.errors import CocomineError
from cocomine.base.files import read_json
from cocomine.imports.files import Files
from cocomine.sources.settings import SourceSettings


def open_folder(settings: SourceSettings) -> Path:
    """Return the folder of the labels. Raises CocomineError when it is not there, or holds the working directory."""
    root = Path(settings.folder)
    if not root.is_dir():
        raise CocomineError(f"folder {root}: no such folder", "give the folder that holds the labels and the images")
    if Path.cwd().is_relative_to(root.resolve()):
        raise CocomineError(
            f"folder {root}: the build would lie inside the folder of the labels",
            "build elsewhere: --directory ../work, with the path of the folder from there, or in full",
        )
    return root


def state_of(settings: SourceSettings) -> str:
    """Return a digest of the names, sizes and times of all files of the folder; empty where there is no folder.

    A look that reads no file: by it an import runs again when a label or an image was added, changed or removed.
    """
    try:
        files = Files(open_folder(settings), settings.follow_links)
    except CocomineError:
        return ""
    digest = hashlib.sha256()
    for path in files.all:
        try:
            state = (files.root / path).stat(follow_symlinks=settings.follow_links)
        except OSError:
            continue
        digest.update(f"{path}\0{state.st_size}\0{state.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def told(folders: Iterable[Path]) -> list[str]:
    """Return a line for every import below `folders` that has set labels or files aside, for the end of a run."""
    return [
        f"warning: {_words(file)} [{file.parent.name}]: see {file.with_name('quarantine.tsv')}"
        for file in (folder / "import.json" for folder in folders)
        if file.is_file() and _words(file)
    ]


def _words(manifest: Path) -> str:
    """Say how much of what was set aside; empty where nothing was."""
    counts = read_json(manifest)["counts"]
    lost = {kind: sum(row["quarantined"].values()) for kind, row in counts.items()}
    return ", ".join(f"{number} of {counts[kind]['in']} {kind} set aside" for kind, number in lost.items() if number)
