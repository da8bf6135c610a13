"""The masks that a run predicted, as PNGs to look at, and how well their boundaries lie."""

from pathlib import Path

import numpy as np

from cocomine.base.arrays import Bytes, Floats
from cocomine.base.files import read_table, write_bytes
from cocomine.coco.labels import Labels
from cocomine.coco.names import mask_name
from cocomine.evaluation.boundary import boundary_counts
from cocomine.formats.pixels import palette_png
from cocomine.learning import metrics
from cocomine.learning.data import Rows, TensorSet


def write_predicted(
    tensors: TensorSet, rows: Rows, masks: Bytes, labels: Labels, subset_dir: Path, out_dir: Path
) -> Floats:
    """Write each image's predicted labels, `masks` (i, h, w), below `out_dir`/predicted, in the colours of the masks.

    They have the training size, without what pads an image to a square. Returns the boundary IoU of each image, mean
    over the foreground classes that prediction or truth shows: (i,), NaN where neither shows one.
    """
    images = read_table(subset_dir / "images.tsv")
    sizes = {int(row["image_id"]): (int(row["height"]), int(row["width"])) for row in images}
    scores = np.full(len(rows), np.nan)
    for place, (row, mask) in enumerate(zip(rows.tolist(), masks, strict=True)):
        size = sizes[int(tensors.image_ids[row])]
        found, truth = (np.ascontiguousarray(tensors.within(one, *size)) for one in (mask, tensors.masks[row]))
        path = out_dir / "predicted" / mask_name(tensors.file_names[row])
        write_bytes(path, palette_png(found, labels.palette()))
        scores[place] = metrics.mean_of_known(metrics.iou(*boundary_counts(found, truth, len(labels)))[1:])
    return scores
