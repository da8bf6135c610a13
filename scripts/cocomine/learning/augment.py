"""Random changes of a batch, drawn from one generator per iteration so that a resumed run draws the same."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from cocomine.coco.tasks import VOID
from cocomine.learning.settings import AugmentSettings


@dataclass(frozen=True)
class Draws:
    """Random numbers for a batch of `batch` images, of which this process has the `part`."""

    generator: torch.Generator
    batch: int
    part: slice

    def rows(self, rows: int) -> Tensor:
        """Return numbers in [0, 1), so many rows with a number for each image of the part."""
        return torch.rand(rows, self.batch, generator=self.generator)[:, self.part]

    def pairs(self) -> Tensor:
        """Return two numbers in [0, 1) for each image of the part, a row each."""
        return torch.rand(self.batch, 2, generator=self.generator)[self.part]


def augmented(images: Tensor, masks: Tensor, settings: AugmentSettings, draws: Draws) -> tuple[Tensor, Tensor]:
    """Return the changed batch.

    `images` (b, 3, h, w) float32 in 0..255, `masks` (b, h, w) uint8. Geometry is sampled bilinearly for images and by
    the nearest pixel for masks; what comes from outside the picture is black, and void in the mask.
    """
    count = len(images)
    flip = draws.rows(1)[0] < 0.5 if settings.flip else torch.zeros(count, dtype=torch.bool)
    if settings.scale or settings.shift:
        images, masks = _moved(images, masks, settings, flip, draws)
    elif bool(flip.any()):
        chosen = flip.to(images.device)
        images = torch.where(chosen[:, None, None, None], images.flip(3), images)
        masks = torch.where(chosen[:, None, None], masks.flip(2), masks)
    if settings.crop is not None:
        images, masks = _cropped(images, masks, settings.crop, draws)
    if settings.brightness or settings.contrast:
        gain = _factors(settings.brightness, draws).to(images.device)
        slope = _factors(settings.contrast, draws).to(images.device)
        middle = images.mean(dim=(1, 2, 3), keepdim=True)
        images = ((images - middle) * slope + middle).mul_(gain).clamp_(0.0, 255.0)
    return images, masks


def _cropped(images: Tensor, masks: Tensor, side: int, draws: Draws) -> tuple[Tensor, Tensor]:
    """Return a square of `side` pixels of each image and mask, every place as likely as another."""
    free = torch.tensor([extent - side + 1 for extent in images.shape[2:]])
    corners = (draws.pairs() * free).long().tolist()
    places = [(i, slice(top, top + side), slice(left, left + side)) for i, (top, left) in enumerate(corners)]
    cut = torch.stack([images[i, :, rows, columns] for i, rows, columns in places])
    if images.is_contiguous(memory_format=torch.channels_last):
        cut = cut.contiguous(memory_format=torch.channels_last)
    return cut, torch.stack([masks[place] for place in places])


def _factors(spread: float, draws: Draws) -> Tensor:
    return (1.0 + spread * (2.0 * draws.rows(1)[0] - 1.0))[:, None, None, None]


def _moved(
    images: Tensor, masks: Tensor, settings: AugmentSettings, flip: Tensor, draws: Draws
) -> tuple[Tensor, Tensor]:
    count = len(images)
    drawn = 2.0 * draws.rows(3) - 1.0
    zoom = torch.exp(-math.log1p(settings.scale) * drawn[0])  # source pixels per target pixel
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = torch.where(flip, -zoom, zoom)
    theta[:, 1, 1] = zoom
    theta[:, :, 2] = 2.0 * settings.shift * drawn[1:].T
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False).to(images.device)
    moved = functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    # Shifted by one, so that the zeros from outside are told from the background.
    shifted = (masks.float() + 1.0)[:, None]
    sampled = functional.grid_sample(shifted, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    labels = sampled[:, 0].round() - 1.0
    return moved, torch.where(labels < 0, float(VOID), labels).to(torch.uint8)
