"""UPerNet (Xiao et al. 2018, arXiv 1807.10221) of transformers over a ResNet encoder, without an auxiliary head."""

from torch import Tensor, nn
from transformers.models.upernet.configuration_upernet import UperNetConfig
from transformers.models.upernet.modeling_upernet import UperNetForSemanticSegmentation

from cocomine.learning.models.base import Segmenter
from cocomine.learning.models.encoders import resnet_config
from cocomine.learning.settings import UperNetOptions


def build(encoder: str, labels: int, options: UperNetOptions) -> Segmenter:
    """Return the network with `labels` outputs a pixel."""
    return UperNet(encoder, labels, options)


class UperNet(Segmenter):
    """Pooling at four scales over the last stage, and a feature pyramid over all four."""

    def __init__(self, encoder: str, labels: int, options: UperNetOptions) -> None:
        super().__init__()
        config = UperNetConfig(
            backbone_config=resnet_config(encoder),
            hidden_size=options.width,
            use_auxiliary_head=False,
            num_labels=labels,
        )
        self.network = UperNetForSemanticSegmentation(config)

    @property
    def backbone(self) -> nn.Module:  # type: ignore[override]
        """The encoder."""
        encoder: nn.Module = self.network.backbone
        return encoder

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (b, n, h, w), which the library enlarges bilinearly from a quarter of the size."""
        scores: Tensor = self.network(pixel_values=images).logits
        return scores
