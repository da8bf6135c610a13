"""SegFormer (Xie et al. 2021, arXiv 2105.15203) of transformers: a mix transformer under a decoder of linear layers."""

from torch import Tensor, nn
from torch.nn import functional
from transformers.models.segformer.configuration_segformer import SegformerConfig
from transformers.models.segformer.modeling_segformer import SegformerForSemanticSegmentation

from cocomine.learning.models.base import Segmenter
from cocomine.learning.models.encoders import mix_transformer_config
from cocomine.learning.settings import SegFormerOptions


def build(encoder: str, labels: int, options: SegFormerOptions) -> Segmenter:
    """Return the network with `labels` outputs a pixel."""
    return SegFormer(mix_transformer_config(encoder, labels, options.width))


class SegFormer(Segmenter):
    """Four stages of attention at 1/4 to 1/32 of the size, brought to 1/4 and decided together."""

    def __init__(self, config: SegformerConfig) -> None:
        super().__init__()
        self.network = SegformerForSemanticSegmentation(config)

    @property
    def backbone(self) -> nn.Module:  # type: ignore[override]
        """The encoder."""
        encoder: nn.Module = self.network.segformer
        return encoder

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (b, n, h, w), enlarged bilinearly from a quarter of the size as the paper does."""
        scores: Tensor = self.network(pixel_values=images).logits
        return functional.interpolate(scores, size=images.shape[-2:], mode="bilinear", align_corners=False)
