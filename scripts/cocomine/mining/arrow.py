"""Between Arrow columns and NumPy arrays, straight through their buffers.

Arrow's own conversions (`to_numpy`, `pa.array` of a NumPy array) import pandas when it happens to be installed, which
takes three quarters of a second: longer than all the rest of an answer of `count_subset`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa

from cocomine.base.errors import CocomineError

DTYPES: Final = {
    "int8": np.int8,
    "int32": np.int32,
    "int64": np.int64,
    "uint64": np.uint64,
    "double": np.float64,
}


def numbers(column: Any) -> np.ndarray[Any, np.dtype[Any]]:
    """Return a numeric Arrow column as a NumPy array, without a copy if it is one chunk. Nulls are refused."""
    if column.null_count or str(column.type) not in DTYPES:
        raise CocomineError(f"the index has a column of {column.type} with {column.null_count} nulls", "index it again")
    dtype = DTYPES[str(column.type)]
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    arrays = [_view(chunk, dtype) for chunk in chunks]
    return arrays[0] if len(arrays) == 1 else np.concatenate([np.zeros(0, dtype=dtype), *arrays])


def _view(chunk: Any, dtype: Any) -> np.ndarray[Any, np.dtype[Any]]:
    buffer = chunk.buffers()[1]
    if buffer is None or not len(chunk):
        return np.zeros(0, dtype=dtype)
    return np.frombuffer(buffer, dtype=dtype, count=len(chunk), offset=chunk.offset * np.dtype(dtype).itemsize)


def flags(column: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return a boolean Arrow column as a NumPy array; a null is False."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return np.concatenate([np.zeros(0, dtype=bool), *(_unpacked(chunk) for chunk in chunks)])


def _unpacked(chunk: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
    validity, values = chunk.buffers()
    end = chunk.offset + len(chunk)
    result = _bits(values, end)
    if validity is not None and chunk.null_count:
        result &= _bits(validity, end)
    return result[chunk.offset : end]


def _bits(buffer: Any, count: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.unpackbits(np.frombuffer(buffer, dtype=np.uint8), count=count, bitorder="little").astype(bool)


def indices(rows: np.ndarray[Any, np.dtype[np.int64]]) -> Any:
    """Return row numbers as an Arrow array, without a copy."""
    values = np.ascontiguousarray(rows, dtype=np.int64)
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values)])
