import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cocomine.base.errors import CocomineError
from cocomine.base.parquet import read_columns


def test_the_columns_that_are_named_are_read_and_one_that_is_not_there_is_said(tmp_path):
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"a": [1, 2], "b": ["x", "y"]}), path)
    assert read_columns(path, ["b"]).to_pydict() == {"b": ["x", "y"]}
    assert read_columns(path).column_names == ["a", "b"]
    with pytest.raises(CocomineError, match=r"table\.parquet: it has no column c"):
        read_columns(path, ["a", "c"])
