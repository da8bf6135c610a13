"""How much of an object's box the masks of other objects cover.

The share of an object that is hidden, as pedestrian benchmarks have it (Dollár et al., Pedestrian Detection: An
Evaluation of the State of the Art, PAMI 2012), needs a box of the whole object, which COCO does not draw: its masks
show visible parts alone. What is known is the share of a box that the masks of the image's other objects cover, those
of crowds among them. Whether they stand before or behind the object is not known. An image's occlusion is the mean over
its objects, as the crowd index of CrowdPose is that over its persons (Li et al., CVPR 2019), parted by Dollár's bounds.
"""

import math
from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco_mask

from cocomine.coco.reader import Annotation
from cocomine.evaluation.run_lengths import Rle, has_mask, rle_of

LEVELS = {"none (under 0.01)": 0.01, "partial (to 0.35)": 0.35, "heavy (0.35 on)": math.inf}


def covered(annotations: Sequence[Annotation], height: int, width: int) -> list[float | None]:
    """Return for each annotation of an image of `height` × `width` pixels the share of its box that the masks of the
    others cover; None for a crowd, for a box without pixels, and where another annotation has no mask of that size.
    """
    masks = [_mask_of(one, height, width) for one in annotations]
    if len(annotations) > 1 and None in masks:
        return [None] * len(annotations)
    known = [mask for mask in masks if mask is not None] if len(annotations) > 1 else []
    return [_share(number, one, known, (height, width)) for number, one in enumerate(annotations)]


def image_occlusion(annotations: Sequence[Annotation], height: int, width: int) -> float:
    """Return the mean of `covered` over the image's objects, NaN where none is known."""
    shares = [share for share in covered(annotations, height, width) if share is not None]
    return float(np.mean(shares)) if shares else math.nan


def _share(number: int, one: Annotation, masks: Sequence[Rle], size: tuple[int, int]) -> float | None:
    if one.iscrowd or not one.bbox or one.bbox[2] <= 0 or one.bbox[3] <= 0:
        return None
    (box,) = coco_mask.frPyObjects(np.array([one.bbox], dtype=np.float64), *size)
    whole = int(coco_mask.area(box))
    if not whole:
        return None
    others = [mask for other, mask in enumerate(masks) if other != number]
    inside = coco_mask.merge([coco_mask.merge(others), box], intersect=True) if others else None
    return 0.0 if inside is None else int(coco_mask.area(inside)) / whole


def _mask_of(one: Annotation, height: int, width: int) -> Rle | None:
    shape = one.segmentation
    if not has_mask(shape) or (isinstance(shape, dict) and shape.get("size") != [height, width]):
        return None
    return rle_of(shape, height, width)
