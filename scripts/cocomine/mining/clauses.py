"""The clauses of a query: small pure functions from columns to a mask.

A mask is a boolean array with a cell a row; True passes. Images are numbered by global row, classes by their position
in `Source.categories`. No function here knows what order clauses are applied in: `cocomine.mining.select` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cocomine.annotations.arrow import flags
from cocomine.base.arrays import Array
from cocomine.base.errors import CocomineError
from cocomine.base.files import rank
from cocomine.mining.arrays import Mask, Rows
from cocomine.mining.settings import Range

# Up to this many cells (images x classes, a byte each) a dense table is faster than sorting.
DENSE_CELLS = 64_000_000


@dataclass(frozen=True)
class Pairs:
    """Which classes are in which image: one entry per image and class that share an object, by image, then class.

    `image` and `cls`, both int64, are global image rows and class numbers.
    """

    image: Rows
    cls: Rows


def pairs_of(image_row: Rows, class_of: Array, images: int, classes: int) -> Pairs:
    """Find the classes of each image. Annotations without an image or a class (-1) are left out."""
    good = (image_row >= 0) & (class_of >= 0)
    if not good.all():
        image_row, class_of = image_row[good], class_of[good]
    key = image_row * max(classes, 1)
    key += class_of
    if images * classes <= DENSE_CELLS:
        cells = np.zeros(images * classes, dtype=bool)
        cells[key] = True
        found = np.flatnonzero(cells)
    else:
        found = np.unique(key)
    image = found // max(classes, 1)
    return Pairs(image, found - image * max(classes, 1))


def holding(pairs: Pairs, classes: Sequence[int], images: int) -> Mask:
    """Images with at least one object of one of `classes`."""
    among = np.zeros(max([*classes, int(pairs.cls.max(initial=-1))], default=-1) + 1, dtype=bool)
    among[list(classes)] = True
    return marked(pairs.image[among[pairs.cls]], images)


def holding_all(pairs: Pairs, groups: Sequence[Sequence[int]], images: int) -> Mask:
    """Images with an object of every group of classes; a supercategory is a group, a category a group of one."""
    result = np.ones(images, dtype=bool)
    for group in groups:
        result &= holding(pairs, group, images)
    return result


def marked(rows: Rows, images: int) -> Mask:
    """Images whose row is among `rows`; rows of -1 are passed over."""
    result = np.zeros(images, dtype=bool)
    result[rows[rows >= 0]] = True
    return result


def within(values: Array, bounds: Range) -> Mask:
    """Values inside a closed range. NaN is inside no bounded range."""
    result = np.ones(len(values), dtype=bool)
    if bounds.min is not None:
        result &= values >= bounds.min
    if bounds.max is not None:
        result &= values <= bounds.max
    return result


def objects_per_image(image_row: Rows, class_of: Array, counted: Mask, classes: Sequence[int], images: int) -> Rows:
    """How many of the annotations that are `counted` and of `classes` each image has. Shape (images,), int64."""
    chosen = counted & np.isin(class_of, np.array(classes, dtype=class_of.dtype)) & (image_row >= 0)
    return np.bincount(image_row[chosen], minlength=images)


def object_area(area: Array, bbox_w: Array, bbox_h: Array) -> Array:
    """The stated area in square pixels, or the box's where none is stated. Shape (annotations,), float64."""
    return np.where(np.isnan(area), bbox_w * bbox_h, area)


def caption_matches(captions: pa.ChunkedArray, pattern: str) -> Mask:
    """Captions that match a regular expression, letter case ignored; a null caption matches nothing.

    The engine is RE2, whose time is linear in the text, so that no pattern can hang the build. Raises CocomineError for
    a pattern that it cannot read.
    """
    try:
        found = pc.match_substring_regex(captions, pattern=pattern, ignore_case=True)
    except pa.ArrowInvalid as error:
        raise CocomineError(
            f"subset: caption: {pattern!r} is no regular expression: {error}",
            "write it in RE2 syntax, which has no look-around and no back-references",
        ) from error
    return flags(found)


def hash_ranks(ids: Array, seed: int) -> npt.NDArray[np.uint64]:
    """The hash rank of each image id under a seed. Shape (n,), uint64."""
    salt = f"mine:{seed}"
    return np.fromiter((rank(salt, int(identity)) for identity in ids), dtype=np.uint64, count=len(ids))


def order_by_hash(rows: Rows, ids: Array, seed: int) -> Rows:
    """Return image `rows` in the order in which they are drawn: by hash rank of id and seed, ties by id, then row."""
    return rows[np.lexsort((rows, ids, hash_ranks(ids, seed)))]


def draw_under_caps(
    order: Rows, pairs: Pairs, caps: dict[int, int], taken: dict[int, int] | None = None, limit: int | None = None
) -> Mask:
    """Walk images in `order` and take each one that pushes none of its classes above its cap.

    `caps` maps a class to the most images that may hold it; `taken` says how many of each were taken before (it is not
    changed); at most `limit` images are taken. What is taken depends on the images before it, hence the loop. Returns
    a mask of `order`.
    """
    capped = np.isin(pairs.cls, np.array(sorted(caps), dtype=np.int64))
    image, cls = pairs.image[capped], pairs.cls[capped]
    begins = np.searchsorted(image, order, side="left").tolist()
    ends = np.searchsorted(image, order, side="right").tolist()
    classes = cls.tolist()
    left = {number: cap - (taken or {}).get(number, 0) for number, cap in caps.items()}
    result = np.zeros(len(order), dtype=bool)
    count = 0
    for at, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        if limit is not None and count >= limit:
            break
        held = classes[begin:end]
        if all(left[number] > 0 for number in held):
            result[at] = True
            count += 1
            for number in held:
                left[number] -= 1
    return result


def rarest_first(order: Rows, pairs: Pairs, images_of_class: Array, images: int) -> Rows:
    """Reorder images so that those of the rarest class come first; within one class the order stays.

    `images_of_class` counts the matching images of each class. An image is placed by the rarest class that it holds.
    """
    rarity = np.full(images, np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(rarity, pairs.image, images_of_class[pairs.cls].astype(np.int64))
    return order[np.argsort(rarity[order], kind="stable")]


def deal(order: Rows, pairs: Pairs, classes: int) -> Rows:
    """Reorder images so that any first few of them hold all classes about equally often.

    The next image is always the first left, in `order`, of the class that the images so far hold least (of the lowest
    number among equals). `pairs` are the images' classes that count; every image of `order` has one. Two classes of
    which images are left thus differ by no more than one and the images that hold several classes.
    """
    place = np.full(int(order.max(initial=-1)) + 1, -1, dtype=np.int64)
    place[order] = np.arange(len(order))
    among = np.isin(pairs.image, order)
    at, cls = place[pairs.image[among]], pairs.cls[among]
    by_image = np.lexsort((cls, at))
    held = np.split(cls[by_image], np.cumsum(np.bincount(at, minlength=len(order)))[:-1])
    queues = [iter(np.sort(at[cls == number]).tolist()) for number in range(classes)]
    count = np.zeros(classes, dtype=np.int64)
    dealt = np.zeros(len(order), dtype=bool)
    result: list[int] = []
    while len(result) < len(order):
        number = int(np.argmin(count))
        following = next((here for here in queues[number] if not dealt[here]), None)
        if following is None:
            count[number] = np.iinfo(np.int64).max // 2  # none of it is left
            continue
        dealt[following] = True
        result.append(following)
        count[held[following]] += 1
    return order[np.array(result, dtype=np.int64)]
