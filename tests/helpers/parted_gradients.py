"""Loss, gradients and statistics of a batch in one process and in several, in double precision.

    python -m torch.distributed.run --standalone --nproc-per-node 2 tests/helpers/parted_gradients.py FAMILY

Prints, from the first process, a JSON line: for each of the three the largest difference, as a share of the largest
value.
"""

import copy
import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cocomine.learning import launch, processes
from cocomine.learning.losses import Loss
from cocomine.learning.models.registry import build_model
from cocomine.learning.settings import ModelSettings

from helpers.small_network import shrink, shrink_mix_transformer

BATCH = 7  # no multiple of two


def computed(network, images, masks):
    """Return the loss, all gradients and all running statistics of one training step."""
    criterion = Loss([0.5, 1.0, 2.0], 0.7, "cpu")
    criterion.weights = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    loss = criterion(network(images), masks)
    loss.backward()
    processes.mean_gradients(network)
    gradients = torch.cat([one.grad.flatten() for one in network.parameters() if one.grad is not None])
    return loss.detach().view(1), gradients, torch.cat([one.double().flatten() for one in network.buffers()])


def main():
    """Compute it whole, then in parts."""
    shrink()
    shrink_mix_transformer()
    torch.manual_seed(0)
    encoder = {"segformer": "mit-b0"}.get(sys.argv[1], "resnet18")
    settings = ModelSettings.from_mapping({"family": sys.argv[1], "encoder": encoder, "weights": "none"})
    network = build_model(settings, 3, 0).network.double().train()
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # drawn by each process
        if hasattr(module, "drop_prob"):
            vars(module)["drop_prob"] = 0.0
    parted = copy.deepcopy(network)
    images, masks = torch.randn(BATCH, 3, 64, 64, dtype=torch.float64), torch.randint(0, 3, (BATCH, 64, 64))
    masks[:3, :20] = 255  # the processes have other numbers of pixels that count
    whole = computed(network, images, masks)
    with processes.joined(2, "cpu"):
        processes.normalise_together(parted)
        part = processes.part(BATCH)
        found = computed(parted, images[part], masks[part])
    if not launch.rank():
        names = ("loss", "gradients", "statistics")
        pairs = zip(names, found, whole, strict=True)
        print(json.dumps({name: float((one - all_).abs().max() / all_.abs().max()) for name, one, all_ in pairs}))


if __name__ == "__main__":
    main()
