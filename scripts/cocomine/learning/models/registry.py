"""All families of models, and building one from its settings."""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch

from cocomine.learning.models import encoders
from cocomine.learning.models.base import Segmenter
from cocomine.learning.settings import ModelSettings


@dataclass(frozen=True)
class Model:
    """A built model, where its encoder's weights came from, and its counts of parameters."""

    network: Segmenter
    encoder: encoders.EncoderWeights
    parameters: int
    trainable: int


def families() -> dict[str, ModuleType]:
    """Return every family by its name; a new one is a module of this package and a line here."""
    from cocomine.learning.models import linknet, maskformer, segformer, upernet

    return {"linknet": linknet, "maskformer": maskformer, "segformer": segformer, "upernet": upernet}


def build_model(settings: ModelSettings, labels: int, seed: int, load_weights: bool = True) -> Model:
    """Build the network with `labels` outputs, its random weights drawn from `seed`, its encoder loaded and frozen.

    `load_weights=False` leaves the encoder as drawn, for a network whose every weight is loaded right after. Raises
    CocomineError for an unknown family or option and for weights that are absent or do not fit.
    """
    family = families()[settings.family]
    torch.manual_seed(seed)
    network: Segmenter = family.build(settings.encoder, labels, settings.family_options)
    if load_weights:
        loaded = encoders.load_encoder(
            network.backbone, settings.encoder, settings.weights, Path(settings.weights_folder)
        )
    else:
        loaded = encoders.load_encoder(network.backbone, settings.encoder, "none", Path(settings.weights_folder))
    network.frozen = encoders.freeze(network.backbone, settings.freeze)
    numbers = [(p.numel(), p.requires_grad) for p in network.parameters()]
    return Model(network, loaded, sum(n for n, _ in numbers), sum(n for n, wanted in numbers if wanted))
