"""MaskFormer (Cheng et al. 2021, arXiv 2107.06278) of transformers, with a ResNet encoder, for semantic masks.

Each label that an image shows, background included, is one mask to be matched. The loss is put together from the
library's own parts, image by image, since its whole has no way to leave pixels out: void takes no part in matching,
mask and dice losses, and an image of void alone takes no part at all.
"""

import torch
from torch import Tensor
from torch.nn import functional
from transformers.models.maskformer.configuration_maskformer import MaskFormerConfig, MaskFormerDetrConfig
from transformers.models.maskformer.modeling_maskformer import (
    MaskFormerForInstanceSegmentation,
    dice_loss,
    sigmoid_focal_loss,
)

from cocomine.coco.tasks import VOID
from cocomine.learning.models.base import Criterion, Segmenter
from cocomine.learning.models.encoders import resnet_config
from cocomine.learning.settings import MaskFormerOptions


def build(encoder: str, labels: int, options: MaskFormerOptions) -> Segmenter:
    """Return the network with `labels` classes."""
    return MaskFormer(encoder, labels, options)


class MaskFormer(Segmenter):
    """Queries give a class and a mask each; a pixel's score of a class is the sum over queries of the products."""

    def __init__(self, encoder: str, labels: int, options: MaskFormerOptions) -> None:
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
        """Return the family's loss: Hungarian matching, cross-entropy, focal and dice, over the pixels without void."""
        output = self.network(pixel_values=images)
        with torch.autocast(images.device.type, enabled=False):
            return self.loss_of(output.masks_queries_logits.float(), output.class_queries_logits.float(), masks)

    def loss_of(self, drawn: Tensor, classes: Tensor, masks: Tensor) -> Tensor:
        """Return the loss of mask scores (b, q, y, x) and class scores (b, q, n + 1) for masks (b, h, w) with void."""
        shown = [image for image, mask in enumerate(masks) if bool((mask != VOID).any())]
        if not shown:
            return (drawn.sum() + classes.sum()) * 0.0
        parts = self.network.criterion
        present = [torch.unique(masks[image][masks[image] != VOID]) for image in shown]
        count = float(sum(len(labels) for labels in present))
        indices, focal, dice = [], [], []
        for image, labels in zip(shown, present, strict=True):
            mask = masks[image]
            small = functional.interpolate(mask[None, None].float(), drawn.shape[-2:], mode="nearest")[0, 0].long()
            # The pixels without void as one line, which the matcher takes for an image of height 1.
            line, wanted = drawn[image][:, None, small != VOID], small[small != VOID] == labels[:, None]
            (pairs,) = parts.matcher([line], [classes[image]], [wanted[:, None].float()], [labels])
            indices.append(pairs)
            large = functional.interpolate(
                drawn[image][pairs[0]][None], mask.shape, mode="bilinear", align_corners=False
            )
            valid = mask != VOID
            found, truth = large[0][:, valid], (mask[valid] == labels[pairs[1]][:, None]).float()
            focal.append(sigmoid_focal_loss(found, truth, count))
            dice.append(dice_loss(found, truth, count))
        named = parts.loss_labels(classes[shown], present, indices)["loss_cross_entropy"]
        weights = self.network.weight_dict
        total: Tensor = (
            weights["loss_cross_entropy"] * named
            + weights["loss_mask"] * torch.stack(focal).sum()
            + weights["loss_dice"] * torch.stack(dice).sum()
        )
        return total
