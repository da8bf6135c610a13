"""Reading the columns of a Parquet file."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cocomine.base.errors import CocomineError


def read_columns(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the columns of a file, all of them where none are named.

    pyarrow's `read_table` does the same and imports pandas first, where that is installed: 0.3 s of a program's time.
    Raises CocomineError for a column that is not there.
    """
    with pq.ParquetFile(path) as file:
        for name in columns or ():
            if name not in file.schema_arrow.names:
                raise CocomineError(f"{path}: it has no column {name}", "delete it and run snakemake again")
        return file.read(columns=None if columns is None else list(columns))
