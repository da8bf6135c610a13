"""Records as columns of numbers and texts, as workers send them and as the index holds them in memory."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cocomine.base.arrays import Array


@dataclass
class Texts:
    """A column of texts as bytes: `lengths` (int32, in bytes of UTF-8; -1 for none) and all texts one after another."""

    lengths: Array
    data: bytes

    @classmethod
    def of(cls, values: Sequence[str | None]) -> "Texts":
        """Put texts together."""
        encoded = [None if value is None else value.encode() for value in values]
        lengths = np.array([-1 if text is None else len(text) for text in encoded], np.int32)
        return cls(lengths, b"".join([text for text in encoded if text]))

    @classmethod
    def sparse(cls, size: int, values: Mapping[int, str]) -> "Texts":
        """Return a column of `size` with few values, given by place in ascending order."""
        lengths = np.full(size, -1, np.int32)
        encoded = {place: text.encode() for place, text in values.items()}
        lengths[list(encoded)] = [len(text) for text in encoded.values()]
        return cls(lengths, b"".join(encoded.values()))

    @classmethod
    def join(cls, parts: Sequence["Texts"]) -> "Texts":
        """Put columns one after another."""
        return cls(np.concatenate([part.lengths for part in parts]), b"".join([part.data for part in parts]))

    def __len__(self) -> int:
        return len(self.lengths)

    def values(self) -> list[str | None]:
        """Return the texts."""
        ends = np.cumsum(np.maximum(self.lengths, 0)).tolist()
        data = self.data
        return [
            None if length < 0 else data[end - length : end].decode()
            for length, end in zip(self.lengths.tolist(), ends, strict=True)
        ]


@dataclass
class Columns:
    """Records as columns of numbers and texts, a value a row: of panoptic records a row a segment, else a row a record.

    `records` counts the array's items, `unknown` the keys that COCO does not define; `stop` is the position after the
    last record.
    """

    arrays: dict[str, Array]
    texts: dict[str, Texts]
    records: int
    unknown: Counter[str]
    stop: int

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.arrays["offset"])

    @classmethod
    def join(cls, parts: list["Columns"]) -> "Columns":
        """Put parts (one or more) together, and empty them on the way: memory does not hold everything twice."""
        records = 0
        for part in parts:
            part.arrays["record"] += np.int32(records)
            records += part.records
        arrays = {name: np.concatenate([part.arrays.pop(name) for part in parts]) for name in list(parts[0].arrays)}
        texts = {name: Texts.join([part.texts.pop(name) for part in parts]) for name in list(parts[0].texts)}
        unknown = sum((part.unknown for part in parts), Counter[str]())
        return cls(arrays, texts, records, unknown, parts[-1].stop)
