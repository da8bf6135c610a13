"""Columns of ids and other values compared: which come again, and where one lies."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from cocomine.base.arrays import Array

LARGEST_TABLE: Final = 1 << 24
"""Ids below this are joined through a table of one entry an id; others by binary search."""


def later_of_equal(values: Array) -> Array:
    """Return for each value (negative ones excepted) whether an earlier one is equal to it."""
    result = np.zeros(len(values), bool)
    if len(values) < 2 or (values[1:] > values[:-1]).all():
        return result
    repeated = repeated_values(values)
    repeated = repeated[repeated >= 0]
    if not len(repeated):
        return result
    places = np.flatnonzero(np.isin(values, repeated))
    order = np.argsort(values[places], kind="stable")
    ordered = values[places][order]
    result[places[order[1:][ordered[1:] == ordered[:-1]]]] = True
    return result


def repeated_values(values: Array) -> Array:
    """Return the values that come more than once (perhaps several times each), in ascending order."""
    ordered = np.sort(values)
    result: Array = ordered[1:][ordered[1:] == ordered[:-1]]
    return result


def rows_of(ids: Array, wanted: Array) -> Array:
    """Return for each of `wanted` the first row of `ids` that has it, as int32; -1 for none and for negative ids."""
    rows = np.arange(len(ids), dtype=np.int32)
    usable = ids >= 0
    ids, rows = ids[usable], rows[usable]
    if not len(ids) or not len(wanted):
        return np.full(len(wanted), -1, np.int32)
    largest = int(ids.max())
    if largest < LARGEST_TABLE:
        table = np.full(largest + 2, -1, np.int32)
        table[ids[::-1]] = rows[::-1]
        found: Array = table[np.where((wanted < 0) | (wanted > largest), largest + 1, wanted)]
        return found
    order = np.argsort(ids, kind="stable")
    places = np.searchsorted(ids, wanted, sorter=order)
    candidates = order[np.minimum(places, len(ids) - 1)]
    matched: Array = np.where((ids[candidates] == wanted) & (wanted >= 0), rows[candidates], -1).astype(np.int32)
    return matched


_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def mixed(columns: Sequence[Array]) -> Array:
    """Return 63-bit numbers (int64) that are equal where all columns are; unequal rows rarely have equal ones."""
    result = np.zeros(len(columns[0]), np.uint64)
    for values in columns:
        bits = values.astype(np.int64) if values.dtype.kind in "iu" else np.ascontiguousarray(values, np.float64)
        result = (result ^ bits.view(np.uint64)) * _MULTIPLIER
        result ^= result >> np.uint64(29)
    return (result >> np.uint64(1)).astype(np.int64)
