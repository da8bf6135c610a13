"""Augmentation: image and mask move together, what comes from outside is void, and a generator's state decides all."""

import pytest
import torch
from cocomine.learning.augment import Draws, augmented
from cocomine.learning.settings import AugmentSettings


def batch(count=64, size=32):
    masks = torch.randint(0, 4, (count, 2, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    masks = masks.repeat_interleave(size // 2, 1).repeat_interleave(size // 2, 2)
    images = masks[:, None].repeat(1, 3, 1, 1).float() * 60
    return images, masks


def draws(count, seed=0, part=slice(None)):
    return Draws(torch.Generator().manual_seed(seed), count, part)


def run(settings, seed=0):
    return augmented(*batch(), settings, draws(64, seed))


def test_flip_mirrors_image_and_mask_alike_about_half_of_the_time():
    images, masks = run(AugmentSettings(flip=True))
    _before_images, before = batch()
    flipped = [not torch.equal(a, b) for a, b in zip(masks, before, strict=True)]
    assert 16 < sum(flipped) < 48
    assert torch.equal(images[:, 0], masks.float() * 60)
    assert all(torch.equal(m, b.flip(1)) for m, b, f in zip(masks, before, flipped, strict=True) if f)


def test_crops_are_squares_of_image_and_mask_at_one_place_and_every_place_is_met():
    masks = batch(count=400, size=8)[1]
    numbered = torch.arange(64.0).view(1, 1, 8, 8).expand(400, 3, 8, 8)
    cut, labels = augmented(numbered, masks, AugmentSettings(flip=False, crop=6), draws(len(masks)))
    assert cut.shape == (400, 3, 6, 6)
    corners = cut[:, 0, 0, 0].long()
    assert set(corners.tolist()) == {8 * top + left for top in range(3) for left in range(3)}
    for corner, picture, mask, label in zip(corners.tolist(), cut, masks, labels, strict=True):
        top, left = divmod(corner, 8)
        assert torch.equal(picture[0], numbered[0, 0, top : top + 6, left : left + 6])
        assert torch.equal(label, mask[top : top + 6, left : left + 6])


def test_nothing_asked_for_changes_nothing():
    images, masks = run(AugmentSettings(flip=False))
    assert torch.equal(images, batch()[0])
    assert torch.equal(masks, batch()[1])


@pytest.mark.parametrize(
    "settings", [AugmentSettings(flip=True, scale=0.5, shift=0.2), AugmentSettings(flip=False, shift=0.3)]
)
def test_moved_masks_stay_with_their_images_and_gain_only_void(settings):
    images, masks = run(settings)
    inside = masks != 255
    assert set(masks.unique().tolist()) <= {0, 1, 2, 3, 255}
    assert (~inside).any()
    assert inside.any()
    # Away from borders between labels the bilinear image is exactly its label's grey.
    near = ((images[:, 0] - masks.float() * 60).abs() < 1.0)[inside].float().mean()
    assert near > 0.9


def test_zoomed_in_pictures_have_no_outside():
    _, masks = augmented(*batch(), AugmentSettings(flip=False, scale=1e-9), draws(64))
    assert torch.equal(masks, batch()[1])


def test_brightness_and_contrast_keep_the_mask_and_the_range():
    images, masks = run(AugmentSettings(flip=False, brightness=0.5, contrast=0.5))
    assert torch.equal(masks, batch()[1])
    assert images.min() >= 0
    assert images.max() <= 255
    assert not torch.equal(images, batch()[0])


def test_generator_decides_all():
    settings = AugmentSettings(scale=0.5, shift=0.1, brightness=0.2, contrast=0.2)
    assert torch.equal(run(settings, 5)[0], run(settings, 5)[0])
    assert not torch.equal(run(settings, 5)[0], run(settings, 6)[0])


def test_a_part_of_a_batch_is_changed_as_it_is_within_the_whole():
    images, masks = batch(count=10)
    settings = AugmentSettings(flip=True, scale=0.3, shift=0.1, crop=16, brightness=0.2, contrast=0.2)
    whole = augmented(images, masks, settings, draws(10))
    for part in (slice(0, 6), slice(6, 10)):
        parted = augmented(images[part], masks[part], settings, draws(10, part=part))
        for found, wanted in zip(parted, whole, strict=True):
            assert torch.equal(found, wanted[part])
