"""What a page says of the lock that it is part of.

The lock holds the hash of every page, so no page can hold the lock's. A script beside the lock, `build.lock.js`, names
the lock and its pages; each page reads it when it is opened, and says in its footer what follows.
"""

from pathlib import Path

from markupsafe import Markup

from cocomine.base.files import read_json, sha256_of_file
from cocomine.reporting.page import script_text

RESULTS = "results/"


def lock_script(build_lock: Path) -> str:
    """Return the text of build.lock.js: the lock's SHA-256, and its pages by their names below results.

    A page stands there with the SHA-256 of the JSON file of its numbers, "" where it has none: a page that was made
    anew since the lock knows by it that it is not the one that was locked.
    """
    outputs = read_json(build_lock)["outputs"]
    pages = {
        name.removeprefix(RESULTS): outputs.get(name.removesuffix("html") + "json", {"sha256": ""})["sha256"]
        for name in outputs
        if name.endswith(".html")
    }
    return f"window.cocomineLock = {script_text({'sha256': sha256_of_file(build_lock), 'pages': pages})};\n"


def lock_note(up: str, numbers: Path | None = None) -> Markup:
    """Return the elements that a page's own script (lock_note.js) fills in.

    `up` leads from the page to results, `../` for each folder; `numbers` is the page's JSON file, written already.
    """
    facts = sha256_of_file(numbers) if numbers is not None else ""
    return Markup(
        '<p id="build-lock" data-up="{0}" data-facts="{1}" hidden></p>\n<script src="{0}build.lock.js"></script>'
    ).format(up, facts)
