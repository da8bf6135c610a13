"""Between Arrow columns and NumPy arrays, straight through their buffers.

Arrow's own conversions (`to_numpy`, `pa.array` of a NumPy array) import pandas when it happens to be installed, which
takes three quarters of a second: longer than all the rest of an answer of `count_subset`.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cocomine.base.errors import CocomineError

DTYPES: Final = {
    "int8": np.int8,
    "int32": np.int32,
    "int64": np.int64,
    "uint64": np.uint64,
    "double": np.float64,
}


def column(values: npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
    """Return an array of numbers as an Arrow array of `kind`, without a copy when the dtype fits."""
    numbers = np.ascontiguousarray(values, kind.to_pandas_dtype())
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(numbers)])


def text_column(lengths: npt.NDArray[Any], data: bytes) -> pa.Array:
    """Return an Arrow array of texts from their lengths (in bytes of UTF-8, -1 for none) and all texts in one."""
    if len(data) >= 2**31:
        raise CocomineError("a column of texts is larger than 2 GiB", "split the annotation file")
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(np.maximum(lengths, 0), out=offsets[1:])
    absent = lengths < 0
    validity = pa.py_buffer(np.packbits(~absent, bitorder="little")) if absent.any() else None
    buffers = [validity, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.string(), len(lengths), buffers, null_count=int(absent.sum()))


def numbers(column: Any) -> npt.NDArray[Any]:
    """Return a numeric Arrow column as a NumPy array, without a copy if it is one chunk. Nulls are refused."""
    if column.null_count or str(column.type) not in DTYPES:
        raise CocomineError(f"the index has a column of {column.type} with {column.null_count} nulls", "index it again")
    dtype = DTYPES[str(column.type)]
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    arrays = [_view(chunk, dtype) for chunk in chunks]
    return arrays[0] if len(arrays) == 1 else np.concatenate([np.zeros(0, dtype=dtype), *arrays])


def _view(chunk: Any, dtype: Any) -> npt.NDArray[Any]:
    buffer = chunk.buffers()[1]
    if buffer is None or not len(chunk):
        return np.zeros(0, dtype=dtype)
    return np.frombuffer(buffer, dtype=dtype, count=len(chunk), offset=chunk.offset * np.dtype(dtype).itemsize)


def arrays(table: pa.Table) -> dict[str, npt.NDArray[Any]]:
    """Return the numeric columns of a table as NumPy arrays, by name."""
    return {
        name: numbers(table[name])
        for name, kind in zip(table.schema.names, table.schema.types, strict=True)
        if not pa.types.is_string(kind)
    }


def flags(column: Any) -> npt.NDArray[np.bool_]:
    """Return a boolean Arrow column as a NumPy array; a null is False."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return np.concatenate([np.zeros(0, dtype=bool), *(_unpacked(chunk) for chunk in chunks)])


def _unpacked(chunk: Any) -> npt.NDArray[np.bool_]:
    validity, values = chunk.buffers()
    end = chunk.offset + len(chunk)
    result = _bits(values, end)
    if validity is not None and chunk.null_count:
        result &= _bits(validity, end)
    return result[chunk.offset : end]


def _bits(buffer: Any, count: int) -> npt.NDArray[np.bool_]:
    return np.unpackbits(np.frombuffer(buffer, dtype=np.uint8), count=count, bitorder="little").astype(bool)
