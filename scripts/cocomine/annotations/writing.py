"""The tables of an index made and written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cocomine.annotations.arrow import column, text_column
from cocomine.annotations.columns import Texts
from cocomine.base.files import atomic_path


def table_of(form: pa.Schema, values: Mapping[str, Any], rows: int) -> pa.Table:
    """Return a table of `rows` rows in the form of a schema; a column without values holds what stands for absent."""
    arrays = []
    for name, kind in zip(form.names, form.types, strict=True):
        value = values.get(name)
        if isinstance(value, Texts) and len(value) == rows:
            arrays.append(text_column(value.lengths, value.data))
        elif value is not None and len(value) == rows:
            arrays.append(column(value, kind))
        elif name in _ABSENT:
            arrays.append(column(np.full(rows, _ABSENT[name]), kind))
        else:
            arrays.append(pa.nulls(rows, kind))
    return pa.Table.from_arrays(arrays, schema=form)


_ABSENT: Final = {
    "id": -1,
    "category_id": -1,
    "iscrowd": -1,
    "area": float("nan"),
    "bbox_x": float("nan"),
    "bbox_y": float("nan"),
    "bbox_w": float("nan"),
    "bbox_h": float("nan"),
    "segmentation": 0,
    "polygons": 0,
    "vertices": 0,
    "num_keypoints": -1,
}
_REPETITIVE: Final = ("category_id", "iscrowd", "segmentation", "license", "reasons")
_RISING: Final = ("row", "record", "id", "offset")


def write_index_table(path: Path, table: pa.Table) -> None:
    """Write a table so that its bytes depend on its values alone, and few columns can be read fast."""
    names = table.column_names
    with atomic_path(path) as temporary:
        pq.write_table(
            table,
            temporary,
            compression="lz4",  # written as fast as zstd, and read in half its time
            use_dictionary=[name for name in _REPETITIVE if name in names],
            column_encoding={name: "DELTA_BINARY_PACKED" for name in _RISING if name in names},
            write_statistics=False,
            store_schema=False,
        )
