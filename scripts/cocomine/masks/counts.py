"""Pixels of drawn images counted by label and by object, from the runs or from filled rasters."""

from collections.abc import Mapping

import numpy as np

from cocomine.base.arrays import Ints
from cocomine.images.grid import nearest_indices, taken_before
from cocomine.masks import png
from cocomine.masks.batch import Batch, boxes, owner_sums
from cocomine.masks.compose import LOST, NOBODY, STUFF, UNWANTED
from cocomine.masks.rasters import fill
from cocomine.masks.tables import FIELDS, ImageCounts, state_numbers


def count_runs(batch: Batch, values: Mapping[str, Ints], size: int, void: int) -> list[ImageCounts]:
    """Count pixels by label and by object from the runs, at full size and at the training size."""
    runs, objects = batch.runs, batch.objects
    lengths, number = runs.lengths(), len(batch.objects)
    heights, widths = batch.heights(), batch.widths()
    owned = runs.owner != NOBODY
    is_number = values["instance"] == np.append(objects.number, 0)[runs.owner]
    is_segment = values["panoptic"] == np.append(objects.segment, 0)[runs.owner]
    shown = owned & np.where(np.append(objects.layer == STUFF, False)[runs.owner], is_segment, is_number)
    segments = owned & (values["panoptic"] != 0)
    down_start, across_start = np.cumsum(heights + 1) - (heights + 1), np.cumsum(widths + 1) - (widths + 1)
    down = np.concatenate([taken_before(height, size) for height in heights.tolist()])
    across = np.concatenate([taken_before(width, size) for width in widths.tolist()])
    top, left = down_start[runs.image] + runs.y, across_start[runs.image] + runs.x
    sampled = (across[left + 1] - across[left]) * (down[top + lengths] - down[top])
    places = runs.image * (void + 1) + values["semantic"]
    by_label = np.bincount(places, weights=lengths, minlength=(void + 1) * len(batch.rows))
    by_label = by_label.astype(np.int64).reshape(-1, void + 1)
    by_label[:, 0] += heights * widths - by_label.sum(axis=1)
    columns = {
        "uncovered": owner_sums(runs.owner, lengths * (runs.rival == NOBODY), number),
        "pixels": owner_sums(runs.owner, lengths * shown, number),
        "training": owner_sums(runs.owner, sampled * shown, number),
        "segment_pixels": owner_sums(runs.owner, lengths * segments, number),
    }
    return _by_image(batch, by_label, columns, boxes(batch, segments))


def count_rasters(batch: Batch, rasters: Mapping[str, list[png.Raster]], size: int, void: int) -> list[ImageCounts]:
    """Count the same from filled rasters, whose void borders the runs do not know."""
    runs, number = batch.runs, len(batch.objects)
    columns = {
        # Hidden means hidden by other objects, so a border plays no part in it.
        "uncovered": owner_sums(runs.owner, runs.lengths() * (runs.rival == NOBODY), number),
        **{name: np.zeros(number, np.int64) for name in ("pixels", "training", "segment_pixels")},
    }
    box = np.zeros((number, 4), np.int64)
    by_label = np.zeros((len(batch.rows), void + 1), np.int64)
    # Owner 0 is nobody here, and object i is i + 1.
    numbers, ids = np.concatenate([[0], batch.objects.number]), np.concatenate([[0], batch.objects.segment])
    stuff = np.concatenate([[False], batch.objects.layer == STUFF])
    for image, (row, owner) in enumerate(zip(batch.rows, fill(batch, runs.owner + 1, np.uint32), strict=True)):
        by_label[image] = np.bincount(rasters["semantic"][image].ravel(), minlength=void + 1)
        is_number, is_segment = rasters["instance"][image] == numbers[owner], rasters["panoptic"][image] == ids[owner]
        shown = np.where(np.where(stuff[owner], is_segment, is_number), owner, 0)
        sampled = shown[np.ix_(nearest_indices(row.height, size), nearest_indices(row.width, size))]
        segments = np.where(rasters["panoptic"][image] != 0, owner, 0)
        for name, raster in (("pixels", shown), ("training", sampled), ("segment_pixels", segments)):
            columns[name] += np.bincount(raster.ravel(), minlength=number + 1)[1:]
        for who in np.unique(segments[segments > 0]).tolist():
            ys, xs = np.nonzero(segments == who)
            box[who - 1] = xs.min(), ys.min(), xs.max() - xs.min() + 1, ys.max() - ys.min() + 1
    return _by_image(batch, by_label, columns, box)


def _by_image(batch: Batch, by_label: Ints, columns: Mapping[str, Ints], box: Ints) -> list[ImageCounts]:
    """Cut the counts of a batch into those of its images; unwanted and lost objects get no row."""
    objects = batch.objects
    known = dict(columns) | dict(zip(("x", "y", "width", "height"), box.T, strict=True))
    known["state"] = state_numbers(objects.layer, objects.area, known["uncovered"], known["training"])
    table = np.stack([known[name] if name in known else getattr(objects, name) for name in FIELDS], axis=1)
    listed = (objects.layer < UNWANTED) & (objects.layer != LOST)
    result = []
    for image in range(len(batch.rows)):
        first, last = np.searchsorted(objects.image, [image, image + 1])
        present = np.flatnonzero(by_label[image]).tolist()
        pixels = dict(zip(present, by_label[image][present].tolist(), strict=True))
        result.append(ImageCounts(pixels, table[first:last][listed[first:last]]))
    return result
