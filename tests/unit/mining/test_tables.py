"""What the miner's tables promise: columns are let go of and read again without anybody noticing."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cocomine.mining.tables import Columns, Table


def test_a_column_that_was_forgotten_is_read_again_and_one_with_other_values_is_kept(tmp_path: Path) -> None:
    pq.write_table(pa.table({"width": [1, 2], "height": [3, 4]}), tmp_path / "images.parquet")
    table = Table([Columns(tmp_path / "images.parquet")])
    table.update("height", np.array([0]), [9])
    assert table["width"].tolist() == [1, 2]
    table.forget("width", "height")
    assert (table["width"].tolist(), table["height"].tolist()) == ([1, 2], [9, 4])
