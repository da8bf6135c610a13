"""The settings of each job, in a file of their own: never on a command line, where other users and Snakemake read them.

A file's name holds a digest of its content without secrets, so the name alone says whether a job has to run again, and
a new password does not.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cocomine.base.errors import without_secrets
from cocomine.base.files import atomic_path, canonical_json

FOLDER = Path("data/settings")


@dataclass(frozen=True)
class SettingsFile:
    """The settings of one job: `section` and `name` say whose they are, `content` is anything that JSON can hold."""

    section: str
    name: str
    content: Any = field(repr=False)

    @property
    def path(self) -> str:
        """Where they lie in the working directory."""
        digest = hashlib.sha256(canonical_json(_public(self.content)).encode()).hexdigest()
        return (FOLDER / self.section / f"{self.name}-{digest[:16]}.json").as_posix()

    def write(self, work_dir: Path) -> None:
        """Write the file unless it is there with this content; only its owner may read one that holds secrets."""
        path, text = work_dir / self.path, canonical_json(self.content) + "\n"
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return
        mode = 0o666 if text == canonical_json(_public(self.content)) + "\n" else 0o600
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with atomic_path(path) as temporary, open(os.open(temporary, flags, mode), "w", encoding="utf-8") as out:
            out.write(text)


def write_settings(files: Iterable[SettingsFile], work_dir: Path, sweep: bool) -> None:
    """Write `files` below `work_dir`; with `sweep`, remove those of earlier configs."""
    listed = list(files)
    for file in listed:
        file.write(work_dir)
    if sweep:
        for path in set((work_dir / FOLDER).glob("*/*.json")) - {work_dir / file.path for file in listed}:
            path.unlink(missing_ok=True)


def _public(value: Any) -> Any:
    """Return `value` with the secrets of its URLs left out."""
    if isinstance(value, dict):
        return {key: _public(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_public(part) for part in value]
    return without_secrets(value) if isinstance(value, str) else value
