"""The config's `tensors` section: the size of the tensors and how images are reduced to it."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from cocomine.masks.settings import checked

CHOICES: dict[str, tuple[str, ...]] = {
    "image_filter": ("bilinear", "bicubic", "lanczos", "box"),
    "bad_images": ("quarantine", "stop"),
}
RANGES: dict[str, tuple[int, int]] = {"size": (1, 4096)}


@dataclasses.dataclass(frozen=True)
class TensorSettings:
    """How tensors are packed; `size` is the side in pixels. `workflow/schemas/tensors.schema.yaml` says the rest."""

    size: int = 128
    image_filter: str = "bilinear"
    bad_images: str = "quarantine"

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Return the settings of a config section; raise CocomineError for an unknown key or a value out of range."""
        return cls(**checked(mapping, "tensors", [field.name for field in dataclasses.fields(cls)], CHOICES, RANGES))
