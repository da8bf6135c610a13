"""Parting the images of a split over files of a size that people can move about."""

from collections.abc import Iterable, Iterator, Sequence

from cocomine.formats.subset import Item, Subset

LARGEST = 500_000_000
"""Bytes of image files in a shard, as the Hub of Hugging Face parts data sets."""


def shard_sizes(subset: Subset, split: str, largest: int = LARGEST) -> list[int]:
    """Return how many images go into each shard of a split, in the split's order; one shard for a split without any."""
    numbers, taken = [0], 0
    for image in subset.images(split):
        size = subset.locked.get(image.id, ("", 0))[1]
        if numbers[-1] and taken + size > largest:
            numbers.append(0)
            taken = 0
        numbers[-1] += 1
        taken += size
    return numbers


def in_shards(items: Iterable[Item], numbers: Sequence[int]) -> Iterator[tuple[int, Iterator[Item]]]:
    """Yield the number of each shard and its images, which are to be taken before the next is asked for."""
    waiting = iter(items)
    for shard, number in enumerate(numbers):
        yield shard, (next(waiting) for _ in range(number))
    assert next(waiting, None) is None
