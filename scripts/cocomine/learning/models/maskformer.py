"""MaskFormer (Cheng et al. 2021, arXiv 2107.06278) of transformers, with a ResNet encoder, for semantic masks.

Each label that an image shows, background included, is one mask to be matched. The library's loss has no way to leave
pixels out, so void pixels belong to no mask: they count against every mask there (its mask and dice losses), and are
left out of all metrics as everywhere.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional
from transformers.models.maskformer.configuration_maskformer import MaskFormerConfig, MaskFormerDetrConfig
from transformers.models.maskformer.modeling_maskformer import MaskFormerForInstanceSegmentation

from cocomine.learning.data import VOID
from cocomine.learning.models.base import Criterion, Segmenter
from cocomine.learning.models.encoders import resnet_config


@dataclass(frozen=True)
class Options:
    """MaskFormer's own options: number of queries, decoder layers, and the width of decoder and mask features."""

    queries: int = field(default=100, metadata={"low": 1})
    decoder_layers: int = field(default=6, metadata={"low": 1})
    width: int = field(default=256, metadata={"low": 32})


def build(encoder: str, labels: int, options: Options) -> Segmenter:
    """Return the network with `labels` classes."""
    return MaskFormer(encoder, labels, options)


class MaskFormer(Segmenter):
    """Queries give a class and a mask each; a pixel's score of a class is the sum over queries of the products."""

    def __init__(self, encoder: str, labels: int, options: Options) -> None:
        super().__init__()
        decoder = MaskFormerDetrConfig(
            backbone_config=None,
            use_timm_backbone=False,
            num_queries=options.queries,
            decoder_layers=options.decoder_layers,
            encoder_layers=0,
            d_model=options.width,
            dropout=0.1,
        )
        config = MaskFormerConfig(
            backbone_config=resnet_config(encoder),
            decoder_config=decoder,
            fpn_feature_size=options.width,
            mask_feature_size=options.width,
            num_labels=labels,
        )
        self.network = MaskFormerForInstanceSegmentation(config)
        self.labels = labels

    @property
    def backbone(self) -> torch.nn.Module:  # type: ignore[override]
        """The encoder."""
        encoder: torch.nn.Module = self.network.model.pixel_level_module.encoder
        return encoder

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (b, n, h, w): logarithms, so that the softmax normalises the class scores of a pixel."""
        output = self.network(pixel_values=images)
        classes = output.class_queries_logits.float().softmax(-1)[..., :-1]
        masks = output.masks_queries_logits.float().sigmoid()
        scores = torch.einsum("bqc,bqhw->bchw", classes, masks)
        scores = functional.interpolate(scores, size=images.shape[-2:], mode="bilinear", align_corners=False)
        return scores.clamp_min(1e-8).log()

    def loss(self, images: Tensor, masks: Tensor, criterion: Criterion) -> Tensor:  # noqa: ARG002 - has its own
        """Return the library's own loss: Hungarian matching, cross-entropy, focal and dice."""
        present = [torch.unique(mask[mask != VOID]) for mask in masks]
        mask_labels = [(mask[None] == found[:, None, None]).float() for mask, found in zip(masks, present, strict=True)]
        output = self.network(pixel_values=images, mask_labels=mask_labels, class_labels=present)
        loss: Tensor = output.loss
        return loss.reshape(())
