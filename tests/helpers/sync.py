"""Running the sync scripts as users do, and saying what a folder holds."""

import os
import subprocess
import sys
from pathlib import Path

from cocomine.base.files import write_table

from helpers.shared import ROOT


def script(
    name: str,
    *arguments: object,
    env: dict[str, str] | None = None,
    timeout: float = 120.0,
    user: str | None = None,
) -> "Result":
    """Run scripts/NAME in a process of its own, as another user where one is given (which only root can)."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("GOOGLE_", "STORAGE_", "AWS_"))}
    environment |= {"NO_PROXY": "127.0.0.1,localhost", **(env or {})}
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / name), *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        user=user,
    )
    return Result(done.returncode, done.stdout, done.stderr)


class Result:
    """What a script said and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def ok(self) -> "Result":
        """Fail the test, with what was said, unless the exit code is 0."""
        assert self.code == 0, self.err + self.out
        return self


def tree(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder and their bytes, without what cocomine keeps for itself."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".cocomine" not in path.parts
    }


def write_selection(path: Path, names: list[str], roles: dict[str, str] | None = None) -> Path:
    """Write a selection.tsv of these store paths."""
    columns = ("image_id", "source_split", "file_name", "store_path", "width", "height", "role", "rank")
    rows = []
    for number, name in enumerate(names):
        split, _, file = name.partition("/")
        rows.append((number, split, file, name, 1, 1, (roles or {}).get(name, "wanted"), number))
    write_table(path, columns, rows)
    return path
