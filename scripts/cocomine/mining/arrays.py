"""What columns, masks and rows are to the miner."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
"""A cell a row; True passes."""
Rows = npt.NDArray[np.int64]
"""Numbers of rows, those of all splits numbered through."""
