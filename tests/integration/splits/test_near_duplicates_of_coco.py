"""Near-duplicates of real images are found, and other images are not taken for such."""

from io import BytesIO

import numpy as np
import pytest
from cocomine.images.descriptors import THUMBNAIL_SIDE, describe
from cocomine.images.opening import to_luma
from cocomine.splits.groups import group
from cocomine.splits.near_duplicates import find_pairs
from cocomine.splits.settings import SplitSettings
from helpers.shared import coco_mini
from PIL import Image

DEFAULTS = SplitSettings()


def thumbnail(image):
    side = THUMBNAIL_SIDE
    return np.frombuffer(describe(to_luma(image).reduce(2)).thumbnail, dtype=np.uint8).reshape(side, side)


def saved(image, quality=90):
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def cropped(image, left, top, right, bottom):
    width, height = image.size
    box = (round(left * width), round(top * height), round(width * (1 - right)), round(height * (1 - bottom)))
    return saved(image.crop(box))


def brighter(factor):
    return lambda image, random: saved(image.point(lambda value: min(255, int(value * factor))))


CHANGES = {
    "JPEG quality 50": lambda image, random: saved(image, 50),
    "half size": lambda image, random: saved(image.resize((image.width // 2, image.height // 2))),
    "brighter by 10 %": brighter(1.1),
    "darker by 10 %": brighter(0.9),
    "5 % cropped from each side": lambda image, random: cropped(image, 0.05, 0.05, 0.05, 0.05),
    "5 % cropped in all": lambda image, random: cropped(image, 0.025, 0.025, 0.025, 0.025),
    "5 % cropped from one side": lambda image, random: cropped(image, *np.roll([0.05, 0, 0, 0], random.integers(4))),
    "up to 5 % cropped from every side": lambda image, random: cropped(image, *random.uniform(0, 0.05, 4)),
}


@pytest.fixture(scope="module")
def photographs():
    paths = sorted(coco_mini().glob("*2017/*.jpg"))
    return [Image.open(path).convert("RGB").reduce(2) for path in paths]


@pytest.fixture(scope="module")
def thumbnails(photographs):
    return np.stack([thumbnail(image) for image in photographs])


def test_no_two_photographs_of_coco_mini_are_taken_for_twins(thumbnails):
    assert len(thumbnails) == 287
    assert len(find_pairs(thumbnails, DEFAULTS.near_duplicate_distance, DEFAULTS.near_duplicate_similarity).first) == 0


def test_at_least_99_of_100_planted_twins_of_every_kind_are_grouped_and_no_stranger(photographs, thumbnails):
    random = np.random.default_rng(0)
    count = len(photographs)
    planted, originals, kinds = [], [], []
    for name, change in CHANGES.items():
        for place in random.permutation(count)[:140]:  # 1,120 twins in all
            planted.append(thumbnail(change(photographs[place], random)))
            originals.append(int(place))
            kinds.append(name)
    everything = np.concatenate([thumbnails, np.stack(planted)])
    pairs = find_pairs(everything, DEFAULTS.near_duplicate_distance, DEFAULTS.near_duplicate_similarity)
    found = group(len(everything), [], pairs, DEFAULTS.largest_group)
    share = {
        name: np.mean(
            [
                found.of[count + number] == found.of[original]
                for number, original in enumerate(originals)
                if kinds[number] == name
            ]
        )
        for name in CHANGES
    }
    assert min(share.values()) >= 0.99, share
    of_photograph = [*range(count), *originals]
    for one, other in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True):
        assert of_photograph[one] == of_photograph[other]


def test_pictures_of_the_same_scene_lit_alike_but_shifted_by_a_quarter_are_not_twins(photographs):
    shifted = [cropped(image, 0.25, 0, 0, 0) for image in photographs[:60]]
    everything = np.stack([thumbnail(image) for image in (*photographs[:60], *shifted)])
    pairs = find_pairs(everything, DEFAULTS.near_duplicate_distance, DEFAULTS.near_duplicate_similarity)
    assert len(pairs.first) <= 1
