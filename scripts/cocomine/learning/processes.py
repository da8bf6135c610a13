"""One run over several processes, each on its part of every batch, and what they compute together.

Whatever the loss or a normalisation sums over a batch is summed over all processes, and gradients are added in one
fixed order. So the weights are those of one process but for the rounding of sums, and the same each time, also after
a stop. (DistributedDataParallel is not used: it arranges its sums anew after the first iteration of a start, so that a
run which was stopped would add in another order.)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor, nn

from cocomine.learning import launch

REPRODUCIBILITY = (
    "spread over {} processes, which add up in one fixed order: the same bits again on as many, and those of one "
    "process but for the rounding of sums; dropout, where the model has it, is drawn by each process"
)


def count() -> int:
    """Return how many processes the run has."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def joined(processes: int, device: str) -> Iterator[None]:
    """Meet the run's other processes, which torchrun started, for as long as it trains."""
    if processes == 1:
        yield
        return
    if device == "cuda":
        torch.cuda.set_device(launch.rank())
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def part(batch: int) -> slice:
    """Return which images of a batch are this process's."""
    parts = np.array_split(np.arange(batch), count())
    mine: npt.NDArray[np.int64] = parts[launch.rank() if len(parts) > 1 else 0]
    return slice(int(mine[0]), int(mine[-1]) + 1)


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(_context: Any, value: Tensor) -> Tensor:
        result = value.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(result)
        return result

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        result = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(result)
        return result


def total(value: Tensor) -> Tensor:
    """Return the sum of what each process has; its gradient is that of the sum of all processes' losses."""
    result: Tensor = _Total.apply(value) if count() > 1 else value  # type: ignore[no-untyped-call]
    return result


@torch.no_grad()
def mean_gradients(network: nn.Module) -> None:
    """Replace each parameter's gradient by its mean over the processes."""
    if count() == 1:
        return
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= count()
    means = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, mean in zip(gradients, means, strict=True):
        gradient.copy_(mean.view_as(gradient))


def any_of(flag: bool, device: str) -> bool:
    """Say whether any process says so, to all of them."""
    return bool(total(torch.tensor(float(flag), device=device))) if count() > 1 else flag


class _BatchNorm(nn.BatchNorm2d):
    """Batch normalisation whose mean and variance are those of the batch of all processes, on any device."""

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            return super().forward(images)
        values = images.to(torch.promote_types(images.dtype, torch.float32))
        over, pixels = (0, 2, 3), values.new_tensor(images.numel() // images.shape[1])
        pixels = total(pixels)
        mean = total(values.sum(over)) / pixels
        centred = values - mean[:, None, None]
        variance = total(centred.square().sum(over)) / pixels
        if self.running_mean is not None and self.running_var is not None and self.momentum is not None:
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * pixels / (pixels - 1), self.momentum)
                if self.num_batches_tracked is not None:
                    self.num_batches_tracked.add_(1)
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(images.dtype)


def normalise_together(network: nn.Module) -> None:
    """Let every batch normalisation of `network` take its statistics over all processes."""
    if count() == 1:
        return
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = _BatchNorm
