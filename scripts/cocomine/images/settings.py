"""The config's `images` section: which images are decoded."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from cocomine.base.errors import CocomineError

MOST_MEGAPIXELS = 4000
"""Above this some counts of pixels would not fit into 32 bits."""


@dataclasses.dataclass(frozen=True)
class ImageSettings:
    """What is decoded at all; `workflow/schemas/images.schema.yaml` says what each value means."""

    max_megapixels: int = 200

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Return the settings of a config section; raise CocomineError for an unknown key or a value out of range."""
        known = [field.name for field in dataclasses.fields(cls)]
        for key, value in mapping.items():
            if key not in known:
                raise CocomineError(f"images: unknown key {key!r}", f"known here: {', '.join(known)}")
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_MEGAPIXELS:
                hint = f"write a whole number from 1 to {MOST_MEGAPIXELS}"
                raise CocomineError(f"images.{key}: {value!r} cannot be used", hint)
        return cls(**mapping)

    @property
    def most_pixels(self) -> int:
        """The pixels that an image may have."""
        return self.max_megapixels * 1_000_000
