"""What every family of models is: a module that gives scores for each pixel and knows its own loss."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

Criterion = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Normalisation:
    """The mean and deviation of each channel that the encoder expects, for values in 0..1."""

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


class Segmenter(nn.Module, ABC):
    """The base of all families.

    A family is a module of this package with `build(encoder: str, labels: int, options: Options) -> Segmenter`, added
    to `registry.families`; its options are a section of `learning.settings.OPTIONS`.
    `stride` is what height and width must be divisible by; `backbone` is the encoder.
    """

    stride: int = 32
    backbone: nn.Module

    def __init__(self) -> None:
        super().__init__()
        self.frozen: list[nn.Module] = []

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Return scores (b, n, h, w) for normalised images (b, 3, h, w); their softmax over n is the probabilities."""

    def loss(self, images: Tensor, masks: Tensor, criterion: Criterion) -> Tensor:
        """Return the loss to be lowered: by default `criterion` of the scores; `masks` (b, h, w) int64 with void."""
        scores = self(images)
        return criterion(scores.float(), masks)

    def train(self, mode: bool = True) -> "Segmenter":
        """Switch between training and evaluation; frozen modules keep their running statistics in both."""
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self
