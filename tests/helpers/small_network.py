"""An encoder of some thousand parameters in ResNet18's place, to test the loop around it and not the network."""

from cocomine.learning.models import encoders

TINY = ((1, 1, 1, 1), "basic", (4, 8, 8, 16))


def shrink(setitem=dict.__setitem__):
    """Make `resnet18` tiny from here on; `setitem` may be pytest's monkeypatch.setitem, which takes it back."""
    setitem(encoders.SHAPES, "resnet18", TINY)


def shrink_mix_transformer(setitem=dict.__setitem__):
    """Make `mit-b0` tiny from here on."""
    setitem(encoders.MIX_TRANSFORMER_SHAPES, "mit-b0", ((1, 1, 1, 1), (8, 16, 40, 64), 16))
