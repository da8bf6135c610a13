"""The tables of an index as the miner reads them: columns of several splits, one after the other, read when asked for.

Rows of all splits are numbered through ("global rows"), in the order of the splits and, within one, of the file. The
tables themselves are written by `index_annotations`; `cocomine.annotations.schema` says what the columns mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cocomine.annotations import arrow
from cocomine.annotations.schema import open_index
from cocomine.base.arrays import Array
from cocomine.base.errors import CocomineError
from cocomine.mining.arrays import Rows


class Columns:
    """The columns of one Parquet file, each read once, when it is first asked for."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = pq.ParquetFile(path, memory_map=True)
        except FileNotFoundError as error:
            raise CocomineError(f"{path}: the index lacks this table", "build the index again") from error
        except pa.ArrowInvalid as error:
            raise CocomineError(
                f"{path}: not a Parquet file: {error}", "delete it and build the index again"
            ) from error
        self.path = path
        self.rows: int = self._file.metadata.num_rows
        self.names: frozenset[str] = frozenset(self._file.schema_arrow.names)
        self._columns: dict[str, Any] = {}

    def load(self, names: Sequence[str]) -> None:
        """Read several columns in one go, which is faster than one by one."""
        wanted = [name for name in names if name not in self._columns and name in self.names]
        if wanted:
            table = self._file.read(columns=wanted, use_threads=True)
            self._columns.update({name: table.column(name) for name in wanted})

    def forget(self, names: Sequence[str]) -> None:
        """Let go of columns: who asks for one reads it again."""
        for name in names:
            self._columns.pop(name, None)

    def arrow(self, name: str) -> Any:
        """Return a column as an Arrow chunked array."""
        if name not in self.names:
            raise CocomineError(f"{self.path}: the index has no column '{name}'", "build the index again")
        self.load([name])
        return self._columns[name]

    def numpy(self, name: str) -> Array:
        """Return a numeric column without nulls as a NumPy array."""
        return arrow.numbers(self.arrow(name))


@dataclass(frozen=True)
class Split:
    """One annotation file's index: its manifest and its two tables."""

    name: str
    folder: Path
    manifest: dict[str, Any]
    images: Columns
    annotations: Columns

    @property
    def source_file(self) -> str:
        """The name of the annotation file, without a folder."""
        return str(self.manifest["source_file"])


def read_split(index_dir: Path, task: str, name: str) -> Split:
    """Open the index of one annotation file. Raises CocomineError when it is not there."""
    folder = Path(index_dir) / f"{task}_{name}"
    if not folder.is_dir():
        there = ", ".join(splits_of(index_dir, task)) or "none"
        raise CocomineError(
            f"{index_dir}: no index of {task} for the split '{name}' (there: {there})",
            "name a split that the source has, or index its annotation file with index_annotations",
        )
    manifest = open_index(folder).manifest
    return Split(
        name=name,
        folder=folder,
        manifest=manifest,
        images=Columns(folder / "images.parquet"),
        annotations=Columns(folder / "annotations.parquet"),
    )


def splits_of(index_dir: Path, task: str = "instances") -> list[str]:
    """Return the splits that have an index of `task`, sorted by name."""
    prefix = f"{task}_"
    return sorted(path.parent.name.removeprefix(prefix) for path in Path(index_dir).glob(f"{prefix}*/index.json"))


class Table:
    """One table (images or annotations) of all splits, numbered through."""

    def __init__(self, parts: Sequence[Columns]) -> None:
        self.parts = tuple(parts)
        self.starts: Rows = np.concatenate([[0], np.cumsum([part.rows for part in parts])]).astype(np.int64)
        self.rows = int(self.starts[-1])
        self._joined: dict[str, Array] = {}
        self._updated: set[str] = set()

    def load(self, *names: str) -> None:
        """Read several columns in one go."""
        for part in self.parts:
            part.load(names)

    def forget(self, *names: str) -> None:
        """Let go of columns that are not asked for soon; those that were put other values into are kept."""
        for part in self.parts:
            part.forget(names)
        for name in set(names) - self._updated:
            self._joined.pop(name, None)

    def __getitem__(self, name: str) -> Array:
        """Return a numeric column of all splits."""
        if name not in self._joined:
            arrays = [part.numpy(name) for part in self.parts]
            self._joined[name] = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        return self._joined[name]

    def update(self, name: str, rows: Rows, values: Sequence[int]) -> None:
        """Put other values into a numeric column, at global `rows`: of this table, not of its files."""
        column = self[name].copy()
        column[rows] = values
        self._joined[name] = column
        self._updated.add(name)

    def texts(self, name: str, rows: Rows) -> list[str | None]:
        """Return a text column's values at global `rows`, in their order."""
        column = pa.chunked_array([chunk for part in self.parts for chunk in part.arrow(name).chunks], type=pa.string())
        result: list[str | None] = column.take(arrow.column(rows, pa.int64())).to_pylist()
        return result

    def written_id(self, row: int) -> int | str:
        """Return the id of the record at a global row or, where it is unusable, its JSON text ("" for none)."""
        identity = int(self["id"][row])
        return identity if identity >= 0 else self.texts("id_text", np.array([row]))[0] or ""

    def place(self, row: int) -> int:
        """Return the number of the record at a global row in its array of its file, from 0."""
        if "record" in self.parts[0].names:
            return int(self["record"][row])
        return row - int(self.starts[self.split_of(np.array([row]))[0]])

    def codes(self, name: str) -> Array:
        """Return a number for each value of a text column, the same for equal ones; -1 where there is none."""
        chunks = [chunk for part in self.parts for chunk in part.arrow(name).chunks]
        joined = pa.chunked_array(chunks, type=pa.string()).combine_chunks().dictionary_encode()
        present = arrow.flags(joined.is_valid())
        codes = np.full(len(present), -1, dtype=np.int64)
        codes[present] = arrow.numbers(joined.indices.drop_null())
        return codes

    def split_of(self, rows: Rows) -> Rows:
        """Return which split each global row belongs to, as the number of the split."""
        if len(self.parts) == 1:
            return np.zeros(len(rows), dtype=np.int64)
        return np.searchsorted(self.starts, rows, side="right") - 1
