"""Two predictions that look at no image; a model that does not beat them has learnt nothing."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from cocomine.base.arrays import Bytes

Counts = npt.NDArray[np.int64]


def label_frequency(masks: Iterable[Bytes], size: tuple[int, int], labels: int) -> Counts:
    """Return how often each label stands at each pixel over masks (h, w) of one `size`, as (n, h, w)."""
    counts = np.zeros((labels, *size), dtype=np.int64)
    for mask in masks:
        for label in np.unique(mask):
            if label < labels:
                counts[label] += mask == label
    return counts


def most_frequent_place(counts: Counts) -> Bytes:
    """Return one mask for every image: each class where it stands most often.

    Every class takes as many pixels as it has on average over all images, at the places where it stands most often;
    where two classes want a pixel, the more frequent one there gets it; the rest is background. Ties go to the pixel
    that comes first.
    """
    labels, height, width = counts.shape
    images = max(int(counts.sum(0).max()), 1)
    result = np.zeros((height, width), np.uint8)
    claim = np.zeros((height, width), np.int64)
    for label in range(1, labels):
        frequency = counts[label]
        size = round(frequency.sum() / images)
        order = np.argsort(-frequency.ravel(), kind="stable")[:size]
        wanted = np.zeros(height * width, dtype=bool)
        wanted[order] = True
        taken = wanted.reshape(height, width) & (frequency > claim)
        result[taken] = label
        claim[taken] = frequency[taken]
    return result


def enlarged(mask: Bytes, height: int, width: int) -> Bytes:
    """Return the mask at another size by the nearest pixel."""
    rows = (2 * np.arange(height) + 1) * mask.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * mask.shape[1] // (2 * width)
    large: Bytes = mask[rows[:, None], columns[None, :]]
    return large
