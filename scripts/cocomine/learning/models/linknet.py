"""LinkNet (Chaurasia and Culurciello 2017, arXiv 1707.03718) over a ResNet encoder.

`up: full-3x3` is the paper's decoder: full convolutions of 3 × 3, the last of 2 × 2 (11.5 M parameters with ResNet18,
28.8 M with ResNet50). `up: transposed-4x4` is the decoder of the package segmentation_models_pytorch: transposed
convolutions of 4 × 4 and a fifth block that also links the stem (31.2 M with ResNet50).
"""

from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from transformers.models.resnet.modeling_resnet import ResNetBackbone

from cocomine.learning.models.base import Segmenter
from cocomine.learning.models.encoders import resnet_config
from cocomine.learning.settings import LinkNetOptions


def build(encoder: str, labels: int, options: LinkNetOptions) -> Segmenter:
    """Return the network with `labels` outputs a pixel."""
    return LinkNet(encoder, labels, options)


class LinkNet(Segmenter):
    """Encoder stages at 1/4, 1/8, 1/16 and 1/32 of the size, each added to the decoder block that reaches its size."""

    def __init__(self, encoder: str, labels: int, options: LinkNetOptions) -> None:
        super().__init__()
        config = resnet_config(encoder)
        self.backbone = ResNetBackbone(config)
        one, two, three, four = config.hidden_sizes
        self.links_stem = options.up == "transposed-4x4"
        if self.links_stem:
            sizes = [four, three, two, one, config.embedding_size, 32]
            self.blocks = nn.ModuleList(_transposed_block(a, b) for a, b in pairwise(sizes))
            self.head: nn.Module = nn.Conv2d(32, labels, 1)
        else:
            first = config.embedding_size
            self.blocks = nn.ModuleList(
                [
                    _full_block(four, three, 2),
                    _full_block(three, two, 2),
                    _full_block(two, one, 2),
                    _full_block(one, first, 1),
                ]
            )
            self.head = nn.Sequential(
                *_unit(nn.ConvTranspose2d(first, 32, 3, 2, 1, output_padding=1, bias=False), 32),
                *_unit(nn.Conv2d(32, 32, 3, padding=1, bias=False), 32),
                nn.ConvTranspose2d(32, labels, 2, 2),
            )

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (b, n, h, w)."""
        encoder: Any = self.backbone
        stem = encoder.embedder.embedder(images)
        features = [stem]
        hidden = encoder.embedder.pooler(stem)
        for stage in encoder.encoder.stages:
            hidden = stage(hidden)
            features.append(hidden)
        hidden = features.pop()
        links = features[::-1] if self.links_stem else features[:0:-1]
        for number, block in enumerate(self.blocks):
            hidden = block(hidden)
            if number < len(links):
                hidden = hidden + links[number]
        scores: Tensor = self.head(hidden)
        return scores


def _unit(convolution: nn.Module, channels: int) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]


def _full_block(inside: int, outside: int, stride: int) -> nn.Module:
    narrow = inside // 4
    return nn.Sequential(
        *_unit(nn.Conv2d(inside, narrow, 1, bias=False), narrow),
        *_unit(
            nn.ConvTranspose2d(narrow, narrow, 3, stride, 1, output_padding=stride - 1, bias=False),
            narrow,
        ),
        *_unit(nn.Conv2d(narrow, outside, 1, bias=False), outside),
    )


def _transposed_block(inside: int, outside: int) -> nn.Module:
    narrow = inside // 4
    return nn.Sequential(
        *_unit(nn.Conv2d(inside, narrow, 1, bias=False), narrow),
        *_unit(nn.ConvTranspose2d(narrow, narrow, 4, 2, 1), narrow),
        *_unit(nn.Conv2d(narrow, outside, 1, bias=False), outside),
    )
