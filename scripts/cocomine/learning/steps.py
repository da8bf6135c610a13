"""What a step of training takes: batches, optimiser and rate, the step itself, averaged weights, validation."""

import copy
import math
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from cocomine.base.files import rank
from cocomine.learning import hardware, metrics, processes
from cocomine.learning.augment import Draws, augmented
from cocomine.learning.data import Rows, TensorSet, batch_of
from cocomine.learning.losses import Loss
from cocomine.learning.models.base import Normalisation, Segmenter
from cocomine.learning.settings import TrainSettings


class Feeder:
    """Normalised batches on the device, straight from the memory-mapped arrays.

    With `reads_ahead` a thread reads the next training batch while the device works on this one; the batches are the
    same. It is on for a device of its own, and off where compute threads would only wait for the same cores.
    """

    def __init__(
        self, tensors: TensorSet, rows: Rows, normalisation: Normalisation, device: str, reads_ahead: bool | None = None
    ) -> None:
        self.tensors = tensors
        self.rows = rows
        self.device = device
        mean = torch.tensor(normalisation.mean).mul(255.0)[None, :, None, None]
        std = torch.tensor(normalisation.std).mul(255.0)[None, :, None, None]
        self._scale, self._offset = (1.0 / std).to(device), (-mean / std).to(device)
        self._reads_ahead = device.startswith("cuda") if reads_ahead is None else reads_ahead
        self._reader = ThreadPoolExecutor(1)
        self._next: dict[bytes, Future[tuple[Tensor, Tensor]]] = {}

    def _read(self, positions: Rows) -> tuple[Tensor, Tensor]:
        rows = self.rows[positions]
        images, masks = torch.from_numpy(self.tensors.images[rows]), torch.from_numpy(self.tensors.masks[rows])
        return (images.pin_memory(), masks.pin_memory()) if self.device.startswith("cuda") else (images, masks)

    def raw(self, positions: Rows, following: Rows | None = None) -> tuple[Tensor, Tensor]:
        """Return images (b, 3, h, w) float32 in 0..255, channels last in memory, and masks (b, h, w) uint8.

        `following` are the positions that will be asked for next, to be read ahead.
        """
        waiting = self._next.pop(positions.tobytes(), None)
        images, masks = self._read(positions) if waiting is None else waiting.result()
        if following is not None and self._reads_ahead:
            self._next = {following.tobytes(): self._reader.submit(self._read, following)}
        images, masks = images.to(self.device, non_blocking=True), masks.to(self.device, non_blocking=True)
        return images.permute(0, 3, 1, 2).float(), masks

    def normalised(self, images: Tensor) -> Tensor:
        """Scale values in 0..255 to what the encoder expects."""
        return torch.addcmul(self._offset, images, self._scale)

    def plain(self, positions: Rows) -> tuple[Tensor, Tensor]:
        """Return a normalised batch as it is, for evaluation."""
        images, masks = self.raw(positions)
        return self.normalised(images), masks

    def training(self, settings: TrainSettings, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Return this process's part of iteration `step`'s batch, augmented and normalised; masks int64."""
        part = processes.part(settings.batch)
        here, following = (batch_of(seed, number, settings.batch, len(self.rows))[part] for number in (step, step + 1))
        images, masks = self.raw(here, following)
        generator = torch.Generator().manual_seed(rank(f"augment:{seed}", step) >> 1)
        images, masks = augmented(images, masks, settings.augment, Draws(generator, settings.batch, part))
        return self.normalised(images), masks.long()


@dataclass
class State:
    """All that changes while training, apart from weights and optimiser."""

    step: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    history: list[list[float | None]] = field(default_factory=list)
    best_iou: float = -1.0
    best_step: int = 0
    without_gain: int = 0
    best: dict[str, Tensor] | None = None


def make_optimiser(network: Segmenter, settings: TrainSettings) -> torch.optim.Optimizer:
    """Return the optimiser over the parameters that are not frozen."""
    wanted = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if settings.optimiser == "adamw":
        return torch.optim.AdamW(wanted, settings.learning_rate, weight_decay=settings.weight_decay)
    return torch.optim.SGD(
        wanted, settings.learning_rate, momentum=settings.momentum, weight_decay=settings.weight_decay
    )


def learning_rate(settings: TrainSettings, step: int) -> float:
    """Return the learning rate of iteration `step`: a linear warm-up, then the schedule over what is left."""
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    share = (step - settings.warmup) / max(settings.iterations - settings.warmup, 1)
    factor: float = {
        "constant": 1.0,
        "cosine": 0.5 * (1.0 + math.cos(math.pi * share)),
        "polynomial": (1.0 - share) ** 0.9,
    }[settings.schedule]
    return settings.learning_rate * factor


def training_step(
    network: Segmenter,
    optimiser: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor],
    loss: Loss,
    machine: hardware.Hardware,
    clip: float | None,
) -> Tensor:
    """Run one iteration and return its loss, still on the device."""
    with hardware.computing(machine):
        value = network.loss(*batch, loss)
    optimiser.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    processes.mean_gradients(network)
    if clip is not None:
        torch.nn.utils.clip_grad_norm_([p for p in network.parameters() if p.grad is not None], clip)
    optimiser.step()
    detached: Tensor = value.detach()
    return detached


class Average:
    """A moving average of a network's weights and running statistics (Tarvainen and Valpola 2017, arXiv 1703.01780)."""

    def __init__(self, network: Segmenter, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self.decay = decay

    @torch.no_grad()
    def take(self, network: Segmenter, step: int) -> None:
        """Move towards the weights after iteration `step`, faster at the start, when they are far from the last."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for mean, value in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1.0 - decay)
            else:
                mean.copy_(value)


@torch.no_grad()
def probabilities_of(network: Segmenter, images: Tensor, machine: hardware.Hardware) -> Tensor:
    """Return probabilities (b, n, h, w) float32, planes contiguous, of normalised images."""
    with hardware.computing(machine):
        scores = network(images)
    found: Tensor = scores.float().contiguous().softmax(1)
    return found


def validate(network: Segmenter, feeder: Feeder, machine: hardware.Hardware, batch: int) -> metrics.Sums:
    """Return the sums over the feeder's rows, at training resolution."""
    mode = network.training
    network.eval()
    parts = []
    for start in range(0, len(feeder.rows), batch):
        images, masks = feeder.plain(np.arange(start, min(start + batch, len(feeder.rows))))
        parts.append(metrics.measure(probabilities_of(network, images, machine), masks)[0])
    network.train(mode)
    return metrics.joined(parts)
