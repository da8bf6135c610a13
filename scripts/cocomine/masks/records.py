"""What drawing reads of an annotation record."""

from typing import Any

import msgspec


class ObjectRecord(msgspec.Struct, gc=False):
    """What drawing needs of an annotation of an object or of a stuff region."""

    id: int = -1
    category_id: int = -1
    iscrowd: int | None = 0
    segmentation: list[list[float]] | dict[str, Any] | None = None
    bbox: Any = None


class SegmentRecord(msgspec.Struct, gc=False):
    """What drawing needs of a segment of a panoptic image."""

    id: int
    category_id: int
    iscrowd: int | None = 0


class PanopticRecord(msgspec.Struct, gc=False):
    """What drawing needs of a panoptic annotation."""

    file_name: str
    segments_info: list[SegmentRecord]


OBJECTS = msgspec.json.Decoder(list[ObjectRecord])
PANOPTIC = msgspec.json.Decoder(list[PanopticRecord])
