"""What masks and rows are to the miner."""

from cocomine.base.arrays import Bools, Ints

Mask = Bools
"""A cell a row; True passes."""
Rows = Ints
"""Numbers of rows, those of all splits numbered through."""
