"""Who owns which pixel: the masks of a batch of images laid over one another, run by run.

All boundaries of a batch are sorted once. Along the sorted sequence, each object flips its own bit in a word; the
lowest set bit is the topmost object there. So the cost goes with the number of boundaries, not of pixels or objects,
and there is no loop over objects or images. An image of more than 64 objects takes more than one word.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cocomine.base.arrays import Ints
from cocomine.masks.boundaries import Boundaries, last_of_equal, unpaired

Words = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]

NOBODY = -1
BITS = 64
MANY = 16 * BITS
"""Objects of an image, or parts of an object, beyond which a bit for each would cost by the square of their number."""

KEY_BITS = 63

LOST, OBJECT, CROWD, UNCERTAIN, STUFF, UNWANTED, UNLABELLED = range(7)
"""Layers, the topmost first. A lower layer never takes a pixel from a higher one, and only yields to it.

LOST is what quarantined objects cover, void in every mask and no object. UNCERTAIN is where an object of a class with a
label is known to be, but not with which outline: void in every mask. UNLABELLED is what a panoptic PNG gives to no
segment.
"""


@dataclasses.dataclass(frozen=True)
class Objects:
    """The objects of a batch, one entry each; those of one image stand together, in the order of the annotations.

    `image` counts from 0 within the batch; `label` is 0 for unwanted objects; `layer` one of those above; `number`
    names the object in its image's instance mask, from 1, 0 for stuff and unwanted ones; `segment` is its id in
    panoptic masks; `annotation_id` and `category_id` are the source's.
    """

    image: Ints
    label: Ints
    layer: Ints
    number: Ints
    segment: Ints
    annotation_id: Ints
    category_id: Ints
    area: Ints
    """Pixels of the object's own mask, whatever lies over it."""

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.image)


@dataclasses.dataclass(frozen=True)
class Runs:
    """Vertical runs that cover every owned pixel of a batch once, sorted by image, column and row.

    Run i lies in column `x[i]` of image `image[i]`, rows `y[i]` to `y[i + 1]`, and belongs to object `owner[i]`; where
    `owner[i]` is NOBODY the run is free. A column's last entry is free and ends its last owned run. `rival[i]` is the
    next lower object of the same layer that claims the run too, or NOBODY, and `rival_label` the next lower one among
    those with another label.
    """

    image: Ints
    x: Ints
    y: Ints
    owner: Ints
    rival: Ints
    rival_label: Ints

    def lengths(self) -> Ints:
        """Return each run's pixels; 0 for free runs."""
        return np.where(self.owner == NOBODY, 0, self.ends() - self.y)

    def ends(self) -> Ints:
        """Return the row after each run's last; of no meaning for free runs."""
        return np.append(self.y[1:], 0)


RUN_COLUMNS = tuple(field.name for field in dataclasses.fields(Runs))


def merge_parts(parts: Boundaries, part_object: Ints) -> tuple[Boundaries, Ints]:
    """Join the parts of each object: return the boundaries of the union, `part` now being the object, and its areas.

    `part_object[i]` is the object of part i, ascending. The result is sorted by object, column and row, so that every
    two boundaries in a row are the top and the foot of one run. Areas are in pixels, one for each object, up to the
    last object that has a part.
    """
    objects = int(part_object[-1]) + 1 if len(part_object) else 0
    first_part = np.searchsorted(part_object, part_object)
    nth_part = np.arange(len(part_object)) - first_part
    most_parts = int(nth_part.max(initial=0)) + 1
    key, (column_bits, row_bits, part_bits) = _sorted_key(
        (part_object[parts.part], parts.x, parts.y, nth_part[parts.part])
    )
    position = key >> part_bits
    if most_parts == 1:
        # A boundary that is there twice is none, and the single part needs no counting of what is on.
        kept = unpaired(position)
        position = position[kept]
    elif most_parts > MANY:
        position, covered = _cover(parts, part_object, column_bits, row_bits)
        position = position[covered != np.concatenate([[False], covered[:-1]])]
    else:
        nth = key & ((1 << part_bits) - 1)
        last = last_of_equal(position)
        covered = np.zeros(int(last.sum()), bool)
        for word in range(-(-most_parts // BITS)):
            covered |= _active(nth, word)[last] != 0
        position = position[last]
        changed = covered != np.concatenate([[False], covered[:-1]])
        position = position[changed]
    y = position & ((1 << row_bits) - 1)
    x = (position >> row_bits) & ((1 << column_bits) - 1)
    whose = position >> (row_bits + column_bits)
    signed = y.copy()
    signed[0::2] *= -1
    area = np.bincount(whose, weights=signed, minlength=objects).astype(np.int64)
    return Boundaries(whose, x, y), area


def _cover(parts: Boundaries, part_object: Ints, column_bits: int, row_bits: int) -> tuple[Ints, Flags]:
    """Return the sorted positions (object, column, row) of boundaries, and whether any part covers what follows each.

    Within a part boundaries turn on and off by turns, so adding up over an object's parts says how many cover a place.
    """
    own, (own_column_bits, own_row_bits) = _sorted_key((parts.part, parts.x, parts.y))
    own = own[unpaired(own)]
    turn = np.ones(len(own), np.int64)
    turn[1::2] = -1
    x = (own >> own_row_bits) & ((1 << own_column_bits) - 1)
    y = own & ((1 << own_row_bits) - 1)
    position = (((part_object[own >> (own_row_bits + own_column_bits)] << column_bits) | x) << row_bits) | y
    order = np.argsort(position, kind="stable")
    position, covering = position[order], np.cumsum(turn[order])
    last = last_of_equal(position)
    return position[last], covering[last] > 0


def rank_objects(objects: Objects, smaller_on_top: bool) -> Ints:
    """Return each object's rank in its image: 0 is topmost.

    Layers come first; within a layer the smaller object if asked for; then the later annotation.
    """
    order_in_file = np.arange(len(objects))
    size = objects.area if smaller_on_top else np.zeros_like(objects.area)
    order = np.lexsort((-order_in_file, size, objects.layer, objects.image))
    first = np.searchsorted(objects.image, objects.image)
    rank = np.empty(len(objects), np.int64)
    rank[order] = np.arange(len(objects))
    return rank - first


def overlay(boundaries: Boundaries, objects: Objects, left: Ints, rank: Ints, rivals: bool) -> Runs:
    """Lay the objects over one another; the object of rank 0 is on top.

    `boundaries.part` is the object. `left[i]` is the first column of image i in the batch. `rivals` asks for the
    objects that lost a pixel to one of their own layer; without it both rivals are NOBODY throughout.
    """
    whose = boundaries.part
    most = int(rank.max(initial=0)) + 1
    key, (row_bits, rank_bits) = _sorted_key((left[objects.image[whose]] + boundaries.x, boundaries.y, rank[whose]))
    position = key >> rank_bits
    last = last_of_equal(position)
    ranks = key & ((1 << rank_bits) - 1)
    active = [_active(ranks, word)[last] for word in range(-(-most // BITS))]
    position = position[last]
    row, column = position & ((1 << row_bits) - 1), position >> row_bits
    # The image of a column, and from image and rank the object.
    image = np.searchsorted(left, column, side="right") - 1
    object_of = np.full((len(left), most), NOBODY, np.int64)
    object_of[objects.image, rank] = np.arange(len(objects))
    top = _lowest_bit(active)
    owner = np.where(top == NOBODY, NOBODY, object_of[image, top])
    rival = rival_label = np.full(len(owner), NOBODY, np.int64)
    if rivals:
        same_layer, other_label = _rival_bits(objects, rank, len(active))
        rival, rival_label = (
            np.where(found == NOBODY, NOBODY, object_of[image, found])
            for found in (
                _lowest_bit([active[w] & np.where(owner == NOBODY, 0, bits[w][owner]) for w in range(len(active))])
                for bits in (same_layer, other_label)
            )
        )
    return Runs(image, column - left[image], row, owner, rival, rival_label)


def overlay_many(
    boundaries: Boundaries, objects: Objects, sizes: Sequence[tuple[int, int]], rank: Ints, rivals: bool
) -> Runs:
    """Do as `overlay` for images of many objects, by painting them from the bottom one on over a raster.

    `sizes` are the images' (height, width). This takes as long as the objects have pixels, however many they are.
    """
    runs = np.searchsorted(boundaries.part[0::2], np.arange(len(objects) + 1))
    x, top, foot = boundaries.x[0::2], boundaries.y[0::2], boundaries.y[1::2]
    found: list[Runs] = []
    for image, (height, width) in enumerate(sizes):
        # Columns lie one after another, each with a place below its foot that stays free.
        owner, rival, rival_label = (np.full(width * (height + 1), NOBODY, np.int32) for _ in range(3))
        first, end = np.searchsorted(objects.image, [image, image + 1]).tolist()
        for who in (first + np.argsort(-rank[first:end], kind="stable")).tolist():
            own = slice(runs[who], runs[who + 1])
            lengths = foot[own] - top[own]
            starts = x[own] * (height + 1) + top[own] - (np.cumsum(lengths) - lengths)
            place = np.arange(int(lengths.sum())) + np.repeat(starts, lengths)
            if rivals:
                below = owner[place]
                contested = (below != NOBODY) & (objects.layer[below] == objects.layer[who])
                contested &= objects.layer[who] in (OBJECT, STUFF)
                other = np.where(objects.label[below] != objects.label[who], below, rival_label[place])
                rival[place] = np.where(contested, below, NOBODY)
                rival_label[place] = np.where(contested, other, NOBODY)
            owner[place] = who
        changes = np.flatnonzero(
            np.any([np.diff(one, prepend=np.int32(NOBODY)) != 0 for one in (owner, rival, rival_label)], axis=0)
        )
        whole = (one[changes].astype(np.int64) for one in (owner, rival, rival_label))
        place_of = np.divmod(changes, height + 1)
        found.append(Runs(np.full(len(changes), image, np.int64), *place_of, *whole))
    return Runs(*(np.concatenate([getattr(part, name) for part in found]) for name in RUN_COLUMNS))


def runs_of_rasters(rasters: Sequence[Ints], first_object: Sequence[int]) -> Runs:
    """Return the runs of filled rasters (h × w) whose pixels number the objects of the image from 0, or are NOBODY."""
    images, xs, ys, owners = [], [], [], []
    for image, (raster, first) in enumerate(zip(rasters, first_object, strict=True)):
        width = raster.shape[1]
        edged = np.full((width, raster.shape[0] + 1), NOBODY, np.int64)
        edged[:, :-1] = np.where(raster.T == NOBODY, NOBODY, raster.T + first)
        changes = np.diff(edged, axis=1, prepend=NOBODY) != 0
        x, y = np.nonzero(changes)
        images.append(np.full(len(x), image, np.int64))
        xs.append(x)
        ys.append(y)
        owners.append(edged[x, y])
    owner = np.concatenate(owners)
    nobody = np.full(len(owner), NOBODY, np.int64)
    return Runs(np.concatenate(images), np.concatenate(xs), np.concatenate(ys), owner, nobody, nobody)


def _rival_bits(objects: Objects, rank: Ints, words: int) -> tuple[list[Words], list[Words]]:
    """Return, a word at a time, the bits of all other single objects (or stuff) of each object's image and layer.

    The second list leaves out those of the same label. Crowds and unwanted objects have no rivals and are none.
    """
    takes_part = (objects.layer == OBJECT) | (objects.layer == STUFF)
    same_layer, other_label = [], []
    for word in range(words):
        own = np.where(takes_part & (rank // BITS == word), np.uint64(1) << (rank % BITS).astype(np.uint64), 0).astype(
            np.uint64
        )
        in_layer = _bits_of_group((objects.image, objects.layer), own)
        in_label = _bits_of_group((objects.image, objects.layer, objects.label), own)
        same_layer.append(np.where(takes_part, in_layer & ~own, np.uint64(0)))
        other_label.append(np.where(takes_part, in_layer & ~in_label, np.uint64(0)))
    return same_layer, other_label


def _bits_of_group(columns: Sequence[Ints], bits: Words) -> Words:
    """Return for each entry the union of `bits` over all entries that agree with it in every column."""
    if not len(bits):
        return bits
    order = np.lexsort(columns)
    differs = np.any([np.diff(column[order]) != 0 for column in columns], axis=0)
    begin = np.concatenate([[0], np.flatnonzero(differs) + 1])
    group = np.concatenate([[0], np.cumsum(differs)])
    result = np.empty_like(bits)
    result[order] = np.bitwise_or.reduceat(bits[order], begin)[group]
    return result


def _sorted_key(fields: tuple[Ints, Ints, Ints] | tuple[Ints, ...]) -> tuple[Ints, list[int]]:
    """Pack the fields, most significant first, into one number each and sort; return the bits of all but the first.

    Sorting whole numbers is several times as fast as sorting by several columns.
    """
    bits = [int(field.max(initial=0)).bit_length() for field in fields]
    assert sum(bits) <= KEY_BITS, "a batch is bounded so that its keys fit"
    key = fields[0]
    for field, width in zip(fields[1:], bits[1:], strict=True):
        key = (key << width) | field
    return np.sort(key), bits[1:]


def _active(ranks: Ints, word: int) -> Words:
    """Return, after each boundary, which of the 64 ranks of this word are on."""
    if word or (len(ranks) and int(ranks.max()) >= BITS):
        bits = np.where(ranks // BITS == word, np.uint64(1) << (ranks % BITS).astype(np.uint64), np.uint64(0))
    else:
        bits = np.uint64(1) << ranks.astype(np.uint64)
    return np.bitwise_xor.accumulate(bits)


def _lowest_bit(words: Sequence[Words]) -> Ints:
    """Return the number of the lowest set bit over several words, the first word lowest; NOBODY where none is set."""
    result = np.full(len(words[0]), NOBODY, np.int64)
    for number, word in reversed(list(enumerate(words))):
        # A single bit is a power of two, which a float holds exactly; its exponent is the bit's number.
        lowest = (word & (~word + np.uint64(1))).astype(np.float64)
        exponent = (lowest.view(np.int64) >> 52) - 1023
        result = np.where(word != 0, exponent + BITS * number, result)
    return result
