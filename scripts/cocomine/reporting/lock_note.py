"""What a page says of the lock that it is part of.

The lock holds the hash of every page, so no page can hold the lock's. A script beside the lock, `build.lock.js`, names
the lock and its pages; each page reads it when it is opened, and says in its footer what follows.
"""

from pathlib import Path

from markupsafe import Markup

from cocomine.base.files import read_json, sha256_of_file
from cocomine.base.tree import entry_of_folder, files_in, fingerprints
from cocomine.reporting.page import script_text

RESULTS = "results/"


def lock_script(build_lock: Path) -> str:
    """Return the text of build.lock.js: the lock's SHA-256, and its pages by their names below results.

    A page stands there with the SHA-256 of the JSON file of its numbers, or of the folder of its data, "" where it has
    neither: a page that was made anew since the lock knows by it that it is not the one that was locked.
    """
    outputs = read_json(build_lock)["outputs"]
    pages = {}
    for name in outputs:
        if name.endswith(".html"):
            stem = name.removesuffix(".html")
            facts = outputs.get(f"{stem}.json") or outputs.get(f"{stem}/") or {"sha256": ""}
            pages[name.removeprefix(RESULTS)] = facts["sha256"]
    return f"window.cocomineLock = {script_text({'sha256': sha256_of_file(build_lock), 'pages': pages})};\n"


def lock_note(up: str, numbers: Path | None = None) -> Markup:
    """Return the elements that a page's own script (lock_note.js) fills in.

    `up` leads from the page to results, `../` for each folder; `numbers` is the page's JSON file or the folder of its
    data, written already.
    """
    facts = "" if numbers is None else _sha256_of_folder(numbers) if numbers.is_dir() else sha256_of_file(numbers)
    return Markup(
        '<p id="build-lock" data-up="{0}" data-facts="{1}" hidden></p>\n<script src="{0}build.lock.js"></script>'
    ).format(up, facts)


def _sha256_of_folder(folder: Path) -> str:
    """As a lock says it."""
    files = files_in(folder)
    entry, _ = entry_of_folder(folder, files, fingerprints("hash the page's data", files))
    return str(entry["sha256"])
