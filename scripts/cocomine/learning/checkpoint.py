"""Checkpoints that are resumed only by the very same run: keyed by the digest of config, code and data."""

import errno
import hashlib
import io
import logging
import pickle
import time
from pathlib import Path
from typing import Any

import torch

from cocomine.base.errors import CocomineError
from cocomine.base.files import atomic_path, canonical_json
from cocomine.base.staging import INCOMPLETE, sweep
from cocomine.learning.away import Away

log = logging.getLogger("cocomine")

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def key_of(config: dict[str, Any], code: str, data: str) -> str:
    """Return the key of a run: a SHA-256 of its resolved config, its code's digest and its data's digest."""
    return hashlib.sha256(canonical_json({"config": config, "code": code, "data": data}).encode()).hexdigest()


def first_line(error: BaseException) -> str:
    """Return an error's first line, or its type where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


class Store:
    """The one checkpoint of a run in `folder`, in a file that is named by the run's key; its copy is in `copied_to`."""

    def __init__(self, folder: Path, key: str, copied_to: str = "", every: float = 0.0) -> None:
        self.folder = folder
        self.key = key
        self.path = folder / f"{key[:32]}.pt"
        self.away = Away(copied_to, self.path) if copied_to else None
        self.every = every  # seconds between two copies
        self._copied = time.monotonic()

    def fetch(self) -> None:
        """Bring the copy of the checkpoint where this machine has none."""
        if self.away is not None:
            self.away.fetch()

    def load(self) -> dict[str, Any] | None:
        """Return the last state saved under this very key, or None.

        Read with `weights_only=True`: tensors and plain values, nothing is unpickled. A checkpoint of another key is
        never read. Raises CocomineError when the file is damaged.
        """
        others = sorted(path.name for path in self.folder.glob("*.pt") if path != self.path)
        if others:
            log.info("%d checkpoint(s) of another config, code or data in %s are left alone", len(others), self.folder)
        sweep(self.folder / INCOMPLETE)
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            return None
        except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, OSError) as error:
            raise CocomineError(
                f"checkpoint {self.path} cannot be read: {first_line(error)}",
                "delete it; training starts again",
            ) from error
        if not isinstance(state, dict) or state.get("key") != self.key:
            raise CocomineError(f"checkpoint {self.path} belongs to another run", "delete it; training starts again")
        return state

    def save(self, state: dict[str, Any], stopping: bool = False) -> None:
        """Replace the checkpoint atomically, and its copy when it is time or the run stops.

        Raises CocomineError when the disk is full; the last one stays.
        """
        # Through memory, since torch's own zip writer turns a full disk into a RuntimeError without a reason.
        buffer = io.BytesIO()
        torch.save({**state, "key": self.key}, buffer)
        with saying_when_full(self.path, self.path, len(buffer.getbuffer())), atomic_path(self.path) as temporary:
            temporary.write_bytes(buffer.getbuffer())
        if self.away is not None and (stopping or time.monotonic() - self._copied >= self.every):
            self.away.send()
            self._copied = time.monotonic()

    def remove(self) -> None:
        """Remove the checkpoint and its copy, once the run's outputs stand."""
        self.path.unlink(missing_ok=True)
        if self.away is not None:
            self.away.send()


class saying_when_full:  # noqa: N801 - used like a function
    """A context that turns "no space left" for `path` into advice; a new start goes on from `checkpoint`."""

    def __init__(self, path: Path, checkpoint: Path, size: int | None = None) -> None:
        self.path = path
        self.checkpoint = checkpoint
        self.size = size

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and error.errno in FULL:
            size = f" ({self.size / 1e6:.0f} MB)" if self.size else ""
            there = self.checkpoint.exists()
            kept = "; the last checkpoint is kept" if there else ""
            onward = "training goes on from the last checkpoint" if there else "nothing was saved yet"
            raise CocomineError(
                f"no space left to write {self.path}{size}: {error.strerror}{kept}",
                f"free space, then run the same command again: {onward}",
            ) from error
